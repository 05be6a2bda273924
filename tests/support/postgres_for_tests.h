// The real PostgreSQL that tests/support/with_servers.py started: its URL, and an empty database.
#pragma once

#include <cstdlib>
#include <string>
#include <utility>

#include "base/error.h"
#include "db/postgres.h"

namespace pixmill::testing {

// Aborts when there is no server: such a test must not pass without.
inline std::string database_url() {
  const char* url = std::getenv("TEST_DATABASE_URL");
  PIXMILL_CHECK(url != nullptr);
  return url;
}

inline db::pg::ConnectOptions connect_options() {
  db::pg::ConnectOptions options;
  options.url = database_url();
  return options;
}

inline db::pg::Connection connect_for_tests() {
  auto connection = db::pg::Connection::open(connect_options());
  PIXMILL_CHECK(connection.has_value());
  return std::move(*connection);
}

inline void execute_sql(const std::string& sql) {
  auto connection = connect_for_tests();
  PIXMILL_CHECK(connection.execute(sql).has_value());
}

inline void empty_database() { execute_sql("DROP SCHEMA IF EXISTS pixmill CASCADE"); }

}  // namespace pixmill::testing
