// What the suites of JobStore and Outbox share: a store made by the implementation under test, a clock that stands
// still, and short words for what a test says again and again.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "jobs/job_store.h"
#include "jobs/outbox.h"
#include "jobs/recipe_store.h"
#include "jobs/upkeep.h"
#include "tests/support/manual_clock.h"
#include "tests/support/run_task.h"

namespace pixmill::conformance {

// Terminal events are told to the test in this form: "<type> <state> <generation>", so that it can read them back as
// bodies.
inline std::string test_event_body(const std::string& type, const jobs::Job& job, const std::vector<jobs::Row>& rows) {
  return fmt::format("{} {} {} rows={}", type, jobs::to_text(job.state), job.generation, rows.size());
}

// An implementation under test: an empty store with a 32-byte master key, test_event_body and the given clock.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  [[nodiscard]] virtual jobs::JobStore& jobs() = 0;
  [[nodiscard]] virtual jobs::Outbox& outbox() = 0;
  [[nodiscard]] virtual jobs::RecipeStore& recipes() = 0;
  // Closes the store and opens the same data again, as a new process does. References from before are void.
  virtual void reopen() = 0;
  [[nodiscard]] virtual jobs::Upkeep& upkeep() = 0;
  // Behind the store's back: what no verb of it would do. One or more statements that both databases take.
  virtual void execute(const std::string& sql) = 0;
};

struct StoreFactory {
  std::string name;  // in the names of the tests
  std::function<std::unique_ptr<StoreUnderTest>(const Clock&)> make;
};

inline void PrintTo(const StoreFactory& factory, std::ostream* out) { *out << factory.name; }
inline std::string factory_name(const ::testing::TestParamInfo<StoreFactory>& info) { return info.param.name; }

struct JobSpec {
  std::string webhook_url = "https://hook.example/a";
  int priority = 0;
  jobs::JobOrigin origin = jobs::JobOrigin::kApi;
  std::string source_digest;
  std::vector<jobs::OriginHeader> headers;
  std::string recipe_name;
  bool overrides = false;
  std::vector<jobs::NamedRecipe> row_names;
  std::optional<JobId> since = std::nullopt;
  std::optional<milliseconds> keep;
  std::string recipe = "format=jpeg quality=50";
  std::string source_path = "/spool/a.csv";
  milliseconds ingest_lease{0};
};

class StoreFixture : public ::testing::TestWithParam<StoreFactory> {
 protected:
  void SetUp() override { store_ = GetParam().make(clock_); }

  jobs::JobStore& store() { return store_->jobs(); }
  jobs::Outbox& outbox() { return store_->outbox(); }

  template <class T>
  T run(Task<T> task) {
    return pixmill::testing::run_task(io_, std::move(task));
  }
  // Calls rescue() until it has no more to do; the sum of its reports.
  jobs::JobStore::RescueReport rescue_all() {
    jobs::JobStore::RescueReport sum;
    for (bool more = true; more;) {
      const auto report = must(store().rescue());
      sum.rescued += report.rescued;
      sum.cancelled += report.cancelled;
      sum.jobs_finished.insert(sum.jobs_finished.end(), report.jobs_finished.begin(), report.jobs_finished.end());
      more = report.more;
    }
    return sum;
  }
  // The value of a verb that must succeed.
  template <class T>
  T must(Task<Result<T>> task) {
    auto result = run(std::move(task));
    EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message + " | " + result.error().detail);
    if constexpr (!std::is_void_v<T>) return result ? std::move(*result) : T{};
  }
  template <class T>
  static ErrorCode code_of(const Result<T>& result) {
    EXPECT_FALSE(result.has_value());
    return result ? ErrorCode::kInternal : result.error().code;
  }

  JobId create(const JobSpec& spec = {}) {
    jobs::NewJob job;
    job.id = JobId{Uuid::random()};
    job.origin = spec.origin;
    job.name = "products.csv";
    job.recipe = spec.recipe;
    job.webhook_url = spec.webhook_url;
    job.headers = spec.headers;
    job.name_template = "{product}";
    job.blob_prefix = "out/";
    job.source_path = spec.source_path;
    job.ingest_lease = spec.ingest_lease;
    job.source_digest = spec.source_digest;
    job.priority = spec.priority;
    job.recipe_name = spec.recipe_name;
    job.overrides = spec.overrides;
    job.row_names = spec.row_names;
    job.since = spec.since;
    job.keep = spec.keep;
    const auto id = job.id;
    must(store().create_job(std::move(job)));
    return id;
  }

  // One row with one picture: https://origin.example/<url>, called <stem>.{ext}.
  static jobs::NewRow row_of(std::uint64_t row, const std::string& url, const std::string& stem) {
    jobs::NewRow result;
    result.row = row;
    result.cells = {std::to_string(row), stem, url};
    result.items.push_back({.index = 1, .url = "https://origin.example/" + url, .output_stem = stem + ".{ext}"});
    return result;
  }
  // The same under a recipe of its own.
  static jobs::NewRow row_with_recipe(std::uint64_t row, const std::string& url, const jobs::RecipeChoice& recipe) {
    auto result = row_of(row, url, "name");
    result.recipe = recipe;
    return result;
  }
  static jobs::NewRow bad_row(std::uint64_t row, const std::string& problem) {
    jobs::NewRow result;
    result.row = row;
    result.cells = {std::to_string(row), "", ""};
    result.problem = problem;
    return result;
  }
  Result<void> append(JobId job, std::vector<jobs::NewRow> rows) {
    std::vector<std::string> columns = {"S.No.", "Product Name", "Input Image Urls"};
    return run(store().append_rows(job, std::move(columns), std::move(rows)));
  }
  // `count` rows with different pictures, from row `first` on.
  void append_distinct(JobId job, std::uint64_t first, std::uint64_t count) {
    std::vector<jobs::NewRow> rows;
    for (std::uint64_t i = 0; i < count; ++i) {
      rows.push_back(row_of(first + i, fmt::format("{}.jpg", first + i), fmt::format("SKU{}", first + i)));
    }
    const auto appended = append(job, std::move(rows));
    ASSERT_TRUE(appended.has_value()) << appended.error().message;
  }
  // A running job with that many pictures.
  JobId job_with(std::uint64_t count, const JobSpec& spec = {}) {
    const auto id = create(spec);
    if (count > 0) append_distinct(id, 1, count);
    must(store().finish_ingest(id));
    return id;
  }

  jobs::Claim claim(std::uint32_t limit = 64, milliseconds lease = std::chrono::seconds(30)) {
    jobs::ClaimRequest request;
    request.worker = "test:1";
    request.limit = limit;
    request.lease = lease;
    return must(store().claim(std::move(request)));
  }
  static std::vector<jobs::Lease> leases_of(const jobs::Claim& claim) {
    std::vector<jobs::Lease> leases;
    for (const auto& item : claim.items) leases.push_back(item.lease);
    return leases;
  }

  static jobs::ItemOutcome success(const jobs::ClaimedItem& item, std::uint64_t bytes_in = 1'000,
                                   std::uint64_t bytes_out = 400) {
    jobs::ItemSuccess done;
    done.bytes_in = bytes_in;
    jobs::Output output;
    output.key = fmt::format("{}/{}-{}", item.job.text(), item.lease.item, item.lease.token);
    output.bytes = bytes_out;
    output.width_px = 640;
    output.height_px = 480;
    output.format = "jpeg";
    output.quality = 50;
    output.sha256 = std::string(64, 'a');
    done.outputs.push_back(output);
    return {.lease = item.lease, .result = done, .times = {.fetch_ms = 5, .transform_ms = 6, .store_ms = 7}};
  }
  static jobs::ItemOutcome failure(const jobs::ClaimedItem& item, const std::string& code,
                                   std::optional<TimePoint> retry_at = std::nullopt) {
    jobs::ItemFailure failed;
    failed.code = code;
    failed.message = "The server says " + code + ".";
    failed.retry_at = retry_at;
    return {.lease = item.lease, .result = failed, .times = {}};
  }
  jobs::FinishReport finish(std::vector<jobs::ItemOutcome> outcomes) {
    return must(store().finish(std::move(outcomes)));
  }
  jobs::FinishReport finish_one(jobs::ItemOutcome outcome) {
    std::vector<jobs::ItemOutcome> outcomes;
    outcomes.push_back(std::move(outcome));
    return finish(std::move(outcomes));
  }
  // Claims and succeeds until nothing is claimable; how many.
  std::uint64_t work_off() {
    std::uint64_t done = 0;
    while (true) {
      const auto claimed = claim();
      if (claimed.items.empty()) return done;
      std::vector<jobs::ItemOutcome> outcomes;
      for (const auto& item : claimed.items) outcomes.push_back(success(item));
      done += finish(std::move(outcomes)).recorded;
    }
  }

  jobs::Job job(JobId id) { return must(store().job(id)); }
  jobs::Item item(JobId id, std::uint64_t number) {
    jobs::ItemQuery query;
    query.after = number - 1;
    query.limit = 1;
    auto page = must(store().items(id, query));
    EXPECT_EQ(page.items.size(), 1u);
    return page.items.empty() ? jobs::Item{} : page.items.front();
  }
  std::vector<jobs::Item> all_items(JobId id) {
    std::vector<jobs::Item> items;
    while (true) {
      jobs::ItemQuery query;
      query.after = items.empty() ? 0 : items.back().item;
      query.limit = 1'000;
      auto page = must(store().items(id, query));
      if (page.items.empty()) return items;
      items.insert(items.end(), page.items.begin(), page.items.end());
    }
  }
  // The bodies of a job's events, oldest first. They are claimed by it, so it can be called once per event.
  std::vector<std::string> claim_events() {
    jobs::DeliveryClaim request;
    request.limit = 64;
    request.lease = std::chrono::hours(10);
    std::vector<std::string> bodies;
    for (const auto& due : must(outbox().claim_deliveries(std::move(request))).deliveries) bodies.push_back(due.body);
    return bodies;
  }
  std::size_t event_count(JobId id) { return must(outbox().deliveries(id)).size(); }

  pixmill::testing::ManualClock clock_;
  asio::io_context io_;
  std::unique_ptr<StoreUnderTest> store_;
};

}  // namespace pixmill::conformance
