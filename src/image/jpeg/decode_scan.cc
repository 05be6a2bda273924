#include "image/jpeg/decode_scan.h"

#include <array>
#include <cstdlib>
#include <utility>

#include "image/jpeg/scan_decoder.h"

namespace pixmill::image::jpeg {

namespace {

// The value's part of a coefficient's token, by 2 × magnitude + 1 if negative.
constexpr auto kValueTokens = [] {
  std::array<Token, 2 * (kAcMax + 1)> tokens{};
  for (std::uint32_t i = 0; i < tokens.size(); ++i) {
    const unsigned bits = bits_of(i / 2);
    tokens[i] = extra_of(i / 2, bits, 0U - (i & 1U)) << kExtraShift | bits;
  }
  return tokens;
}();

// Requantises every block and appends it to the store. With kCoded a coder turns blocks into tokens; else that means no
// more than writing them down in passing.
template <bool kCoded>
class TokenSink {
 public:
  TokenSink(std::span<const Requantiser> requantisers, const BlockCoder* coder, BlockStore& store)
      : requantisers_(requantisers), coder_(coder), store_(store) {}

  void begin_row(std::size_t blocks) {
    out_ = store_.tokens.tail(blocks * kBlockTokensMax);
    begin_ = out_ - store_.tokens.size();
  }
  void end_row() { store_.tokens.commit(out_); }

  template <class Read>
  void take(unsigned component, std::uint32_t x, std::uint32_t y, int source_mean, const Read& read) {
    const Requantiser& requantiser = requantisers_[component];
    BlockPlane& plane = store_.planes[component];
    const std::size_t block = std::size_t{y} * plane.stride + x;
    const auto magnitude = static_cast<int>(requantiser.nearest(0, static_cast<std::uint32_t>(std::abs(source_mean))));
    const int mean = source_mean < 0 ? -magnitude : magnitude;
    Token* out = out_;
    *out++ = mean_token(component == 0 ? kDcLuma : kDcChroma, mean - means_[component]);
    means_[component] = mean;
    plane.means[block] = static_cast<std::int16_t>(mean);
    plane.coefficients[block] = static_cast<std::uint32_t>(out - begin_);
    if constexpr (kCoded) {
      out_ = code_coefficients(requantiser, component == 0 ? Channel::kLuma : Channel::kChroma, read, out);
    } else {
      out_ = write_coefficients(requantiser, component == 0 ? kAcLuma : kAcChroma, read, out);
    }
  }

 private:
  // Without branches: each coefficient is written, and what has become 0 is written over.
  template <class Read>
  Token* write_coefficients(const Requantiser& requantiser, unsigned code, const Read& read, Token* out) {
    unsigned written = 0;  // position of the last coefficient that did not become 0
    read([&](unsigned position, CodedValue value) __attribute__((always_inline)) {
      const std::uint32_t magnitude = requantiser.nearest(position, value.magnitude);
      *out = kValueTokens[2 * magnitude + value.negative] + placement(code, written, position);
      out += magnitude > 0 ? 1 : 0;
      written = magnitude > 0 ? position : written;
    });
    *out = end_token(code, written);
    return out + 1;
  }

  template <class Read>
  Token* code_coefficients(const Requantiser& requantiser, Channel channel, const Read& read, Token* out) {
    std::array<Candidate, kCandidatesMax + 1> candidates;
    std::size_t count = 0;
    const std::uint32_t least = requantiser.least_candidate;
    read([&](unsigned position, CodedValue value) __attribute__((always_inline)) {
      const std::uint32_t scaled = requantiser.candidate(position, value.magnitude);
      candidates[count] = scaled << kCandidateShift | value.negative * kCandidateNegative | position % kBlockSize;
      count += scaled >= least ? 1 : 0;
    });
    return coder_->write({candidates.data(), count}, channel, out);
  }

  std::span<const Requantiser> requantisers_;
  const BlockCoder* coder_;
  BlockStore& store_;
  Token* out_ = nullptr;
  const Token* begin_ = nullptr;
  std::array<int, kComponentsMax> means_{};  // of the blocks before, requantised
};

}  // namespace

ScanEnd decode_scan(const Scan& scan, const Frame& frame, std::span<const Requantiser> requantisers,
                    const BlockCoder* coder, BlockStore& store) {
  if (coder == nullptr) {
    TokenSink<false> sink(requantisers, nullptr, store);
    return ScanDecoder(scan, frame, sink).decode();
  }
  TokenSink<true> sink(requantisers, coder, store);
  return ScanDecoder(scan, frame, sink).decode();
}

}  // namespace pixmill::image::jpeg
