// Huffman-decodes one sequential scan (ITU T.81 F.2) into a sink, which sees every block as it comes. The hot loop of
// everything that reads a JPEG: a template, so that the sink's work is compiled into it. Pure; the input is untrusted.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "image/jpeg/bit_reader.h"
#include "image/jpeg/decode_scan.h"
#include "image/jpeg/decode_table.h"
#include "image/jpeg/entropy_data.h"
#include "image/jpeg/frame.h"
#include "image/jpeg/quantisation.h"
#include "image/jpeg/read_source.h"

namespace pixmill::image::jpeg {

struct CodedValue {
  std::uint32_t magnitude;
  std::uint32_t negative;  // 1 or 0
};

// The extra bits behind a code say a value (ITU T.81 F.1.2.1): a positive one as it is, which begins with a one, a
// negative one with its bits inverted. Without extra bits the value is 0 and the sign means nothing.
inline CodedValue value_at(std::uint64_t window, CodeEntry entry) {
  const std::uint64_t extra = window << code_bits(entry);
  const std::uint64_t negative = (extra >> 63) - 1U;
  return {.magnitude = static_cast<std::uint32_t>((extra ^ negative) >> 1 >> extra_complement(entry)),
          .negative = static_cast<std::uint32_t>(negative & 1U)};
}

// Sink has
//   void begin_row(std::size_t blocks)   at most so many blocks follow until end_row()
//   void take(unsigned component, std::uint32_t x, std::uint32_t y, int mean, const Read& read)
//                                        block (x, y) of a component; `read`, to be called once, calls what it is given
//                                        with (position, CodedValue) for every symbol of the block: where there is no
//                                        coefficient the value is 0, and the position may lie behind the block, up to
//                                        kPositionMax
//   void end_row()
template <class Sink>
class ScanDecoder {
 public:
  // Throws std::bad_alloc.
  ScanDecoder(const Scan& scan, const Frame& frame, Sink& sink);
  ScanEnd decode();

 private:
  using DcTable = DecodeTable<CoefficientKind::kDc>;
  using AcTable = DecodeTable<CoefficientKind::kAc>;

  // What one component needs.
  struct Part {
    DcTable dc;
    AcTable ac;
    unsigned component = 0;
    std::uint32_t h = 1;
    std::uint32_t v = 1;
    int mean = 0;  // of the block before
  };
  // A block's place in the MCU.
  struct Unit {
    unsigned part = 0;
    std::uint32_t x = 0;  // in blocks from the MCU's left
    std::uint32_t y = 0;
  };

  // MCUs [first, last) of row `y`, all within one piece between restarts.
  bool decode_row(std::uint32_t y, std::uint32_t first, std::uint32_t last);
  bool restart();
  int read_mean_difference(BitReader& reader, const DcTable& table);
  template <class Take>
  void read_coefficients(BitReader& reader, const AcTable& table, const Take& take);
  template <class Table>
  CodeEntry find_long(std::uint64_t window, const Table& table);

  EntropyData data_;
  std::size_t piece_ = 0;
  BitReader reader_;
  std::vector<Part> parts_;
  std::vector<Unit> units_;
  std::uint32_t mcus_wide_ = 0;
  std::uint32_t mcus_high_ = 0;
  std::uint32_t restart_interval_ = 0;
  Sink& sink_;
  ScanEnd end_ = ScanEnd::kComplete;
};

template <class Sink>
ScanDecoder<Sink>::ScanDecoder(const Scan& scan, const Frame& frame, Sink& sink)
    : data_(scan.coded, scan.restart_interval > 0),
      reader_(data_.piece(0)),
      mcus_wide_(frame.mcus_wide),
      mcus_high_(frame.mcus_high),
      restart_interval_(scan.restart_interval),
      sink_(sink) {
  parts_.reserve(scan.components.size());
  for (unsigned i = 0; i < scan.components.size(); ++i) {
    const ScanComponent& source = scan.components[i];
    const Component& component = frame.components()[source.index];
    Part& part = parts_.emplace_back(DcTable(scan.dc_codes[source.dc_code]), AcTable(scan.ac_codes[source.ac_code]));
    part.component = source.index;
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

template <class Sink>
ScanEnd ScanDecoder<Sink>::decode() {
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

template <class Sink>
bool ScanDecoder<Sink>::restart() {
  if (++piece_ == data_.piece_count()) {
    end_ = ScanEnd::kDataEnded;
    return false;
  }
  reader_ = data_.piece(piece_);
  for (Part& part : parts_) part.mean = 0;
  return true;
}

// What stands for an unknown code ends the block.
template <class Sink>
template <class Table>
[[gnu::noinline]] CodeEntry ScanDecoder<Sink>::find_long(std::uint64_t window, const Table& table) {
  const CodeEntry entry = table.find_long(window);
  if (entry != 0 && entry != kOddSymbol) return entry;
  end_ = entry == 0 ? ScanEnd::kBadCode : ScanEnd::kOdd;
  return make_entry(1, 0, kEndAdvance);
}

template <class Sink>
inline int ScanDecoder<Sink>::read_mean_difference(BitReader& reader, const DcTable& table) {
  CodeEntry entry = table.find(reader.window());
  if (entry == 0) [[unlikely]]
    entry = find_long(reader.window(), table);
  const CodedValue value = value_at(reader.window(), entry);
  reader.drop(total_bits(entry));
  const auto magnitude = static_cast<int>(value.magnitude);
  return value.negative != 0 ? -magnitude : magnitude;
}

// Begins with what reading the mean left of a refill: at most 27 of 56 bits are gone, and a symbol takes at most 26.
template <class Sink>
template <class Take>
inline void ScanDecoder<Sink>::read_coefficients(BitReader& reader, const AcTable& table, const Take& take) {
  unsigned position = 0;
  const auto read_one = [&]() __attribute__((always_inline)) {
    CodeEntry entry = table.find(reader.window());
    if (entry == 0) [[unlikely]]
      entry = find_long(reader.window(), table);
    const CodedValue value = value_at(reader.window(), entry);
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

template <class Sink>
bool ScanDecoder<Sink>::decode_row(std::uint32_t y, std::uint32_t first, std::uint32_t last) {
  sink_.begin_row(std::size_t{last - first} * units_.size());
  BitReader reader = reader_;
  for (std::uint32_t x = first; x < last; ++x) {
    for (const Unit& unit : units_) {
      Part& part = parts_[unit.part];
      reader.refill();
      part.mean += read_mean_difference(reader, part.dc);
      sink_.take(
          part.component, x * part.h + unit.x, y * part.v + unit.y,
          part.mean, [&](const auto& take) __attribute__((always_inline)) {
            read_coefficients(reader, part.ac, take);
          });
      if (part.mean < kDcMin || part.mean > kDcMax) end_ = ScanEnd::kOdd;
      if (reader.overrun()) end_ = ScanEnd::kDataEnded;
      if (end_ != ScanEnd::kComplete) return false;
    }
  }
  reader_ = reader;
  sink_.end_row();
  return true;
}

}  // namespace pixmill::image::jpeg
