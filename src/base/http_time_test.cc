#include "base/http_time.h"

#include <gtest/gtest.h>

namespace pixmill {
namespace {

constexpr TimePoint kNovember6{milliseconds(784'111'777'000)};  // 1994-11-06T08:49:37Z, the example of RFC 9110

TEST(HttpTime, ReadsTheThreeForms) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), kNovember6);
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"), kNovember6);
  EXPECT_EQ(parse_http_date(" Sun Nov  6 08:49:37 1994 "), kNovember6);
  EXPECT_EQ(to_rfc3339(parse_http_date("Fri, 31-Dec-27 23:59:60 GMT").value()), "2028-01-01T00:00:00.000Z");
}

TEST(HttpTime, RefusesTheRest) {
  for (const auto text :
       {"", "soon", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 31 Feb 2026 00:00:00 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, xx Nov 1994 08:49:37 GMT"}) {
    EXPECT_FALSE(parse_http_date(text)) << text;
  }
}

TEST(HttpTime, RetryAfterIsSecondsOrADateWithinBounds) {
  const seconds max(3600);
  EXPECT_EQ(parse_retry_after("120", kNovember6, max), seconds(120));
  EXPECT_EQ(parse_retry_after(" 0 ", kNovember6, max), seconds(0));
  EXPECT_EQ(parse_retry_after("99999999999999999999999", kNovember6, max), max);
  EXPECT_EQ(parse_retry_after("86400", kNovember6, max), max);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", kNovember6, max), seconds(60));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", kNovember6 + milliseconds(1), max), seconds(60));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", kNovember6, max), seconds(0));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1999 08:00:00 GMT", kNovember6, max), max);
  for (const auto text : {"", "-1", "1.5", "soon"}) EXPECT_FALSE(parse_retry_after(text, kNovember6, max)) << text;
}

}  // namespace
}  // namespace pixmill
