#include "base/time.h"

#include <gtest/gtest.h>

#include "base/steady_clock.h"
#include "tests/support/manual_clock.h"

namespace pixmill {
namespace {

TEST(Time, Rfc3339HasMillisecondsAndZulu) {
  EXPECT_EQ(to_rfc3339(from_unix_ms(0)), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(to_rfc3339(from_unix_ms(1'767'225'599'999)), "2025-12-31T23:59:59.999Z");
}

TEST(SteadyClock, P11StepsOfTheCalendarDoNotReachIt) {
  testing::ManualClock calendar;
  const SteadyClock clock(calendar);
  const auto begun = clock.now();
  EXPECT_GE(begun, calendar.now());
  for (const auto step :
       {milliseconds(std::chrono::hours(24 * 3'650)), milliseconds(-std::chrono::hours(48 * 3'650))}) {
    calendar.advance(step);
    EXPECT_LT(clock.now() - begun, std::chrono::minutes(10)) << "as long as this test may take";
    EXPECT_GE(clock.now(), begun);
  }
}

}  // namespace
}  // namespace pixmill
