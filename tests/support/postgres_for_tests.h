// The real PostgreSQL that tests/support/with_servers.py started: its URL, and an empty database.
#pragma once

#include <cstdlib>
#include <string>

#include "base/error.h"
#include "db/postgres.h"
#include "jobs/postgres_store.h"
#include "tests/conformance/store_fixture.h"

namespace pixmill::testing {

// Aborts when there is no server: such a test must not pass without.
inline std::string database_url() {
  const char* url = std::getenv("TEST_DATABASE_URL");
  PIXMILL_CHECK(url != nullptr);
  return url;
}

inline db::pg::Connection connect_for_tests() {
  auto connection = db::pg::Connection::open({.url = database_url()});
  PIXMILL_CHECK(connection.has_value());
  return std::move(*connection);
}

inline void execute_sql(const std::string& sql) {
  auto connection = connect_for_tests();
  PIXMILL_CHECK(connection.execute(sql).has_value());
}

inline void empty_database() { execute_sql("DROP SCHEMA IF EXISTS pixmill CASCADE"); }

inline jobs::PostgresOptions postgres_options() {
  jobs::PostgresOptions options;
  options.connect.url = database_url();
  options.master_key = std::string(32, 'k');
  options.event_body = conformance::test_event_body;
  options.server = "server-1";
  return options;
}

}  // namespace pixmill::testing
