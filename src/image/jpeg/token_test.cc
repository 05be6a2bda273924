#include "image/jpeg/token.h"

#include <gtest/gtest.h>

#include <vector>

#include "image/jpeg/append_tokens.h"
#include "image/jpeg/entropy_data.h"

namespace pixmill::image::jpeg {
namespace {

constexpr std::uint32_t kMinus = 0xFFFFFFFF;

TEST(Token, HoldsACoefficient) {
  for (const std::uint32_t magnitude : {1U, 2U, 3U, 511U, 512U, 1023U}) {
    for (const std::uint32_t negative : {0U, kMinus}) {
      const Token token = coefficient_token(kAcChroma, 5, 62, magnitude, negative);
      EXPECT_EQ(magnitude_of(token), magnitude);
      EXPECT_EQ(is_negative(token), negative != 0);
      EXPECT_EQ(position_of(token), 62U);
      EXPECT_EQ(code_of(token), kAcChroma);
      EXPECT_EQ(zero_runs_of(token), 3U);  // 56 zeros
      EXPECT_EQ(symbol_of(token), 8U << 4 | bits_of(magnitude));
    }
  }
}

TEST(Token, HoldsAMean) {
  EXPECT_EQ(symbol_of(mean_token(kDcLuma, 0)), 0U);
  EXPECT_EQ(symbol_of(mean_token(kDcLuma, -2047)), 11U);
  EXPECT_EQ(mean_token(kDcLuma, -2047) >> kExtraShift, 0U);
  EXPECT_EQ(mean_token(kDcChroma, 5) >> kExtraShift, 5U);
  EXPECT_EQ(mean_token(kDcChroma, -5) >> kExtraShift, 2U);
}

TEST(Token, EndsABlock) {
  EXPECT_TRUE(ends_block(end_token(kAcLuma, 0)));
  EXPECT_EQ(symbol_of(end_token(kAcLuma, 62)), 0U);
  EXPECT_EQ(symbol_of(end_token(kAcLuma, 63)), kNothingSymbol);
  EXPECT_FALSE(ends_block(coefficient_token(kAcLuma, 0, 1, 1, 0)));
}

TEST(CountSymbols, CountsRunsOfZerosAsSymbolsOfTheirOwn) {
  const std::vector<Token> tokens = {mean_token(kDcLuma, 3), coefficient_token(kAcLuma, 0, 40, 1, 0),
                                     coefficient_token(kAcLuma, 40, 41, 1, kMinus), end_token(kAcLuma, 41),
                                     end_token(kAcChroma, 0)};
  const Frequencies frequencies = count_symbols(tokens);
  EXPECT_EQ(frequencies[kDcLuma][2], 1U);
  EXPECT_EQ(frequencies[kAcLuma][kZeroRunSymbol], 2U);
  EXPECT_EQ(frequencies[kAcLuma][7U << 4 | 1], 1U);
  EXPECT_EQ(frequencies[kAcLuma][1], 1U);
  EXPECT_EQ(frequencies[kAcLuma][0], 1U);
  EXPECT_EQ(frequencies[kAcChroma][0], 1U);
}

// A code in which symbol n of `symbols` has the number n in eight bits.
HuffmanCode eight_bits(std::initializer_list<std::uint8_t> symbols) {
  HuffmanCode code;
  code.count[8] = static_cast<std::uint8_t>(symbols.size());
  std::copy(symbols.begin(), symbols.end(), code.symbols.begin());
  return code;
}

TEST(TokenCodes, WriteCodesThenExtraBitsThenOnes) {
  std::array<HuffmanCode, kCodeCount> codes;
  codes[kDcLuma] = eight_bits({0, 1, 2});
  codes[kAcLuma] = eight_bits({0x00, 0xF0, 0x14});
  const std::vector<Token> tokens = {mean_token(kDcLuma, -2), coefficient_token(kAcLuma, 0, 34, 9, 0),
                                     end_token(kAcLuma, 63), end_token(kAcLuma, 34)};
  std::string bytes;
  codes[kAcLuma].symbols[3] = kNothingSymbol;  // stays without a code
  TokenCodes(codes, BlockEnds::kSingle).append(tokens, bytes);
  // 00000010 01 | 00000001 × 2 | 00000010 1001 | 00000000 | ones
  EXPECT_EQ(bytes, std::string("\x02\x40\x40\x40\xA4\x03", 6));
}

TEST(TokenCodes, StuffZerosBehindOnesAndGoOnOverManyTokens) {
  std::array<HuffmanCode, kCodeCount> codes;
  codes[kDcLuma] = eight_bits({8});
  const std::vector<Token> tokens(5000, mean_token(kDcLuma, 255));
  std::string bytes;
  TokenCodes(codes, BlockEnds::kSingle).append(tokens, bytes);
  ASSERT_EQ(bytes.size(), 3 * tokens.size());
  for (std::size_t i = 0; i < bytes.size(); i += 3) ASSERT_EQ(bytes.substr(i, 3), std::string("\0\xFF\0", 3));
}

TEST(TokenCodes, WriteRunsOfBlockEndsWithTheirLength) {
  std::array<HuffmanCode, kCodeCount> codes;
  codes[kAcLuma] = eight_bits({0x00, 0x40, 0xE0});
  const std::vector<Token> tokens = {make_token(kAcLuma, 0x40, 5), make_token(kAcLuma, 0xE0, 0x3FFF),
                                     make_token(kAcLuma, 0, 0)};
  std::string bytes;
  TokenCodes(codes, BlockEnds::kRuns).append(tokens, bytes);
  // 00000001 0101 | 00000010 11111111111111 | 00000000 | ones
  EXPECT_EQ(bytes, std::string("\x01\x50\x2F\xFF\0\xC0\x3F", 7));
}

}  // namespace
}  // namespace pixmill::image::jpeg
