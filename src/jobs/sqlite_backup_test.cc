#include "jobs/sqlite_backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "db/sqlite.h"
#include "jobs/sqlite_store.h"
#include "tests/conformance/store_fixture.h"
#include "tests/support/manual_clock.h"
#include "tests/support/run_task.h"
#include "tests/support/temp_folder.h"

namespace pixmill::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SqliteBackup : public ::testing::Test {
 protected:
  SqliteBackup() {
    auto opened = open_sqlite_store(
        clock_, {.path = path_, .master_key = std::string(32, 'k'), .event_body = conformance::test_event_body});
    PIXMILL_CHECK(opened.has_value());
    store_ = std::move(*opened);
  }

  JobId create(const std::string& table) {
    NewJob job;
    job.id = JobId{Uuid::random()};
    job.recipe = "format=jpeg";
    job.source_path = table;
    const auto id = job.id;
    EXPECT_TRUE(testing::run_task(io_, store_.jobs->create_job(std::move(job))));
    return id;
  }

  testing::TempFolder folder_;
  testing::ManualClock clock_;
  asio::io_context io_;
  std::string path_ = folder_.file("pixmill.db");
  decltype(open_sqlite_store(clock_, {}))::value_type store_;
};

TEST_F(SqliteBackup, CopiesWhatIsThereWhileTheStoreIsOpen) {
  create("/spool/one.csv");
  const std::string copy = folder_.file("copy.db");
  ASSERT_TRUE(copy_sqlite_store(path_, copy));
  create("/spool/two.csv");  // after the copy
  EXPECT_THAT(*unread_tables(copy), ElementsAre("/spool/one.csv"));
  EXPECT_THAT(*unread_tables(path_), ElementsAre("/spool/one.csv", "/spool/two.csv"));
  EXPECT_EQ(copy_sqlite_store(path_, copy).error().code, ErrorCode::kConflict);
}

TEST_F(SqliteBackup, MovesTablesThatAreStillToBeRead) {
  create("/spool/one.csv");
  const JobId read = create("/spool/read.csv");
  ASSERT_TRUE(testing::run_task(io_, store_.jobs->finish_ingest(read)));
  const std::string copy = folder_.file("copy.db");
  ASSERT_TRUE(copy_sqlite_store(path_, copy));
  ASSERT_TRUE(move_unread_tables(copy, "/elsewhere/spool"));
  EXPECT_THAT(*unread_tables(copy), ElementsAre("/elsewhere/spool/one.csv"));
  auto database = db::Database::open(copy, db::OpenMode::kReader);
  auto& other = database->prepare("SELECT source_path FROM jobs WHERE state <> 'ingesting'");
  ASSERT_TRUE(*other.step());
  EXPECT_EQ(other.text(0), "/spool/read.csv");  // nobody reads it again
}

TEST_F(SqliteBackup, NamesEveryStoredFile) {
  auto writer = db::Database::open(path_, db::OpenMode::kWriter);
  ASSERT_TRUE(
      writer->execute("INSERT INTO outputs VALUES (1, 1, 0, '', 'a/1.jpg', 1, 10, 1, 1, 'jpeg', 50, '', ''), "
                      "(1, 2, 0, '', 'a/2.jpg', 2, 20, 1, 1, 'jpeg', 50, '', '')"));
  std::vector<std::string> keys;
  std::uint64_t bytes = 0;
  ASSERT_TRUE(each_stored_file(path_, [&](const StoredFile& file) -> Result<void> {
    keys.push_back(file.key);
    bytes += file.bytes;
    return {};
  }));
  EXPECT_THAT(keys, ElementsAre("a/1.jpg", "a/2.jpg"));
  EXPECT_EQ(bytes, 30U);
  int calls = 0;
  const auto stopped = each_stored_file(path_, [&](const StoredFile&) -> Result<void> {
    ++calls;
    return fail(ErrorCode::kDiskFull, "full");
  });
  EXPECT_EQ(stopped.error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(calls, 1);
}

TEST_F(SqliteBackup, RefusesWhatIsNoStore) {
  EXPECT_EQ(unread_tables(folder_.file("none.db")).error().code, ErrorCode::kNotFound);
  const auto ignore = [](const StoredFile&) -> Result<void> { return {}; };
  EXPECT_EQ(each_stored_file(folder_.file("none.db"), ignore).error().code, ErrorCode::kNotFound);
  auto other = db::Database::open(folder_.file("other.db"), db::OpenMode::kWriter);
  ASSERT_TRUE(other->execute("CREATE TABLE things (name TEXT)"));
  EXPECT_EQ(copy_sqlite_store(folder_.file("other.db"), folder_.file("copy.db")).error().code, ErrorCode::kConflict);
  EXPECT_EQ(move_unread_tables(folder_.file("other.db"), "/x").error().code, ErrorCode::kConflict);
}

TEST_F(SqliteBackup, RefusesADamagedOne) {
  for (int i = 0; i < 200; ++i) create("/spool/" + std::string(200, 'x') + std::to_string(i));
  store_ = {};
  std::string bytes = folder_.read("pixmill.db");
  ASSERT_GT(bytes.size(), 40'000U);
  for (std::size_t at = 12'000; at < bytes.size() - 4'096; ++at) bytes[at] = static_cast<char>(at * 7);
  folder_.write("pixmill.db", bytes);
  const auto copied = copy_sqlite_store(path_, folder_.file("copy.db"));
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, ErrorCode::kIo) << copied.error().message;
}

}  // namespace
}  // namespace pixmill::jobs
