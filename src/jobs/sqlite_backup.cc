#include "jobs/sqlite_backup.h"

#include <filesystem>
#include <string_view>
#include <utility>

#include "db/sqlite.h"
#include "jobs/sqlite_internal.h"

namespace pixmill::jobs {

namespace {

constexpr std::string_view kReadFiles = "SELECT key, bytes FROM outputs";
constexpr std::string_view kReadVersion = "PRAGMA user_version";
constexpr std::int64_t kFirstVersionWithIngests = 6;
constexpr std::string_view kReadTables =
    "SELECT source_path FROM jobs WHERE (state = 'ingesting' OR job_no IN (SELECT job_no FROM ingests)) AND "
    "source_path <> ''";
constexpr std::string_view kReadTablesBefore =
    "SELECT source_path FROM jobs WHERE state = 'ingesting' AND source_path <> ''";
constexpr std::string_view kMoveTable = "UPDATE jobs SET source_path = ? WHERE source_path = ?";

Result<db::Database> open_existing(const std::string& path, db::OpenMode mode) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return fail(ErrorCode::kNotFound, "there is no database at " + path);
  PIXMILL_TRY(auto database, db::Database::open(path, mode));
  PIXMILL_RETURN_IF_ERROR(sqlite::check_ours(database));
  return database;
}

Result<std::vector<std::string>> read_tables(db::Database& database) {
  auto& version = database.prepare(kReadVersion);
  PIXMILL_TRY([[maybe_unused]] const bool has_one, version.step());
  const bool has_ingests = version.integer(0) >= kFirstVersionWithIngests;
  version.reset();
  auto& tables = database.prepare(has_ingests ? kReadTables : kReadTablesBefore);
  std::vector<std::string> paths;
  while (true) {
    PIXMILL_TRY(const bool row, tables.step());
    if (!row) return paths;
    paths.push_back(tables.text(0));
  }
}

}  // namespace

Result<void> copy_sqlite_store(const std::string& path, const std::string& to) {
  PIXMILL_TRY(auto database, open_existing(path, db::OpenMode::kReader));
  return db::copy_database(database, to);
}

Result<void> each_stored_file(const std::string& path, const std::function<Result<void>(const StoredFile&)>& each) {
  PIXMILL_TRY(auto database, open_existing(path, db::OpenMode::kReader));
  auto& files = database.prepare(kReadFiles);
  while (true) {
    PIXMILL_TRY(const bool row, files.step());
    if (!row) return {};
    PIXMILL_RETURN_IF_ERROR(each({.key = files.text(0), .bytes = static_cast<std::uint64_t>(files.integer(1))}));
  }
}

Result<std::vector<std::string>> unread_tables(const std::string& path) {
  PIXMILL_TRY(auto database, open_existing(path, db::OpenMode::kReader));
  return read_tables(database);
}

Result<void> move_unread_tables(const std::string& path, const std::string& folder) {
  PIXMILL_TRY(auto database, open_existing(path, db::OpenMode::kWriter));
  PIXMILL_TRY(const auto tables, read_tables(database));
  PIXMILL_TRY(auto transaction, db::Transaction::begin(database));
  for (const auto& table : tables) {
    const auto moved = (std::filesystem::path(folder) / std::filesystem::path(table).filename()).string();
    PIXMILL_RETURN_IF_ERROR(database.prepare(kMoveTable).bind(moved).bind(table).run());
  }
  return transaction.commit();
}

}  // namespace pixmill::jobs
