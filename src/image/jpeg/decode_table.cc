#include "image/jpeg/decode_table.h"

#include <algorithm>

namespace pixmill::image::jpeg {

namespace {

constexpr unsigned kDcBitsMax = 11;
constexpr unsigned kAcBitsMax = 10;
constexpr unsigned kZeroRun = 0xF0;  // sixteen zeros and no value

CodeEntry dc_entry(unsigned symbol, unsigned code_length) {
  return symbol <= kDcBitsMax ? make_entry(code_length, symbol, 0) : kOddSymbol;
}

CodeEntry ac_entry(unsigned symbol, unsigned code_length) {
  const unsigned bits = symbol & 15U;
  if (symbol == 0) return make_entry(code_length, 0, kEndAdvance);
  if (bits > kAcBitsMax || (bits == 0 && symbol != kZeroRun)) return kOddSymbol;
  return make_entry(code_length, bits, (symbol >> 4) + 1);
}

}  // namespace

template <CoefficientKind kKind>
DecodeTable<kKind>::DecodeTable(const HuffmanCode& code) : by_index_(code.size()) {
  std::uint32_t next = 0;
  unsigned index = 0;
  for (unsigned length = 1; length <= kCodeLengthMax; ++length) {
    to_index_[length] = static_cast<std::int32_t>(index) - static_cast<std::int32_t>(next);
    for (unsigned i = 0; i < code.count[length]; ++i, ++next, ++index) {
      const unsigned symbol = code.symbols[index];
      by_index_[index] = kKind == CoefficientKind::kDc ? dc_entry(symbol, length) : ac_entry(symbol, length);
      if (length > kLookupBits || by_index_[index] == kOddSymbol) continue;
      const unsigned free_bits = kLookupBits - length;
      std::fill_n(entries_.begin() + (next << free_bits), 1U << free_bits, by_index_[index]);
    }
    limit_[length] = next << (kCodeLengthMax - length);
    next <<= 1;
  }
}

template <CoefficientKind kKind>
CodeEntry DecodeTable<kKind>::find_long(std::uint64_t window) const {
  const auto bits = static_cast<std::uint32_t>(window >> (64 - kCodeLengthMax));
  for (unsigned length = 1; length <= kCodeLengthMax; ++length) {
    if (bits >= limit_[length]) continue;
    const auto code = static_cast<std::int32_t>(bits >> (kCodeLengthMax - length));
    return by_index_[static_cast<unsigned>(code + to_index_[length])];
  }
  return 0;
}

template class DecodeTable<CoefficientKind::kDc>;
template class DecodeTable<CoefficientKind::kAc>;

}  // namespace pixmill::image::jpeg
