#include "api/pace_meter.h"

#include <gtest/gtest.h>

namespace pixmill::api {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PaceMeterTest : public ::testing::Test {
 protected:
  // Four notes a second, as a watched job gives them.
  void run(int for_seconds, double per_second) {
    for (int i = 0; i < for_seconds * 4; ++i) {
      now_ += milliseconds(250);
      done_ += per_second / 4;
      meter_.note(now_, static_cast<std::uint64_t>(done_));
    }
  }

  PaceMeter meter_;
  PaceMeter::Instant now_{std::chrono::hours(10)};
  double done_ = 0;
};

TEST_F(PaceMeterTest, SaysNothingBeforeThereIsSomethingToGoBy) {
  EXPECT_FALSE(meter_.estimate(100));
  meter_.note(now_, 0);
  EXPECT_FALSE(meter_.estimate(100));
  run(1, 10);
  EXPECT_FALSE(meter_.estimate(100));
  run(1, 10);
  EXPECT_TRUE(meter_.estimate(100));
}

TEST_F(PaceMeterTest, TellsASteadyJobsEndClosely) {
  run(30, 200);
  const auto estimate = meter_.estimate(20'000);
  ASSERT_TRUE(estimate);
  EXPECT_NEAR(estimate->per_second, 200, 4);
  EXPECT_NEAR(*estimate->seconds, 100, 3);
  EXPECT_GT(*estimate->seconds_least, 90);
  EXPECT_LT(*estimate->seconds_most, 110);
}

TEST_F(PaceMeterTest, TheBandIsAsWideAsTheUpsAndDowns) {
  for (int i = 0; i < 5; ++i) {
    run(5, 300);
    run(5, 100);
  }
  const auto estimate = meter_.estimate(20'000);
  ASSERT_TRUE(estimate);
  EXPECT_NEAR(estimate->per_second, 200, 20);
  EXPECT_LT(*estimate->seconds_least, 0.8 * *estimate->seconds);
  EXPECT_GT(*estimate->seconds_most, 1.5 * *estimate->seconds);
}

TEST_F(PaceMeterTest, ForgetsWhatIsLongerAgoThanAMinute) {
  run(300, 1'000);
  run(65, 10);
  EXPECT_NEAR(meter_.estimate(100)->per_second, 10, 1);
}

TEST_F(PaceMeterTest, AJobThatStandsStillHasNoEndInSight) {
  run(10, 100);
  run(70, 0);
  const auto estimate = meter_.estimate(100);
  ASSERT_TRUE(estimate);
  EXPECT_EQ(estimate->per_second, 0);
  EXPECT_FALSE(estimate->seconds);
  EXPECT_FALSE(estimate->seconds_most);
}

TEST_F(PaceMeterTest, ARetryBeginsAnew) {
  run(10, 100);
  done_ = 900;
  run(1, 10);
  EXPECT_FALSE(meter_.estimate(100));
  run(10, 10);
  EXPECT_NEAR(meter_.estimate(100)->per_second, 10, 1);
}

}  // namespace
}  // namespace pixmill::api
