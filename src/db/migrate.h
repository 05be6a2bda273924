// Numbered schema migrations, embedded in the binary (cmake/embed_sql.cmake). Each runs in its own transaction together
// with the note that it ran, so a kill between two leaves a valid schema.
#pragma once

#include <span>
#include <string_view>

#include "base/error.h"

namespace pixmill::db {

class Database;

struct Migration {
  int number;  // ascending from 1, no gaps
  std::string_view name;
  std::string_view sql;
};

// Brings the schema up to the last migration. Errors: kConflict when the database is newer than this binary knows (it
// names both numbers and says to use a newer Pixmill), kIo, kDiskFull.
[[nodiscard]] Result<void> migrate(Database& database, std::span<const Migration> migrations);

}  // namespace pixmill::db
