#include "db/postgres_migrate.h"

#include <fmt/format.h>

#include "base/text.h"

namespace pixmill::db::pg {

namespace {

using std::chrono::milliseconds;

// "PXML": nobody else's lock.
constexpr std::int64_t kLockKey = 0x50584d4c;
constexpr milliseconds kNoLimit{0};

// Only the person who runs the migration sees it, and without the server's words he could not help himself.
std::unexpected<Error> explained(Error error, std::string_view doing) {
  error.message = fmt::format("{}: {}{}{}", doing, error.message, error.detail.empty() ? "" : ": ", error.detail);
  return std::unexpected(std::move(error));
}

Result<std::int64_t> one_number(Connection& connection, const std::string& sql) {
  PIXMILL_TRY(const auto rows, connection.execute(sql));
  return rows.empty() ? 0 : parse_integer(rows[0].view(0)).value_or(0);
}

Result<bool> has_schema(Connection& connection, const std::string& schema) {
  PIXMILL_TRY(const auto found, one_number(connection, fmt::format("SELECT count(*) FROM pg_catalog.pg_namespace WHERE "
                                                                   "nspname = '{}'",
                                                                   schema)));
  return found > 0;
}

// 0 when there is none yet.
Result<int> schema_version(Connection& connection, const std::string& schema) {
  PIXMILL_TRY(const auto known, one_number(connection, fmt::format("SELECT count(*) FROM pg_catalog.pg_tables WHERE "
                                                                   "schemaname = '{}' AND tablename = 'migrations'",
                                                                   schema)));
  if (known == 0) return 0;
  PIXMILL_TRY(const auto version, one_number(connection, "SELECT coalesce(max(number), 0) FROM migrations"));
  return static_cast<int>(version);
}

Result<void> prepare_schema(Connection& connection, const std::string& schema) {
  PIXMILL_TRY(const bool there, has_schema(connection, schema));
  // IF NOT EXISTS asks for the right to make schemas even where there is nothing to make.
  if (!there) {
    PIXMILL_TRY([[maybe_unused]] const auto made, connection.execute(fmt::format("CREATE SCHEMA {}", schema)));
  }
  PIXMILL_TRY(
      [[maybe_unused]] const auto table,
      connection.execute("CREATE TABLE IF NOT EXISTS migrations (number bigint PRIMARY KEY, name text NOT NULL, "
                         "applied_at timestamptz NOT NULL DEFAULT now())"));
  return {};
}

Result<void> apply(Connection& connection, const Migration& migration) {
  const auto note =
      fmt::format("INSERT INTO migrations (number, name) VALUES ({}, '{}')", migration.number, migration.name);
  // A connection that is lost in the middle takes the open transaction with it.
  PIXMILL_TRY([[maybe_unused]] const auto begun, connection.execute("BEGIN"));
  PIXMILL_TRY([[maybe_unused]] const auto done, connection.execute(std::string(migration.sql)));
  PIXMILL_TRY([[maybe_unused]] const auto noted, connection.execute(note));
  PIXMILL_TRY([[maybe_unused]] const auto committed, connection.execute("COMMIT"));
  return {};
}

std::unexpected<Error> too_new(int version, std::size_t known) {
  return fail(ErrorCode::kConflict,
              fmt::format("the database has schema version {}, this Pixmill knows up to {}: use a newer Pixmill",
                          version, known));
}

void check_numbers(std::span<const Migration> migrations) {
  for (std::size_t i = 0; i < migrations.size(); ++i) {
    PIXMILL_CHECK(migrations[i].number == static_cast<int>(i) + 1);
  }
}

Result<Connection> connect_to_migrate(ConnectOptions options) {
  // Building an index takes as long as it takes, and so does waiting for whoever builds it.
  options.statement_timeout = kNoLimit;
  options.lock_timeout = kNoLimit;
  auto connection = Connection::open(options);
  if (!connection) return explained(std::move(connection).error(), "DATABASE_URL");
  return connection;
}

}  // namespace

Result<MigrationReport> migrate(const ConnectOptions& options, std::span<const Migration> migrations) {
  check_numbers(migrations);
  PIXMILL_TRY(auto connection, connect_to_migrate(options));
  const auto locked = connection.execute(fmt::format("SELECT pg_advisory_lock({})", kLockKey));
  if (!locked) return explained(locked.error(), "waiting for another process that migrates");
  // The lock goes with the connection.
  if (auto prepared = prepare_schema(connection, options.schema); !prepared) {
    return explained(std::move(prepared).error(), fmt::format("schema {}", options.schema));
  }
  MigrationReport report;
  PIXMILL_TRY(report.before, schema_version(connection, options.schema));
  report.after = report.before;
  if (report.before > static_cast<int>(migrations.size())) return too_new(report.before, migrations.size());
  for (const auto& migration : migrations.subspan(static_cast<std::size_t>(report.before))) {
    if (auto applied = apply(connection, migration); !applied) {
      return explained(std::move(applied).error(),
                       fmt::format("schema migration {} ({})", migration.number, migration.name));
    }
    report.after = migration.number;
    report.applied.emplace_back(migration.name);
  }
  return report;
}

Result<void> check_schema(const ConnectOptions& options, std::span<const Migration> migrations) {
  check_numbers(migrations);
  PIXMILL_TRY(auto connection, connect_to_migrate(options));
  PIXMILL_TRY(const auto version, schema_version(connection, options.schema));
  if (version > static_cast<int>(migrations.size())) return too_new(version, migrations.size());
  if (version == static_cast<int>(migrations.size())) return {};
  return fail(ErrorCode::kConflict,
              fmt::format("the database has schema version {}, this Pixmill needs {}: run `pixmill migrate`", version,
                          migrations.size()));
}

}  // namespace pixmill::db::pg
