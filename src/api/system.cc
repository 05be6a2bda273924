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
constexpr std::uint64_t kHostRows = 100;
constexpr std::uint64_t kHostRowsMax = 1'000;

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
<code>priority</code>, <code>headers</code>, <code>keep</code>; or JSON with <code>rows</code></td></tr>
<tr><td><code>POST /v1/jobs/validate</code></td><td>Check what would be submitted, and start nothing</td></tr>
<tr><td><code>GET /v1/jobs</code></td><td>Jobs, newest first: <code>state</code>, <code>limit</code>, <code>before</code></td></tr>
<tr><td><code>GET /v1/jobs/ID</code></td><td>One job with its progress</td></tr>
<tr><td><code>GET /v1/jobs/ID/events</code></td><td>The same as it goes on, as Server-Sent Events</td></tr>
<tr><td><code>GET /v1/jobs/ID/items</code></td><td>Its images: <code>state</code>, <code>code</code>, <code>after</code> or
<code>offset</code>, <code>limit</code></td></tr>
<tr><td><code>GET /v1/jobs/ID/items/N</code>, <code>errors</code></td><td>One image; why images failed, by code</td></tr>
<tr><td><code>GET /v1/jobs/ID/result.csv</code>, <code>images.csv</code></td><td>Its result, as it stands; <code>raw=1</code>
keeps every byte of the input's cells</td></tr>
<tr><td><code>DELETE /v1/jobs/ID</code></td><td>Remove it with its files; <code>cancel=1</code> stops it first</td></tr>
<tr><td><code>POST /v1/jobs/ID/cancel</code>, <code>retry</code></td><td>Stop it; run its failed images again</td></tr>
<tr><td><code>POST /v1/jobs/ID/pause</code>, <code>resume</code></td><td>Begin no more of its images; go on</td></tr>
<tr><td><code>GET /v1/jobs/ID/deliveries</code></td><td>Its webhooks; <code>POST …/EVENT/resend</code> sends one again</td></tr>
<tr><td><code>GET /files/…</code></td><td>Finished images</td></tr>
<tr><td><code>GET <a href="/docs/api">/docs/api</a></code>, <code><a href="/openapi.json">/openapi.json</a></code></td>
<td>Everything there is to know of each request, to read and as OpenAPI</td></tr>
<tr><td><code>GET <a href="/v1/system">/v1/system</a></code></td><td>The hosts that images come from, with their limits and
waits, and the services in use; <code>hosts</code> says how many rows</td></tr>
<tr><td><code>POST /imgproc/upload</code>, <code>GET /imgproc/status/ID/</code></td><td>The original platform's interface</td></tr>
<tr><td><code>GET <a href="/healthz">/healthz</a></code>, <code><a href="/readyz">/readyz</a></code>,
<code><a href="/metrics">/metrics</a></code></td><td>For those who run it</td></tr>
</table>)";

template <class Number>
json::value number_or_null(const std::optional<Number>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

json::value ms_or_null(const std::optional<milliseconds>& value) {
  return value ? json::value(value->count()) : json::value(nullptr);
}

json::object host_json(const fetch::HostState& host) {
  return json::object{
      {"host", host.origin},
      {"limit", host.limit},
      {"in_flight", host.in_flight},
      {"waiting", host.waiting},
      {"rate_per_second", number_or_null(host.rate)},
      {"latency_ms", ms_or_null(host.latency)},
      {"best_latency_ms", ms_or_null(host.best)},
      {"backing_off_ms", ms_or_null(host.closed_for)},
      {"refused_status", host.refused_status == 0 ? json::value(nullptr) : json::value(host.refused_status)},
      {"processes", host.processes},
      {"silent", host.is_silent}};
}

}  // namespace

System::System(Context& context)
    : context_(context),
      depth_(context.executor, [&store = context.parts.store] { return store.depth(); }),
      pending_(context.parts.metrics.gauge("pixmill_queue_items", "Items of unfinished jobs, by state",
                                           {{"state", "pending"}})),
      leased_(context.parts.metrics.gauge("pixmill_queue_items", "Items of unfinished jobs, by state",
                                          {{"state", "leased"}})),
      hosts_(context.parts.metrics) {}

System::HostGauges::HostGauges(Metrics& metrics) {
  const auto hosts = [&](const char* state) {
    return metrics.gauge("pixmill_hosts", "Hosts that pictures are fetched from, by what is known of them",
                         {{"state", state}});
  };
  known = hosts("known");
  backing_off = hosts("backing_off");
  silent = hosts("silent");
  in_flight = metrics.gauge("pixmill_host_requests", "Requests to all hosts together", {{"state", "in_flight"}});
  waiting = metrics.gauge("pixmill_host_requests", "Requests to all hosts together", {{"state", "waiting"}});
}

void System::HostGauges::set(const fetch::HostLimits::Totals& totals) const {
  known.set(static_cast<double>(totals.hosts));
  backing_off.set(static_cast<double>(totals.backing_off));
  silent.set(static_cast<double>(totals.silent));
  in_flight.set(static_cast<double>(totals.in_flight));
  waiting.set(static_cast<double>(totals.waiting));
}

void System::add_routes(http::Router& router) {
  router.add("GET", "/", [this](http::Request& request) { return front_page(request); });
  router.add(
      "GET", "/healthz", [this](http::Request& request) { return health(request); }, true);
  router.add(
      "GET", "/readyz", [this](http::Request& request) { return ready(request); }, true);
  router.add(
      "GET", "/metrics", [this](http::Request& request) { return metrics(request); }, true);
  router.add("GET", "/v1/system", [this](http::Request& request) { return system(request); });
}

Task<http::Response> System::health(http::Request&) { co_return http::json_response(200, R"({"status":"ok"})"); }

// When the store does not answer, the last known depth is shown: the other numbers are wanted then most of all.
Task<http::Response> System::metrics(http::Request&) {
  const auto depth = co_await depth_.answer(kDepthPatience);
  if (depth) {
    pending_.set(static_cast<double>(depth->pending));
    leased_.set(static_cast<double>(depth->leased));
  }
  if (context_.parts.hosts != nullptr) hosts_.set(context_.parts.hosts->totals());
  auto response = http::text_response(200, context_.parts.metrics.expose());
  response.headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  co_return response;
}

Task<http::Response> System::system(http::Request& request) {
  const auto rows = number_parameter(request, "hosts", kHostRows, 0, kHostRowsMax);
  if (!rows) co_return error_response(rows.error(), request);
  json::object body{{"version", context_.options.version}};
  if (context_.parts.hosts != nullptr) {
    const auto totals = context_.parts.hosts->totals();
    json::array table;
    for (const auto& host : context_.parts.hosts->table(*rows)) table.push_back(host_json(host));
    body["hosts"] = json::object{{"known", totals.hosts},     {"in_flight", totals.in_flight},
                                 {"waiting", totals.waiting}, {"backing_off", totals.backing_off},
                                 {"silent", totals.silent},   {"table", std::move(table)}};
  }
  json::array services;
  if (context_.parts.services) {
    for (const auto& service : context_.parts.services()) {
      services.push_back(json::object{{"name", service.name}, {"ok", service.ok}, {"detail", service.detail}});
    }
  }
  body["services"] = std::move(services);
  co_return http::json_response(200, json::serialize(body));
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
  if (context_.parts.services) {
    for (auto& service : context_.parts.services()) {
      checks.push_back({.name = std::move(service.name),
                        .ok = service.ok,
                        .detail = std::move(service.detail),
                        .needed = service.needed});
    }
  }
  bool ready = true;
  json::array listed;
  for (const auto& check : checks) {
    ready = ready && (check.ok || !check.needed);
    listed.push_back(
        json::object{{"name", check.name}, {"ok", check.ok}, {"needed", check.needed}, {"detail", check.detail}});
  }
  const json::object body{
      {"status", ready ? "ready" : "not_ready"}, {"version", context_.options.version}, {"checks", std::move(listed)}};
  co_return http::json_response(ready ? 200 : 503, json::serialize(body));
}

}  // namespace pixmill::api
