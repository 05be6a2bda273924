#include "db/migrate.h"

#include <gmock/gmock.h>

#include "db/sqlite.h"
#include "test_migrations.h"
#include "tests/support/temp_folder.h"

namespace pixmill::db {
namespace {

using ::testing::HasSubstr;

constexpr Migration kFirst{1, "0001_first", "CREATE TABLE a(x); CREATE TABLE b(x)"};
constexpr Migration kSecond{2, "0002_second", "CREATE TABLE c(x)"};
constexpr Migration kBroken{2, "0002_broken", "CREATE TABLE c(x); INSERT INTO no_such_table VALUES (1)"};

std::string read(Database& database, std::string_view sql) {
  auto& statement = database.prepare(sql);
  EXPECT_TRUE(statement.step().value());
  auto value = statement.text(0);
  statement.reset();
  return value;
}

constexpr std::string_view kTables = "SELECT group_concat(name) FROM (SELECT name FROM sqlite_master ORDER BY name)";
constexpr std::string_view kVersion = "PRAGMA user_version";

TEST(Migrate, RunsWhatIsMissingOnce) {
  const testing::TempFolder folder;
  auto database = Database::open(folder.path() + "/x.db", OpenMode::kWriter).value();
  ASSERT_TRUE(migrate(database, std::vector{kFirst}));
  EXPECT_EQ(read(database, kVersion), "1");
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(migrate(database, std::vector{kFirst, kSecond}));
    EXPECT_EQ(read(database, kTables), "a,b,c");
    EXPECT_EQ(read(database, kVersion), "2");
  }
}

TEST(Migrate, AFailureLeavesTheSchemaOfTheMigrationBefore) {
  const testing::TempFolder folder;
  const std::string path = folder.path() + "/x.db";
  {
    auto database = Database::open(path, OpenMode::kWriter).value();
    const auto failed = migrate(database, std::vector{kFirst, kBroken});
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::kInternal);
    EXPECT_THAT(failed.error().message, HasSubstr("0002_broken"));
  }
  auto database = Database::open(path, OpenMode::kWriter).value();
  EXPECT_EQ(read(database, kTables), "a,b");
  EXPECT_EQ(read(database, kVersion), "1");
  ASSERT_TRUE(migrate(database, std::vector{kFirst, kSecond}));
  EXPECT_EQ(read(database, kTables), "a,b,c");
}

TEST(Migrate, RefusesANewerSchemaAndSaysBothNumbers) {
  auto database = Database::open("", OpenMode::kInMemory).value();
  ASSERT_TRUE(database.execute("PRAGMA user_version=41"));
  const auto refused = migrate(database, std::vector{kFirst, kSecond});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message, HasSubstr("41"));
  EXPECT_THAT(refused.error().message, HasSubstr("up to 2"));
  EXPECT_THAT(refused.error().message, HasSubstr("newer Pixmill"));
}

TEST(Migrate, AFullDiskIsDiskFull) {
  auto database = Database::open("", OpenMode::kInMemory).value();
  ASSERT_TRUE(database.execute("PRAGMA max_page_count=2"));
  EXPECT_EQ(migrate(database, std::vector{kFirst, kSecond}).error().code, ErrorCode::kDiskFull);
}

TEST(Migrate, EmbeddedSqlArrivesByteByByte) {
  ASSERT_EQ(std::size(generated::k_test_migrations), 2u);
  EXPECT_EQ(generated::k_test_migrations[0].name, "0001_every_character");
  EXPECT_THAT(std::string(generated::k_test_migrations[0].sql),
              HasSubstr(R"(@PROJECT_NAME@ ${PROJECT_NAME} $<CONFIG> a;b;;c [x] [[y]] \n \\ \" "quoted" # $ENV{HOME})"));
  auto database = Database::open("", OpenMode::kInMemory).value();
  ASSERT_TRUE(migrate(database, generated::k_test_migrations));
  EXPECT_EQ(read(database, "SELECT text FROM at_signs WHERE id=7"), R"(@PROJECT_NAME@ ${PROJECT_NAME};[a]\;"#)");
}

TEST(MigrateDeathTest, AGapInTheNumbersAborts) {
  auto database = Database::open("", OpenMode::kInMemory).value();
  EXPECT_DEATH(static_cast<void>(migrate(database, std::vector{kSecond})), "check failed");
}

}  // namespace
}  // namespace pixmill::db
