#include "image/jpeg/decode_table.h"

#include <gtest/gtest.h>

#include <random>

namespace pixmill::image::jpeg {
namespace {

// A random code for the symbols given; steep frequencies make lengths up to 16.
HuffmanCode random_code(std::span<const unsigned> symbols, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::array<std::uint32_t, 256> frequencies{};
  for (const unsigned symbol : symbols) frequencies[symbol] = 1U << random() % 24;
  return optimal_code(frequencies);
}

template <class Table>
CodeEntry look_up(const Table& table, std::uint64_t window) {
  const CodeEntry entry = table.find(window);
  return entry != 0 ? entry : table.find_long(window);
}

TEST(DecodeTable, FindsEveryCodeWhateverFollows) {
  std::vector<unsigned> symbols = {0x00, 0xF0};
  for (unsigned run = 0; run < 16; ++run) {
    for (unsigned bits = 1; bits <= 10; ++bits) symbols.push_back(run << 4 | bits);
  }
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    const HuffmanCode code = random_code(symbols, seed);
    const DecodeTable<CoefficientKind::kAc> table(code);
    const CodeWords words = code_words(code);
    for (const unsigned symbol : symbols) {
      const unsigned length = words[symbol] & 0xFF;
      for (const std::uint64_t rest : {std::uint64_t{0}, ~std::uint64_t{0}}) {
        const std::uint64_t window = std::uint64_t{words[symbol] >> 8} << (64 - length) | rest >> length;
        const CodeEntry entry = look_up(table, window);
        ASSERT_EQ(code_bits(entry), length);
        ASSERT_EQ(total_bits(entry), length + (symbol & 15));
        ASSERT_EQ(extra_complement(entry), 63 - (symbol & 15));
        ASSERT_EQ(advance(entry), symbol == 0 ? kEndAdvance : (symbol >> 4) + 1);
        ASSERT_EQ(entry, table.find_long(window));
      }
    }
  }
}

TEST(DecodeTable, KnowsWhatIsNoCode) {
  const std::array<unsigned, 3> symbols = {0x00, 0x01, 0x11};
  const DecodeTable<CoefficientKind::kAc> table(random_code(symbols, 1));
  EXPECT_EQ(look_up(table, ~std::uint64_t{0}), 0U);
  const DecodeTable<CoefficientKind::kDc> empty{HuffmanCode()};
  EXPECT_EQ(look_up(empty, 0), 0U);
}

TEST(DecodeTable, NamesSymbolsThatBaselineDoesNotHave) {
  for (const unsigned symbol : {0x0BU, 0x10U, 0xE0U, 0xFFU}) {
    const std::array<unsigned, 1> symbols = {symbol};
    EXPECT_EQ(look_up(DecodeTable<CoefficientKind::kAc>(random_code(symbols, 1)), 0), kOddSymbol) << symbol;
  }
  const std::array<unsigned, 1> twelve = {12};
  EXPECT_EQ(look_up(DecodeTable<CoefficientKind::kDc>(random_code(twelve, 1)), 0), kOddSymbol);
  const std::array<unsigned, 1> eleven = {11};
  EXPECT_EQ(total_bits(look_up(DecodeTable<CoefficientKind::kDc>(random_code(eleven, 1)), 0)), 12U);
}

}  // namespace
}  // namespace pixmill::image::jpeg
