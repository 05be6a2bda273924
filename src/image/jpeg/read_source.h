// Reads a JPEG file's segments up to its entropy-coded data (ITU T.81 annex B) and decides whether the coefficient
// domain can handle it. Pure; the input is untrusted.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "image/jpeg/frame.h"
#include "image/jpeg/huffman_code.h"
#include "image/jpeg/quantisation.h"

namespace pixmill::image::jpeg {

struct ScanComponent {
  unsigned index = 0;  // in Frame::components()
  unsigned dc_code = 0;
  unsigned ac_code = 0;
};

// One sequential scan with the tables that were in force when it began.
struct Scan {
  std::vector<ScanComponent> components;
  std::array<HuffmanCode, 4> dc_codes;
  std::array<HuffmanCode, 4> ac_codes;
  std::uint32_t restart_interval = 0;  // MCUs between restart markers; 0: none
  std::string_view coded;
};

// From JFIF: pixels per unit, or the aspect ratio of a pixel when the unit is 0.
struct Density {
  std::uint8_t unit = 0;
  std::uint16_t x = 1;
  std::uint16_t y = 1;
  bool operator==(const Density&) const = default;
};

struct Source {
  Frame frame;
  Density density;
  bool has_profile = false;  // ICC, whole or not
  bool progressive = false;
  // Empty when progressive; else every component stands in exactly one scan, and the codes it names are valid.
  std::vector<Scan> scans;
  std::array<QuantTable, kComponentsMax> quant_tables{};  // by component; not filled in when progressive
};

// Errors: kUnsupportedFormat for everything but 8-bit Huffman-coded grey and YCbCr, and for oddities;
// kTruncated and kDecodeFailed for damage.
[[nodiscard]] Result<Source> read_source(std::string_view bytes);

// The error for coded data that ran out: kTruncated when the file's end is missing, else kDecodeFailed.
[[nodiscard]] Error data_ended(std::string_view bytes);
// "This is for another decoder to judge."
[[nodiscard]] Error odd_source(std::string_view what);

}  // namespace pixmill::image::jpeg
