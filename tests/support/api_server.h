// The HTTP interface over a real server, a real SQLite store and real ingest in a temporary folder; engines are
// pretended. Finished pictures are written by the test, as a worker would.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/api.h"
#include "http/server.h"
#include "jobs/progress_news.h"
#include "jobs/sqlite_store.h"
#include "storage/local_store.h"
#include "tests/support/loop_thread.h"
#include "tests/support/pipeline_fakes.h"
#include "tests/support/raw_http_client.h"
#include "tests/support/temp_folder.h"

namespace pixmill::testing {

class PretendedEngines final : public engine::Pool {
 public:
  using engine::Pool::render;
  Task<Result<image::Rendered>> render(std::string_view source, const image::Recipe& recipe,
                                       engine::RenderExtras extras) override {
    if (on_extras) on_extras(extras);
    if (answer) co_return answer(source, recipe);
    co_return fail(ErrorCode::kUnavailable, "pretended");
  }
  [[nodiscard]] std::optional<Error> bad_mark(const std::string&) const override { return std::nullopt; }
  void stop() override {}
  [[nodiscard]] const engine::SandboxReport& sandbox() const override { return report; }
  [[nodiscard]] std::vector<int> pids() const override { return alive; }
  [[nodiscard]] std::uint32_t engines() const override { return 2; }

  engine::SandboxReport report{
      .seccomp = true, .landlock = true, .landlock_abi = 3, .untrusted_loaders_blocked = true, .problem = {}};
  std::vector<int> alive = {1, 2};
  std::function<void(const engine::RenderExtras& extras)> on_extras = {};
  // What render() says, on the loop's thread; set it before the first request.
  std::function<Result<image::Rendered>(std::string_view source, const image::Recipe& recipe)> answer = {};
};

struct FormPart {
  std::string name;
  std::string value;
  std::string file_name = {};  // "": a plain field
  bool empty_file_name = false;
};

class ApiServer {
 public:
  // `other_store` stands in for the real one when it is given.
  explicit ApiServer(api::ApiOptions changed = {}, jobs::JobStore* other_store = nullptr, bool with_audits = true)
      : options(std::move(changed)), audits(with_audits) {
    options.links = {.base_url = "http://pixmill.test", .files_base = "http://pixmill.test/files"};
    options.spool_folder = folder.file("spool");
    options.data_folder = folder.path();
    options.version = "1.2.3";
    open_store(other_store);
    start();
  }
  ~ApiServer() { stop(); }

  void stop() {
    if (!server) return;
    loop.call([this] { return api->end_streams(), true; });
    loop.run(server->stop(milliseconds(2'000)));
    loop.run(api->stop());
    loop.stop();
    server.reset();
    api.reset();
    watermarks.reset();
    budget.reset();
  }

  RawHttpClient connect() const { return RawHttpClient(server->port()); }
  RawResponse request(std::string_view method, std::string_view target, std::string_view headers = "",
                      std::string_view body = "") const {
    return connect().request(fmt::format("{} {} HTTP/1.1\r\nHost: pixmill.test\r\nContent-Length: {}\r\n{}\r\n{}",
                                         method, target, body.size(), headers, body),
                             method == "HEAD");
  }
  RawResponse get(std::string_view target, std::string_view headers = "") const {
    return request("GET", target, headers);
  }
  RawResponse post(std::string_view target, std::string_view headers = "", std::string_view body = "") const {
    return request("POST", target, headers, body);
  }
  RawResponse post_form(std::string_view target, const std::vector<FormPart>& parts,
                        std::string_view headers = "") const {
    std::string body;
    for (const auto& part : parts) {
      body += fmt::format("--form-b\r\nContent-Disposition: form-data; name=\"{}\"", part.name);
      const bool is_file = !part.file_name.empty() || part.empty_file_name;
      if (is_file) body += fmt::format("; filename=\"{}\"\r\nContent-Type: text/csv", part.file_name);
      body += "\r\n\r\n" + part.value + "\r\n";
    }
    body += "--form-b--\r\n";
    return post(target, fmt::format("Content-Type: multipart/form-data; boundary=form-b\r\n{}", headers), body);
  }

  [[nodiscard]] jobs::JobStore& store() const { return *store_; }
  jobs::Job job(const std::string& id) { return loop.run(store().job(JobId{*Uuid::parse(id)})).value(); }

  // Until ingest has done its part; bounded by the test's own timeout.
  jobs::Job ingested(const std::string& id) {
    while (true) {
      auto found = job(id);
      if (found.state != jobs::JobState::kIngesting && found.state != jobs::JobState::kReceiving) return found;
      std::this_thread::yield();
    }
  }

  std::vector<jobs::OriginHeader> headers_of(JobId id) { return loop.run(store().headers(id)).value(); }

  // Claims and ends every item there is, as a worker would: those whose URL contains "bad" fail for good.
  void work() {
    while (true) {
      auto claim = loop.run(store().claim({.worker = "test"})).value();
      if (claim.items.empty()) return;
      std::vector<jobs::ItemOutcome> outcomes;
      for (const auto& item : claim.items) outcomes.push_back(outcome_of(item));
      PIXMILL_CHECK(loop.run(store().finish(std::move(outcomes))).has_value());
    }
  }

  api::ApiOptions options;
  bool audits;
  TempFolder folder;
  SystemClock clock;
  Metrics metrics;
  PretendedEngines engines;
  int wakes = 0;     // of the deliverer
  int removals = 0;  // wakes of the remover
  LoopThread loop;
  jobs::Stores sqlite;
  std::unique_ptr<jobs::Queue> queue;
  std::unique_ptr<jobs::ProgressNews> progress = jobs::make_local_progress_news();
  std::unique_ptr<jobs::Ingest> ingest;
  std::unique_ptr<storage::BlobStore> blobs;
  std::unique_ptr<fetch::AddressPolicy> policy;
  FakeFetcher fetcher;  // of watermarks
  MemoryBlobs uploads;  // likewise
  std::unique_ptr<ByteBudget> budget;
  std::unique_ptr<pipeline::Watermarks> watermarks;
  std::unique_ptr<api::Api> api;
  std::unique_ptr<http::Server> server;

 private:
  void open_store(jobs::JobStore* other_store) {
    auto body = [links = options.links, this](const std::string& type, const jobs::Job& job,
                                              const std::vector<jobs::Row>& rows) {
      return jobs::event_body(type, job, rows, clock.now(), links);
    };
    auto opened = jobs::open_sqlite_store(
        clock, {.path = folder.file("pixmill.db"), .master_key = std::string(32, 'k'), .event_body = std::move(body)});
    PIXMILL_CHECK(opened.has_value());
    sqlite = std::move(*opened);
    store_ = other_store != nullptr ? other_store : sqlite.jobs.get();
    blobs = storage::open_local_store(folder.file("files"), storage::Durability::kProcess).value();
    policy = std::make_unique<fetch::AddressPolicy>(fetch::AddressPolicy::create("").value());
  }

  void start() {
    queue = jobs::make_local_queue(loop.executor());
    ingest = std::make_unique<jobs::Ingest>(loop.executor(), *store_, *queue);
    budget = std::make_unique<ByteBudget>(loop.executor(), 64u << 20);
    const pipeline::WatermarkParts marks{.fetcher = fetcher, .uploads = uploads};
    watermarks = std::make_unique<pipeline::Watermarks>(loop.executor(), marks);
    api::ApiParts parts{.store = *store_,
                        .outbox = *sqlite.outbox,
                        .recipes = *sqlite.recipes,
                        .queue = *queue,
                        .ingest = *ingest,
                        .blobs = *blobs,
                        .watermarks = *watermarks,
                        .policy = *policy,
                        .clock = clock,
                        .metrics = metrics,
                        .engines = &engines,
                        .progress = progress.get(),
                        .wake_deliverer = [this] { ++wakes; },
                        .upkeep = audits ? sqlite.upkeep : nullptr,
                        .remove_soon = [this] { ++removals; }};
    api = std::make_unique<api::Api>(loop.executor(), std::move(parts), options);
    std::filesystem::create_directories(options.spool_folder);
    const auto started = loop.run(api->start());
    PIXMILL_CHECK(started.has_value() || store_ != sqlite.jobs.get());
    http::ServerOptions server_options;
    server_options.port = 0;
    server = http::Server::create(loop.executor(), server_options, api->handler()).value();
    loop.call([this] { return server->start(), true; });
  }

  static jobs::ItemOutcome outcome_of(const jobs::ClaimedItem& item) {
    if (item.url.find("bad") != std::string::npos) {
      return {.lease = item.lease,
              .result = jobs::ItemFailure{.code = "http_404", .message = "404 Not Found", .retry_at = std::nullopt},
              .times = {}};
    }
    const jobs::Output output{.rendition = {},
                              .key = fmt::format("{}/{}.jpg", item.job.text(), item.lease.item),
                              .bytes = 50,
                              .width_px = 4,
                              .height_px = 3,
                              .format = "jpeg",
                              .quality = 50,
                              .sha256 = std::string(64, 'a'),
                              .note = {}};
    return {.lease = item.lease, .result = jobs::ItemSuccess{.bytes_in = 100, .outputs = {output}}, .times = {}};
  }

  jobs::JobStore* store_ = nullptr;
};

// A table in the original platform's form.
inline std::string original_table(const std::vector<std::string>& urls) {
  std::string table = "S.No.,Product Name,Input Image Urls\r\n";
  for (std::size_t i = 0; i < urls.size(); ++i) table += fmt::format("{},SKU{},\"{}\"\r\n", i + 1, i + 1, urls[i]);
  return table;
}

}  // namespace pixmill::testing
