#include "api/ingest_queue.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/pipeline_fakes.h"
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
    IngestQueueParts parts{.store = store_, .ingest = ingest_, .spool = spool_, .on_ended = [this] { ++ended_; }};
    if (shares_tables_) parts.depot = &depot_;
    queue_ = std::make_shared<IngestQueue>(io_.get_executor(), std::move(parts), options);
  }
  JobId add(const std::string& name) {
    const JobId id{Uuid::random()};
    const auto path = folder_.write(name, "url\nhttps://a.test/1.jpg\n");
    queue_->add(id, path, path);
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
  testing::MemoryBlobs tables_;
  TableDepot depot_{tables_, folder_.path(), thread_};
  bool shares_tables_ = false;
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

TEST_F(IngestQueueTest, GoesOnWithWhatWasLeftUnfinished) {
  make({.look_every = milliseconds(1)});
  jobs::Job job;
  job.id = JobId{Uuid::random()};
  job.source_path = folder_.write("left.csv", "url\n");
  jobs::Job shared = job;
  shared.source_path = "shared:1/x.csv";
  store_.unfinished = {job, shared};
  const auto paths = testing::run_task(io_, queue_->spooled());
  ASSERT_TRUE(paths);
  EXPECT_EQ(*paths, std::vector<std::string>{job.source_path}) << "of the other there is no file here";
  int claims = 0;
  store_.on_claim_ingests = [&](std::uint32_t limit) -> Result<std::vector<jobs::TakenIngest>> {
    EXPECT_EQ(limit, 2U);
    std::vector<jobs::TakenIngest> taken;
    if (++claims == 3) taken.push_back({.job = job, .lease = {job.id, 5}});
    return taken;
  };
  store_.on_job = [&](const JobId&) -> Result<jobs::Job> { return job; };
  queue_->start();
  run_until([&] { return ended_ == 1; });
  EXPECT_EQ(claims, 3);
  EXPECT_FALSE(exists("left.csv"));
  testing::run_task(io_, queue_->stop());
}

TEST_F(IngestQueueTest, FetchesASharedTableAndRemovesItWhenItIsIn) {
  shares_tables_ = true;
  make({});
  jobs::Job job;
  job.id = JobId{Uuid::random()};
  const auto path = folder_.write("upload.csv", "url\n");
  job.source_path = testing::run_task(io_, depot_.put(job.id, path, "")).value();
  store_.on_claim_ingests = [&](std::uint32_t) -> Result<std::vector<jobs::TakenIngest>> {
    std::vector<jobs::TakenIngest> taken;
    taken.push_back({.job = job, .lease = {job.id, 3}});
    return taken;
  };
  std::string copy;
  store_.on_job = [&](const JobId&) -> Result<jobs::Job> {
    if (copy.empty() && exists(job.id.text() + "-3.csv")) copy = folder_.read(job.id.text() + "-3.csv");
    return job;
  };
  testing::run_task(io_, queue_->take_over());
  run_until([&] { return ended_ == 1; });
  EXPECT_EQ(copy, "url\n");
  EXPECT_FALSE(exists(job.id.text() + "-3.csv"));
  EXPECT_TRUE(tables_.blobs.empty());
}

TEST_F(IngestQueueTest, LeavesASharedTableToWhoeverReadsItNow) {
  shares_tables_ = true;
  make({});
  const JobId id{Uuid::random()};
  const auto path = folder_.write("upload.csv", "url\nhttps://a.test/1.jpg\n");
  const auto source_path = testing::run_task(io_, depot_.put(id, path, "")).value();
  int asked = 0;
  // Its first question is the reader's, the second is asked when that has ended.
  store_.on_job = [&](const JobId&) -> Result<jobs::Job> {
    if (++asked == 1) return fail(ErrorCode::kConflict, "another process reads the table by now");
    jobs::Job job;
    job.is_being_read = true;
    job.source_path = source_path;
    return job;
  };
  queue_->add(id, source_path, path);
  run_until([&] { return ended_ == 1; });
  EXPECT_FALSE(exists("upload.csv")) << "the copy was ours";
  EXPECT_EQ(tables_.blobs.size(), 1U);
}

TEST_F(IngestQueueTest, ReadsNothingIntoAJobOfAnotherTable) {
  shares_tables_ = true;
  make({});
  const JobId id{Uuid::random()};
  const auto path = folder_.write("upload.csv", "url\nhttps://a.test/1.jpg\n");
  const auto ours = testing::run_task(io_, depot_.put(id, path, "first")).value();
  const auto theirs = testing::run_task(io_, depot_.put(id, folder_.write("b.csv", "url\n"), "second")).value();
  // A later request with the same Idempotency-Key made the job: nobody knew whether the first had.
  store_.on_job = [&](const JobId&) -> Result<jobs::Job> {
    jobs::Job job;
    job.id = id;
    job.is_being_read = true;
    job.source_path = theirs;
    return job;
  };
  queue_->add(id, ours, path);
  run_until([&] { return ended_ == 1; });
  EXPECT_FALSE(exists("upload.csv"));
  EXPECT_EQ(tables_.blobs.size(), 1U) << "the other's";
  EXPECT_TRUE(testing::run_task(io_, depot_.fetch(theirs, 9)).has_value());
}

TEST_F(IngestQueueTest, LetsGoOfATableThatItCannotHave) {
  shares_tables_ = true;
  make({.look_every = milliseconds(1)});
  jobs::Job job;
  job.id = JobId{Uuid::random()};
  job.source_path = "shared:9/" + job.id.text() + ".csv";
  int claims = 0;
  int renewals = 0;
  store_.on_claim_ingests = [&](std::uint32_t) -> Result<std::vector<jobs::TakenIngest>> {
    std::vector<jobs::TakenIngest> taken;
    if (++claims % 2 == 1) taken.push_back({.job = job, .lease = {job.id, claims}});
    return taken;
  };
  store_.on_renew_ingests =
      [&](const std::vector<jobs::IngestLease>& leases) -> Result<std::vector<jobs::IngestLease>> {
    renewals += static_cast<int>(leases.size());
    return std::vector<jobs::IngestLease>{};
  };
  queue_->start();
  run_until([&] { return claims >= 6; });
  EXPECT_EQ(ended_, 0);
  testing::run_task(io_, queue_->stop());
}

TEST_F(IngestQueueTest, RenewsWhatItHoldsAndLetsGoOfWhatItLost) {
  make({.at_once = 1, .retry_pause = milliseconds(3'600'000), .look_every = milliseconds(1)});
  store_.on_job = [](const JobId&) -> Result<jobs::Job> { return fail(ErrorCode::kUnavailable, "away"); };
  const auto running = add("a.csv");
  const auto waiting = add("b.csv");
  std::vector<jobs::IngestLease> renewed;
  store_.on_renew_ingests =
      [&](const std::vector<jobs::IngestLease>& leases) -> Result<std::vector<jobs::IngestLease>> {
    renewed = leases;
    return std::vector<jobs::IngestLease>{};
  };
  queue_->start();
  run_until([&] { return renewed.size() == 2; });
  const std::vector<jobs::IngestLease> both{waiting, running};
  EXPECT_EQ(renewed, both);
  testing::run_task(io_, queue_->stop());
}

}  // namespace
}  // namespace pixmill::api
