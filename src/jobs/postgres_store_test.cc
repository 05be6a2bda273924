// Against a real PostgreSQL at TEST_DATABASE_URL (tests/support/with_servers.py starts one).
#include "jobs/postgres_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/conformance/job_store_suite.h"
#include "tests/conformance/outbox_suite.h"
#include "tests/conformance/recipe_suite.h"
#include "tests/conformance/upkeep_suite.h"
#include "tests/support/postgres_for_tests.h"

namespace pixmill::jobs {
namespace {

using testing::empty_database;

PostgresOptions postgres_options(const std::string& server = "server-1") {
  PostgresOptions options;
  options.connect = testing::connect_options();
  options.master_key = std::string(32, 'k');
  options.event_body = conformance::test_event_body;
  options.server = server;
  return options;
}

class PostgresUnderTest final : public conformance::StoreUnderTest {
 public:
  explicit PostgresUnderTest(const Clock& clock) : clock_(clock) {
    empty_database();
    open();
  }
  JobStore& jobs() override { return *store_.jobs; }
  Outbox& outbox() override { return *store_.outbox; }
  RecipeStore& recipes() override { return *store_.recipes; }
  Upkeep& upkeep() override { return *store_.upkeep; }
  void execute(const std::string& sql) override { testing::execute_sql(sql); }
  void reopen() override {
    store_ = {};
    open();
  }

 private:
  void open() {
    auto opened = open_postgres_store(clock_, postgres_options());
    PIXMILL_CHECK(opened.has_value());
    store_ = std::move(*opened);
  }

  const Clock& clock_;
  Stores store_;
};

const conformance::StoreFactory kPostgres = {
    .name = "Postgres", .make = [](const Clock& clock) { return std::make_unique<PostgresUnderTest>(clock); }};

// What is PostgreSQL's alone: several processes, and servers that go away.
class PostgresProcesses : public ::testing::Test {
 protected:
  void SetUp() override { empty_database(); }
  template <class T>
  T run(Task<T> task) {
    return testing::run_task(io_, std::move(task));
  }
  Stores must_open(const PostgresOptions& options) {
    auto opened = open_postgres_store(clock_, options);
    PIXMILL_CHECK(opened.has_value());
    return std::move(*opened);
  }
  JobId make_job(JobStore& store, std::uint64_t count) {
    NewJob job;
    job.id = JobId{Uuid::random()};
    job.webhook_url = "https://hook.example/";
    const auto id = job.id;
    EXPECT_TRUE(run(store.create_job(std::move(job))).has_value());
    EXPECT_TRUE(append(store, id, 1, count).has_value());
    return id;
  }
  Result<void> append(JobStore& store, const JobId& id, std::uint64_t first, std::uint64_t count) {
    std::vector<NewRow> rows;
    for (auto row = first; row < first + count; ++row) {
      NewRow added;
      added.row = row;
      added.cells = {std::to_string(row)};
      added.items.push_back({.index = 1,
                             .url = "https://origin.example/" + std::to_string(row),
                             .output_stem = std::to_string(row) + ".{ext}"});
      rows.push_back(std::move(added));
    }
    const std::vector<std::string> columns = {"url"};
    return run(store.append_rows(id, columns, std::move(rows)));
  }
  std::size_t claimed(JobStore& store) {
    const ClaimRequest request{.worker = "test", .limit = 64, .lease = seconds(30)};
    const auto claim = run(store.claim(request));
    EXPECT_TRUE(claim.has_value());
    return claim ? claim->items.size() : 0;
  }

  testing::ManualClock clock_;
  asio::io_context io_;
};

TEST_F(PostgresProcesses, AStartReleasesWhatItsOwnFolderHeldAndNothingElse) {
  auto first = must_open(postgres_options("server-1"));
  auto second = must_open(postgres_options("server-2"));
  make_job(*first.jobs, 200);
  EXPECT_EQ(claimed(*first.jobs), 64u);
  EXPECT_EQ(claimed(*second.jobs), 64u);
  first = {};
  first = must_open(postgres_options("server-1"));
  ASSERT_EQ(first.interrupted.size(), 64u);
  EXPECT_EQ(first.interrupted[0].output_stem, "1.{ext}");
  EXPECT_EQ(first.interrupted[0].lease.token, 1);
  EXPECT_EQ(run(first.jobs->depth())->leased, 64u);
  EXPECT_EQ(claimed(*first.jobs), 64u);
}

TEST_F(PostgresProcesses, OnlyTheServerThatHasTheTableGoesOnWithIt) {
  auto first = must_open(postgres_options("server-1"));
  auto second = must_open(postgres_options("server-2"));
  const auto id = make_job(*first.jobs, 3);
  EXPECT_TRUE(run(second.jobs->unfinished_ingests())->empty());
  ASSERT_EQ(run(first.jobs->unfinished_ingests())->size(), 1u);
  EXPECT_EQ(run(first.jobs->unfinished_ingests())->front().id, id);
  EXPECT_EQ(claimed(*second.jobs), 3u) << "its pictures are everybody's";
}

TEST_F(PostgresProcesses, AnyServerTakesASharedTableOver) {
  auto first = must_open(postgres_options("server-1"));
  auto second = must_open(postgres_options("server-2"));
  NewJob job;
  job.id = JobId{Uuid::random()};
  job.source_path = "shared:1/a.csv";
  job.ingest_lease = seconds(30);
  const auto shared = job.id;
  ASSERT_TRUE(run(first.jobs->create_job(std::move(job))).has_value());
  make_job(*first.jobs, 1);  // in its own spool
  EXPECT_TRUE(run(second.jobs->claim_ingests(10, seconds(30)))->empty());
  clock_.advance(seconds(31));
  const auto taken = run(second.jobs->claim_ingests(10, seconds(30)));
  ASSERT_EQ(taken->size(), 1u);
  EXPECT_EQ(taken->front().job.id, shared);
  // Its start gives back what the server before it on the same folder held, and nobody else's.
  first = {};
  first = must_open(postgres_options("server-1"));
  EXPECT_EQ(run(first.jobs->claim_ingests(10, seconds(30)))->size(), 1u);
  second = {};
  second = must_open(postgres_options("server-2"));
  EXPECT_EQ(run(second.jobs->claim_ingests(10, seconds(30)))->size(), 1u);
}

TEST_F(PostgresProcesses, TwoThatReadTheSameTableDoNotDoubleIt) {
  auto first = must_open(postgres_options("server-1"));
  auto second = must_open(postgres_options("server-1"));
  const auto id = make_job(*first.jobs, 3);
  EXPECT_TRUE(append(*second.jobs, id, 1, 10).has_value());
  EXPECT_TRUE(append(*first.jobs, id, 4, 2).has_value()) << "they are in already";
  EXPECT_EQ(run(first.jobs->job(id))->total, 10u);
}

TEST_F(PostgresProcesses, RowsThatTheDatabaseLostAreReadAgain) {
  auto store = must_open(postgres_options());
  const auto id = make_job(*store.jobs, 10);
  // As a crash does to commits that did not wait for the disk.
  testing::execute_sql(
      "DELETE FROM items WHERE item > 4; DELETE FROM rows WHERE row_no > 4; "
      "UPDATE jobs SET row_count = 4, total = 4, remaining = 4");
  EXPECT_EQ(append(*store.jobs, id, 11, 5).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(append(*store.jobs, id, 1, 15).has_value());
  EXPECT_EQ(run(store.jobs->job(id))->total, 15u);
  testing::execute_sql(
      "DELETE FROM items WHERE item > 4; DELETE FROM rows WHERE row_no > 4; "
      "UPDATE jobs SET row_count = 4, total = 4, remaining = 4");
  EXPECT_EQ(run(store.jobs->finish_ingest(id)).error().code, ErrorCode::kUnavailable);
}

TEST_F(PostgresProcesses, AnotherMasterKeyIsRefused) {
  must_open(postgres_options());
  auto options = postgres_options("server-2");
  options.master_key = std::string(32, 'x');
  const auto refused = open_postgres_store(clock_, options);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("PIXMILL_MASTER_KEY"));
}

TEST_F(PostgresProcesses, TheFirstSettingIsEverybodys) {
  must_open(postgres_options());
  EXPECT_EQ(agree_on_setting(postgres_options(), clock_, "secret", "a", false), "a");
  EXPECT_EQ(agree_on_setting(postgres_options(), clock_, "secret", "b", false), "a");
  EXPECT_EQ(agree_on_setting(postgres_options(), clock_, "secret", "c", true), "c");
  EXPECT_EQ(read_setting(postgres_options(), "secret").value(), "c");
}

TEST_F(PostgresProcesses, VerbsGoOnOverLostConnections) {
  auto store = must_open(postgres_options());
  const auto id = make_job(*store.jobs, 64);
  const std::string hang_up =
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
      "current_database()";
  for (int i = 0; i < 5; ++i) {
    testing::execute_sql(hang_up);
    EXPECT_TRUE(run(store.jobs->job(id)).has_value());
    EXPECT_TRUE(run(store.jobs->ping()).has_value());
    testing::execute_sql(hang_up);
    EXPECT_EQ(claimed(*store.jobs), i == 0 ? 64u : 0u);
    NewJob another;
    another.id = JobId{Uuid::random()};
    EXPECT_TRUE(run(store.jobs->create_job(std::move(another))).has_value());
  }
}

TEST_F(PostgresProcesses, AnOlderOrMissingSchemaIsSaidWhereNobodyMigrates) {
  auto options = postgres_options();
  options.migrate = false;
  const auto refused = open_postgres_store(clock_, options);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("pixmill migrate"));
  EXPECT_EQ(read_saved_recipes(options).error().code, ErrorCode::kConflict);
  must_open(postgres_options());
  EXPECT_TRUE(open_postgres_store(clock_, options).has_value());
}

}  // namespace
}  // namespace pixmill::jobs

PIXMILL_INSTANTIATE_JOB_STORE_SUITE(Postgres, pixmill::jobs::kPostgres)
PIXMILL_INSTANTIATE_OUTBOX_SUITE(Postgres, pixmill::jobs::kPostgres)
PIXMILL_INSTANTIATE_RECIPE_STORE_SUITE(Postgres, pixmill::jobs::kPostgres)
PIXMILL_INSTANTIATE_UPKEEP_SUITE(Postgres, pixmill::jobs::kPostgres)
