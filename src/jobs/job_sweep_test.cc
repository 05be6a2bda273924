#include "jobs/job_sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "tests/support/upkeep_world.h"

namespace pixmill::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class JobSweep : public ::testing::Test {
 protected:
  // Ended, with a file for item 1 and none for item 2, which failed.
  JobId ended_job() {
    const auto id = world_.job_with(2);
    const auto items = world_.claim();
    world_.finish(world_.success(items[0]));
    world_.finish(world_.failure(items[1]));
    return id;
  }
  Swept sweep(const JobId& id) { return world_.must(sweep_job(world_.parts(), id, nullptr)); }

  // While the sweep stands still, on a loop of its own, as another process would.
  Result<Job> retry_beside(const JobId& id) {
    Result<Job> retried;
    std::thread([&] { retried = testing::run_task(beside_, world_.stores.jobs->retry(id, {})); }).join();
    return retried;
  }

  asio::io_context beside_;  // outlives the store, whose threads hold on to it
  testing::UpkeepWorld world_;
};

TEST_F(JobSweep, RemovesWhatNoRowNames) {
  const auto id = ended_job();
  world_.store(world_.key_of(id, "2.jpg"), "of an attempt that died");
  world_.store(world_.key_of(id, "folder/3.jpg"), "likewise");
  const auto found = world_.must(find_orphans(world_.parts(), id, nullptr));
  EXPECT_TRUE(found.looked);
  EXPECT_EQ(found.files, 3u);
  EXPECT_EQ(found.unnamed, 2u);
  EXPECT_EQ(found.removed, 0u);
  EXPECT_THAT(found.examples, ElementsAre(world_.key_of(id, "2.jpg"), world_.key_of(id, "folder/3.jpg")));
  EXPECT_EQ(sweep(id).removed, 2u);
  EXPECT_THAT(world_.keys(), ElementsAre(world_.key_of(id, "1.jpg")));
  EXPECT_EQ(sweep(id).unnamed, 0u);
}

TEST_F(JobSweep, LeavesJobsAloneThatHaveNotEnded) {
  const auto id = world_.job_with(2);
  const auto items = world_.claim();
  world_.success(items[0]);  // stored, and not yet recorded
  EXPECT_FALSE(sweep(id).looked);
  EXPECT_EQ(world_.keys().size(), 1u);
}

TEST_F(JobSweep, LeavesSharedFoldersAlone) {
  const auto id = world_.job_with(0, "images/");
  world_.store("images/holiday.jpg", "somebody's own");
  EXPECT_FALSE(sweep(id).looked);
  EXPECT_THAT(world_.keys(), ElementsAre("images/holiday.jpg"));
}

TEST_F(JobSweep, ARetryWhileFilesAreRemovedWaits) {
  const auto id = ended_job();
  world_.store(world_.key_of(id, "2.jpg"), "of an attempt that died");
  std::optional<ErrorCode> refused;
  world_.blobs->on_call = [&](const std::string& what, const std::string&) -> Result<void> {
    if (what != "remove") return {};
    const auto retried = retry_beside(id);
    if (!retried) refused = retried.error().code;
    return {};
  };
  EXPECT_EQ(sweep(id).removed, 1u);
  EXPECT_EQ(refused, ErrorCode::kUnavailable);
  world_.blobs->on_call = nullptr;
  world_.must(world_.stores.jobs->retry(id, {}));
  world_.work_off();
  EXPECT_EQ(sweep(id).unnamed, 0u);
  EXPECT_EQ(world_.keys().size(), 2u);
}

TEST_F(JobSweep, ARetryThatComesFirstKeepsTheFile) {
  const auto id = ended_job();
  world_.store(world_.key_of(id, "2.jpg"), "of an attempt that died");
  world_.blobs->on_call = [&](const std::string& what, const std::string&) -> Result<void> {
    if (what != "list") return {};
    EXPECT_TRUE(retry_beside(id).has_value());
    world_.blobs->on_call = nullptr;
    return {};
  };
  const auto swept = sweep(id);
  EXPECT_EQ(swept.unnamed, 1u);
  EXPECT_EQ(swept.removed, 0u);
  EXPECT_EQ(world_.keys().size(), 2u);
}

TEST_F(JobSweep, AStoreThatFailsLeavesNoFence) {
  const auto id = ended_job();
  world_.store(world_.key_of(id, "2.jpg"), "of an attempt that died");
  world_.blobs->on_call = [&](const std::string& what, const std::string&) -> Result<void> {
    if (what == "remove") return fail(ErrorCode::kStoreFailed, "the bucket is away");
    return {};
  };
  const auto failed = world_.run(sweep_job(world_.parts(), id, nullptr));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, ErrorCode::kStoreFailed);
  world_.blobs->on_call = nullptr;
  EXPECT_TRUE(world_.run(world_.stores.jobs->retry(id, {})).has_value());
}

TEST_F(JobSweep, StopsWhenItIsTold) {
  const auto id = ended_job();
  const auto stopped = world_.run(sweep_job(world_.parts(), id, [] { return true; }));
  ASSERT_FALSE(stopped.has_value());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  const auto missing = world_.run(sweep_job(world_.parts(), JobId{Uuid::random()}, nullptr));
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace pixmill::jobs
