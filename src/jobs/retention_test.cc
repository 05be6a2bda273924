#include "jobs/retention.h"

#include <gtest/gtest.h>

#include "jobs/model.h"

namespace pixmill::jobs {
namespace {

TEST(Retention, ReadsWhatPeopleWrite) {
  using std::chrono::hours;
  const std::pair<const char*, std::optional<milliseconds>> kTexts[] = {
      {"", std::nullopt},        {"  ", std::nullopt},    {"forever", kForever},         {"Forever", kForever},
      {"90s", seconds(90)},      {"0s", milliseconds(0)}, {"30m", seconds(1'800)},       {"12h", hours(12)},
      {" 30d ", hours(30 * 24)}, {"4W", hours(28 * 24)},  {"36600d", hours(36'600 * 24)}};
  for (const auto& [text, keep] : kTexts) {
    const auto parsed = parse_keep(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_EQ(*parsed, keep) << text;
  }
}

TEST(Retention, RefusesTheRest) {
  for (const auto* text : {"30", "d", "-1d", "1.5d", "30 days", "1y", "never", "36601d", "99999999999999999999d",
                           "9223372036854775807w"}) {
    const auto parsed = parse_keep(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace pixmill::jobs
