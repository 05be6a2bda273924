#include "image/jpeg/huffman_code.h"

#include <gtest/gtest.h>

#include <queue>
#include <random>
#include <set>
#include <vector>

namespace pixmill::image::jpeg {
namespace {

using Counts = std::array<std::uint32_t, 256>;

std::uint64_t cost(const HuffmanCode& code, const Counts& frequencies) {
  const CodeWords words = code_words(code);
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < words.size(); ++i) bits += std::uint64_t{frequencies[i]} * (words[i] & 0xFF);
  return bits;
}

// The cost of Huffman's code without a limit: the sum of all inner nodes. `extra` counts as one more symbol.
std::uint64_t huffman_cost(const Counts& frequencies, std::uint32_t extra) {
  std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> nodes;
  for (const std::uint32_t frequency : frequencies) {
    if (frequency > 0) nodes.push(frequency);
  }
  nodes.push(extra);
  std::uint64_t bits = 0;
  while (nodes.size() > 1) {
    std::uint64_t node = nodes.top();
    nodes.pop();
    node += nodes.top();
    nodes.pop();
    bits += node;
    nodes.push(node);
  }
  return bits;
}

TEST(OptimalCode, IsValidAndCostsWhatHuffmanSays) {
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) {
    Counts frequencies{};
    const unsigned used = static_cast<unsigned>(random() % 256) + 1;
    for (unsigned k = 0; k < used; ++k) frequencies[random() % 256] = static_cast<std::uint32_t>(random() % 1000) + 1;
    const HuffmanCode code = optimal_code(frequencies);
    ASSERT_TRUE(is_valid(code));
    const CodeWords words = code_words(code);
    for (unsigned k = 0; k < 256; ++k) ASSERT_EQ(words[k] != 0, frequencies[k] != 0);
    // The reserved code costs less than its own length; these frequencies need no more than 16 bits.
    ASSERT_LE(cost(code, frequencies), huffman_cost(frequencies, 1));
    ASSERT_GE(cost(code, frequencies) + 16, huffman_cost(frequencies, 1));
  }
}

TEST(OptimalCode, KeepsTo16BitsForTheSteepestFrequencies) {
  Counts frequencies{};
  std::uint32_t before = 1;
  std::uint32_t now = 1;
  for (unsigned i = 0; i < 45; ++i) {
    frequencies[i * 3] = now;
    now += before;
    before = now - before;
  }
  const HuffmanCode code = optimal_code(frequencies);
  EXPECT_TRUE(is_valid(code));
  EXPECT_EQ(code.size(), 45U);
  const CodeWords words = code_words(code);
  for (unsigned i = 0; i < 45; ++i) EXPECT_LE(words[i * 3] & 0xFF, 16U);
  EXPECT_GT(words[0] & 0xFF, words[44 * 3] & 0xFF);
}

TEST(OptimalCode, HandlesAllSymbolsOneSymbolAndNone) {
  Counts frequencies{};
  EXPECT_EQ(optimal_code(frequencies).size(), 0U);
  frequencies[7] = 5;
  const HuffmanCode one = optimal_code(frequencies);
  EXPECT_TRUE(is_valid(one));
  EXPECT_EQ(code_words(one)[7], 0U << 8 | 1U);
  frequencies.fill(0xFFFFFFFF);
  const HuffmanCode all = optimal_code(frequencies);
  EXPECT_TRUE(is_valid(all));
  EXPECT_EQ(all.size(), 256U);
}

TEST(HuffmanCode, KnowsImpossibleOnes) {
  HuffmanCode code;
  EXPECT_TRUE(is_valid(code));
  code.count[1] = 1;
  EXPECT_TRUE(is_valid(code));
  code.count[1] = 2;  // 1 is all ones
  EXPECT_FALSE(is_valid(code));
  code = {};
  code.count[2] = 3;
  EXPECT_TRUE(is_valid(code));
  code.count[3] = 1;
  EXPECT_TRUE(is_valid(code));
  code.count[3] = 2;  // 111
  EXPECT_FALSE(is_valid(code));
  code = {};
  code.count[15] = code.count[16] = 255;  // more than a byte can name
  EXPECT_FALSE(is_valid(code));
}

TEST(CodeWords, RiseAsInTheStandardsExample) {
  // ITU T.81 table K.3: lengths 2, 3 × 5, 4 … 9.
  HuffmanCode code;
  code.count = {0, 0, 1, 5, 1, 1, 1, 1, 1, 1};
  for (unsigned i = 0; i < 12; ++i) code.symbols[i] = static_cast<std::uint8_t>(i);
  const CodeWords words = code_words(code);
  EXPECT_EQ(words[0], 0b00U << 8 | 2);
  EXPECT_EQ(words[1], 0b010U << 8 | 3);
  EXPECT_EQ(words[5], 0b110U << 8 | 3);
  EXPECT_EQ(words[6], 0b1110U << 8 | 4);
  EXPECT_EQ(words[11], 0b111111110U << 8 | 9);
}

}  // namespace
}  // namespace pixmill::image::jpeg
