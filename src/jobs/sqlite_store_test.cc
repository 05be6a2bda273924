#include "jobs/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "db/migrate.h"
#include "db/sqlite.h"
#include "jobs/sqlite_internal.h"
#include "sqlite_migrations.h"
#include "tests/conformance/job_store_suite.h"
#include "tests/conformance/outbox_suite.h"
#include "tests/conformance/recipe_suite.h"
#include "tests/conformance/upkeep_suite.h"
#include "tests/support/temp_folder.h"

namespace pixmill::jobs {
namespace {

const std::string kMasterKey(32, 'k');

SqliteOptions options_for(const std::string& path) {
  return {.path = path, .master_key = kMasterKey, .event_body = conformance::test_event_body};
}

// The suites commit durably thousands of times: in memory, where the system has a folder for that, they wait for no
// disk.
class FastFolder {
 public:
  FastFolder() {
    std::error_code error;
    const std::filesystem::path memory = "/dev/shm";
    const auto parent = std::filesystem::is_directory(memory, error) ? memory : std::filesystem::temp_directory_path();
    path_ = (parent / "pixmill-store-XXXXXX").string();
    if (::mkdtemp(path_.data()) != nullptr) return;
    path_ = (std::filesystem::temp_directory_path() / "pixmill-store-XXXXXX").string();
    PIXMILL_CHECK(::mkdtemp(path_.data()) != nullptr);
  }
  ~FastFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  FastFolder(const FastFolder&) = delete;
  FastFolder& operator=(const FastFolder&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class SqliteUnderTest final : public conformance::StoreUnderTest {
 public:
  explicit SqliteUnderTest(const Clock& clock) : clock_(clock) { open(); }
  JobStore& jobs() override { return *store_.jobs; }
  Outbox& outbox() override { return *store_.outbox; }
  RecipeStore& recipes() override { return *store_.recipes; }
  Upkeep& upkeep() override { return *store_.upkeep; }
  void execute(const std::string& sql) override {
    auto beside = db::Database::open(folder_.file("pixmill.db"), db::OpenMode::kWriter);
    PIXMILL_CHECK(beside && beside->execute(sql));
  }
  void reopen() override {
    store_ = {};
    open();
  }

 private:
  void open() {
    auto opened = open_sqlite_store(clock_, options_for(folder_.file("pixmill.db")));
    PIXMILL_CHECK(opened.has_value());
    store_ = std::move(*opened);
  }

  const Clock& clock_;
  FastFolder folder_;
  Stores store_;
};

const conformance::StoreFactory kSqlite = {
    .name = "Sqlite", .make = [](const Clock& clock) { return std::make_unique<SqliteUnderTest>(clock); }};

NewRow long_row(std::uint64_t number) {
  NewRow row;
  row.row = number;
  row.cells = {std::string(2'000, 'x')};
  row.items.push_back({.index = 1, .url = "u" + std::to_string(number), .output_stem = "n" + std::to_string(number)});
  return row;
}

// What is SQLite's alone: files, processes that died, and threads.
class SqliteFiles : public ::testing::Test {
 protected:
  template <class T>
  T run(Task<T> task) {
    return testing::run_task(io_, std::move(task));
  }
  Result<Stores> open(const std::string& name = "pixmill.db") {
    return open_sqlite_store(clock_, options_for(folder_.file(name)));
  }
  Stores must_open(const std::string& name = "pixmill.db") {
    auto opened = open(name);
    PIXMILL_CHECK(opened.has_value());
    return std::move(*opened);
  }
  // A job that is being ingested, with `count` different pictures.
  JobId make_job(JobStore& store, std::uint64_t count) {
    NewJob job;
    job.id = JobId{Uuid::random()};
    job.webhook_url = "https://hook.example/";
    job.headers = {{.host = "h", .name = "Authorization", .value = "Bearer visible-nowhere"}};
    const auto id = job.id;
    EXPECT_TRUE(run(store.create_job(std::move(job))).has_value());
    std::vector<NewRow> rows;
    for (std::uint64_t row = 1; row <= count; ++row) {
      NewRow added;
      added.row = row;
      added.cells = {std::to_string(row)};
      added.items.push_back({.index = 1,
                             .url = "https://origin.example/" + std::to_string(row),
                             .output_stem = std::to_string(row) + ".{ext}"});
      rows.push_back(std::move(added));
    }
    const std::vector<std::string> columns = {"url"};
    EXPECT_TRUE(run(store.append_rows(id, columns, std::move(rows))).has_value());
    return id;
  }
  Claim claim(JobStore& store) {
    auto claimed = run(store.claim(ClaimRequest{}));
    EXPECT_TRUE(claimed.has_value());
    return std::move(*claimed);
  }
  // What a kill -9 leaves: the files as they are, without a close or a checkpoint.
  void copy_files(const std::string& from, const std::string& to) {
    for (const auto* suffix : {"", "-wal"}) {
      std::filesystem::copy_file(folder_.file(from + suffix), folder_.file(to + suffix));
    }
  }

  testing::ManualClock clock_;
  asio::io_context io_;
  testing::TempFolder folder_;
};

TEST_F(SqliteFiles, SurviveAKillWithEverythingThatWasAcknowledged) {
  auto store = must_open();
  const auto id = make_job(*store.jobs, 10);
  ASSERT_TRUE(run(store.jobs->finish_ingest(id)).has_value());
  const auto claimed = claim(*store.jobs);
  ItemSuccess done;
  done.bytes_in = 77;
  ASSERT_TRUE(run(store.jobs->finish({{.lease = claimed.items[0].lease, .result = done, .times = {}}})).has_value());
  copy_files("pixmill.db", "after-kill.db");

  const auto second = must_open("after-kill.db");
  const auto job = run(second.jobs->job(id));
  ASSERT_TRUE(job.has_value());
  EXPECT_EQ(job->state, JobState::kRunning);
  EXPECT_EQ(job->total, 10u);
  EXPECT_EQ(job->succeeded, 1u);
  EXPECT_EQ(job->bytes_in, 77u);
  EXPECT_EQ(job->remaining, 9u);
}

TEST_F(SqliteFiles, ATornLogLosesWholeTransactionsFromTheEndOnly) {
  auto store = must_open();
  const auto id = make_job(*store.jobs, 1);
  copy_files("pixmill.db", "torn.db");
  const auto intact = std::filesystem::file_size(folder_.file("torn.db-wal"));
  NewRow row;
  row.row = 2;
  row.cells = {"2"};
  row.items.push_back({.index = 1, .url = "https://origin.example/2", .output_stem = "2"});
  ASSERT_TRUE(run(store.jobs->append_rows(id, {}, {row})).has_value());
  std::filesystem::remove(folder_.file("torn.db"));
  std::filesystem::remove(folder_.file("torn.db-wal"));
  copy_files("pixmill.db", "torn.db");
  const auto whole = std::filesystem::file_size(folder_.file("torn.db-wal"));
  ASSERT_GT(whole, intact);
  std::filesystem::resize_file(folder_.file("torn.db-wal"), whole - 100);

  const auto second = must_open("torn.db");
  const auto job = run(second.jobs->job(id));
  ASSERT_TRUE(job.has_value());
  EXPECT_EQ(job->rows, 1u);
  EXPECT_EQ(job->total, 1u);
}

TEST_F(SqliteFiles, OpeningReleasesEveryLeaseAndTellsOfThem) {
  {
    auto store = must_open();
    EXPECT_TRUE(store.interrupted.empty());
    make_job(*store.jobs, 3);
    const auto claimed = claim(*store.jobs);
    ItemFailure failed;
    failed.code = "engine_crash";
    failed.engine_crash = true;
    failed.retry_at = clock_.now();
    ASSERT_TRUE(
        run(store.jobs->finish({{.lease = claimed.items[1].lease, .result = failed, .times = {}}})).has_value());
    claim(*store.jobs);
  }
  auto store = must_open();
  ASSERT_EQ(store.interrupted.size(), 3u);
  for (const auto& item : store.interrupted) {
    EXPECT_EQ(item.output_stem, fmt::format("{}.{{ext}}", item.lease.item));
    EXPECT_EQ(item.url, fmt::format("https://origin.example/{}", item.lease.item));
    EXPECT_EQ(item.row, item.lease.item);
    EXPECT_EQ(item.engine_crashes, item.lease.item == 2 ? 1 : 0);
  }
  EXPECT_EQ(run(store.jobs->depth())->leased, 0u);
  const auto again = claim(*store.jobs);
  ASSERT_EQ(again.items.size(), 3u);
  EXPECT_EQ(again.items[0].attempt, 1) << "dying costs the pictures no attempt";
  EXPECT_EQ(again.items[1].attempt, 2) << "an engine's crash does";
  EXPECT_EQ(again.items[0].lease.token, 2);
}

TEST_F(SqliteFiles, OpeningEndsAJobThatWasBeingCancelled) {
  JobId id;
  {
    auto store = must_open();
    id = make_job(*store.jobs, 2);
    claim(*store.jobs);
    ASSERT_EQ(run(store.jobs->cancel(id))->state, JobState::kCancelling);
  }
  const auto store = must_open();
  EXPECT_EQ(store.interrupted.size(), 2u);
  EXPECT_EQ(run(store.jobs->job(id))->state, JobState::kCancelled);
  EXPECT_EQ(run(store.outbox->deliveries(id))->size(), 1u);
}

TEST_F(SqliteFiles, ARetryThatWasInterruptedGoesOn) {
  constexpr std::uint64_t kItems = 2'500;
  auto store = must_open();
  NewJob job;
  job.id = JobId{Uuid::random()};
  const auto id = job.id;
  ASSERT_TRUE(run(store.jobs->create_job(job)).has_value());
  NewRow row;
  row.row = 1;
  for (std::uint32_t i = 1; i <= kItems; ++i) {
    row.items.push_back(
        {.index = i, .url = "https://o.example/" + std::to_string(i), .output_stem = std::to_string(i)});
  }
  ASSERT_TRUE(run(store.jobs->append_rows(id, {}, {row})).has_value());
  ASSERT_TRUE(run(store.jobs->finish_ingest(id)).has_value());
  for (auto claimed = claim(*store.jobs); !claimed.items.empty(); claimed = claim(*store.jobs)) {
    std::vector<ItemOutcome> outcomes;
    ItemFailure failed;
    failed.code = "timeout";
    for (const auto& item : claimed.items) outcomes.push_back({.lease = item.lease, .result = failed, .times = {}});
    ASSERT_TRUE(run(store.jobs->finish(std::move(outcomes))).has_value());
  }
  store = {};
  {
    auto database = db::Database::open(folder_.file("pixmill.db"), db::OpenMode::kWriter);
    ASSERT_TRUE(database.has_value());
    sqlite::Writer writer(clock_, std::move(*database), options_for(""));
    ASSERT_TRUE(writer.start().has_value());
    ASSERT_TRUE(writer.retry(id, RetryFilter{}).value()) << "the first piece of several";
    copy_files("pixmill.db", "after-kill.db");
  }
  const auto second = must_open("after-kill.db");
  EXPECT_EQ(run(second.jobs->job(id))->state, JobState::kRunning);
  while (run(second.jobs->rescue())->more) {
  }
  EXPECT_EQ(run(second.jobs->job(id))->remaining, kItems);
  EXPECT_EQ(run(second.jobs->job(id))->failed, 0u);
}

// A database of the first version, with a job that a killed process left in the middle.
TEST_F(SqliteFiles, AnOlderSchemaIsBroughtUpToDateAndGoesOn) {
  const JobId id{Uuid::random()};
  {
    auto database = db::Database::open(folder_.file("pixmill.db"), db::OpenMode::kWriter);
    ASSERT_TRUE(database.has_value());
    ASSERT_TRUE(database->execute("PRAGMA application_id=1347964236").has_value());
    ASSERT_TRUE(db::migrate(*database, std::span(generated::k_sqlite_migrations).first(1)).has_value());
    ASSERT_TRUE(database
                    ->execute(fmt::format(
                        "INSERT INTO jobs (id, state, origin, name, recipe, webhook_url, name_template, blob_prefix, "
                        "source_path, source_digest, url_column, invalid_rows, column_names, row_count, total, "
                        "remaining, created_at) VALUES ('{}', 'ingesting', 'api', 'n', 'format=jpeg quality=50', '', "
                        "'{{product}}', 'p/', 's', '', '', 'reject', '[\"url\"]', 1, 1, 1, 5);"
                        "INSERT INTO rows VALUES (1, 1, '[\"u\"]', '', 1, 1);"
                        "INSERT INTO items (job_no, item, row_no, position, url, stem, not_before) "
                        "VALUES (1, 1, 1, 1, 'https://origin.example/1', '1', 0);",
                        id.text()))
                    .has_value());
  }
  EXPECT_TRUE(read_saved_recipes(folder_.file("pixmill.db"))->empty()) << "asked before it was brought up to date";
  auto store = must_open();
  const auto job = run(store.jobs->job(id));
  ASSERT_TRUE(job.has_value());
  EXPECT_FALSE(job->overrides) << "what was under way goes on as it began";
  EXPECT_EQ(job->recipe_name, "");
  NewRow row = long_row(2);
  row.recipe = RecipeChoice{.text = "format=png", .name = ""};
  NewRow same = long_row(3);
  same.items[0].url = "https://origin.example/1";
  ASSERT_TRUE(run(store.jobs->append_rows(id, {}, {row, same})).has_value());
  const auto items = run(store.jobs->items(id, ItemQuery{}))->items;
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[0].recipe, std::nullopt);
  EXPECT_EQ(items[1].recipe, row.recipe);
  EXPECT_EQ(items[2].same_as, 1u);
  EXPECT_TRUE(run(store.recipes->save_recipe("shop", "format=png")).has_value());
}

TEST_F(SqliteFiles, RecipesAreReadBesideAServerAndWrittenWithoutOne) {
  const auto path = folder_.file("pixmill.db");
  EXPECT_TRUE(read_saved_recipes(path)->empty()) << "there is no database";
  EXPECT_FALSE(std::filesystem::exists(path)) << "and none is made by looking";
  EXPECT_EQ(save_recipe_in(path, clock_, "shop", "format=png")->recipe.version, 1);
  {
    auto store = must_open();
    EXPECT_EQ(run(store.recipes->save_recipe("shop", "format=webp"))->recipe.version, 2);
    const auto seen = read_saved_recipes(path);
    ASSERT_EQ(seen->size(), 2u);
    EXPECT_EQ(seen->at(1).text, "format=webp");
    make_job(*store.jobs, 2);
    claim(*store.jobs);
  }
  EXPECT_EQ(save_recipe_in(path, clock_, "shop", "format=avif")->recipe.version, 3);
  EXPECT_TRUE(remove_recipe_in(path, "shop").has_value());
  EXPECT_EQ(remove_recipe_in(path, "shop").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(read_saved_recipes(path)->at(0).removed);
  EXPECT_EQ(must_open().interrupted.size(), 2u) << "what a server left behind is for its next start";
}

TEST_F(SqliteFiles, RecipesAreLookedForInOurDatabasesAlone) {
  {
    auto database = db::Database::open(folder_.file("other.db"), db::OpenMode::kWriter);
    ASSERT_TRUE(database->execute("CREATE TABLE recipes (dish)").has_value());
  }
  folder_.write("text.db", std::string(5'000, 'x'));
  for (const auto* name : {"other.db", "text.db"}) {
    EXPECT_EQ(read_saved_recipes(folder_.file(name)).error().code, ErrorCode::kConflict) << name;
    EXPECT_EQ(save_recipe_in(folder_.file(name), clock_, "a", "format=png").error().code, ErrorCode::kConflict);
  }
  EXPECT_EQ(save_recipe_in(folder_.file("missing/pixmill.db"), clock_, "a", "format=png").error().code, ErrorCode::kIo);
}

TEST_F(SqliteFiles, TooManySavedRecipesAreRefused) {
  auto options = options_for(folder_.file("pixmill.db"));
  options.saved_recipes_max = 2;
  auto opened = open_sqlite_store(clock_, std::move(options));
  ASSERT_TRUE(opened.has_value());
  EXPECT_TRUE(run(opened->recipes->save_recipe("a", "format=png")).has_value());
  EXPECT_TRUE(run(opened->recipes->save_recipe("a", "format=gif")).has_value());
  const auto refused = run(opened->recipes->save_recipe("b", "format=png"));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("at most 2 versions"));
}

TEST_F(SqliteFiles, ANewerSchemaIsRefused) {
  static_cast<void>(must_open());
  {
    auto database = db::Database::open(folder_.file("pixmill.db"), db::OpenMode::kWriter);
    ASSERT_TRUE(database->execute("PRAGMA user_version=99").has_value());
  }
  const auto refused = open();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("newer Pixmill"));
}

TEST_F(SqliteFiles, AFileThatIsNoDatabaseIsRefusedAndLeftAlone) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "S.No.,Product Name,Input Image Urls\n";
  folder_.write("products.csv", text);
  const auto refused = open("products.csv");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_EQ(folder_.read("products.csv"), text);
}

TEST_F(SqliteFiles, AnotherProgramsDatabaseIsRefusedAndLeftAlone) {
  {
    auto database = db::Database::open(folder_.file("other.db"), db::OpenMode::kWriter);
    ASSERT_TRUE(database->execute("CREATE TABLE notes (text)").has_value());
  }
  const auto refused = open("other.db");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  auto database = db::Database::open(folder_.file("other.db"), db::OpenMode::kWriter);
  EXPECT_FALSE(database->execute("SELECT * FROM jobs").has_value());
}

TEST_F(SqliteFiles, AFolderThatIsNotThereIsAnIoError) {
  const auto refused = open("missing/pixmill.db");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kIo);
}

TEST_F(SqliteFiles, HeadersAndSettingsAreNowhereInTheClear) {
  auto store = must_open();
  make_job(*store.jobs, 1);
  ASSERT_TRUE(run(store.outbox->set_setting("webhook_secret", "whsec_visible-nowhere")).has_value());
  for (const auto* name : {"pixmill.db", "pixmill.db-wal"}) {
    EXPECT_EQ(folder_.read(name).find("visible-nowhere"), std::string::npos) << name;
  }
}

TEST_F(SqliteFiles, AnotherMasterKeyIsSaidWhereItMatters) {
  JobId id;
  {
    auto store = must_open();
    id = make_job(*store.jobs, 1);
    ASSERT_TRUE(run(store.outbox->set_setting("webhook_secret", "s")).has_value());
  }
  auto options = options_for(folder_.file("pixmill.db"));
  options.master_key = std::string(32, 'x');
  const auto store = open_sqlite_store(clock_, options);
  ASSERT_TRUE(store.has_value());
  const auto headers = run(store->jobs->headers(id));
  ASSERT_FALSE(headers.has_value());
  EXPECT_EQ(headers.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(headers.error().message, ::testing::HasSubstr("master key"));
  const auto setting = run(store->outbox->setting("webhook_secret"));
  ASSERT_FALSE(setting.has_value());
  EXPECT_EQ(setting.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(run(store->jobs->job(id)).has_value()) << "whoever does not send them does not need them";
  EXPECT_EQ(run(store->jobs->unfinished_ingests())->size(), 1u);
  EXPECT_EQ(run(store->jobs->jobs(JobQuery{}))->jobs.size(), 1u);
  const std::vector<OriginHeader> again{{.host = "h", .name = "Authorization", .value = "Bearer new"}};
  ASSERT_TRUE(run(store->jobs->replace_headers(id, again)).has_value());
  EXPECT_EQ(run(store->jobs->headers(id)).value(), again);
}

TEST_F(SqliteFiles, AJobWithTooManyItemsIsRefused) {
  auto options = options_for(folder_.file("pixmill.db"));
  options.items_per_job_max = 2'000;
  auto opened = open_sqlite_store(clock_, std::move(options));
  ASSERT_TRUE(opened.has_value());
  const auto id = make_job(*opened->jobs, 1'000);
  std::vector<NewRow> rows;
  for (std::uint64_t row = 1'001; row <= 2'000; ++row) rows.push_back(long_row(row));
  ASSERT_TRUE(run(opened->jobs->append_rows(id, {}, std::move(rows))).has_value());
  const auto refused = run(opened->jobs->append_rows(id, {}, {long_row(2'001)}));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("2,000 images"));
  EXPECT_EQ(run(opened->jobs->job(id))->total, 2'000u);
}

TEST_F(SqliteFiles, AFullDiskIsSaidAndSurvived) {
  const auto id = [&] {
    auto store = must_open();
    return make_job(*store.jobs, 1);
  }();
  std::uint64_t next = 2;
  {
    auto database = db::Database::open(folder_.file("pixmill.db"), db::OpenMode::kWriter);
    ASSERT_TRUE(database.has_value());
    // SQLite reports a file that may not grow as it reports a disk that is full.
    ASSERT_TRUE(database->execute("PRAGMA max_page_count=50").has_value());
    sqlite::Writer writer(clock_, std::move(*database), options_for(""));
    ASSERT_TRUE(writer.start().has_value());
    Result<std::size_t> appended = 0;
    while (appended) {
      ASSERT_LT(next, 1'000u);
      ASSERT_FALSE(writer.remember_names(id).value_or(true));
      appended = writer.append_rows(id, {}, {long_row(next)}, 0);
      if (appended) ++next;
    }
    EXPECT_EQ(appended.error().code, ErrorCode::kDiskFull);
    EXPECT_EQ(writer.job(id)->rows, next - 1) << "what was accepted is there, what was refused is not";
  }
  auto store = must_open();
  ASSERT_TRUE(run(store.jobs->append_rows(id, {}, {long_row(next)})).has_value());
  EXPECT_EQ(run(store.jobs->job(id))->total, next);
  EXPECT_EQ(run(store.jobs->items(id, ItemQuery{}))->items.at(next - 1).url, "u" + std::to_string(next));
}

TEST_F(SqliteFiles, ABrokenInvariantStopsTheTransaction) {
  auto store = must_open();
  const auto id = make_job(*store.jobs, 1);
  const auto claimed = claim(*store.jobs);
  {
    auto database = db::Database::open(folder_.file("pixmill.db"), db::OpenMode::kWriter);
    ASSERT_TRUE(database->execute("UPDATE jobs SET total = 0, remaining = 0, leased = 0").has_value());
  }
  const auto finished =
      run(store.jobs->finish({{.lease = claimed.items[0].lease, .result = ItemSuccess{}, .times = {}}}));
  ASSERT_FALSE(finished.has_value());
  EXPECT_EQ(finished.error().code, ErrorCode::kInternal);
  EXPECT_EQ(run(store.jobs->items(id, ItemQuery{}))->items.at(0).state, ItemState::kLeased) << "rolled back";
}

}  // namespace
}  // namespace pixmill::jobs

PIXMILL_INSTANTIATE_JOB_STORE_SUITE(Embedded, pixmill::jobs::kSqlite)
PIXMILL_INSTANTIATE_OUTBOX_SUITE(Embedded, pixmill::jobs::kSqlite)
PIXMILL_INSTANTIATE_RECIPE_STORE_SUITE(Embedded, pixmill::jobs::kSqlite)
PIXMILL_INSTANTIATE_UPKEEP_SUITE(Embedded, pixmill::jobs::kSqlite)
