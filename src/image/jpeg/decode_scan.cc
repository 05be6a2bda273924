#include "image/jpeg/decode_scan.h"

#include <array>
#include <vector>

#include "image/jpeg/bit_reader.h"
#include "image/jpeg/decode_table.h"
#include "image/jpeg/entropy_data.h"

namespace pixmill::image::jpeg {

namespace {

// A symbol's extra bits say a value (ITU T.81 F.1.2.1): a positive one as it is, a negative one with its bits inverted.
struct Value {
  std::uint32_t magnitude;
  std::uint32_t negative;  // all ones or 0
};

Value value_at(std::uint64_t window, unsigned entry) {
  const unsigned bits = extra_bits(entry);
  const auto raw = static_cast<std::uint32_t>(window >> (64 - total_bits(entry)));
  const std::uint32_t negative = (raw << 1 >> bits & 1U) - 1U;
  return {.magnitude = (raw ^ negative) & ((1U << bits) - 1U), .negative = negative};
}

// What one component needs; `unit` is a block's place in the MCU.
struct Part {
  DecodeTable dc;
  DecodeTable ac;
  const Requantiser* requantiser = nullptr;
  BlockPlane* plane = nullptr;
  std::uint32_t h = 1;
  std::uint32_t v = 1;
  int mean = 0;  // of the block before, as the source has it
};

struct Unit {
  unsigned part = 0;
  std::uint32_t x = 0;  // in blocks from the MCU's left
  std::uint32_t y = 0;
};

class Decoder {
 public:
  Decoder(const Scan& scan, const Frame& frame, std::span<const Requantiser> requantisers, BlockStore& store);
  ScanEnd decode();

 private:
  // MCUs [first, last) of row `y`, all within one piece between restarts.
  bool decode_row(std::uint32_t y, std::uint32_t first, std::uint32_t last);
  bool restart();
  int read_mean_difference(BitReader& reader, const DecodeTable& table);
  CoefficientWord* read_coefficients(BitReader& reader, const Part& part, CoefficientWord* out);
  unsigned find_long(const BitReader& reader, const DecodeTable& table);

  EntropyData data_;
  std::size_t piece_ = 0;
  BitReader reader_;
  std::vector<Part> parts_;
  std::vector<Unit> units_;
  std::uint32_t mcus_wide_ = 0;
  std::uint32_t mcus_high_ = 0;
  std::uint32_t restart_interval_ = 0;
  GrowingArray<CoefficientWord>& words_;
  ScanEnd end_ = ScanEnd::kComplete;
};

Decoder::Decoder(const Scan& scan, const Frame& frame, std::span<const Requantiser> requantisers, BlockStore& store)
    : data_(scan.coded, scan.restart_interval > 0),
      reader_(data_.piece(0)),
      parts_(scan.components.size()),
      mcus_wide_(frame.mcus_wide),
      mcus_high_(frame.mcus_high),
      restart_interval_(scan.restart_interval),
      words_(store.words) {
  for (unsigned i = 0; i < parts_.size(); ++i) {
    const ScanComponent& source = scan.components[i];
    const Component& component = frame.components()[source.index];
    Part& part = parts_[i];
    part.dc.build(scan.dc_codes[source.dc_code], CoefficientKind::kDc);
    part.ac.build(scan.ac_codes[source.ac_code], CoefficientKind::kAc);
    part.requantiser = &requantisers[source.index];
    part.plane = &store.planes[source.index];
    part.h = component.h;
    part.v = component.v;
    if (parts_.size() == 1) {  // not interleaved: an MCU is one block, and there are no padding blocks (A.2.2)
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
  for (Part& part : parts_) part.mean = 0;
  return true;
}

unsigned Decoder::find_long(const BitReader& reader, const DecodeTable& table) {
  const unsigned entry = table.find_long(reader.window());
  if (entry != 0 && entry != kOddSymbol) return entry;
  end_ = entry == 0 ? ScanEnd::kBadCode : ScanEnd::kOdd;
  return kEndAdvance << 9 | 1U;
}

inline int Decoder::read_mean_difference(BitReader& reader, const DecodeTable& table) {
  unsigned entry = table.find(reader.window());
  if (entry == 0) [[unlikely]] entry = find_long(reader, table);
  const Value value = value_at(reader.window(), entry);
  reader.drop(total_bits(entry));
  return static_cast<int>((value.magnitude ^ value.negative) - value.negative);
}

// Begins with what reading the mean left of a refill: at most 27 of 56 bits are gone, and a symbol takes at most 26.
inline CoefficientWord* Decoder::read_coefficients(BitReader& reader, const Part& part, CoefficientWord* out) {
  unsigned position = 0;
  const auto read_one = [&]() __attribute__((always_inline)) {
    unsigned entry = part.ac.find(reader.window());
    if (entry == 0) [[unlikely]] entry = find_long(reader, part.ac);
    const Value value = value_at(reader.window(), entry);
    reader.drop(total_bits(entry));
    position += advance(entry);
    const std::uint32_t magnitude = part.requantiser->scale(position, value.magnitude);
    *out = magnitude << kMagnitudeShift | (value.negative & kNegative) | (position & 63U);
    out += magnitude > 0 ? 1 : 0;
    return position < kBlockSize - 1;
  };
  bool inside = read_one();
  while (inside) {
    reader.refill();
    inside = read_one() && read_one();
  }
  if (position >= kBlockSize && position < kEndAdvance) end_ = ScanEnd::kOdd;
  return out;
}

bool Decoder::decode_row(std::uint32_t y, std::uint32_t first, std::uint32_t last) {
  CoefficientWord* const tail = words_.tail(std::size_t{last - first} * units_.size() * kBlockWordsMax);
  const CoefficientWord* const base = tail - words_.size();
  CoefficientWord* out = tail;
  BitReader reader = reader_;
  for (std::uint32_t x = first; x < last; ++x) {
    for (const Unit& unit : units_) {
      Part& part = parts_[unit.part];
      BlockPlane& plane = *part.plane;
      const std::size_t block = std::size_t{y * part.v + unit.y} * plane.stride + x * part.h + unit.x;
      plane.begin[block] = static_cast<std::uint32_t>(out - base);
      reader.refill();
      part.mean += read_mean_difference(reader, part.dc);
      const auto mean = static_cast<int>(part.requantiser->scale(0, static_cast<std::uint32_t>(std::abs(part.mean))));
      plane.dc[block] = static_cast<std::int16_t>(part.mean < 0 ? -mean : mean);
      out = read_coefficients(reader, part, out);
      *out++ = kEndOfBlock;
      if (part.mean < kDcMin || part.mean > kDcMax) end_ = ScanEnd::kOdd;
      if (reader.overrun()) end_ = ScanEnd::kDataEnded;
      if (end_ != ScanEnd::kComplete) return false;
    }
  }
  reader_ = reader;
  words_.commit(out);
  return true;
}

}  // namespace

ScanEnd decode_scan(const Scan& scan, const Frame& frame, std::span<const Requantiser> requantisers,
                    BlockStore& store) {
  return Decoder(scan, frame, requantisers, store).decode();
}

}  // namespace pixmill::image::jpeg
