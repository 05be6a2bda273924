// The arithmetic of resizing: pure, in whole pixels.
#pragma once

#include <cstdint>
#include <optional>

#include "image/recipe.h"

namespace pixmill::image {

struct SizePx {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  bool operator==(const SizePx&) const = default;
};

struct BoxPx {
  std::uint32_t left = 0;
  std::uint32_t top = 0;
  SizePx size;
  bool operator==(const BoxPx&) const = default;
};

struct ResizePlan {
  SizePx scaled;    // the picture after scaling
  BoxPx crop;       // the part of `scaled` that is kept (kCover), else all of it
  SizePx canvas;    // the output's size; larger than crop.size only for kContain
  BoxPx placement;  // where the cropped picture lies on the canvas
  bool operator==(const ResizePlan&) const = default;
};

// `source` is upright (orientation already applied) and at least 1×1. Every side of the result is at least 1. The box
// is `pixel_ratio` times as large as the recipe says. What kEntropy and kAttention keep depends on the pixels: the plan
// has the size, and the place of kCentre.
[[nodiscard]] ResizePlan plan_resize(SizePx source, const Resize& resize, double pixel_ratio = 1);

// Where a watermark whose own size is `mark` lies on a picture of size `canvas`; of a tiled one, one of its tiles.
[[nodiscard]] BoxPx plan_watermark(SizePx canvas, SizePx mark, const Watermark& watermark);

// The part of a picture of size `source` that a crop leaves; nullopt when it lies wholly outside.
[[nodiscard]] std::optional<BoxPx> plan_crop(SizePx source, const Crop& crop);

}  // namespace pixmill::image
