#include "db/migrate.h"

#include <fmt/format.h>

#include "db/sqlite.h"

namespace pixmill::db {

namespace {

constexpr std::string_view kReadVersion = "PRAGMA user_version";

Result<std::int64_t> schema_version(Database& database) {
  auto& statement = database.prepare(kReadVersion);
  PIXMILL_TRY(const bool row, statement.step());
  const std::int64_t version = row ? statement.integer(0) : 0;
  statement.reset();
  return version;
}

// The number is part of the file's header and changes with the transaction.
Result<void> apply(Database& database, const Migration& migration) {
  PIXMILL_TRY(auto transaction, Transaction::begin(database));
  auto done = database.execute(migration.sql);
  if (done) done = database.execute(fmt::format("PRAGMA user_version={}", migration.number));
  if (!done) {
    Error error = std::move(done).error();
    error.message = fmt::format("schema migration {} ({}): {}", migration.number, migration.name, error.message);
    return std::unexpected(std::move(error));
  }
  return transaction.commit();
}

}  // namespace

Result<void> migrate(Database& database, std::span<const Migration> migrations) {
  for (std::size_t i = 0; i < migrations.size(); ++i) {
    PIXMILL_CHECK(migrations[i].number == static_cast<int>(i) + 1);
  }
  PIXMILL_TRY(const auto version, schema_version(database));
  const auto known = static_cast<std::int64_t>(migrations.size());
  if (version > known) {
    return fail(ErrorCode::kConflict,
                fmt::format("the database has schema version {}, this Pixmill knows up to {}: use a newer Pixmill",
                            version, known));
  }
  for (auto next = static_cast<std::size_t>(version); next < migrations.size(); ++next) {
    PIXMILL_RETURN_IF_ERROR(apply(database, migrations[next]));
  }
  return {};
}

}  // namespace pixmill::db
