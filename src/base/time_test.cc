#include "base/time.h"

#include <gtest/gtest.h>

namespace pixmill {
namespace {

TEST(Time, Rfc3339HasMillisecondsAndZulu) {
  EXPECT_EQ(to_rfc3339(from_unix_ms(0)), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(to_rfc3339(from_unix_ms(1'767'225'599'999)), "2025-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace pixmill
