#include "api/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <tuple>

#include "api/allowed_hosts.h"
#include "api/api_docs.h"
#include "api/audit.h"
#include "api/context.h"
#include "api/cors.h"
#include "api/errors.h"
#include "api/events.h"
#include "api/files.h"
#include "api/ingest_queue.h"
#include "api/items.h"
#include "api/jobs.h"
#include "api/legacy.h"
#include "api/preview.h"
#include "api/recipes.h"
#include "api/results.h"
#include "api/system.h"
#include "api/table_depot.h"
#include "api/upload.h"
#include "base/log.h"
#include "http/router.h"

namespace pixmill::api {

namespace {

// Jobs remember where their tables lie, and the next process may start in another folder.
ApiOptions with_absolute_spool(ApiOptions options) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(options.spool_folder, error);
  if (!error) options.spool_folder = absolute.lexically_normal().string();
  return options;
}

std::shared_ptr<IngestQueue> make_ingests(Executor executor, const ApiParts& parts, const ApiOptions& options,
                                          UploadReceiver& uploads, TableDepot* depot) {
  IngestQueueParts given{
      .store = parts.store, .ingest = parts.ingest, .spool = uploads, .depot = depot, .on_ended = parts.wake_deliverer};
  IngestQueueOptions chosen;
  chosen.at_once = options.ingests_at_once;
  chosen.lease = options.ingest_lease;
  chosen.look_every = options.ingest_look_every;
  return std::make_shared<IngestQueue>(std::move(executor), std::move(given), chosen);
}

using SteadyClock = std::chrono::steady_clock;

// Metrics must not grow with what clients think up.
std::string method_label(const std::string& method) {
  constexpr std::string_view kKnown[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
  return std::ranges::find(kKnown, method) == std::end(kKnown) ? "other" : method;
}

// Asked so often that their lines would bury the others.
bool is_probe(std::string_view pattern) {
  return pattern == "/healthz" || pattern == "/readyz" || pattern == "/metrics";
}

class RequestMetrics {
 public:
  explicit RequestMetrics(Metrics& metrics) : metrics_(metrics) {}

  void count(const std::string& route, const std::string& method, int status, double seconds) {
    auto [counter, new_counter] = counters_.try_emplace({route, method, status});
    if (new_counter) {
      counter->second =
          metrics_.counter("pixmill_http_requests_total", "Requests answered, by route, method and status",
                           {{"route", route}, {"method", method}, {"status", fmt::format("{}", status)}});
    }
    counter->second.add();
    auto [histogram, new_histogram] = histograms_.try_emplace(route);
    if (new_histogram) {
      histogram->second = metrics_.histogram(
          "pixmill_http_request_seconds", "From the header to the last byte of the answer",
          {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60}, {{"route", route}});
    }
    histogram->second.observe(seconds);
  }

 private:
  Metrics& metrics_;
  std::map<std::tuple<std::string, std::string, int>, Counter> counters_;
  std::map<std::string, Histogram> histograms_;
};

}  // namespace

struct Api::Impl : std::enable_shared_from_this<Api::Impl> {
  Impl(Executor executor, ApiParts parts, ApiOptions options)
      : files_thread("api-files"),
        uploads({.spool_folder = options.spool_folder,
                 .file_bytes_max = options.upload_bytes_max,
                 .free_bytes_min = options.free_bytes_min},
                files_thread),
        depot(parts.tables == nullptr
                  ? nullptr
                  : std::make_unique<TableDepot>(*parts.tables, options.spool_folder, files_thread)),
        ingests(make_ingests(executor, parts, options, uploads, depot.get())),
        hosts(options.allowed_hosts, options.links.base_url, options.listen_host),
        cors(options.frontend_url, options.cors_allow_all, options.links.base_url),
        request_metrics(parts.metrics),
        store_ping(executor, [&store = parts.store] { return store.ping(); }),
        context{.executor = std::move(executor),
                .parts = std::move(parts),
                .options = std::move(options),
                .files = files_thread,
                .uploads = uploads,
                .ingests = *ingests,
                .depot = depot.get(),
                .store_ping = store_ping},
        legacy(context),
        jobs(context),
        items(context),
        results(context),
        files(context),
        preview(context),
        recipes(context),
        events(context),
        audit(context),
        system(context) {
    legacy.add_routes(router);
    jobs.add_routes(router);
    items.add_routes(router);
    results.add_routes(router);
    files.add_routes(router);
    preview.add_routes(router);
    recipes.add_routes(router);
    events.add_routes(router);
    audit.add_routes(router);
    system.add_routes(router);
    docs.add_routes(router);
  }

  static Task<http::Response> handle(std::shared_ptr<Impl> self, http::Request& request);
  Task<http::Response> respond(http::Request& request, const http::Router::Match& match);
  std::optional<Problem> refusal_of(const http::Request& request, const http::Router::Match& match) const;
  void record(const http::Request& request, http::Response& response, const http::Router::Match& match,
              SteadyClock::time_point started);

  BlockingThread files_thread;
  UploadReceiver uploads;
  std::unique_ptr<TableDepot> depot;
  std::shared_ptr<IngestQueue> ingests;
  AllowedHosts hosts;
  Cors cors;
  RequestMetrics request_metrics;
  PatientQuestion<void> store_ping;
  Context context;
  Legacy legacy;
  Jobs jobs;
  Items items;
  Results results;
  Files files;
  Preview preview;
  Recipes recipes;
  Events events;
  Audit audit;
  System system;
  ApiDocs docs;
  http::Router router;
};

Task<http::Response> Api::Impl::handle(std::shared_ptr<Impl> self, http::Request& request) {
  const auto started = SteadyClock::now();
  const auto match = self->router.match(request.method, request.path);
  http::Response response = co_await self->respond(request, match);
  self->cors.decorate(request, response);
  response.headers.set("X-Content-Type-Options", "nosniff");
  response.headers.set("Referrer-Policy", "no-referrer");
  if (!response.headers.get("Cache-Control")) response.headers.set("Cache-Control", "no-store");
  self->record(request, response, match, started);
  co_return response;
}

std::optional<Problem> Api::Impl::refusal_of(const http::Request& request, const http::Router::Match& match) const {
  // Probes come addressed to whatever the prober knows, often a bare address.
  const bool probe = is_probe(match.pattern);
  if (!probe && !hosts.allows(request.headers.get("Host").value_or(""))) {
    return Problem{.status = 400,
                   .code = "host_not_allowed",
                   .detail = "The Host of this request is not one that this server answers to",
                   .hint = "Name it in ALLOWED_HOSTS (comma-separated, * for any), or set PUBLIC_BASE_URL."};
  }
  if (cors.is_foreign_write(request)) {
    return Problem{.status = 403,
                   .code = "origin_not_allowed",
                   .detail = "A page of another origin sent this; nothing was done",
                   .hint = "Name its origin in FRONTEND_URL, or set CORS_ALLOW_ALL=True."};
  }
  if (match.handler != nullptr || request.method == "OPTIONS") return std::nullopt;
  if (match.pattern.empty()) return not_found("There is nothing at this address");
  Problem problem{.status = 405, .code = "method_not_allowed"};
  problem.detail =
      fmt::format("{} is not possible here; {} is", request.method, fmt::join(match.allowed_methods, ", "));
  problem.allowed_methods = match.allowed_methods;
  return problem;
}

Task<http::Response> Api::Impl::respond(http::Request& request, const http::Router::Match& match) {
  if (const auto problem = refusal_of(request, match)) co_return error_response(*problem, request);
  if (Cors::is_preflight(request)) co_return cors.preflight_response(request);
  if (match.handler == nullptr) {  // OPTIONS of something that has no handler for it
    http::Response response{.status = 204, .headers = {}, .body = {}};
    if (!match.allowed_methods.empty()) {
      response.headers.set("Allow", fmt::format("{}, OPTIONS", fmt::join(match.allowed_methods, ", ")));
    }
    co_return response;
  }
  request.params = match.params;
  co_return co_await (*match.handler)(request);
}

void Api::Impl::record(const http::Request& request, http::Response& response, const http::Router::Match& match,
                       SteadyClock::time_point started) {
  const std::string route = match.pattern.empty() ? "unmatched" : match.pattern;
  response.on_sent = [self = shared_from_this(), route, method = request.method, id = request.request_id,
                      started](const http::Sent& sent) {
    const double seconds = std::chrono::duration<double>(SteadyClock::now() - started).count();
    self->request_metrics.count(route, method_label(method), sent.status, seconds);
    const auto write = is_probe(route) ? log::debug : log::info;
    write("request", {{"method", method},
                      {"route", route},
                      {"status", sent.status},
                      {"ms", seconds * 1000},
                      {"bytes", sent.body_bytes},
                      {"complete", sent.complete},
                      {"request_id", id}});
  };
}

Api::Api(Executor executor, ApiParts parts, ApiOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(parts), with_absolute_spool(std::move(options)))) {}

Api::~Api() = default;

Task<Result<void>> Api::start() {
  PIXMILL_CO_TRY(auto kept, co_await impl_->ingests->spooled());
  PIXMILL_CO_RETURN_IF_ERROR(co_await impl_->uploads.sweep(std::move(kept)));
  impl_->ingests->start();
  co_return Result<void>();
}

http::Server::RequestHandler Api::handler() {
  return [impl = impl_](http::Request& request) { return Impl::handle(impl, request); };
}

void Api::end_streams() {
  impl_->events.stop();
  impl_->audit.stop();
}

Task<void> Api::stop() { co_await impl_->ingests->stop(); }

}  // namespace pixmill::api
