#include "fetch/host_pace.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/time.h"

namespace pixmill::fetch {
namespace {

// A clock that only the test moves.
class HostPaceTest : public ::testing::Test {
 protected:
  // One round: as many requests as are allowed at once, answered after `latency`.
  static void round(HostPace& pace, HostPace::Instant& now, milliseconds latency) {
    const auto count = pace.limit();
    std::vector<std::uint64_t> tickets;
    for (std::uint32_t i = 0; i < count; ++i) pace.started(now);
    now += latency;
    for (std::uint32_t i = 0; i < count; ++i) pace.answered(now, latency);
  }
  void rounds(HostPace& pace, int count, milliseconds latency = milliseconds(20)) {
    for (int i = 0; i < count; ++i) round(pace, now_, latency);
  }
  // `count` requests, one every `apart`, all answered.
  void requests(HostPace& pace, int count, milliseconds apart) {
    for (int i = 0; i < count; ++i) {
      pace.started(now_);
      now_ += apart;
      pace.answered(now_, milliseconds(10));
    }
  }

  HostPace::Instant now_{std::chrono::hours(1'000)};
};

TEST_F(HostPaceTest, DoublesUntilTheFirstSignOfTooMuch) {
  HostPace pace({.per_host = 100, .requests_per_second = std::nullopt});
  EXPECT_EQ(pace.limit(), 4u);
  rounds(pace, 1);
  EXPECT_EQ(pace.limit(), 8u);
  rounds(pace, 2);
  EXPECT_EQ(pace.limit(), 32u);
  rounds(pace, 10);
  EXPECT_EQ(pace.limit(), 100u) << "and never beyond what was chosen";
}

TEST_F(HostPaceTest, P27HalvesForARefusalAndThenAddsOneARound) {
  HostPace pace({.per_host = 100, .requests_per_second = std::nullopt});
  rounds(pace, 3);
  ASSERT_EQ(pace.limit(), 32u);
  pace.refused(now_, 503, seconds(2));
  EXPECT_EQ(pace.limit(), 16u);
  EXPECT_EQ(pace.opens_at(), now_ + seconds(2));
  pace.refused(now_, 503, seconds(5));
  EXPECT_EQ(pace.limit(), 16u) << "the others of that round say the same";
  EXPECT_EQ(pace.opens_at(), now_ + seconds(5)) << "but the longest pause counts";
  now_ += seconds(5);
  rounds(pace, 1);
  EXPECT_EQ(pace.limit(), 17u);
  rounds(pace, 3);
  EXPECT_EQ(pace.limit(), 20u);
  EXPECT_FALSE(pace.rate()) << "503 says nothing about a rate";
}

TEST_F(HostPaceTest, TakesAnUnexplained503AmongAnswersForThePicturesOwn) {
  HostPace pace({.per_host = 16, .requests_per_second = std::nullopt});
  rounds(pace, 3);
  ASSERT_EQ(pace.limit(), 16u);
  EXPECT_FALSE(pace.refused(now_, 503, std::nullopt)) << "nobody else needs to know";
  EXPECT_EQ(pace.limit(), 12u);
  EXPECT_EQ(pace.closed_until() - now_, milliseconds(100));
  now_ += milliseconds(100);
  EXPECT_TRUE(pace.refused(now_, 503, std::nullopt)) << "two in a row are the host's";
  EXPECT_EQ(pace.limit(), 6u);
  EXPECT_EQ(pace.closed_until() - now_, milliseconds(400));
  now_ += milliseconds(400);
  for (int more = 0; more < 3; ++more) {
    EXPECT_TRUE(pace.refused(now_, 503, std::nullopt));
    EXPECT_EQ(pace.closed_until() - now_, seconds(1));
    now_ += seconds(1);
  }
  EXPECT_EQ(pace.limit(), 1u);
  pace.answered(now_, std::nullopt);
  EXPECT_FALSE(pace.refused(now_, 503, std::nullopt)) << "it answers again";
  EXPECT_TRUE(pace.refused(now_ + seconds(1), 429, std::nullopt)) << "a 429 is about how many there are";
}

TEST_F(HostPaceTest, ClosesForAMinuteAtTheMostAndRemembersWhatWasAskedFor) {
  HostPace pace({});
  pace.refused(now_, 429, std::chrono::minutes(30));
  EXPECT_EQ(pace.closed_until(), now_ + HostPace::kPauseMax);
  EXPECT_EQ(pace.asked_until(), now_ + std::chrono::minutes(30));
  EXPECT_EQ(pace.refused_status(), 429);
  pace.refused(now_, 429, milliseconds(-5));
  EXPECT_EQ(pace.closed_until(), now_ + HostPace::kPauseMax);
}

TEST_F(HostPaceTest, CountsRoundsInVainUntilAnAnswer) {
  HostPace pace({});
  for (int i = 1; i <= 3; ++i) {
    pace.refused(now_, 503, seconds(1));
    EXPECT_EQ(pace.rounds_in_vain(), i);
    now_ += seconds(1);
  }
  pace.answered(now_, std::nullopt);
  EXPECT_EQ(pace.rounds_in_vain(), 0);
}

TEST_F(HostPaceTest, HalvesOnceForAllThatFailTogether) {
  HostPace pace({.per_host = 64, .requests_per_second = std::nullopt});
  rounds(pace, 4);
  ASSERT_EQ(pace.limit(), 64u);
  std::vector<std::uint64_t> tickets;
  for (int i = 0; i < 64; ++i) tickets.push_back(pace.started(now_));
  for (const auto ticket : tickets) pace.failed(ticket);
  EXPECT_EQ(pace.limit(), 32u) << "all were under way at the first failure";
  for (int i = 0; i < 10; ++i) pace.failed(pace.started(now_));
  EXPECT_EQ(pace.limit(), 4u) << "and no fewer than in the first round";
}

TEST_F(HostPaceTest, IsSilentAfterEnoughFailuresInARowAndNoLongerAfterAnAnswer) {
  HostPace pace({});
  for (std::uint32_t i = 1; i < HostPace::kFailuresInVain; ++i) pace.failed(pace.started(now_));
  EXPECT_FALSE(pace.is_silent());
  pace.failed(pace.started(now_));
  EXPECT_TRUE(pace.is_silent());
  pace.refused(now_, 503, seconds(1));
  EXPECT_FALSE(pace.is_silent()) << "a refusal is an answer too";
}

TEST_F(HostPaceTest, P27TakesAQuarterAwayWhenEvenTheFastestAnswersBecomeSlow) {
  HostPace pace({.per_host = 32, .requests_per_second = std::nullopt});
  rounds(pace, 4, milliseconds(100));
  ASSERT_EQ(pace.limit(), 32u);
  for (int i = 0; i < 3 && pace.latency_cuts() == 0; ++i) rounds(pace, 1, milliseconds(400));
  EXPECT_EQ(pace.limit(), 24u);
  EXPECT_EQ(pace.latency(), milliseconds(400));
  EXPECT_EQ(pace.best_latency(), milliseconds(100));
  EXPECT_EQ(pace.latency_cuts(), 1u);
  rounds(pace, 60, milliseconds(400));
  EXPECT_EQ(pace.limit(), 2u) << "as long as it lasts, and no fewer than two";
  rounds(pace, 10, milliseconds(100));
  EXPECT_GT(pace.limit(), 4u) << "and it recovers";
}

TEST_F(HostPaceTest, GrowsNoFurtherWhileTheLatencyRises) {
  HostPace pace({.per_host = 64, .requests_per_second = std::nullopt});
  rounds(pace, 3, milliseconds(150));
  ASSERT_EQ(pace.limit(), 32u);
  rounds(pace, 1, milliseconds(260));
  const auto held = pace.limit();
  rounds(pace, 5, milliseconds(260));
  EXPECT_EQ(pace.limit(), held);
  EXPECT_EQ(pace.latency_cuts(), 0u);
}

TEST_F(HostPaceTest, DoesNotMindLatencyOfMillisecondsOrSlowPagesAmongFastOnes) {
  HostPace pace({.per_host = 32, .requests_per_second = std::nullopt});
  rounds(pace, 3, milliseconds(2));
  rounds(pace, 3, milliseconds(90));
  EXPECT_EQ(pace.limit(), 32u) << "a fast host whose queue is ours";
  for (int i = 0; i < 200; ++i) {
    pace.started(now_);
    pace.answered(now_, i % 4 == 0 ? milliseconds(50) : milliseconds(3'000));
  }
  EXPECT_EQ(pace.limit(), 32u) << "some of its pages are slow";
}

TEST_F(HostPaceTest, ForgetsTheBestOfLongAgo) {
  HostPace pace({.per_host = 16, .requests_per_second = std::nullopt});
  rounds(pace, 3, milliseconds(50));
  now_ += std::chrono::minutes(20);
  rounds(pace, 4, milliseconds(600));
  EXPECT_EQ(pace.best_latency(), milliseconds(600)) << "the host has moved farther away";
  EXPECT_EQ(pace.limit(), 16u);
}

TEST_F(HostPaceTest, P27LearnsARateFrom429) {
  HostPace pace({});
  requests(pace, 300, milliseconds(10));
  pace.refused(now_, 429, seconds(1));
  ASSERT_TRUE(pace.rate());
  EXPECT_NEAR(*pace.rate(), 50, 5) << "half of the hundred a second that were sent";
  now_ += seconds(1);
  pace.started(now_);
  EXPECT_NEAR(std::chrono::duration<double>(pace.opens_at() - now_).count(), 1 / *pace.rate(), 0.001);
  const double learnt = *pace.rate();
  for (int second = 0; second < 5; ++second) requests(pace, 10, milliseconds(100));
  EXPECT_NEAR(*pace.rate(), learnt + 5 * 5, 6) << "a twentieth of what was sent more with every second";
  pace.refused(now_, 429, seconds(1));
  EXPECT_LT(*pace.rate(), learnt) << "half of what is sent now";
}

TEST_F(HostPaceTest, ForgetsALearntRateThatIsFarAboveWhatIsSent) {
  HostPace pace({});
  requests(pace, 100, milliseconds(10));
  pace.refused(now_, 429, {});
  ASSERT_TRUE(pace.rate());
  for (int second = 0; second < 60 && pace.rate(); ++second) requests(pace, 10, milliseconds(100));
  EXPECT_FALSE(pace.rate());
}

TEST_F(HostPaceTest, NeverExceedsAChosenRate) {
  HostPace pace({.per_host = 16, .requests_per_second = 20});
  EXPECT_EQ(pace.rate(), 20);
  requests(pace, 40, milliseconds(50));
  pace.refused(now_, 429, {});
  EXPECT_NEAR(*pace.rate(), 10, 1);
  for (int second = 0; second < 120; ++second) requests(pace, 10, milliseconds(100));
  EXPECT_EQ(pace.rate(), 20);
}

TEST_F(HostPaceTest, KeepsALittleRateHoweverOftenItIsRefused) {
  HostPace pace({});
  pace.started(now_);
  pace.refused(now_, 429, {});
  EXPECT_FALSE(pace.rate()) << "it has answered nothing yet";
  requests(pace, 10, milliseconds(10));
  for (int i = 0; i < 50; ++i) {
    pace.started(now_);
    pace.refused(now_, 429, seconds(1));
    now_ += seconds(1);
  }
  EXPECT_GE(*pace.rate(), 0.5);
  EXPECT_EQ(pace.limit(), 1u);
}

}  // namespace
}  // namespace pixmill::fetch
