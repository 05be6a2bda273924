#include "image/jpeg/decode_table.h"

#include <algorithm>

namespace pixmill::image::jpeg {

namespace {

constexpr unsigned kDcBitsMax = 11;
constexpr unsigned kAcBitsMax = 10;
constexpr unsigned kZeroRun = 0xF0;  // sixteen zeros and no value

SymbolEntry entry_of(unsigned symbol, unsigned code_length, CoefficientKind kind) {
  const bool is_dc = kind == CoefficientKind::kDc;
  const unsigned bits = is_dc ? symbol : symbol & 15U;
  const bool known = is_dc ? bits <= kDcBitsMax : bits <= kAcBitsMax && (bits > 0 || symbol == 0 || symbol == kZeroRun);
  if (!known) return kOddSymbol;
  const unsigned step = is_dc ? 0 : symbol == 0 ? kEndAdvance : (symbol >> 4) + 1;
  return static_cast<SymbolEntry>(step << 9 | bits << 5 | (code_length + bits));
}

}  // namespace

void DecodeTable::build(const HuffmanCode& code, CoefficientKind kind) {
  entries_.fill(0);
  by_index_.fill(0);
  std::uint32_t next = 0;
  unsigned index = 0;
  for (unsigned length = 1; length <= kCodeLengthMax; ++length) {
    to_index_[length] = static_cast<std::int32_t>(index) - static_cast<std::int32_t>(next);
    for (unsigned i = 0; i < code.count[length]; ++i, ++next, ++index) {
      by_index_[index] = entry_of(code.symbols[index], length, kind);
      if (length > kLookupBits || by_index_[index] == kOddSymbol) continue;
      const unsigned free_bits = kLookupBits - length;
      std::fill_n(entries_.begin() + (next << free_bits), 1U << free_bits, by_index_[index]);
    }
    limit_[length] = next << (kCodeLengthMax - length);
    next <<= 1;
  }
}

unsigned DecodeTable::find_long(std::uint64_t window) const {
  const auto bits = static_cast<std::uint32_t>(window >> (64 - kCodeLengthMax));
  for (unsigned length = 1; length <= kCodeLengthMax; ++length) {
    if (bits >= limit_[length]) continue;
    return by_index_[static_cast<unsigned>(static_cast<std::int32_t>(bits >> (kCodeLengthMax - length)) +
                                           to_index_[length])];
  }
  return 0;
}

}  // namespace pixmill::image::jpeg
