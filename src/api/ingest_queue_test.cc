#include "api/ingest_queue.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/run_task.h"
#include "tests/support/scripted_store.h"
#include "tests/support/temp_folder.h"

namespace pixmill::api {
namespace {

namespace fs = std::filesystem;

class QuietQueue final : public jobs::Queue {
 public:
  void announce(const JobId&) override {}
  Task<void> wait(milliseconds) override { co_return; }
  void stop() override {}
};

class UnfinishedStore final : public testing::ScriptedStore {
 public:
  std::vector<jobs::Job> unfinished;
  Task<Result<std::vector<jobs::Job>>> unfinished_ingests() override { co_return unfinished; }
};

class IngestQueueTest : public ::testing::Test {
 protected:
  void make(IngestQueueOptions options) {
    queue_ = std::make_shared<IngestQueue>(
        io_.get_executor(), store_, ingest_, spool_, [this] { ++ended_; }, options);
  }
  JobId add(const std::string& name) {
    const JobId id{Uuid::random()};
    queue_->add(id, folder_.write(name, "url\nhttps://a.test/1.jpg\n"));
    return id;
  }
  // The loop's turns until `done`; bounded by the test's own timeout.
  template <class Predicate>
  void run_until(Predicate done) {
    io_.restart();
    const auto guard = asio::make_work_guard(io_);
    while (!done()) io_.run_one();
  }
  [[nodiscard]] bool exists(const std::string& name) const { return fs::exists(folder_.file(name)); }

  testing::TempFolder folder_;
  asio::io_context io_;
  UnfinishedStore store_;
  QuietQueue doorbell_;
  jobs::Ingest ingest_{io_.get_executor(), store_, doorbell_};
  BlockingThread thread_{"test"};
  UploadReceiver spool_{{.spool_folder = folder_.path()}, thread_};
  std::shared_ptr<IngestQueue> queue_;
  int ended_ = 0;
};

TEST_F(IngestQueueTest, RemovesTheTableOfAJobThatNeedsItNoMore) {
  make({});
  store_.on_job = [](const JobId&) -> Result<jobs::Job> {
    jobs::Job job;
    job.state = jobs::JobState::kRunning;
    return job;
  };
  add("a.csv");
  run_until([&] { return ended_ == 1; });
  EXPECT_FALSE(exists("a.csv"));
  store_.on_job = [](const JobId&) -> Result<jobs::Job> { return fail(ErrorCode::kNotFound, "gone"); };
  add("b.csv");
  run_until([&] { return ended_ == 2; });
  EXPECT_FALSE(exists("b.csv"));
}

TEST_F(IngestQueueTest, TriesAgainWhileTheStoreIsAwayAndKeepsTheTable) {
  make({.retry_pause = milliseconds(1)});
  int asked = 0;
  store_.on_job = [&](const JobId&) -> Result<jobs::Job> {
    ++asked;
    return fail(ErrorCode::kUnavailable, "away");
  };
  add("a.csv");
  add("b.csv");
  run_until([&] { return asked >= 10; });
  EXPECT_TRUE(exists("a.csv"));
  testing::run_task(io_, queue_->stop());
  EXPECT_TRUE(exists("a.csv"));
  EXPECT_TRUE(exists("b.csv"));
  EXPECT_EQ(ended_, 0);
  EXPECT_FALSE(queue_->has_room());
}

TEST_F(IngestQueueTest, ReadsSoManyAtOnceAndTurnsAwayWhenTooManyWait) {
  make({.at_once = 1, .waiting_max = 2, .retry_pause = milliseconds(3'600'000)});
  std::vector<JobId> asked;
  store_.on_job = [&](const JobId& id) -> Result<jobs::Job> {
    asked.push_back(id);
    return fail(ErrorCode::kUnavailable, "away");
  };
  const auto first = add("a.csv");
  add("b.csv");
  EXPECT_TRUE(queue_->has_room());
  add("c.csv");
  EXPECT_FALSE(queue_->has_room());
  run_until([&] { return !asked.empty(); });
  EXPECT_EQ(asked, std::vector<JobId>{first});
  testing::run_task(io_, queue_->stop());
  EXPECT_EQ(asked.size(), 1U);
}

TEST_F(IngestQueueTest, FindsWhatWasLeftUnfinished) {
  make({});
  jobs::Job job;
  job.id = JobId{Uuid::random()};
  job.source_path = folder_.write("left.csv", "url\n");
  store_.unfinished = {job};
  store_.on_job = [&](const JobId&) -> Result<jobs::Job> { return job; };
  const auto paths = testing::run_task(io_, queue_->resume());
  ASSERT_TRUE(paths);
  EXPECT_EQ(*paths, std::vector<std::string>{job.source_path});
  run_until([&] { return ended_ == 1; });
}

}  // namespace
}  // namespace pixmill::api
