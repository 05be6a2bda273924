#include "fetch/host_limits.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <deque>

#include "tests/support/run_task.h"

namespace pixmill::fetch {
namespace {

using testing::run_task;
using Turn = HostLimits::Turn;

constexpr milliseconds kPatient = std::chrono::hours(1);
constexpr milliseconds kImpatient{20};

class HostLimitsTest : public ::testing::Test {
 protected:
  HostLimits& limits(HostLimitOptions options = {}) {
    if (!limits_) limits_ = std::make_unique<HostLimits>(io_.get_executor(), options);
    return *limits_;
  }
  Result<Turn> take(const std::string& origin, milliseconds patience = kPatient) {
    return run_task(io_, limits().take(origin, patience));
  }
  // Asks for a turn; when it comes it is put into `turns_`.
  void ask(const std::string& origin, milliseconds patience = kPatient) {
    asio::co_spawn(io_, limits().take(origin, patience), [this, origin](const std::exception_ptr&, Result<Turn> turn) {
      if (turn) {
        turns_.push_back(std::move(*turn));
        order_.push_back(origin);
      } else {
        errors_.push_back(turn.error());
      }
    });
    run_ready();
  }
  void run_ready() {
    io_.restart();
    io_.poll();
  }
  void answer_oldest() {
    turns_.front().answered();
    turns_.pop_front();
    run_ready();
  }
  void run_until_errors(std::size_t count) {
    io_.restart();
    while (errors_.size() < count && io_.run_one() > 0) {
    }
  }

  asio::io_context io_;
  std::unique_ptr<HostLimits> limits_;
  std::deque<Turn> turns_;
  std::vector<std::string> order_;
  std::vector<Error> errors_;
};

TEST_F(HostLimitsTest, BeginsWithFourAndDoublesWithEveryRoundOfAnswers) {
  limits({.per_host = 20, .requests_per_second = std::nullopt});
  for (int i = 0; i < 100; ++i) ask("http://a.test");
  EXPECT_EQ(turns_.size(), 4u);
  for (int i = 0; i < 3; ++i) answer_oldest();
  EXPECT_EQ(turns_.size(), 4u);
  answer_oldest();
  EXPECT_EQ(turns_.size(), 8u);
  for (int i = 0; i < 8; ++i) answer_oldest();
  EXPECT_EQ(turns_.size(), 16u);
  for (int i = 0; i < 16; ++i) answer_oldest();
  EXPECT_EQ(turns_.size(), 20u) << "no more than per_host";
  for (int i = 0; i < 20; ++i) answer_oldest();
  EXPECT_EQ(turns_.size(), 20u);
}

TEST_F(HostLimitsTest, DoesNotRampUpForAHostThatDoesNotAnswer) {
  for (int i = 0; i < 50; ++i) ask("http://a.test");
  for (int i = 0; i < 10; ++i) {
    turns_.pop_front();  // given back without a word
    run_ready();
  }
  EXPECT_EQ(turns_.size(), 4u);
  for (int i = 0; i < 4; ++i) answer_oldest();
  EXPECT_EQ(turns_.size(), 8u);
  for (int i = 0; i < 8; ++i) {
    turns_.front().failed();
    turns_.pop_front();
    run_ready();
  }
  EXPECT_EQ(turns_.size(), 4u) << "half as many at once, and no fewer than in the first round";
}

TEST_F(HostLimitsTest, HonoursSmallLimits) {
  limits({.per_host = 1, .requests_per_second = std::nullopt});
  for (int i = 0; i < 5; ++i) ask("http://a.test");
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(turns_.size(), 1u);
    answer_oldest();
  }
  EXPECT_TRUE(turns_.empty());
}

TEST_F(HostLimitsTest, ServesInOrderAndHostsApart) {
  limits({.per_host = 1, .requests_per_second = std::nullopt});
  ask("http://a.test");
  ask("http://a.test");
  ask("http://b.test");
  EXPECT_EQ(order_, (std::vector<std::string>{"http://a.test", "http://b.test"})) << "a full host delays no other";
}

TEST_F(HostLimitsTest, GivesUpWhenPatienceEnds) {
  limits({.per_host = 1, .requests_per_second = std::nullopt});
  ask("http://a.test");
  const auto late = take("http://a.test", kImpatient);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kTimeout);
  EXPECT_FALSE(late.error().retry_after);
  EXPECT_FALSE(limits().busiest()) << "who gave up does not wait";
  turns_.clear();
  EXPECT_TRUE(take("http://a.test", kImpatient));
}

TEST_F(HostLimitsTest, ClosesAHostForEveryone) {
  limits().back_off("http://a.test", {.pause = milliseconds(250)});
  ask("http://a.test");
  ask("http://b.test");
  EXPECT_EQ(order_, std::vector<std::string>{"http://b.test"});
  io_.restart();
  while (turns_.size() < 2 && io_.run_one() > 0) {
  }
  EXPECT_EQ(order_.back(), "http://a.test") << "it opens by itself";
}

TEST_F(HostLimitsTest, SaysAtOnceWhenAHostIsClosedForLonger) {
  limits().back_off("http://a.test", {.pause = seconds(50)});
  const auto closed = take("http://a.test", milliseconds(10'000));
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, ErrorCode::kTimeout);
  ASSERT_TRUE(closed.error().retry_after);
  EXPECT_GT(*closed.error().retry_after, seconds(40));
  EXPECT_LE(*closed.error().retry_after, seconds(50));
}

TEST_F(HostLimitsTest, ClosesAHostForAMinuteAtTheMostWhateverOneAnswerAsksFor) {
  for (const auto pause : {std::chrono::minutes(2), std::chrono::minutes(60)}) {
    limits().back_off("http://a.test", {.http_status = 429, .pause = pause});
    const auto closed = take("http://a.test", kImpatient);
    ASSERT_FALSE(closed);
    EXPECT_EQ(closed.error().code, ErrorCode::kTimeout);
    EXPECT_LE(closed.error().retry_after, HostLimits::kPauseMax);
  }
}

TEST_F(HostLimitsTest, P16SaysWhatTheHostSaysOnceItRefusesEveryRound) {
  limits({.per_host = 1, .requests_per_second = std::nullopt});
  for (int round = 1; round < HostLimits::kRoundsInVain; ++round) limits().back_off("http://a.test", {.pause = {}});
  ask("http://a.test");
  EXPECT_EQ(take("http://a.test", kImpatient).error().code, ErrorCode::kTimeout) << "it may still change its mind";
  limits().back_off("http://a.test", {.http_status = 429, .pause = std::chrono::minutes(60)});
  const auto refused = take("http://a.test", kImpatient);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kHttpTransient);
  EXPECT_EQ(code_text(refused.error()), "http_429");
  EXPECT_EQ(refused.error().message, "http://a.test answers every request with status 429");
  EXPECT_GT(refused.error().retry_after, seconds(3'590)) << "as long as the host itself asks for";
  answer_oldest();
  EXPECT_EQ(take("http://a.test", kImpatient).error().code, ErrorCode::kTimeout) << "one answer, and it counts anew";
}

TEST_F(HostLimitsTest, AllowsHalfAsManyAfterBackingOff) {
  for (int i = 0; i < 4; ++i) ask("http://a.test");
  for (int i = 0; i < 3; ++i)
    limits().back_off("http://a.test", {.pause = milliseconds(1)});  // one round says it several times
  turns_.clear();
  run_task(io_, pause_for(milliseconds(5)));
  for (int i = 0; i < 4; ++i) ask("http://a.test");
  EXPECT_EQ(turns_.size(), 2u);
}

TEST_F(HostLimitsTest, SpacesRequestsByRate) {
  limits({.per_host = 16, .requests_per_second = 100});
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 4; ++i) ask("http://a.test");
  EXPECT_EQ(turns_.size(), 1u);
  io_.restart();
  while (turns_.size() < 4 && io_.run_one() > 0) {
  }
  EXPECT_GE(std::chrono::steady_clock::now() - began, milliseconds(30));
}

TEST_F(HostLimitsTest, ReportsWhereRequestsWait) {
  EXPECT_FALSE(limits().busiest());
  for (int i = 0; i < 5; ++i) ask("http://a.test");
  for (int i = 0; i < 7; ++i) ask("http://b.test");
  const auto busiest = limits().busiest();
  ASSERT_TRUE(busiest);
  EXPECT_EQ(busiest->origin, "http://b.test");
  EXPECT_EQ(busiest->waiting, 3u);
  EXPECT_EQ(busiest->running, 4u);
  limits().stop();
  run_ready();
}

TEST_F(HostLimitsTest, StopsEveryoneWhoWaits) {
  for (int i = 0; i < 6; ++i) ask("http://a.test");
  limits().stop();
  run_until_errors(2);
  ASSERT_EQ(errors_.size(), 2u);
  for (const auto& error : errors_) EXPECT_EQ(error.code, ErrorCode::kCancelled);
  EXPECT_EQ(take("http://a.test").error().code, ErrorCode::kCancelled);
  turns_.clear();  // giving back after the stop hands no turn on
  run_ready();
  EXPECT_EQ(order_.size(), 4u);
}

TEST_F(HostLimitsTest, LosesNoTurnWhenAWaiterIsCancelled) {
  limits({.per_host = 1, .requests_per_second = std::nullopt});
  ask("http://a.test");
  asio::cancellation_signal signal;
  asio::co_spawn(
      io_, limits().take("http://a.test", kPatient),
      asio::bind_cancellation_slot(signal.slot(), [this](const std::exception_ptr&, const Result<Turn>& turn) {
        if (!turn) errors_.push_back(turn.error());
      }));
  run_ready();
  ask("http://a.test");
  signal.emit(asio::cancellation_type::terminal);
  run_ready();
  ASSERT_EQ(errors_.size(), 1u);
  EXPECT_EQ(errors_[0].code, ErrorCode::kCancelled);
  answer_oldest();
  EXPECT_EQ(turns_.size(), 1u) << "the one behind it is served";
}

TEST_F(HostLimitsTest, GivesBackATurnThatCameTooLateToBeTaken) {
  limits({.per_host = 1, .requests_per_second = std::nullopt});
  ask("http://a.test");
  asio::cancellation_signal signal;
  asio::co_spawn(io_, limits().take("http://a.test", kPatient),
                 asio::bind_cancellation_slot(signal.slot(), [](const std::exception_ptr&, const Result<Turn>&) {}));
  run_ready();
  turns_.clear();                                  // grants the turn …
  signal.emit(asio::cancellation_type::terminal);  // … before the coroutine could notice
  run_ready();
  EXPECT_TRUE(take("http://a.test", kImpatient));
}

TEST_F(HostLimitsTest, ForgetsIdleHostsBeyondItsBound) {
  limits({.per_host = 2, .requests_per_second = std::nullopt, .hosts_max = 3});
  limits().back_off("http://closed.test", {.pause = std::chrono::minutes(1)});
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(take("http://h" + std::to_string(i) + ".test"));
  EXPECT_TRUE(take("http://closed.test", kImpatient)) << "the longest idle host was forgotten, and that it was closed";
  ask("http://busy.test");
  ask("http://busy.test");
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(take("http://h" + std::to_string(i) + ".test"));
  EXPECT_FALSE(take("http://busy.test", kImpatient)) << "a busy one never is";
}

TEST_F(HostLimitsTest, LetsTurnsOutliveIt) {
  Turn turn = take("http://a.test").value();
  ask("http://a.test");
  limits_.reset();
  turn.answered();
  turn = Turn();
  turns_.clear();
}

}  // namespace
}  // namespace pixmill::fetch
