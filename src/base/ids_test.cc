#include "base/ids.h"

#include <gtest/gtest.h>

namespace pixmill {
namespace {

TEST(Uuid, RandomOnesDifferAndParseBack) {
  const Uuid a = Uuid::random();
  const Uuid b = Uuid::random();
  EXPECT_NE(a, b);
  EXPECT_EQ(a.text()[14], '4');
  EXPECT_EQ(Uuid::parse(a.text()), a);
}

TEST(Uuid, FromDigestIsVersionEight) {
  const std::array<std::uint8_t, 32> digest{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  EXPECT_EQ(Uuid::from_digest(digest).text(), "ffffffff-ffff-8fff-bfff-ffffffffffff");
}

TEST(Uuid, ParseFoldsCaseAndRefusesTheRest) {
  EXPECT_EQ(Uuid::parse("ABCDEF00-0000-4000-8000-00000000000A")->text(), "abcdef00-0000-4000-8000-00000000000a");
  for (const auto text : {"", "abc", "abcdef00-0000-4000-8000-00000000000", "abcdef00-0000-4000-8000-00000000000g",
                          "abcdef000-000-4000-8000-00000000000a", "../../../../../../../../etc/passwd-"}) {
    EXPECT_FALSE(Uuid::parse(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace pixmill
