// Pictures as the benchmarks' judges see them: opaque sRGB of 8 bits, read by libvips.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "image/quality_metric.h"

namespace pixmill::bench {

struct Pixels {
  std::uint32_t width_px = 0;
  std::uint32_t height_px = 0;
  std::vector<std::uint8_t> bytes;  // rows × columns × 3

  [[nodiscard]] image::RgbView view() const {
    return {.bytes = bytes, .width_px = width_px, .height_px = height_px, .stride_bytes = std::size_t{3} * width_px};
  }
};

// Whatever libvips reads, which the caller has started: colours become sRGB, transparency becomes white, orientation is
// applied. Errors: those of libvips, and kUnsupportedFormat for what does not come out as three bands.
[[nodiscard]] Result<Pixels> read_pixels(const std::string& path);

}  // namespace pixmill::bench
