// Against a real PostgreSQL at TEST_DATABASE_URL.
#include "db/postgres_migrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/postgres_for_tests.h"

namespace pixmill::db::pg {
namespace {

using pixmill::testing::connect_options;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Migration kFirst{1, "0001_first", "CREATE TABLE a (x bigint); CREATE TABLE b (x bigint);"};
constexpr Migration kSecond{2, "0002_second", "CREATE TABLE c (x bigint);"};
// The connection dies in the middle of it, as with the process that runs it.
constexpr Migration kKilled{2, "0002_second",
                            "CREATE TABLE c (x bigint); SELECT pg_terminate_backend(pg_backend_pid());"};
constexpr Migration kBroken{2, "0002_second", "CREATE TABLE c (x bigint); INSERT INTO no_such_table VALUES (1);"};
constexpr Migration kSlow{1, "0001_first",
                          "CREATE TABLE a (x bigint); SELECT pg_sleep(0.2); CREATE TABLE b (x bigint);"};

class PostgresMigrate : public ::testing::Test {
 protected:
  void SetUp() override { pixmill::testing::empty_database(); }
  static std::string tables() {
    auto connection = pixmill::testing::connect_for_tests();
    const auto rows = connection.execute(
        "SELECT coalesce(string_agg(tablename, ',' ORDER BY tablename), '') FROM pg_tables WHERE schemaname = "
        "'pixmill' AND "
        "tablename <> 'migrations'");
    return rows.value()[0].text(0);
  }
};

TEST_F(PostgresMigrate, RunsWhatIsMissingOnce) {
  const auto first = migrate(connect_options(), std::vector{kFirst});
  ASSERT_TRUE(first.has_value()) << first.error().message;
  EXPECT_THAT(first->applied, ElementsAre("0001_first"));
  const auto second = migrate(connect_options(), std::vector{kFirst, kSecond});
  EXPECT_EQ(second->before, 1);
  EXPECT_EQ(second->after, 2);
  EXPECT_THAT(second->applied, ElementsAre("0002_second"));
  EXPECT_TRUE(migrate(connect_options(), std::vector{kFirst, kSecond})->applied.empty());
  EXPECT_EQ(tables(), "a,b,c");
}

TEST_F(PostgresMigrate, KilledInTheMiddleItLeavesTheSchemaOfTheOneBefore) {
  for (const auto& wrong : {kKilled, kBroken}) {
    const auto failed = migrate(connect_options(), std::vector{kFirst, wrong});
    ASSERT_FALSE(failed.has_value());
    EXPECT_THAT(failed.error().message, HasSubstr("0002_second"));
    EXPECT_EQ(tables(), "a,b");
  }
  EXPECT_EQ(migrate(connect_options(), std::vector{kFirst, kSecond})->before, 1);
  EXPECT_EQ(tables(), "a,b,c");
}

TEST_F(PostgresMigrate, ManyAtOnceMigrateOnce) {
  std::atomic<int> applied = 0;
  std::atomic<int> failed = 0;
  {
    std::vector<std::jthread> processes;
    for (int i = 0; i < 6; ++i) {
      processes.emplace_back([&] {
        const auto report = migrate(connect_options(), std::vector{kSlow, kSecond});
        if (!report) ++failed;
        if (report) applied += static_cast<int>(report->applied.size());
      });
    }
  }
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(applied, 2);
  EXPECT_EQ(tables(), "a,b,c");
}

TEST_F(PostgresMigrate, RefusesANewerSchemaAndSaysBothNumbers) {
  ASSERT_TRUE(migrate(connect_options(), std::vector{kFirst, kSecond}).has_value());
  const auto not_migrated = migrate(connect_options(), std::vector{kFirst});
  const auto not_used = check_schema(connect_options(), std::vector{kFirst});
  ASSERT_FALSE(not_migrated.has_value());
  ASSERT_FALSE(not_used.has_value());
  for (const auto& refused : {not_migrated.error(), not_used.error()}) {
    EXPECT_EQ(refused.code, ErrorCode::kConflict);
    EXPECT_THAT(refused.message, HasSubstr("version 2"));
    EXPECT_THAT(refused.message, HasSubstr("up to 1"));
    EXPECT_THAT(refused.message, HasSubstr("newer Pixmill"));
  }
  EXPECT_TRUE(check_schema(connect_options(), std::vector{kFirst, kSecond}).has_value());
}

TEST_F(PostgresMigrate, AUserWithoutTheRightIsToldWhatIsMissing) {
  pixmill::testing::execute_sql(
      "DROP ROLE IF EXISTS bystander; CREATE ROLE bystander LOGIN; REVOKE CREATE ON DATABASE pixmill FROM PUBLIC");
  auto options = connect_options();
  options.url.replace(options.url.find("pixmill@"), 8, "bystander@");
  const auto refused = migrate(options, std::vector{kFirst});
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("permission denied"));
  // An administrator made the schema for him: that is enough.
  pixmill::testing::execute_sql("CREATE SCHEMA pixmill AUTHORIZATION bystander");
  EXPECT_TRUE(migrate(options, std::vector{kFirst}).has_value());
  pixmill::testing::execute_sql("DROP OWNED BY bystander CASCADE; DROP ROLE bystander");
}

}  // namespace
}  // namespace pixmill::db::pg
