// A token is one Huffman symbol with the extra bits behind it. A picture is decoded into tokens, which are counted, get
// a code made for them, and are written. Pure.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>

#include "image/jpeg/huffman_code.h"
#include "image/jpeg/zigzag.h"

namespace pixmill::image::jpeg {

// Bits 0 to 7: the symbol; for a coefficient its number of bits and, above, how many zeros come before it, modulo 16.
// Bits 8 to 9: how many runs of sixteen zeros come before it, each a symbol of its own (ZRL) when written.
// Bits 10 to 11: the code it belongs to. Bits 12 to 17: a coefficient's position in the block, else 0. Bits 18 to 31:
// extra bits.
using Token = std::uint32_t;

// The codes of a scan, as numbered in tokens. Cb and Cr share theirs.
inline constexpr unsigned kDcLuma = 0;
inline constexpr unsigned kDcChroma = 1;
inline constexpr unsigned kAcLuma = 2;
inline constexpr unsigned kAcChroma = 3;
inline constexpr unsigned kCodeCount = 4;

inline constexpr unsigned kZeroRunSymbol = 0xF0;
// Ends a block whose last coefficient is not 0: nothing is written for it. No AC symbol of a baseline file has this
// value.
inline constexpr unsigned kNothingSymbol = 0x10;

inline constexpr unsigned kRunShift = 4;
inline constexpr unsigned kCodeShift = 10;
inline constexpr unsigned kPositionShift = 12;
inline constexpr unsigned kExtraShift = 18;

[[nodiscard]] constexpr unsigned symbol_of(Token token) { return token & 0xFFU; }
[[nodiscard]] constexpr unsigned zero_runs_of(Token token) { return token >> 8 & 3U; }
[[nodiscard]] constexpr unsigned code_of(Token token) { return token >> kCodeShift & 3U; }
[[nodiscard]] constexpr unsigned position_of(Token token) { return token >> kPositionShift & 63U; }
[[nodiscard]] constexpr bool ends_block(Token token) { return position_of(token) == 0; }

[[nodiscard]] constexpr Token make_token(unsigned code, unsigned symbol, std::uint32_t extra) {
  return extra << kExtraShift | code << kCodeShift | symbol;
}

// How many bits a value has when 0 counts as one; the shifts want no zero.
[[nodiscard]] constexpr unsigned bits_of(std::uint32_t magnitude) {
  return static_cast<unsigned>(std::bit_width(magnitude | 1U));
}

// A value as ITU T.81 F.1.2.1 codes it: a positive one as it is, of a negative one the bits inverted. `negative` is all
// ones or 0.
[[nodiscard]] constexpr std::uint32_t extra_of(std::uint32_t magnitude, unsigned bits, std::uint32_t negative) {
  return (magnitude ^ negative) & ((1U << bits) - 1U);
}

// A token's part that says where: at `position` (1 to 63), the coefficient before it at `before` (0 when there is
// none).
[[nodiscard]] constexpr Token placement(unsigned code, unsigned before, unsigned position) {
  return (position << kPositionShift) + (code << kCodeShift) + ((position - before - 1) << kRunShift);
}

// A coefficient other than 0.
[[nodiscard]] constexpr Token coefficient_token(unsigned code, unsigned before, unsigned position,
                                                std::uint32_t magnitude, std::uint32_t negative) {
  const unsigned bits = bits_of(magnitude);
  return placement(code, before, position) + (extra_of(magnitude, bits, negative) << kExtraShift | bits);
}

[[nodiscard]] constexpr std::uint32_t magnitude_of(Token token) {
  const unsigned bits = token & 15U;
  const std::uint32_t extra = token >> kExtraShift;
  return extra >> (bits - 1U) != 0 ? extra : extra ^ ((1U << bits) - 1U);
}
[[nodiscard]] constexpr bool is_negative(Token token) { return token >> kExtraShift >> ((token & 15U) - 1U) == 0; }

// What ends a block whose last coefficient stands at `last` (0 when there is none).
[[nodiscard]] constexpr Token end_token(unsigned code, unsigned last) {
  return make_token(code, last == kBlockSize - 1 ? kNothingSymbol : 0, 0);
}

// A block's mean as its difference from the one before, -2047 to 2047.
[[nodiscard]] constexpr Token mean_token(unsigned code, int difference) {
  const auto negative = static_cast<std::uint32_t>(difference >> 31);
  const std::uint32_t magnitude = (static_cast<std::uint32_t>(difference) ^ negative) - negative;
  const auto bits = static_cast<unsigned>(std::bit_width(magnitude));
  return make_token(code, bits, extra_of(magnitude, bits, negative));
}

// How often each symbol of each code is written for `tokens`.
using Frequencies = std::array<std::array<std::uint32_t, 256>, kCodeCount>;
[[nodiscard]] Frequencies count_symbols(std::span<const Token> tokens);

}  // namespace pixmill::image::jpeg
