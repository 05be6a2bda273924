// For tests: makes JPEG files of many kinds through libjpeg, from coefficients made up by a seed, and reads files'
// coefficients back through it. What libjpeg says is what our own coder is compared with.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "image/jpeg/huffman_code.h"
#include "image/jpeg/zigzag.h"

namespace pixmill::image::jpeg {

// Coefficients in zigzag order.
using DenseBlock = std::array<int, kBlockSize>;

struct DenseComponent {
  unsigned h = 1;
  unsigned v = 1;
  unsigned blocks_wide = 0;  // without padding
  unsigned blocks_high = 0;
  std::array<unsigned, kBlockSize> quant_table{};  // zigzag order
  std::vector<DenseBlock> blocks;
};

struct DensePicture {
  unsigned width_px = 0;
  unsigned height_px = 0;
  std::vector<DenseComponent> components;
};

enum class SampleCodes : std::uint8_t { kStandard, kOptimal, kOdd };  // kOdd: valid, but of any lengths
enum class SampleProcess : std::uint8_t { kInterleaved, kNonInterleaved, kProgressive, kArithmetic };
enum class SampleColours : std::uint8_t { kGrey, kYcc, kRgb, kCmyk };

struct SampleOptions {
  unsigned width_px = 40;
  unsigned height_px = 30;
  SampleColours colours = SampleColours::kYcc;
  std::array<unsigned, 3> h = {2, 1, 1};
  std::array<unsigned, 3> v = {2, 1, 1};
  SampleCodes codes = SampleCodes::kStandard;
  SampleProcess process = SampleProcess::kInterleaved;
  unsigned restart_interval = 0;
  int quality = 90;
  bool flat = false;  // means alone
  bool calm = false;  // no extremes: pixels stay so near their range that decoders agree on them
  std::uint32_t seed = 1;
};

[[nodiscard]] std::string make_jpeg(const SampleOptions& options);

// nullopt when libjpeg cannot read the file, or warns.
[[nodiscard]] std::optional<DensePicture> read_dense(std::string_view bytes);

// Pixels as RGB or grey, rows × columns × bands; nullopt when libjpeg cannot decode the file, or warns.
[[nodiscard]] std::optional<std::vector<std::uint8_t>> decode_pixels(std::string_view bytes);

// libjpeg's code for AC coefficients where no other is given.
[[nodiscard]] HuffmanCode standard_ac_code(bool chroma);

// Every loop of many cases: `count` when PIXMILL_TEST_LONG is set, else a tenth.
[[nodiscard]] unsigned case_count(unsigned count);

}  // namespace pixmill::image::jpeg
