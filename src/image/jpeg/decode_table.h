// Looks up a Huffman code and all that follows from its symbol at once (ITU T.81 F.2.2).
#pragma once

#include <array>
#include <cstdint>

#include "image/jpeg/huffman_code.h"

namespace pixmill::image::jpeg {

// What a symbol says, in 16 bits so that a table stays small in the cache: bits 0 to 4 length of code and extra bits together,
// 5 to 8 number of extra bits, 9 to 15 how far the position in the block moves on. 0: not in the table.
using SymbolEntry = std::uint16_t;

[[nodiscard]] constexpr unsigned total_bits(unsigned entry) { return entry & 31U; }
[[nodiscard]] constexpr unsigned extra_bits(unsigned entry) { return entry >> 5 & 15U; }
[[nodiscard]] constexpr unsigned advance(unsigned entry) { return entry >> 9; }

// An end of block moves beyond any position that a run of zeros can reach from within the block (62 + 16).
inline constexpr unsigned kEndAdvance = 80;
inline constexpr unsigned kPositionMax = 62 + kEndAdvance;
// Stands for symbols that 8-bit baseline does not have: DC above 11 bits, AC above 10, runs other than 16 without a value.
inline constexpr unsigned kOddSymbol = 31;

enum class CoefficientKind : std::uint8_t { kDc, kAc };

class DecodeTable {
 public:
  static constexpr unsigned kLookupBits = 11;

  // Only for valid codes.
  void build(const HuffmanCode& code, CoefficientKind kind);

  // By the top bits of BitReader's window; 0 when find_long() is to be asked.
  [[nodiscard]] unsigned find(std::uint64_t window) const { return entries_[window >> (64 - kLookupBits)]; }
  // The same for every code; 0 when there is none that begins like this. May be kOddSymbol.
  [[nodiscard]] unsigned find_long(std::uint64_t window) const;

 private:
  std::array<SymbolEntry, 1U << kLookupBits> entries_;
  std::array<SymbolEntry, 256> by_index_;                  // in the order of the codes
  std::array<std::uint32_t, kCodeLengthMax + 2> limit_;    // first code that is longer than this length, as 16 bits
  std::array<std::int32_t, kCodeLengthMax + 2> to_index_;  // added to a code of this length: its index
};

}  // namespace pixmill::image::jpeg
