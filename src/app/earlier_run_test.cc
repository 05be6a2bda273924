#include "app/earlier_run.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/time.h"
#include "db/sqlite.h"
#include "jobs/sqlite_store.h"
#include "tests/support/run_task.h"
#include "tests/support/temp_folder.h"

namespace pixmill::app {
namespace {

namespace fs = std::filesystem;

jobs::Job job(jobs::JobState state, const std::string& prefix) {
  jobs::Job made;
  made.id = JobId{Uuid::random()};
  made.state = state;
  made.blob_prefix = prefix;
  return made;
}

TEST(EarlierRun, TheNewestThatEndedIsMeant) {
  using jobs::JobState;
  const std::vector<jobs::Job> all = {job(JobState::kRunning, "images/"), job(JobState::kCancelled, "images/"),
                                      job(JobState::kCompleted, "other/images/"),
                                      job(JobState::kCompletedWithErrors, "images/"),
                                      job(JobState::kCompleted, "images/")};
  EXPECT_EQ(choose_earlier(all, std::nullopt, "images/"), &all[3]);
  EXPECT_EQ(choose_earlier(all, std::nullopt, "third/images/"), &all[2]) << "a set may have got another name";
  EXPECT_EQ(choose_earlier(all, all[4].id, "images/"), &all[4]);
  EXPECT_EQ(choose_earlier(all, all[0].id, "images/"), nullptr);
  EXPECT_EQ(choose_earlier(all, JobId{Uuid::random()}, "images/"), nullptr);
  EXPECT_EQ(choose_earlier({all[0], all[1]}, std::nullopt, "images/"), nullptr);
}

class EarlierPlaceTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string path(const std::string& name) const { return folder_.path() + "/" + name; }
  static ErrorCode error_of(const std::string& since, const std::string& own) {
    const auto place = find_earlier_place(since, own);
    return place ? ErrorCode::kInternal : place.error().code;
  }

  testing::TempFolder folder_;
};

TEST_F(EarlierPlaceTest, ReadsTheJobsOfAnotherFolder) {
  fs::create_directory(path("out1"));
  SystemClock clock;
  jobs::NewJob made;
  made.id = JobId{Uuid::random()};
  made.blob_prefix = "images/";
  {
    asio::io_context io;
    auto stores = jobs::open_sqlite_store(
        clock, {.path = path("out1/.pixmill.db"), .master_key = std::string(32, 'k'), .event_body = {}});
    ASSERT_TRUE(stores);
    auto copy = made;
    ASSERT_TRUE(testing::run_task(io, stores->jobs->create_job(std::move(copy))));
  }
  const auto place = find_earlier_place(path("out1"), path("out2"));
  ASSERT_TRUE(place) << place.error().message;
  EXPECT_EQ(place->folder, fs::canonical(path("out1")));
  ASSERT_EQ(place->jobs.size(), 1u);
  EXPECT_EQ(place->jobs[0].id, made.id);
  EXPECT_FALSE(place->job);
}

TEST_F(EarlierPlaceTest, KnowsItsOwnFolderBySeveralNames) {
  fs::create_directory(path("out"));
  for (const auto& name : {path("out"), path("out/"), path("./out"), path("out/../out")}) {
    const auto place = find_earlier_place(name, path("out"));
    ASSERT_TRUE(place) << name;
    EXPECT_EQ(place->folder, "") << name;
  }
  const auto id = Uuid::random();
  const auto place = find_earlier_place(id.text(), path("out"));
  ASSERT_TRUE(place);
  EXPECT_EQ(place->job, JobId{id});
  EXPECT_EQ(place->folder, "");
}

TEST_F(EarlierPlaceTest, SaysWhatCannotBeComparedWith) {
  fs::create_directory(path("out"));
  EXPECT_EQ(error_of(path("none"), path("out")), ErrorCode::kNotFound);
  fs::create_directory(path("empty"));
  EXPECT_EQ(error_of(path("empty"), path("out")), ErrorCode::kNotFound);
  for (const auto* version : {"PRAGMA user_version=1", "PRAGMA user_version=99"}) {
    auto database = db::Database::open(path("empty/.pixmill.db"), db::OpenMode::kWriter);
    ASSERT_TRUE(database && database->execute("PRAGMA application_id=1347964236") && database->execute(version));
    EXPECT_EQ(error_of(path("empty"), path("out")), ErrorCode::kConflict) << version;
  }
}

}  // namespace
}  // namespace pixmill::app
