// A token is one Huffman symbol and the extra bits behind it. A scan is turned into tokens first and written after its codes
// have been made from their frequencies. Pure.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <string>

#include "image/jpeg/block_store.h"
#include "image/jpeg/growing_array.h"
#include "image/jpeg/huffman_code.h"

namespace pixmill::image::jpeg {

// Bits 0 to 7 the symbol, 8 to 9 the code it belongs to, 10 to 13 how many extra bits, 16 to 31 the extra bits.
using Token = std::uint32_t;
using Tokens = GrowingArray<Token>;

// The codes of a file, as numbered in tokens. Cb and Cr share theirs.
inline constexpr unsigned kDcLuma = 0;
inline constexpr unsigned kDcChroma = 1;
inline constexpr unsigned kAcLuma = 2;
inline constexpr unsigned kAcChroma = 3;
inline constexpr unsigned kCodeCount = 4;

[[nodiscard]] constexpr Token make_token(unsigned code, unsigned symbol, unsigned extra_count, std::uint32_t extra) {
  return extra << 16 | extra_count << 10 | code << 8 | symbol;
}

// A value as ITU T.81 F.1.2.1 codes it: a positive one as it is, of a negative one the bits inverted.
[[nodiscard]] constexpr std::uint32_t extra_of(std::uint32_t magnitude, unsigned bits, bool negative) {
  return negative ? magnitude ^ ((1U << bits) - 1U) : magnitude;
}

// One token for a mean's difference from the one before, -2047 to 2047.
[[nodiscard]] constexpr Token mean_token(unsigned code, int difference) {
  const auto magnitude = static_cast<std::uint32_t>(difference < 0 ? -difference : difference);
  const auto bits = static_cast<unsigned>(std::bit_width(magnitude));
  return make_token(code, bits, bits, extra_of(magnitude, bits, difference < 0));
}

// Room that write_block_tokens() may need.
inline constexpr std::size_t kBlockTokensMax = kBlockWordsMax + 3;

// The AC coefficients of one block in baseline coding: (run of zeros, value) pairs and, unless the last coefficient is there, an
// end. Returns the end of what was written.
Token* write_block_tokens(const CoefficientWord* words, unsigned code, Token* out);

// How often each symbol of each code stands in `tokens`.
using Frequencies = std::array<std::array<std::uint32_t, 256>, kCodeCount>;
[[nodiscard]] Frequencies count_symbols(std::span<const Token> tokens);

// Appends the tokens' bits, stuffed and padded with ones to a whole byte, to `out`. Every symbol must have a code in `codes`.
void append_tokens(std::span<const Token> tokens, std::span<const CodeWords, kCodeCount> codes, std::string& out);

}  // namespace pixmill::image::jpeg
