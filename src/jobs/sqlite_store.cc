#include "jobs/sqlite_store.h"

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "base/blocking_thread.h"
#include "db/migrate.h"
#include "jobs/sqlite_internal.h"
#include "jobs/sqlite_recipes.h"
#include "jobs/threaded_store.h"
#include "sqlite_migrations.h"

namespace pixmill::jobs {

namespace sqlite {

// One connection writes, for whatever verb, because SQLite has one writer at a time.
class Threads {
 public:
  Threads(std::unique_ptr<Writer> writer, std::unique_ptr<Reader> reader)
      : writer_(std::move(writer)), reader_(std::move(reader)) {}

  template <class Work>
  auto intake(Work work) {
    return writer_thread_.run([writer = writer_.get(), work = std::move(work)]() mutable { return work(*writer); });
  }
  template <class Work>
  auto work(Work work) {
    return intake(std::move(work));
  }
  template <class Work>
  auto mend(Work work) {
    return intake(std::move(work));
  }
  template <class Work>
  auto look(Work work) {
    return read(std::move(work));
  }
  template <class Work>
  auto read(Work work) {
    return reader_thread_.run([reader = reader_.get(), work = std::move(work)]() mutable { return work(*reader); });
  }

 private:
  // The threads end before what they use.
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Reader> reader_;
  BlockingThread writer_thread_{"sqlite-write"};
  BlockingThread reader_thread_{"sqlite-read"};
};

}  // namespace sqlite

namespace {

using sqlite::Reader;
using sqlite::Writer;

constexpr std::string_view kReadApplicationId = "PRAGMA application_id";
constexpr std::string_view kCountTables = "SELECT COUNT(*) FROM sqlite_schema";

Result<std::int64_t> one_number(db::Database& database, std::string_view sql) {
  auto& row = database.prepare(sql);
  PIXMILL_TRY(const bool found, row.step());
  const auto number = found ? row.integer(0) : 0;
  row.reset();
  return number;
}

// An empty file is made ours; a database of another program is left alone.
Result<void> make_ours(db::Database& database) {
  PIXMILL_TRY(const auto application, one_number(database, kReadApplicationId));
  PIXMILL_TRY(const auto tables, one_number(database, kCountTables));
  if (application != 0 || tables != 0) return sqlite::check_ours(database);
  return database.execute("PRAGMA application_id=1347964236");
}

constexpr std::string_view kReadVersion = "PRAGMA user_version";
constexpr std::int64_t kFirstVersionWithRecipes = 3;

Result<db::Database> open_ours(const std::string& path) {
  PIXMILL_TRY(auto database, db::Database::open(path, db::OpenMode::kWriter));
  PIXMILL_RETURN_IF_ERROR(make_ours(database));
  PIXMILL_RETURN_IF_ERROR(db::migrate(database, generated::k_sqlite_migrations));
  return database;
}

template <class Work>
std::invoke_result_t<Work&, db::Database&> change_durably(const std::string& path, Work work) {
  PIXMILL_TRY(auto database, open_ours(path));
  PIXMILL_RETURN_IF_ERROR(database.execute("PRAGMA synchronous=FULL"));
  PIXMILL_TRY(auto transaction, db::Transaction::begin(database));
  auto result = work(database);
  if (!result) return result;
  PIXMILL_RETURN_IF_ERROR(transaction.commit());
  return result;
}

}  // namespace

Result<void> sqlite::check_ours(db::Database& database) {
  constexpr std::int64_t kApplicationId = 0x50584d4c;  // "PXML"
  PIXMILL_TRY(const auto application, one_number(database, kReadApplicationId));
  if (application == kApplicationId) return {};
  return fail(ErrorCode::kConflict, "The database file belongs to another program.");
}

Result<db::Database> sqlite::open_to_read(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return fail(ErrorCode::kNotFound, "There is no such database.");
  PIXMILL_TRY(auto database, db::Database::open(path, db::OpenMode::kReader));
  PIXMILL_RETURN_IF_ERROR(sqlite::check_ours(database));
  PIXMILL_TRY(const auto version, one_number(database, kReadVersion));
  const auto ours = static_cast<std::int64_t>(std::size(generated::k_sqlite_migrations));
  if (version == ours) return database;
  return fail(ErrorCode::kConflict,
              version < ours ? "It was made by an earlier version of Pixmill, which kept nothing to compare with."
                             : "It was made by a newer version of Pixmill; use that.");
}

Result<std::vector<Job>> read_jobs(const std::string& path) {
  PIXMILL_TRY(auto database, sqlite::open_to_read(path));
  const SystemClock clock;
  Reader reader(std::move(database), "", clock);
  std::vector<Job> jobs;
  JobQuery query{.state = std::nullopt, .limit = kJobsPerPageMax, .before = std::nullopt};
  do {
    PIXMILL_TRY(auto page, reader.jobs(query));
    std::ranges::move(page.jobs, std::back_inserter(jobs));
    query.before = page.next;
  } while (query.before);
  return jobs;
}

Result<std::vector<SavedRecipe>> read_saved_recipes(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::vector<SavedRecipe>();
  PIXMILL_TRY(auto database, db::Database::open(path, db::OpenMode::kReader));
  PIXMILL_RETURN_IF_ERROR(sqlite::check_ours(database));
  PIXMILL_TRY(const auto version, one_number(database, kReadVersion));
  if (version < kFirstVersionWithRecipes) return std::vector<SavedRecipe>();
  return sqlite::load_saved_recipes(database);
}

Result<RecipeSaved> save_recipe_in(const std::string& path, const Clock& clock, const std::string& name,
                                   const std::string& text) {
  const sqlite::NewVersion wanted{.name = name, .text = text, .at = clock.now()};
  return change_durably(path, [&](db::Database& database) { return sqlite::save_recipe(database, wanted); });
}

Result<void> remove_recipe_in(const std::string& path, const std::string& name) {
  return change_durably(path, [&](db::Database& database) { return sqlite::remove_recipe(database, name); });
}

Result<Stores> open_sqlite_store(const Clock& clock, SqliteOptions options) {
  PIXMILL_TRY(auto writing, open_ours(options.path));
  const auto master_key = options.master_key;
  const auto path = options.path;
  auto writer = std::make_unique<Writer>(clock, std::move(writing), std::move(options));
  Stores opened;
  PIXMILL_TRY(opened.interrupted, writer->start());
  PIXMILL_TRY(auto reading, db::Database::open(path, db::OpenMode::kReader));
  auto threads = std::make_unique<sqlite::Threads>(std::move(writer),
                                                   std::make_unique<Reader>(std::move(reading), master_key, clock));
  auto store = std::make_unique<ThreadedStore<sqlite::Threads>>(std::move(threads));
  opened.outbox = store.get();
  opened.recipes = store.get();
  opened.upkeep = store.get();
  opened.jobs = std::move(store);
  return opened;
}

}  // namespace pixmill::jobs
