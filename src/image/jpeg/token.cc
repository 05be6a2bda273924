#include "image/jpeg/token.h"

#include <algorithm>
#include <cstring>

#include "image/jpeg/zigzag.h"

namespace pixmill::image::jpeg {

namespace {

constexpr unsigned kZeroRun = 0xF0;  // sixteen zeros

constexpr std::uint64_t to_big_endian(std::uint64_t value) {
  return std::endian::native == std::endian::little ? std::byteswap(value) : value;
}

// Bits into bytes. Eight bytes are stored at a time and those that are full are kept.
class BitPacker {
 public:
  // `bits` at most 56; at most seven are pending before.
  void put(std::uint64_t value, unsigned bits, std::uint8_t*& out) {
    count_ += bits;
    window_ |= value << (64 - count_);
    const std::uint64_t bytes = to_big_endian(window_);
    std::memcpy(out, &bytes, sizeof(bytes));
    out += count_ / 8;
    window_ <<= count_ & ~7U;
    count_ &= 7U;
  }
  // Fills the last byte with ones.
  void finish(std::uint8_t*& out) {
    if (count_ > 0) put((1U << (8 - count_)) - 1U, 8 - count_, out);
  }

 private:
  std::uint64_t window_ = 0;
  unsigned count_ = 0;
};

// Puts a zero behind every 0xFF, so that no marker appears in the data (ITU T.81 F.1.2.3).
void append_stuffed(const std::uint8_t* from, const std::uint8_t* end, std::string& out) {
  while (from != end) {
    const auto* found = static_cast<const std::uint8_t*>(std::memchr(from, 0xFF, static_cast<std::size_t>(end - from)));
    const auto* const stop = found == nullptr ? end : found + 1;
    out.append(reinterpret_cast<const char*>(from), static_cast<std::size_t>(stop - from));
    if (found != nullptr) out.push_back('\0');
    from = stop;
  }
}

}  // namespace

Token* write_block_tokens(const CoefficientWord* words, unsigned code, Token* out) {
  unsigned before = 0;
  for (; *words != kEndOfBlock; ++words) {
    const CoefficientWord word = *words;
    unsigned run = position_of(word) - before - 1;
    before = position_of(word);
    while (run > 15) [[unlikely]] {
      *out++ = make_token(code, kZeroRun, 0, 0);
      run -= 16;
    }
    const std::uint32_t magnitude = magnitude_of(word);
    const auto bits = static_cast<unsigned>(std::bit_width(magnitude));
    *out++ = make_token(code, run << 4 | bits, bits, extra_of(magnitude, bits, (word & kNegative) != 0));
  }
  *out = make_token(code, 0, 0, 0);
  return out + (before < kBlockSize - 1 ? 1 : 0);
}

Frequencies count_symbols(std::span<const Token> tokens) {
  constexpr unsigned kSymbolBits = 10;
  // Two counters take turns, so that a symbol that repeats does not wait for its own count to be stored.
  std::array<std::array<std::uint32_t, 1U << kSymbolBits>, 2> counts{};
  constexpr Token kSymbol = (1U << kSymbolBits) - 1U;
  std::size_t i = 0;
  for (; i + 1 < tokens.size(); i += 2) {
    ++counts[0][tokens[i] & kSymbol];
    ++counts[1][tokens[i + 1] & kSymbol];
  }
  if (i < tokens.size()) ++counts[0][tokens[i] & kSymbol];
  Frequencies frequencies{};
  for (unsigned symbol = 0; symbol < counts[0].size(); ++symbol) {
    frequencies[symbol / 256][symbol % 256] = counts[0][symbol] + counts[1][symbol];
  }
  return frequencies;
}

void append_tokens(std::span<const Token> tokens, std::span<const CodeWords, kCodeCount> codes, std::string& out) {
  constexpr std::size_t kTokensAtOnce = 2048;
  constexpr std::size_t kTokenBytesMax = 4;  // a code of 16 bits and up to 14 extra bits
  std::array<std::uint8_t, kTokensAtOnce * kTokenBytesMax + sizeof(std::uint64_t)> bytes;
  BitPacker packer;
  while (!tokens.empty()) {
    std::uint8_t* end = bytes.data();
    const auto chunk = tokens.first(std::min(kTokensAtOnce, tokens.size()));
    for (const Token token : chunk) {
      const unsigned extra_count = token >> 10 & 15U;
      const std::uint32_t word = codes[token >> 8 & 3U][token & 255U];
      packer.put(std::uint64_t{word >> 8} << extra_count | token >> 16, (word & 255U) + extra_count, end);
    }
    append_stuffed(bytes.data(), end, out);
    tokens = tokens.subspan(chunk.size());
  }
  std::uint8_t* end = bytes.data();
  packer.finish(end);
  append_stuffed(bytes.data(), end, out);
}

}  // namespace pixmill::image::jpeg
