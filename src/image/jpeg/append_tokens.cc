#include "image/jpeg/append_tokens.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace pixmill::image::jpeg {

namespace {

// Bits into bytes: eight bytes are stored at a time, and those that are full are kept.
class BitPacker {
 public:
  explicit BitPacker(std::uint8_t* out) : out_(out) {}
  // `length` at most 56; `value` has no more bits. Turning right by as many bits as are then in the window puts the
  // value's below the pending ones, and unlike a shift is defined for none.
  void put(std::uint64_t value, unsigned length) {
    count_ += length;
    window_ |= std::rotr(value, static_cast<int>(count_));
    const std::uint64_t bytes = std::endian::native == std::endian::little ? std::byteswap(window_) : window_;
    std::memcpy(out_, &bytes, sizeof(bytes));
    out_ += count_ / 8;
    window_ <<= count_ & ~7U;
    count_ &= 7U;
  }
  void pad_with_ones() {
    if (count_ > 0) put((1U << (8 - count_)) - 1U, 8 - count_);
  }
  [[nodiscard]] std::uint8_t* end() const { return out_; }
  // Goes on writing here.
  void move_to(std::uint8_t* out) { out_ = out; }

 private:
  std::uint8_t* out_;
  std::uint64_t window_ = 0;  // the first bits on top
  unsigned count_ = 0;        // at most 7 between calls
};

// Puts a zero behind every 0xFF, so that no marker appears in the data (F.1.2.3).
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

TokenCodes::TokenCodes(std::span<const HuffmanCode, kCodeCount> codes, BlockEnds ends) {
  for (unsigned number = 0; number < kCodeCount; ++number) {
    const CodeWords words = code_words(codes[number]);
    for (unsigned symbol = 0; symbol < words.size(); ++symbol) {
      const std::uint32_t length = words[symbol] & 0xFFU;
      if (length == 0) continue;
      const bool is_run_of_ends = ends == BlockEnds::kRuns && (symbol & 15U) == 0 && symbol != kZeroRunSymbol;
      const unsigned extra = is_run_of_ends ? symbol >> 4 : symbol & 15U;
      entries_[number][symbol] = {.bits = words[symbol] >> 8 << extra, .length = length + extra};
    }
  }
}

void TokenCodes::append(std::span<const Token> tokens, std::string& out) const {
  constexpr std::size_t kTokensAtOnce = 1024;
  constexpr std::size_t kTokenBytesMax =
      10;  // three runs of zeros of 16 bits each, a code of 16 and up to 14 extra bits
  std::array<std::uint8_t, kTokensAtOnce * kTokenBytesMax + 2 * sizeof(std::uint64_t)> bytes;
  BitPacker packer(bytes.data());
  while (!tokens.empty()) {
    const auto chunk = tokens.first(std::min(kTokensAtOnce, tokens.size()));
    for (const Token token : chunk) {
      for (unsigned runs = zero_runs_of(token); runs > 0; --runs) [[unlikely]] {
        const Entry& zero_run = entries_[code_of(token)][kZeroRunSymbol];
        packer.put(zero_run.bits, zero_run.length);
      }
      packer.put(entry(token).bits | token >> kExtraShift, entry(token).length);
    }
    append_stuffed(bytes.data(), packer.end(), out);
    packer.move_to(bytes.data());
    tokens = tokens.subspan(chunk.size());
  }
  packer.pad_with_ones();
  append_stuffed(bytes.data(), packer.end(), out);
}

}  // namespace pixmill::image::jpeg
