// Looks up a Huffman code and all that follows from its symbol at once (ITU T.81 F.2.2).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "image/jpeg/huffman_code.h"

namespace pixmill::image::jpeg {

// What a code says, in fields that shifts can use as they are. Bits 0 to 7: length of code and extra bits together;
// 8 to 15: 63 less the number of extra bits; 16 to 23: how far the position in the block moves on; 24 to 31: length of
// the code.
using CodeEntry = std::uint32_t;

[[nodiscard]] constexpr unsigned total_bits(CodeEntry entry) { return entry & 63U; }
[[nodiscard]] constexpr unsigned extra_complement(CodeEntry entry) { return entry >> 8 & 63U; }
[[nodiscard]] constexpr unsigned advance(CodeEntry entry) { return entry >> 16 & 0xFFU; }
[[nodiscard]] constexpr unsigned code_bits(CodeEntry entry) { return entry >> 24; }

// An end of block moves beyond any position that a run of zeros can reach from within the block (62 + 16).
inline constexpr unsigned kEndAdvance = 80;
inline constexpr unsigned kPositionMax = 62 + kEndAdvance;

[[nodiscard]] constexpr CodeEntry make_entry(unsigned code_length, unsigned extra, unsigned step) {
  return code_length << 24 | step << 16 | (63U - extra) << 8 | (code_length + extra);
}

// Stands for symbols that 8-bit baseline does not have: DC above 11 bits, AC above 10, runs other than 16 without a
// value.
inline constexpr CodeEntry kOddSymbol = 0xFF;

enum class CoefficientKind : std::uint8_t { kDc, kAc };

// Codes of up to kLookupBits are found in one look, the others by search. Fewer bits for means, of which there are few,
// leave more of the cache to the coefficients.
template <CoefficientKind kKind>
class DecodeTable {
 public:
  static constexpr unsigned kLookupBits = kKind == CoefficientKind::kDc ? 9 : 11;

  // `code` must be valid.
  explicit DecodeTable(const HuffmanCode& code);

  // By the top bits of BitReader's window; 0 when find_long() is to be asked.
  [[nodiscard]] CodeEntry find(std::uint64_t window) const { return entries_[window >> (64 - kLookupBits)]; }
  // The same for every code; 0 when there is none that begins like this. May be kOddSymbol.
  [[nodiscard]] CodeEntry find_long(std::uint64_t window) const;

 private:
  std::array<CodeEntry, 1U << kLookupBits> entries_{};
  std::vector<CodeEntry> by_index_;                          // in the order of the codes
  std::array<std::uint32_t, kCodeLengthMax + 1> limit_{};    // first code that is longer than this length, as 16 bits
  std::array<std::int32_t, kCodeLengthMax + 1> to_index_{};  // added to a code of this length: its index
};

extern template class DecodeTable<CoefficientKind::kDc>;
extern template class DecodeTable<CoefficientKind::kAc>;

}  // namespace pixmill::image::jpeg
