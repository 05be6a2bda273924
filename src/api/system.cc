#include "api/system.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "base/text.h"
#include "storage/local_store.h"

namespace pixmill::api {

namespace json = boost::json;

namespace {

constexpr milliseconds kDepthPatience{500};

constexpr std::string_view kFrontPage = R"(<h1>Pixmill {0}</h1>
<p>Bulk image processing: a table of image URLs goes in; every image is downloaded, transformed and stored; a result
table and a signed webhook come out.</p>
<h2>Start</h2>
<pre>curl -F file=@products.csv {1}/v1/jobs
curl -F file=@products.csv -F recipe="resize=1600x1600:inside format=webp quality=80" {1}/v1/jobs
curl {1}/v1/jobs/ID
curl -O {1}/v1/jobs/ID/result.csv</pre>
<p>The table is CSV, TSV or JSON Lines, plain or gzipped, with the columns <code>S.No.</code>, <code>Product Name</code>,
<code>Input Image Urls</code>, or with one column <code>url</code>.</p>
<h2>Endpoints</h2>
<table>
<tr><th>Request</th><th>What it does</th></tr>
<tr><td><code>POST /v1/jobs</code></td><td>Submit a job: a form with <code>file</code>, and optionally <code>recipe</code>,
<code>webhook_url</code>, <code>name</code>, <code>name_template</code>, <code>url_column</code>, <code>skip_invalid</code>,
<code>priority</code>, <code>headers</code></td></tr>
<tr><td><code>GET /v1/jobs</code></td><td>Jobs, newest first: <code>state</code>, <code>limit</code>, <code>before</code></td></tr>
<tr><td><code>GET /v1/jobs/ID</code></td><td>One job with its progress</td></tr>
<tr><td><code>GET /v1/jobs/ID/items</code></td><td>Its images: <code>state</code>, <code>code</code>, <code>after</code> or
<code>offset</code>, <code>limit</code></td></tr>
<tr><td><code>GET /v1/jobs/ID/result.csv</code>, <code>images.csv</code></td><td>Its result, as it stands; <code>raw=1</code>
keeps every byte of the input's cells</td></tr>
<tr><td><code>POST /v1/jobs/ID/cancel</code>, <code>retry</code></td><td>Stop it; run its failed images again</td></tr>
<tr><td><code>GET /v1/jobs/ID/deliveries</code></td><td>Its webhooks; <code>POST …/EVENT/resend</code> sends one again</td></tr>
<tr><td><code>GET /files/…</code></td><td>Finished images</td></tr>
<tr><td><code>POST /imgproc/upload</code>, <code>GET /imgproc/status/ID/</code></td><td>The original platform's interface</td></tr>
<tr><td><code>GET <a href="/healthz">/healthz</a></code>, <code><a href="/readyz">/readyz</a></code>,
<code><a href="/metrics">/metrics</a></code></td><td>For those who run it</td></tr>
</table>)";

}  // namespace

System::System(Context& context)
    : context_(context),
      depth_(context.executor, [&store = context.parts.store] { return store.depth(); }),
      pending_(context.parts.metrics.gauge("pixmill_queue_items", "Items of unfinished jobs, by state",
                                           {{"state", "pending"}})),
      leased_(context.parts.metrics.gauge("pixmill_queue_items", "Items of unfinished jobs, by state",
                                          {{"state", "leased"}})) {}

void System::add_routes(http::Router& router) {
  router.add("GET", "/", [this](http::Request& request) { return front_page(request); });
  router.add(
      "GET", "/healthz", [this](http::Request& request) { return health(request); }, true);
  router.add(
      "GET", "/readyz", [this](http::Request& request) { return ready(request); }, true);
  router.add(
      "GET", "/metrics", [this](http::Request& request) { return metrics(request); }, true);
}

Task<http::Response> System::health(http::Request&) { co_return http::json_response(200, R"({"status":"ok"})"); }

// When the store does not answer, the last known depth is shown: the other numbers are wanted then most of all.
Task<http::Response> System::metrics(http::Request&) {
  const auto depth = co_await depth_.answer(kDepthPatience);
  if (depth) {
    pending_.set(static_cast<double>(depth->pending));
    leased_.set(static_cast<double>(depth->leased));
  }
  auto response = http::text_response(200, context_.parts.metrics.expose());
  response.headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  co_return response;
}

Task<http::Response> System::front_page(http::Request&) {
  co_return page_response(
      200, "Pixmill",
      fmt::format(kFrontPage, html_escape(context_.options.version), html_escape(context_.options.links.base_url)));
}

Task<System::Check> System::check_store() {
  const auto answered = co_await context_.store_ping.answer(context_.options.ready_deadline);
  co_return Check{.name = "store", .ok = answered.has_value(), .detail = answered ? "" : answered.error().message};
}

std::vector<System::Check> System::check_engines() const {
  std::vector<Check> checks;
  if (context_.parts.engines == nullptr) return checks;
  const auto& engines = *context_.parts.engines;
  const std::size_t alive = engines.pids().size();
  checks.push_back({.name = "engines", .ok = alive > 0, .detail = fmt::format("{} of {}", alive, engines.engines())});
  const auto& sandbox = engines.sandbox();
  const std::string layers =
      fmt::format("seccomp {}, Landlock {}, untrusted loaders {}", sandbox.seccomp ? "on" : "off",
                  sandbox.landlock ? fmt::format("ABI {}", sandbox.landlock_abi) : "not in this kernel",
                  sandbox.untrusted_loaders_blocked ? "blocked" : "NOT blocked");
  checks.push_back({.name = "sandbox",
                    .ok = sandbox.problem.empty(),
                    .detail = sandbox.problem.empty() ? layers : sandbox.problem + "; " + layers});
  return checks;
}

System::Check System::check_disk() const {
  const auto free = storage::free_bytes(context_.options.data_folder);
  if (!free) return {.name = "disk", .ok = false, .detail = free.error().message};
  return {
      .name = "disk",
      .ok = *free >= context_.options.free_bytes_min,
      .detail = fmt::format("{} free, {} needed", format_bytes(*free), format_bytes(context_.options.free_bytes_min))};
}

Task<http::Response> System::ready(http::Request&) {
  std::vector<Check> checks;
  checks.push_back(co_await check_store());
  for (auto& check : check_engines()) checks.push_back(std::move(check));
  checks.push_back(check_disk());
  bool ready = true;
  json::array listed;
  for (const auto& check : checks) {
    ready = ready && check.ok;
    listed.push_back(json::object{{"name", check.name}, {"ok", check.ok}, {"detail", check.detail}});
  }
  const json::object body{
      {"status", ready ? "ready" : "not_ready"}, {"version", context_.options.version}, {"checks", std::move(listed)}};
  co_return http::json_response(ready ? 200 : 503, json::serialize(body));
}

}  // namespace pixmill::api
