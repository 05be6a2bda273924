#include "image/jpeg/decode_scan.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "image/jpeg/bit_reader.h"
#include "image/jpeg/decode_table.h"
#include "image/jpeg/entropy_data.h"

namespace pixmill::image::jpeg {

namespace {

using DcTable = DecodeTable<CoefficientKind::kDc>;
using AcTable = DecodeTable<CoefficientKind::kAc>;

struct Value {
  std::uint32_t magnitude;
  std::uint32_t negative;  // 1 or 0
};

// The extra bits behind a code say a value (ITU T.81 F.1.2.1): a positive one as it is, which begins with a one, a
// negative one with its bits inverted. Without extra bits the value is 0 and the sign means nothing.
Value value_at(std::uint64_t window, CodeEntry entry) {
  const std::uint64_t extra = window << code_bits(entry);
  const std::uint64_t negative = (extra >> 63) - 1U;
  return {.magnitude = static_cast<std::uint32_t>((extra ^ negative) >> 1 >> extra_complement(entry)),
          .negative = static_cast<std::uint32_t>(negative & 1U)};
}

// The value's part of a coefficient's token, by 2 × magnitude + 1 if negative.
constexpr auto kValueTokens = [] {
  std::array<Token, 2 * (kAcMax + 1)> tokens{};
  for (std::uint32_t i = 0; i < tokens.size(); ++i) {
    const unsigned bits = bits_of(i / 2);
    tokens[i] = extra_of(i / 2, bits, 0U - (i & 1U)) << kExtraShift | bits;
  }
  return tokens;
}();

// What one component needs; `unit` is a block's place in the MCU.
struct Part {
  DcTable dc;
  AcTable ac;
  const Requantiser* requantiser = nullptr;
  BlockPlane* plane = nullptr;
  Channel channel = Channel::kLuma;
  unsigned dc_code = kDcLuma;  // for what is written
  unsigned ac_code = kAcLuma;
  std::uint32_t h = 1;
  std::uint32_t v = 1;
  int source_mean = 0;  // of the block before
  int mean = 0;         // the same, requantised
};

struct Unit {
  unsigned part = 0;
  std::uint32_t x = 0;  // in blocks from the MCU's left
  std::uint32_t y = 0;
};

class Decoder {
 public:
  Decoder(const Scan& scan, const Frame& frame, std::span<const Requantiser> requantisers, const BlockCoder* coder,
          BlockStore& store);
  ScanEnd decode();

 private:
  // MCUs [first, last) of row `y`, all within one piece between restarts.
  bool decode_row(std::uint32_t y, std::uint32_t first, std::uint32_t last);
  bool restart();
  int read_mean_difference(BitReader& reader, const DcTable& table);
  template <class Take>
  void read_coefficients(BitReader& reader, const Part& part, const Take& take);
  Token* write_coefficients(BitReader& reader, const Part& part, Token* out);
  Token* code_coefficients(BitReader& reader, const Part& part, Token* out);
  template <class Table>
  CodeEntry find_long(const BitReader& reader, const Table& table);

  EntropyData data_;
  std::size_t piece_ = 0;
  BitReader reader_;
  std::vector<Part> parts_;
  std::vector<Unit> units_;
  std::uint32_t mcus_wide_ = 0;
  std::uint32_t mcus_high_ = 0;
  std::uint32_t restart_interval_ = 0;
  const BlockCoder* coder_;
  Tokens& tokens_;
  ScanEnd end_ = ScanEnd::kComplete;
};

Decoder::Decoder(const Scan& scan, const Frame& frame, std::span<const Requantiser> requantisers,
                 const BlockCoder* coder, BlockStore& store)
    : data_(scan.coded, scan.restart_interval > 0),
      reader_(data_.piece(0)),
      mcus_wide_(frame.mcus_wide),
      mcus_high_(frame.mcus_high),
      restart_interval_(scan.restart_interval),
      coder_(coder),
      tokens_(store.tokens) {
  parts_.reserve(scan.components.size());
  for (unsigned i = 0; i < scan.components.size(); ++i) {
    const ScanComponent& source = scan.components[i];
    const Component& component = frame.components()[source.index];
    Part& part = parts_.emplace_back(DcTable(scan.dc_codes[source.dc_code]), AcTable(scan.ac_codes[source.ac_code]));
    part.requantiser = &requantisers[source.index];
    part.plane = &store.planes[source.index];
    part.channel = source.index == 0 ? Channel::kLuma : Channel::kChroma;
    part.dc_code = source.index == 0 ? kDcLuma : kDcChroma;
    part.ac_code = source.index == 0 ? kAcLuma : kAcChroma;
    part.h = component.h;
    part.v = component.v;
    if (scan.components.size() == 1) {  // not interleaved: an MCU is one block, and there are no padding blocks (A.2.2)
      part.h = part.v = 1;
      mcus_wide_ = component.blocks_wide;
      mcus_high_ = component.blocks_high;
    }
    for (std::uint32_t y = 0; y < part.v; ++y) {
      for (std::uint32_t x = 0; x < part.h; ++x) units_.push_back({.part = i, .x = x, .y = y});
    }
  }
}

ScanEnd Decoder::decode() {
  std::uint32_t until_restart = restart_interval_;
  for (std::uint32_t y = 0; y < mcus_high_; ++y) {
    for (std::uint32_t x = 0; x < mcus_wide_;) {
      if (restart_interval_ > 0 && until_restart == 0) {
        if (!restart()) return end_;
        until_restart = restart_interval_;
      }
      std::uint32_t last = mcus_wide_;
      if (restart_interval_ > 0) {
        last = std::min(last, x + until_restart);
        until_restart -= last - x;
      }
      if (!decode_row(y, x, last)) return end_;
      x = last;
    }
  }
  return data_.restarts_in_order() ? ScanEnd::kComplete : ScanEnd::kBadCode;
}

bool Decoder::restart() {
  if (++piece_ == data_.piece_count()) {
    end_ = ScanEnd::kDataEnded;
    return false;
  }
  reader_ = data_.piece(piece_);
  for (Part& part : parts_) part.source_mean = 0;
  return true;
}

// What stands for an unknown code ends the block.
template <class Table>
[[gnu::noinline]] CodeEntry Decoder::find_long(const BitReader& reader, const Table& table) {
  const CodeEntry entry = table.find_long(reader.window());
  if (entry != 0 && entry != kOddSymbol) return entry;
  end_ = entry == 0 ? ScanEnd::kBadCode : ScanEnd::kOdd;
  return make_entry(1, 0, kEndAdvance);
}

inline int Decoder::read_mean_difference(BitReader& reader, const DcTable& table) {
  CodeEntry entry = table.find(reader.window());
  if (entry == 0) [[unlikely]]
    entry = find_long(reader, table);
  const Value value = value_at(reader.window(), entry);
  reader.drop(total_bits(entry));
  const auto magnitude = static_cast<int>(value.magnitude);
  return value.negative != 0 ? -magnitude : magnitude;
}

// Calls `take(position, value)` for every symbol of a block; where there is no coefficient the value is 0, and the
// position may lie behind the block. Begins with what reading the mean left of a refill: at most 27 of 56 bits are
// gone, and a symbol takes at most 26.
template <class Take>
inline void Decoder::read_coefficients(BitReader& reader, const Part& part, const Take& take) {
  unsigned position = 0;
  const auto read_one = [&]() __attribute__((always_inline)) {
    CodeEntry entry = part.ac.find(reader.window());
    if (entry == 0) [[unlikely]]
      entry = find_long(reader, part.ac);
    const Value value = value_at(reader.window(), entry);
    reader.drop(total_bits(entry));
    position += advance(entry);
    take(position, value);
    return position < kBlockSize - 1;
  };
  bool inside = read_one();
  while (inside) {
    reader.refill();
    inside = read_one() && read_one();
  }
  if (position >= kBlockSize && position < kEndAdvance) end_ = ScanEnd::kOdd;
}

// Without branches: each coefficient is written, and what has become 0 is written over.
inline Token* Decoder::write_coefficients(BitReader& reader, const Part& part, Token* out) {
  unsigned written = 0;  // position of the last coefficient that did not become 0
  read_coefficients(
      reader, part, [&](unsigned position, Value value) __attribute__((always_inline)) {
        const std::uint32_t magnitude = part.requantiser->nearest(position, value.magnitude);
        *out = kValueTokens[2 * magnitude + value.negative] + placement(part.ac_code, written, position);
        out += magnitude > 0 ? 1 : 0;
        written = magnitude > 0 ? position : written;
      });
  *out = end_token(part.ac_code, written);
  return out + 1;
}

inline Token* Decoder::code_coefficients(BitReader& reader, const Part& part, Token* out) {
  std::array<Candidate, kCandidatesMax + 1> candidates;
  std::size_t count = 0;
  const std::uint32_t least = part.requantiser->least_candidate;
  read_coefficients(
      reader, part, [&](unsigned position, Value value) __attribute__((always_inline)) {
        const std::uint32_t scaled = part.requantiser->candidate(position, value.magnitude);
        candidates[count] = scaled << kCandidateShift | value.negative * kCandidateNegative | position % kBlockSize;
        count += scaled >= least ? 1 : 0;
      });
  return coder_->write({candidates.data(), count}, part.channel, out);
}

bool Decoder::decode_row(std::uint32_t y, std::uint32_t first, std::uint32_t last) {
  Token* const tail = tokens_.tail(std::size_t{last - first} * units_.size() * kBlockTokensMax);
  const Token* const begin = tail - tokens_.size();
  Token* out = tail;
  BitReader reader = reader_;
  for (std::uint32_t x = first; x < last; ++x) {
    for (const Unit& unit : units_) {
      Part& part = parts_[unit.part];
      const std::size_t block =
          std::size_t{y * part.v + unit.y} * part.plane->stride + std::size_t{x} * part.h + unit.x;
      reader.refill();
      part.source_mean += read_mean_difference(reader, part.dc);
      const int magnitude =
          static_cast<int>(part.requantiser->nearest(0, static_cast<std::uint32_t>(std::abs(part.source_mean))));
      const int mean = part.source_mean < 0 ? -magnitude : magnitude;
      *out++ = mean_token(part.dc_code, mean - part.mean);
      part.mean = mean;
      part.plane->means[block] = static_cast<std::int16_t>(mean);
      part.plane->coefficients[block] = static_cast<std::uint32_t>(out - begin);
      out = coder_ == nullptr ? write_coefficients(reader, part, out) : code_coefficients(reader, part, out);
      if (part.source_mean < kDcMin || part.source_mean > kDcMax) end_ = ScanEnd::kOdd;
      if (reader.overrun()) end_ = ScanEnd::kDataEnded;
      if (end_ != ScanEnd::kComplete) return false;
    }
  }
  reader_ = reader;
  tokens_.commit(out);
  return true;
}

}  // namespace

ScanEnd decode_scan(const Scan& scan, const Frame& frame, std::span<const Requantiser> requantisers,
                    const BlockCoder* coder, BlockStore& store) {
  return Decoder(scan, frame, requantisers, coder, store).decode();
}

}  // namespace pixmill::image::jpeg
