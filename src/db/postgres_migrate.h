// The schema's migrations on PostgreSQL: each in a transaction of its own together with the note that it ran, so that a
// kill between two leaves a valid schema. Processes that start at the same time wait for each other on an advisory
// lock. Blocking.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "db/migrate.h"
#include "db/postgres.h"

namespace pixmill::db::pg {

struct MigrationReport {
  int before = 0;  // the schema's version
  int after = 0;
  std::vector<std::string> applied;  // names, in order
};

// Makes ConnectOptions::schema when it is missing and brings it up to the last migration. Errors: kConflict when the
// schema is newer than this binary knows (it names both numbers and says to use a newer Pixmill), kInvalidArgument for
// a URL that cannot be read, kUnavailable, kDiskFull, kInternal when the user may not make tables; the message of the
// last two kinds holds the server's own words, for whoever runs the migration.
[[nodiscard]] Result<MigrationReport> migrate(const ConnectOptions& options, std::span<const Migration> migrations);

// The same question without changing anything. Errors: kConflict when the schema is newer, or older, than this binary
// needs.
[[nodiscard]] Result<void> check_schema(const ConnectOptions& options, std::span<const Migration> migrations);

}  // namespace pixmill::db::pg
