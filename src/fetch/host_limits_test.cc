#include "fetch/host_limits.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <deque>

#include "fetch/host_pace.h"
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
  for (int round = 1; round < HostLimits::kRoundsInVain; ++round)
    limits().back_off("http://a.test", {.pause = milliseconds(0)});
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

// The limits' own clock stands still until the test moves it; their timers do not.
class HostLimitsTime : public HostLimitsTest {
 protected:
  HostLimitOptions with_clock(HostLimitOptions options = {}) {
    options.now = [this] { return now_; };
    return options;
  }
  // Takes a turn and fails in it after `lasting`.
  void fail_once(const std::string& origin, milliseconds lasting) {
    auto turn = take(origin);
    ASSERT_TRUE(turn);
    now_ += lasting;
    turn->failed();
  }
  std::chrono::steady_clock::time_point now_ = std::chrono::steady_clock::now();
};

TEST_F(HostLimitsTime, P27SendsAwayAtOnceWhoCannotBeServedInTime) {
  limits(with_clock());
  for (int i = 0; i < 4; ++i) ask("http://slow.test");
  now_ += seconds(6);
  ask("http://slow.test", seconds(20));
  EXPECT_TRUE(errors_.empty()) << "six seconds at least, which it has";
  const auto sent_away = take("http://slow.test", seconds(5));
  ASSERT_FALSE(sent_away);
  EXPECT_EQ(sent_away.error().code, ErrorCode::kTimeout);
  ASSERT_TRUE(sent_away.error().retry_after);
  EXPECT_GE(*sent_away.error().retry_after, seconds(5));
  const auto next = take("http://slow.test", seconds(5));
  EXPECT_GT(next.error().retry_after, sent_away.error().retry_after) << "one after another, as the host takes them";
  EXPECT_TRUE(take("http://other.test", seconds(5)));
  limits().stop();
  run_ready();
}

TEST_F(HostLimitsTime, P27SendsAwayThoseWhoWaitWhenTheHostTurnsOutToBeSlow) {
  auto options = with_clock();
  options.review_every = milliseconds(1);
  limits(options);
  for (int i = 0; i < 44; ++i) ask("http://slow.test", seconds(20));
  EXPECT_TRUE(errors_.empty());
  now_ += seconds(5);  // of the first four none has ended: forty cannot be served in the twenty seconds that they wait
  run_until_errors(28);
  EXPECT_EQ(limits().busiest()->waiting, 12u) << "three rounds in the fifteen seconds that are left";
  limits().stop();
  run_ready();
}

TEST_F(HostLimitsTime, SendsAwayNoMoreThanTheDatabaseBears) {
  limits(with_clock());
  for (int i = 0; i < 4; ++i) ask("http://slow.test");
  now_ += seconds(50);
  for (int i = 0; i < 2'000; ++i) ask("http://slow.test", seconds(20));
  EXPECT_EQ(errors_.size(), 512u);
  now_ += seconds(1);
  for (int i = 0; i < 2'000; ++i) ask("http://slow.test", seconds(20));
  EXPECT_EQ(errors_.size(), 512u + 32u);
  limits().stop();
  run_ready();
}

TEST_F(HostLimitsTime, P16FailsAtOnceAtAHostThatHasGoneSilentAndTriesOneAtATime) {
  limits(with_clock());
  for (std::uint32_t i = 0; i < HostPace::kFailuresInVain; ++i) fail_once("http://dead.test", seconds(10));
  const auto probe = take("http://dead.test", seconds(20));
  ASSERT_TRUE(probe) << "one tries";
  const auto refused = take("http://dead.test", seconds(20));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConnect) << "it counts as an attempt";
  EXPECT_EQ(refused.error().retry_after, seconds(5));
  EXPECT_TRUE(limits().table(1).at(0).is_silent);
  EXPECT_EQ(limits().totals().silent, 1u);
}

TEST_F(HostLimitsTime, GoesOnAsBeforeWhenASilentHostAnswersAgain) {
  limits(with_clock());
  for (std::uint32_t i = 0; i < HostPace::kFailuresInVain; ++i) fail_once("http://dead.test", seconds(10));
  {
    auto probe = take("http://dead.test");
    ASSERT_TRUE(probe);
    probe->answered(milliseconds(20));
  }
  std::vector<Result<Turn>> turns;
  for (int i = 0; i < 4; ++i) turns.push_back(take("http://dead.test", kImpatient));
  for (const auto& turn : turns) EXPECT_TRUE(turn);
}

TEST_F(HostLimitsTime, AHostThatFailsFastHoldsNobodyUp) {
  limits(with_clock());
  for (std::uint32_t i = 0; i < 2 * HostPace::kFailuresInVain; ++i) fail_once("http://refuses.test", milliseconds(2));
  std::vector<Result<Turn>> turns;
  for (int i = 0; i < 4; ++i) turns.push_back(take("http://refuses.test", kImpatient));
  for (const auto& turn : turns) EXPECT_TRUE(turn);
}

TEST_F(HostLimitsTime, ShowsTheHostsWithMostToDoFirst) {
  Metrics metrics;
  auto options = with_clock();
  options.metrics = &metrics;
  limits(options);
  EXPECT_TRUE(limits().table(10).empty());
  ask("http://calm.test");
  for (int i = 0; i < 6; ++i) ask("http://busy.test");
  limits().back_off("http://closed.test", {.http_status = 429, .pause = seconds(30)});
  auto table = limits().table(2);
  ASSERT_EQ(table.size(), 2u);
  EXPECT_EQ(table[0].origin, "http://busy.test");
  EXPECT_EQ(table[0].in_flight, 4u);
  EXPECT_EQ(table[0].waiting, 2u);
  EXPECT_EQ(table[0].limit, 4u);
  EXPECT_EQ(table[1].origin, "http://calm.test");
  table = limits().table(10);
  ASSERT_EQ(table.size(), 3u);
  EXPECT_EQ(table[2].closed_for, milliseconds(30'000));
  EXPECT_EQ(table[2].refused_status, 429);
  EXPECT_FALSE(table[2].rate);
  const auto totals = limits().totals();
  EXPECT_EQ(totals.hosts, 3u);
  EXPECT_EQ(totals.in_flight, 5u);
  EXPECT_EQ(totals.waiting, 2u);
  EXPECT_EQ(totals.backing_off, 1u);
  EXPECT_NE(metrics.expose().find("pixmill_host_refusals_total{status=\"429\"} 1"), std::string::npos);
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
