#include "image/jpeg/entropy_data.h"

#include <gtest/gtest.h>

namespace pixmill::image::jpeg {
namespace {

using namespace std::string_view_literals;

std::string bytes_of(const EntropyData& data, std::size_t piece) {
  BitReader reader = data.piece(piece);
  std::string bytes;
  while (true) {
    reader.refill();
    const auto byte = static_cast<char>(reader.window() >> 56);
    reader.drop(8);
    if (reader.overrun()) return bytes;
    bytes += byte;
  }
}

TEST(EntropyData, TakesStuffingOut) {
  const EntropyData data("ab\xFF\0c\xFF\xFF\0\xFF\xD9more"sv, false);
  ASSERT_EQ(data.piece_count(), 1U);
  EXPECT_EQ(bytes_of(data, 0),
            "ab\xFF"
            "c\xFF");
}

TEST(EntropyData, SplitsAtRestarts) {
  const EntropyData data(
      "ab\xFF\xD0\xFF\xFF\xD1"
      "cdefghijk\xFF\xD2\xFF"sv,
      true);
  ASSERT_EQ(data.piece_count(), 4U);
  EXPECT_EQ(bytes_of(data, 0), "ab");
  EXPECT_EQ(bytes_of(data, 1), "");
  EXPECT_EQ(bytes_of(data, 2), "cdefghijk");
  EXPECT_EQ(bytes_of(data, 3), "");
  EXPECT_TRUE(data.restarts_in_order());
}

TEST(EntropyData, SeesRestartsOutOfOrder) {
  EXPECT_FALSE(EntropyData("a\xFF\xD1"sv, true).restarts_in_order());
  std::string many;
  for (int i = 0; i < 20; ++i) many += std::string{'a', '\xFF', static_cast<char>(0xD0 + i % 8)};
  EXPECT_TRUE(EntropyData(many, true).restarts_in_order());
}

TEST(EntropyData, EndsAtARestartThatShouldNotBe) {
  const EntropyData data(
      "ab\xFF\xD0"
      "cd"sv,
      false);
  ASSERT_EQ(data.piece_count(), 1U);
  EXPECT_EQ(bytes_of(data, 0), "ab");
}

TEST(EntropyData, MayBeEmpty) {
  const EntropyData data("", true);
  ASSERT_EQ(data.piece_count(), 1U);
  EXPECT_EQ(bytes_of(data, 0), "");
}

TEST(BitReader, ReadsAnyNumberOfBitsInTurn) {
  const EntropyData data("\x01\x23\x45\x67\x89\xAB\xCD\xEF\x01\x23\x45\x67\x89\xAB\xCD\xEF"sv, false);
  BitReader reader = data.piece(0);
  std::uint64_t nibble = 0;
  for (unsigned bits = 4; bits <= 20; bits += 4) {
    reader.refill();
    for (unsigned i = 0; i < 56 / bits / 2; ++i) {
      std::uint64_t expected = 0;
      for (unsigned k = 0; k < bits / 4; ++k) expected = expected << 4 | (nibble++ % 16);
      EXPECT_EQ(reader.window() >> (64 - bits), expected) << bits;
      reader.drop(bits);
    }
  }
  EXPECT_FALSE(reader.overrun());
}

TEST(BitReader, KnowsToTheBitWhenItHasReadTooMuch) {
  const EntropyData data("abc"sv, false);
  BitReader reader = data.piece(0);
  reader.refill();
  reader.drop(24);
  EXPECT_FALSE(reader.overrun());
  reader.drop(1);
  EXPECT_TRUE(reader.overrun());
}

}  // namespace
}  // namespace pixmill::image::jpeg
