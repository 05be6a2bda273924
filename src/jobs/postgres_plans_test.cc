// The plans of the statements that meet large tables, on PostgreSQL at TEST_DATABASE_URL: with 10 million items and
// 100,000 dead rows in the long form, before and after the server knows its statistics.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <regex>

#include "base/text.h"
#include "jobs/postgres_checks.h"
#include "jobs/postgres_statements.h"
#include "jobs/postgres_store.h"
#include "tests/support/manual_clock.h"
#include "tests/support/postgres_for_tests.h"
#include "tests/support/run_task.h"

namespace pixmill::jobs::postgres {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Named {
  std::string_view name;
  std::string_view sql;
};
#define PLAN(statement) \
  Named { #statement, statement }
// What touches items, rows, outputs or deliveries.
constexpr Named kLargeStatements[] = {PLAN(kLeaders),
                                      PLAN(kNamesAfter),
                                      PLAN(kEarlierAfter),
                                      PLAN(kEarlierUrls),
                                      PLAN(kEarlierItems),
                                      PLAN(kGoneAfter),
                                      PLAN(kLastGone),
                                      PLAN(kRunnableJobs),
                                      PLAN(kReadyItems),
                                      PLAN(kLeaseItems),
                                      PLAN(kRenew),
                                      PLAN(kGiveBack),
                                      PLAN(kExpiredLeases),
                                      PLAN(kStrandedLeases),
                                      PLAN(kLeasesOfServer),
                                      PLAN(kRecord),
                                      PLAN(kWakeFollowers),
                                      PLAN(kWakeMore),
                                      PLAN(kCancelPending),
                                      PLAN(kFailedAfter),
                                      PLAN(kFailedByCodeAfter),
                                      PLAN(kReopenItems),
                                      PLAN(kItemRange),
                                      PLAN(kItemsAmong),
                                      PLAN(kOutputRange),
                                      PLAN(kOutputsAmong),
                                      PLAN(kItemsInState),
                                      PLAN(kItemsInStateWithError),
                                      PLAN(kCountInStateWithError),
                                      PLAN(kRowsAfter),
                                      PLAN(kUnreferenced),
                                      PLAN(kDueDeliveries),
                                      PLAN(kStrandedDeliveries),
                                      PLAN(kOpenDeliveries),
                                      PLAN(kLeaseDeliveries),
                                      PLAN(kRecordDelivery),
                                      PLAN(kDeliveriesOfJob),
                                      PLAN(kServeJobs),
                                      PLAN(kCountChanges),
                                      PLAN(kJobsOver),
                                      PLAN(kJobsOverKept),
                                      PLAN(kIsToldOf),
                                      PLAN(kRemoveOutputs),
                                      PLAN(kRemoveItems),
                                      PLAN(kRemoveRows),
                                      PLAN(kRemoveGone),
                                      PLAN(kRemoveAttempts),
                                      PLAN(kRemoveDeliveries),
                                      PLAN(kRemoveEvents),
                                      PLAN(kJobByDigest),
                                      PLAN(kJobsInStateBefore),
                                      PLAN(kStalledJobs),
                                      PLAN(kLeasedCounts),
                                      PLAN(kPendingCounts),
                                      PLAN(kLeasesOfEndedJobs),
                                      PLAN(kOverdueLeases),
                                      PLAN(kHungJobs),
                                      PLAN(kStrayReopenings),
                                      PLAN(kOverdueDeliveries),
                                      PLAN(kOpenItemsOfEndedJobs),
                                      PLAN(kEndsWithoutEvent),
                                      PLAN(kEventsWithoutDelivery),
                                      PLAN(kEarlyEvents),
                                      PLAN(kMissingOutputs),
                                      PLAN(kStrayOutputs),
                                      PLAN(kItemRecords),
                                      PLAN(kStuckFollowers),
                                      PLAN(kItemsWithoutRow),
                                      PLAN(kRowsWithoutItems),
                                      PLAN(kSharedKeys),
                                      PLAN(kItemTotals),
                                      PLAN(kFailureTotals),
                                      PLAN(kRowTotals),
                                      PLAN(kLastJobAfter),
                                      PLAN(kSettleOpenItems),
                                      PLAN(kEndOverdueLease),
                                      PLAN(kWakeWaiting),
                                      PLAN(kWakeFollower),
                                      PLAN(kDateDelivery),
                                      PLAN(kTerminalEvent),
                                      PLAN(kAddMissingDelivery),
                                      PLAN(kForgetStrayOutputs)};

// One item in a hundred is pending, and as many have just been taken: their index entries are dead and not yet cleaned.
constexpr const char* kFill =
    "INSERT INTO jobs (id, state, origin, name, recipe, recipe_name, overrides, webhook_url, name_template, "
    "blob_prefix, "
    "source_path, source_digest, ingest_by, url_column, invalid_rows, total, remaining, succeeded, created_at) "
    "SELECT md5(n::text)::uuid::text, 'running', 'api', 'x', 'format=jpeg', '', 0, '', '', 'p/', '', 'd' || n, '', '', "
    "'skip', {0}, {0} / 10, {0} - {0} / 10, 0 FROM generate_series(1, 2) AS n; "
    "INSERT INTO jobs (id, state, origin, name, recipe, recipe_name, overrides, webhook_url, name_template, "
    "blob_prefix, "
    "source_path, source_digest, ingest_by, url_column, invalid_rows, created_at) "
    "SELECT md5(n::text)::uuid::text, 'completed', 'api', 'x', 'format=jpeg', '', 0, '', '', 'p/', '', 'd' || n, '', "
    "'', "
    "'skip', 0 FROM generate_series(3, 2002) AS n; "
    "INSERT INTO items (job_no, item, row_no, position, url, stem, state, not_before, finished_at) "
    "SELECT j, n, n, 1, 'https://origin.example/' || n, n || '.jpg', CASE WHEN n % 10 = 0 THEN 'pending' ELSE "
    "'succeeded' "
    "END, CASE WHEN n % 10 = 0 THEN 0 END, CASE WHEN n % 10 <> 0 THEN 1 END "
    "FROM generate_series(1, 2) AS j, generate_series(1, {0}) AS n; "
    "INSERT INTO rows SELECT j, n, '[\"a\"]', '', n, 1 FROM generate_series(1, 2) AS j, generate_series(1, {0}) AS n; "
    "INSERT INTO outputs SELECT j, n, 1, '', 'p/' || n, n, 100, 10, 10, 'jpeg', 80, '', '' FROM generate_series(1, 2) "
    "AS j, "
    "generate_series(1, {0}) AS n WHERE n % 10 <> 0; "
    "INSERT INTO events (event_id, job_no, generation, terminal, type, body, created_at) SELECT 'e' || n, 3 + n % "
    "2000, "
    "n, 1, "
    "'job.completed', '', 0 FROM generate_series(1, 20000) AS n; "
    "INSERT INTO deliveries (event_id, event_no, url, origin, state, due_at) SELECT event_id, event_no, '', 'o', CASE "
    "WHEN "
    "event_no % 100 = 0 THEN 'pending' ELSE 'delivered' END, event_no FROM events; "
    "UPDATE items SET state = 'succeeded', not_before = NULL WHERE state = 'pending' AND item <= {1}";

bool is_long() { return std::getenv("PIXMILL_TEST_LONG") != nullptr; }

class PostgresPlans : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    pixmill::testing::empty_database();
    PIXMILL_CHECK(migrate_postgres(pixmill::testing::connect_options()).has_value());
    auto options = pixmill::testing::connect_options();
    options.statement_timeout = std::chrono::hours(1);
    auto connection = db::pg::Connection::open(options);
    const std::int64_t items = is_long() ? 5'000'000 : 100'000;
    const std::int64_t taken_until = is_long() ? 500'000 : 100'000 / 2;
    // Autovacuum would clean and count before the plans are looked at.
    PIXMILL_CHECK(connection->execute("ALTER TABLE items SET (autovacuum_enabled = off)").has_value());
    PIXMILL_CHECK(connection->execute(fmt::format(kFill, items, taken_until)).has_value());
  }
  static void TearDownTestSuite() { pixmill::testing::empty_database(); }

  // The plan with its parameters unknown, as a prepared statement has it: one line per node and condition.
  std::vector<std::string> plan_of(std::string_view sql) {
    const std::regex parameter("\\$([0-9]+)");
    int parameters = 0;
    const std::string text(sql);
    for (std::sregex_iterator at(text.begin(), text.end(), parameter), end; at != end; ++at) {
      parameters = std::max(parameters, std::stoi((*at)[1].str()));
    }
    std::string nulls;
    for (int i = 0; i < parameters; ++i) nulls += i == 0 ? "(NULL" : ", NULL";
    if (parameters > 0) nulls += ')';
    EXPECT_TRUE(connection_.execute("PREPARE looked_at AS " + text).has_value()) << text;
    const auto rows = connection_.execute("EXPLAIN (COSTS OFF) EXECUTE looked_at" + nulls);
    EXPECT_TRUE(rows.has_value()) << text << (rows ? "" : rows.error().detail);
    std::vector<std::string> lines;
    for (int i = 0; rows && i < rows->size(); ++i) lines.emplace_back(trim((*rows)[i].view(0)));
    EXPECT_TRUE(connection_.execute("DEALLOCATE looked_at").has_value());
    return lines;
  }
  // The indexes that are used, and the tables and indexes that are walked from end to end.
  struct Scans {
    std::vector<std::string> indexes;
    std::vector<std::string> whole;
  };
  Scans scans_of(std::string_view sql) {
    Scans scans;
    const auto plan = plan_of(sql);
    const std::regex index("Index (?:Only )?Scan (?:Backward )?using ([a-z_]+) on ([a-z_]+)");
    const std::regex walk(
        "Seq Scan on (?:items|rows|outputs|deliveries|jobs|events)|Bitmap Heap Scan|Sort Key: .*(?:url|cells)");
    for (std::size_t i = 0; i < plan.size(); ++i) {
      std::smatch found;
      if (std::regex_search(plan[i], walk)) scans.whole.push_back(plan[i]);
      if (!std::regex_search(plan[i], found, index)) continue;
      scans.indexes.push_back(found[1].str());
      const bool has_condition = i + 1 < plan.size() && plan[i + 1].starts_with("Index Cond");
      // These two are nearly always empty.
      if (found[2].str() == "reopenings" || found[2].str() == "leaders_due") continue;
      if (!has_condition && !found[2].str().starts_with("job")) scans.whole.push_back(plan[i]);
    }
    return scans;
  }
  void expect_meant_ones() {
    for (const auto& [name, sql] : kLargeStatements) {
      EXPECT_THAT(scans_of(sql).whole, IsEmpty()) << name << ":\n" << fmt::format("{}", fmt::join(plan_of(sql), "\n"));
    }
    EXPECT_THAT(scans_of(kReadyItems).indexes, ElementsAre("items_pending", "items_pending", "items_pending"));
    EXPECT_THAT(scans_of(kRunnableJobs).indexes, Contains("items_pending").Times(3));
    EXPECT_THAT(scans_of(kRunnableJobs).indexes, Contains("jobs_active"));
    EXPECT_THAT(scans_of(kExpiredLeases).indexes, ElementsAre("items_leased"));
    EXPECT_THAT(scans_of(kLeaseItems).indexes, Contains("items_pkey"));
    EXPECT_THAT(scans_of(kRecord).indexes, Contains("items_pkey"));
    EXPECT_THAT(scans_of(kRenew).indexes, ElementsAre("items_pkey"));
    EXPECT_THAT(scans_of(kWakeFollowers).indexes, Contains("items_waiting"));
    EXPECT_THAT(scans_of(kItemsInState).indexes, ElementsAre("items_by_state"));
    EXPECT_THAT(scans_of(kItemsInStateWithError).indexes, ElementsAre("items_by_error"));
    EXPECT_THAT(scans_of(kItemRange).indexes, ElementsAre("items_pkey"));
    EXPECT_THAT(scans_of(kRowsAfter).indexes, ElementsAre("rows_pkey"));
    EXPECT_THAT(scans_of(kUnreferenced).indexes, ElementsAre("outputs_by_key"));
    EXPECT_THAT(scans_of(kDueDeliveries).indexes, Contains("deliveries_due"));
  }

  db::pg::Connection connection_ = pixmill::testing::connect_for_tests();
};

TEST_F(PostgresPlans, WalkNothingLargeWithoutStatistics) { expect_meant_ones(); }

TEST_F(PostgresPlans, WalkNothingLargeWithStatistics) {
  ASSERT_TRUE(connection_.execute("ANALYZE").has_value());
  expect_meant_ones();
}

// Its times are for people; that it ends at all among so many items is what the plans are for.
TEST_F(PostgresPlans, ClaimsAndPagesAmongManyItems) {
  const SystemClock clock;
  PostgresOptions options;
  options.connect = pixmill::testing::connect_options();
  options.master_key = std::string(32, 'k');
  auto opened = open_postgres_store(clock, options);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  asio::io_context io;
  std::map<std::string, std::vector<double>> times;
  const auto timed = [&](const std::string& what, auto task) {
    const auto begun = std::chrono::steady_clock::now();
    auto result = pixmill::testing::run_task(io, std::move(task));
    times[what].push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count());
    EXPECT_TRUE(result.has_value());
    return result;
  };
  const auto page = pixmill::testing::run_task(
      io, opened->jobs->jobs(JobQuery{.state = JobState::kRunning, .limit = 2, .before = {}}));
  const auto id = page->jobs.front().id;
  std::size_t claimed = 0;
  for (int i = 0; i < 300; ++i) {
    const ClaimRequest request{.worker = "test", .limit = 64, .lease = milliseconds(600'000)};
    claimed += timed("claim", opened->jobs->claim(request))->items.size();
    ItemQuery query;
    query.offset = static_cast<std::uint64_t>(i) * 300;
    timed("page of items", opened->jobs->items(id, query));
    timed("job", opened->jobs->job(id));
  }
  EXPECT_GT(claimed, 1'000u);
  for (auto& [what, taken] : times) {
    std::ranges::sort(taken);
    fmt::print("{}: p50 {:.1f} ms, p99 {:.1f} ms\n", what, taken[taken.size() / 2], taken[taken.size() * 99 / 100]);
  }
}

}  // namespace
}  // namespace pixmill::jobs::postgres
