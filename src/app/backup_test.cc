#include "app/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "base/time.h"
#include "db/sqlite.h"
#include "jobs/sqlite_backup.h"
#include "jobs/sqlite_store.h"
#include "tests/support/temp_folder.h"

namespace pixmill::app {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A data folder with two results, one of them lost, an upload still to be read and one that was.
class Backup : public ::testing::Test {
 protected:
  Backup() {
    fs::create_directory(data_);
    EXPECT_TRUE(jobs::open_sqlite_store(
        clock_, {.path = data_ + "/pixmill.db", .master_key = std::string(32, 'k'), .event_body = {}}));
    auto writer = db::Database::open(data_ + "/pixmill.db", db::OpenMode::kWriter);
    EXPECT_TRUE(
        writer->execute("INSERT INTO outputs VALUES (1, 1, 0, '', 'a/b/1.jpg', 1, 10, 1, 1, 'jpeg', 50, '', ''), "
                        "(1, 2, 0, '', 'a/b/2.jpg', 2, 20, 1, 1, 'jpeg', 50, '', '')"));
    EXPECT_TRUE(writer->execute(
        "INSERT INTO jobs (id, state, origin, name, recipe, webhook_url, name_template, blob_prefix, source_path, "
        "source_digest, url_column, invalid_rows, created_at, recipe_name, overrides) VALUES ('job', 'ingesting', "
        "'api', "
        "'n', 'r', '', '', '', '" +
        data_ + "/spool/wanted', '', '', 'reject', 0, '', 0)"));
    folder_.write("data/files/a/b/1.jpg", "ten bytes!");
    folder_.write("data/files/a/b/stray.jpg", "nobody names it");
    folder_.write("data/spool/wanted", "url\nhttp://a/");
    folder_.write("data/spool/read", "url\n");
    folder_.write("data/watermarks/abc", "mark");
    folder_.write("data/master.key", "key");
  }

  testing::TempFolder folder_;
  SystemClock clock_;
  std::string data_ = folder_.file("data");
  std::string copy_ = folder_.file("backups/today");
};

TEST_F(Backup, HoldsWhatTheDatabaseNamesAndComesBackElsewhere) {
  const auto made = back_up(data_, copy_, {});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->files, 1U);
  EXPECT_EQ(made->linked, 1U);
  EXPECT_EQ(made->bytes, 10U);
  EXPECT_EQ(made->missing, 1U);
  EXPECT_FALSE(fs::exists(copy_ + "/spool/read"));
  EXPECT_FALSE(fs::exists(copy_ + "/files/a/b/stray.jpg"));

  const std::string again = folder_.file("again");
  const auto restored = restore(copy_, again, {});
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(folder_.read("again/files/a/b/1.jpg"), "ten bytes!");
  EXPECT_EQ(folder_.read("again/watermarks/abc"), "mark");
  EXPECT_EQ(folder_.read("again/spool/wanted"), "url\nhttp://a/");
  EXPECT_EQ(folder_.read("again/master.key"), "key");
  struct stat key {};
  ASSERT_EQ(::stat((again + "/master.key").c_str(), &key), 0);
  EXPECT_EQ(key.st_mode & 0777U, 0600U);
  EXPECT_THAT(*jobs::unread_tables(again + "/pixmill.db"), ElementsAre(again + "/spool/wanted"));
  EXPECT_TRUE(jobs::open_sqlite_store(
      clock_, {.path = again + "/pixmill.db", .master_key = std::string(32, 'k'), .event_body = {}}));
}

TEST_F(Backup, MayLeaveOutTheResults) {
  const auto made = back_up(data_, copy_, {.with_results = false, .on_progress = {}});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->files + made->missing, 0U);
  EXPECT_FALSE(fs::exists(copy_ + "/files"));
}

TEST_F(Backup, OverwritesNothing) {
  folder_.write("backups/today/precious", "x");
  const auto refused = back_up(data_, copy_, {});
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_THAT(refused.error().message, HasSubstr("today is not empty"));
  ASSERT_TRUE(back_up(data_, folder_.file("backups/other"), {}));
  EXPECT_EQ(restore(folder_.file("backups/other"), data_, {}).error().code, ErrorCode::kConflict);
  EXPECT_EQ(folder_.read("backups/today/precious"), "x");
}

TEST_F(Backup, LeavesNothingBehindWhenItFails) {
  EXPECT_EQ(back_up(folder_.file("none"), copy_, {}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(restore(folder_.file("none"), folder_.file("again"), {}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(back_up(data_, folder_.file("data/master.key/below"), {}).error().code, ErrorCode::kIo);
  EXPECT_FALSE(fs::exists(copy_));
  EXPECT_FALSE(fs::exists(copy_ + ".unfinished"));
  EXPECT_FALSE(fs::exists(folder_.file("again.unfinished")));
}

}  // namespace
}  // namespace pixmill::app
