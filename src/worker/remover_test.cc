#include "worker/remover.h"

#include <gtest/gtest.h>

#include "tests/support/pipeline_fakes.h"
#include "tests/support/run_task.h"
#include "tests/support/scripted_store.h"

namespace pixmill::worker {
namespace {

class RemoverTest : public ::testing::Test {
 protected:
  RemoverTest() {
    removal_.job = JobId{Uuid::random()};
    removal_.blob_prefix = removal_.job.text() + "/";
    store_.on_expire = [](std::optional<milliseconds>) -> Result<std::uint64_t> { return 0; };
    store_.on_claim_idle_mark = [](milliseconds) -> Result<std::optional<std::string>> { return std::nullopt; };
    store_.on_claim_removal = [this]() -> Result<std::optional<jobs::Removal>> {
      if (claims_++ == 0) return removal_;
      return std::nullopt;
    };
    store_.on_renew_removal = [this](const jobs::Removal&) -> Result<bool> {
      ++renewals_;
      return true;
    };
    store_.on_remove_slice = [this](const jobs::Removal&) -> Result<jobs::RemovalStep> {
      blobs_at_first_slice_ = slices_ == 0 ? blobs_.blobs.size() : blobs_at_first_slice_;
      return ++slices_ < 3 ? jobs::RemovalStep::kMore : jobs::RemovalStep::kDone;
    };
    for (int i = 0; i < 1'201; ++i) blobs_.blobs[removal_.blob_prefix + std::to_string(i)] = "x";
    blobs_.blobs["another/0"] = "x";
  }
  Remover remover() {
    return {io_.get_executor(), {.store = store_, .blobs = blobs_, .marks = marks_, .metrics = metrics_}, options_};
  }
  void run_once() {
    auto one = remover();
    testing::run_task(io_, one.run_once());
  }

  asio::io_context io_;
  Metrics metrics_;
  testing::ScriptedStore store_;
  testing::MemoryBlobs blobs_;
  testing::MemoryBlobs marks_;
  RemoverOptions options_;
  jobs::Removal removal_;
  int claims_ = 0;
  int renewals_ = 0;
  int slices_ = 0;
  std::size_t blobs_at_first_slice_ = 0;
};

TEST_F(RemoverTest, RemovesTheFilesAndThenTheRows) {
  run_once();
  EXPECT_EQ(slices_, 3);
  EXPECT_EQ(blobs_at_first_slice_, 1u) << "rows go when the files are gone";
  EXPECT_EQ(blobs_.blobs.size(), 1u);
  EXPECT_EQ(renewals_, 7) << "once for each piece of files";
  EXPECT_EQ(claims_, 2) << "until there is no more";
  EXPECT_NE(metrics_.expose().find("pixmill_jobs_removed_total 1"), std::string::npos);
  EXPECT_NE(metrics_.expose().find("pixmill_files_removed_total 1201"), std::string::npos);
}

TEST_F(RemoverTest, LeavesFilesWhoseFolderIsNotTheJobsOwn) {
  removal_.blob_prefix = "another/";
  run_once();
  EXPECT_EQ(blobs_.blobs.size(), 1'202u);
  EXPECT_EQ(slices_, 3);
}

TEST_F(RemoverTest, StopsWhereAnotherProcessHasTakenOver) {
  store_.on_renew_removal = [](const jobs::Removal&) -> Result<bool> { return false; };
  run_once();
  EXPECT_EQ(slices_, 0);
  EXPECT_EQ(blobs_.blobs.size(), 1'002u);
}

TEST_F(RemoverTest, LosingTheLeaseAmongTheRowsIsNoEnd) {
  store_.on_remove_slice = [](const jobs::Removal&) -> Result<jobs::RemovalStep> { return jobs::RemovalStep::kLost; };
  run_once();
  EXPECT_EQ(metrics_.expose().find("pixmill_jobs_removed_total 1"), std::string::npos);
}

TEST_F(RemoverTest, WaitsForAStoreThatIsAway) {
  store_.on_remove_slice = [](const jobs::Removal&) -> Result<jobs::RemovalStep> {
    return fail(ErrorCode::kUnavailable, "away");
  };
  run_once();
  EXPECT_EQ(claims_, 2);
  store_.on_claim_removal = []() -> Result<std::optional<jobs::Removal>> {
    return fail(ErrorCode::kUnavailable, "away");
  };
  run_once();
}

TEST_F(RemoverTest, AsksNowAndThenWhatIsOver) {
  int asked = 0;
  options_.keep = std::chrono::hours(5);
  store_.on_expire = [&](std::optional<milliseconds> keep) -> Result<std::uint64_t> {
    EXPECT_EQ(keep, std::chrono::hours(5));
    return ++asked < 3 ? 100 : 0;
  };
  auto one = remover();
  testing::run_task(io_, one.run_once());
  EXPECT_EQ(asked, 3) << "until there is no more";
  testing::run_task(io_, one.run_once());
  EXPECT_EQ(asked, 3) << "not with every round";
  EXPECT_NE(metrics_.expose().find("pixmill_jobs_expired_total 200"), std::string::npos);
}

TEST_F(RemoverTest, RemovesWatermarksThatNothingNames) {
  marks_.blobs = {{"a", "x"}, {"b", "x"}, {"c", "x"}};
  std::vector<std::string> idle = {"a", "b"};
  std::vector<std::string> forgotten;
  store_.on_claim_idle_mark = [&](milliseconds since) -> Result<std::optional<std::string>> {
    EXPECT_EQ(since, std::chrono::hours(1));
    if (idle.empty()) return std::nullopt;
    const std::string digest = idle.back();
    idle.pop_back();
    return digest;
  };
  store_.on_forget_mark = [&](const std::string& digest) -> Result<void> {
    EXPECT_FALSE(marks_.blobs.contains(digest));
    forgotten.push_back(digest);
    return {};
  };
  run_once();
  EXPECT_EQ(forgotten, (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(marks_.blobs.size(), 1u);
  EXPECT_NE(metrics_.expose().find("pixmill_watermarks_removed_total 2"), std::string::npos);
}

TEST_F(RemoverTest, StartsAndStops) {
  options_.every = milliseconds(1);
  auto one = remover();
  one.start();
  const auto stop = [&]() -> Task<void> {
    while (claims_ < 4) {
      co_await pause_for(milliseconds(1));
      one.soon();
    }
    co_await one.stop();
  };
  testing::run_task(io_, stop());
  const int claims = claims_;
  io_.restart();
  io_.run();
  EXPECT_EQ(claims_, claims);
}

}  // namespace
}  // namespace pixmill::worker
