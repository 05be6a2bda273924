// A SQLite store and a folder of files, with jobs whose results lie there: for testing what looks after both.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/crypto.h"
#include "db/sqlite.h"
#include "jobs/job_sweep.h"
#include "jobs/sqlite_store.h"
#include "storage/local_store.h"
#include "tests/support/manual_clock.h"
#include "tests/support/run_task.h"
#include "tests/support/temp_folder.h"

namespace pixmill::testing {

// A store that can fail, and that says what it is asked.
class WatchedBlobs final : public storage::BlobStore {
 public:
  explicit WatchedBlobs(std::unique_ptr<storage::BlobStore> inner) : inner_(std::move(inner)) {}

  std::function<Result<void>(const std::string& what, const std::string& key)> on_call = {};

  Task<Result<void>> put(std::string key, std::string_view bytes, std::string media_type) override {
    co_return co_await inner_->put(std::move(key), bytes, std::move(media_type));
  }
  Task<Result<std::string>> get(std::string key, std::uint64_t bytes_max) override {
    PIXMILL_CO_RETURN_IF_ERROR(called("get", key));
    co_return co_await inner_->get(std::move(key), bytes_max);
  }
  Task<Result<void>> copy(std::string from, std::string to) override {
    co_return co_await inner_->copy(std::move(from), std::move(to));
  }
  Task<Result<storage::BlobInfo>> head(std::string key) override {
    PIXMILL_CO_RETURN_IF_ERROR(called("head", key));
    co_return co_await inner_->head(std::move(key));
  }
  Task<Result<void>> remove(std::string key) override {
    PIXMILL_CO_RETURN_IF_ERROR(called("remove", key));
    co_return co_await inner_->remove(std::move(key));
  }
  Task<Result<std::vector<storage::BlobInfo>>> list(std::string prefix, std::string after, std::size_t limit) override {
    PIXMILL_CO_RETURN_IF_ERROR(called("list", prefix));
    co_return co_await inner_->list(std::move(prefix), std::move(after), limit);
  }
  [[nodiscard]] std::optional<std::string> local_path(std::string_view key) const override {
    return inner_->local_path(key);
  }

 private:
  Result<void> called(const std::string& what, const std::string& key) {
    return on_call ? on_call(what, key) : Result<void>();
  }

  std::unique_ptr<storage::BlobStore> inner_;
};

class UpkeepWorld {
 public:
  UpkeepWorld() {
    auto opened = jobs::open_sqlite_store(
        clock, {.path = folder.file("pixmill.db"), .master_key = std::string(32, 'k'), .event_body = {}});
    PIXMILL_CHECK(opened.has_value());
    stores = std::move(*opened);
    auto local = storage::open_local_store(folder.file("files"), storage::Durability::kProcess);
    PIXMILL_CHECK(local.has_value());
    blobs = std::make_unique<WatchedBlobs>(std::move(*local));
  }

  template <class T>
  T run(Task<T> task) {
    return run_task(io, std::move(task));
  }
  // The value of a verb that must succeed.
  template <class T>
  T must(Task<Result<T>> task) {
    auto result = run(std::move(task));
    EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message + " | " + result.error().detail);
    if constexpr (!std::is_void_v<T>) return result ? std::move(*result) : T{};
  }
  void execute(const std::string& sql) {
    auto beside = db::Database::open(folder.file("pixmill.db"), db::OpenMode::kWriter);
    PIXMILL_CHECK(beside && beside->execute(sql));
  }
  [[nodiscard]] jobs::SweepParts parts() { return {.store = *stores.jobs, .upkeep = *stores.upkeep, .blobs = *blobs}; }

  // A running job with `count` items, whose files lie in a folder of its own, or in `prefix`.
  JobId job_with(std::uint64_t count, const std::string& prefix = "") {
    jobs::NewJob job;
    job.id = JobId{Uuid::random()};
    job.recipe = "format=jpeg";
    job.blob_prefix = prefix.empty() ? job.id.text() + "/" : prefix;
    job.webhook_url = "https://hook.example/";
    const auto id = job.id;
    must(stores.jobs->create_job(std::move(job)));
    std::vector<jobs::NewRow> rows;
    for (std::uint64_t row = 1; row <= count; ++row) {
      jobs::NewRow added;
      added.row = row;
      added.cells = {"x"};
      added.items.push_back({.index = 1,
                             .url = fmt::format("https://origin.example/{}", row),
                             .output_stem = fmt::format("{}.{{ext}}", row)});
      rows.push_back(std::move(added));
    }
    std::vector<std::string> columns = {"url"};
    must(stores.jobs->append_rows(id, std::move(columns), std::move(rows)));
    must(stores.jobs->finish_ingest(id));
    return id;
  }
  std::vector<jobs::ClaimedItem> claim(std::uint32_t limit = 64) {
    jobs::ClaimRequest request;
    request.worker = "test";
    request.limit = limit;
    return must(stores.jobs->claim(std::move(request))).items;
  }
  std::string key_of(const JobId& job, const std::string& name) { return job.text() + "/" + name; }
  void store(const std::string& key, const std::string& bytes) { must(blobs->put(key, bytes, "image/jpeg")); }
  // As a worker does: the file, then the row.
  jobs::ItemOutcome success(const jobs::ClaimedItem& item, const std::string& bytes = "jpeg") {
    jobs::Output output;
    output.key = key_of(item.job, fmt::format("{}.jpg", item.lease.item));
    output.bytes = bytes.size();
    output.format = "jpeg";
    output.sha256 = to_hex(sha256(bytes));
    store(output.key, bytes);
    jobs::ItemSuccess done;
    done.outputs.push_back(std::move(output));
    return {.lease = item.lease, .result = std::move(done), .times = {}};
  }
  static jobs::ItemOutcome failure(const jobs::ClaimedItem& item) {
    jobs::ItemFailure failed;
    failed.code = "timeout";
    return {.lease = item.lease, .result = std::move(failed), .times = {}};
  }
  jobs::FinishReport finish(jobs::ItemOutcome outcome) {
    std::vector<jobs::ItemOutcome> outcomes;
    outcomes.push_back(std::move(outcome));
    return must(stores.jobs->finish(std::move(outcomes)));
  }
  void work_off() {
    for (const auto& item : claim()) finish(success(item));
  }
  std::vector<std::string> keys() {
    std::vector<std::string> found;
    for (const auto& blob : must(blobs->list("", "", 1'000))) found.push_back(blob.key);
    return found;
  }

  ManualClock clock;
  TempFolder folder;
  asio::io_context io;
  jobs::Stores stores;
  std::unique_ptr<WatchedBlobs> blobs;
};

}  // namespace pixmill::testing
