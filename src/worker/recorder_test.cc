#include "worker/recorder.h"

#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>
#include <map>
#include <optional>
#include <variant>
#include <vector>

#include "tests/support/run_task.h"
#include "tests/support/scripted_store.h"

namespace pixmill::worker {
namespace {

jobs::ItemOutcome outcome(std::uint64_t item) {
  return {.lease = {.job_no = 1, .item = item, .token = 1}, .result = jobs::ItemSuccess{}, .times = {}};
}

class RecorderTest : public ::testing::Test {
 protected:
  RecorderTest() {
    store_.on_finish = [this](const auto& outcomes) -> Result<jobs::FinishReport> {
      sizes_.push_back(outcomes.size());
      return jobs::FinishReport{.recorded = outcomes.size(), .fenced = {}, .jobs_finished = {}};
    };
  }
  Recorder::Callbacks count() {
    return {.on_recorded = [this](const auto& outcomes, const auto&) { recorded_ += outcomes.size(); },
            .on_trouble = [this](const Error& error) { troubles_.push_back(error.code); },
            .on_broken = [this](const Error& error) { broken_ = error.code; }};
  }
  asio::io_context io_;
  Metrics metrics_;
  testing::ScriptedStore store_;
  std::vector<std::size_t> sizes_;
  std::size_t recorded_ = 0;
  std::vector<ErrorCode> troubles_;
  std::optional<ErrorCode> broken_;
};

TEST_F(RecorderTest, WritesWhatCameTogetherInBatchesOf64) {
  Recorder recorder(io_.get_executor(), store_, metrics_, count());
  for (std::uint64_t item = 1; item <= 150; ++item) recorder.add(outcome(item));
  recorder.stop();
  testing::run_task(io_, recorder.run());
  EXPECT_EQ(sizes_, (std::vector<std::size_t>{64, 64, 22}));
  EXPECT_EQ(recorded_, 150u);
}

TEST_F(RecorderTest, LoneOutcomeDoesNotWaitForOthers) {
  auto callbacks = count();
  Recorder* ours = nullptr;
  callbacks.on_recorded = [&](const auto&, const auto&) {
    ++recorded_;
    ours->stop();
  };
  Recorder recorder(io_.get_executor(), store_, metrics_, std::move(callbacks));
  ours = &recorder;
  recorder.add(outcome(1));
  testing::run_task(io_, recorder.run());
  EXPECT_EQ(recorded_, 1u);
}

TEST_F(RecorderTest, FullDiskLosesNothing) {
  int refusals = 1;
  store_.on_finish = [&](const auto& outcomes) -> Result<jobs::FinishReport> {
    if (refusals-- > 0) return fail(ErrorCode::kDiskFull, "no space left");
    return jobs::FinishReport{.recorded = outcomes.size(), .fenced = {}, .jobs_finished = {}};
  };
  Recorder recorder(io_.get_executor(), store_, metrics_, count());
  recorder.add(outcome(1));
  recorder.stop();
  testing::run_task(io_, recorder.run());
  EXPECT_EQ(recorded_, 1u);
  EXPECT_LT(refusals, 0);
  EXPECT_EQ(troubles_, std::vector<ErrorCode>{ErrorCode::kDiskFull});
}

TEST_F(RecorderTest, OutcomeTheStoreCannotTakeHoldsUpNoOther) {
  std::map<std::uint64_t, bool> succeeded;
  store_.on_finish = [&](const auto& outcomes) -> Result<jobs::FinishReport> {
    for (const auto& outcome : outcomes) {
      const bool success = std::holds_alternative<jobs::ItemSuccess>(outcome.result);
      if (outcome.lease.item == 2 && success) return fail(ErrorCode::kInternal, "a broken constraint");
    }
    for (const auto& outcome : outcomes) {
      succeeded[outcome.lease.item] = std::holds_alternative<jobs::ItemSuccess>(outcome.result);
    }
    return jobs::FinishReport{.recorded = outcomes.size(), .fenced = {}, .jobs_finished = {}};
  };
  Recorder recorder(io_.get_executor(), store_, metrics_, count());
  for (std::uint64_t item = 1; item <= 3; ++item) recorder.add(outcome(item));
  recorder.stop();
  testing::run_task(io_, recorder.run());
  EXPECT_EQ(succeeded, (std::map<std::uint64_t, bool>{{1, true}, {2, false}, {3, true}}));
  EXPECT_EQ(recorded_, 3u);
  EXPECT_FALSE(broken_.has_value());
}

TEST_F(RecorderTest, StoreThatTakesNothingIsSaidToBeBroken) {
  store_.on_finish = [](const auto&) -> Result<jobs::FinishReport> {
    return fail(ErrorCode::kInternal, "no such table");
  };
  Recorder recorder(io_.get_executor(), store_, metrics_, count());
  recorder.add(outcome(1));
  testing::run_task(io_, recorder.run());
  EXPECT_EQ(broken_, ErrorCode::kInternal);
  EXPECT_EQ(recorded_, 0u);
}

TEST_F(RecorderTest, GiveUpEndsAnEndlessRefusal) {
  Recorder recorder(io_.get_executor(), store_, metrics_, count());
  store_.on_finish = [&](const auto&) -> Result<jobs::FinishReport> {
    recorder.give_up();
    return fail(ErrorCode::kIo, "broken");
  };
  recorder.add(outcome(1));
  testing::run_task(io_, recorder.run());
  EXPECT_EQ(recorded_, 0u);
}

TEST_F(RecorderTest, FencedWritesAreCounted) {
  store_.on_finish = [](const auto& outcomes) -> Result<jobs::FinishReport> {
    return jobs::FinishReport{.recorded = 0, .fenced = {outcomes.front().lease}, .jobs_finished = {}};
  };
  Recorder recorder(io_.get_executor(), store_, metrics_, count());
  recorder.add(outcome(1));
  recorder.stop();
  testing::run_task(io_, recorder.run());
  EXPECT_NE(metrics_.expose().find("pixmill_fenced_writes_total 1"), std::string::npos);
}

}  // namespace
}  // namespace pixmill::worker
