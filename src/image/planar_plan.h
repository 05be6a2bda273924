// Which pictures can go from JPEG to JPEG through planes (planes.h), and how. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "image/geometry.h"
#include "image/jpeg/orientation.h"
#include "image/output_plan.h"
#include "image/planes.h"
#include "image/steps.h"

namespace pixmill::image {

// The part of the picture as stored that becomes the result, and how it is turned.
struct PlanarPlan {
  Region region;  // in pixels of the whole picture
  SizePx size;    // of the result before it is turned
  jpeg::Orientation orientation;
};

// nullopt when more is to be done than to cut, to scale and to turn.
[[nodiscard]] std::optional<PlanarPlan> plan_planar(const OutputPlan& plan, const Facts& facts);

// The share of its size (1, 2, 4 or 8) at which a JPEG is decoded: what is left to the resampler is at least a factor
// of 1.5. Over photographs that keeps an SSIM of 0.997 against resampling the whole picture; a factor of 1.25 would be
// below 0.99.
[[nodiscard]] std::uint32_t planar_shrink(const PlanarPlan& plan);

// Where the samples of a plane of the result come from. `step` is 2 for chroma of half the resolution, else 1.
[[nodiscard]] SizePx plane_size(const PlanarPlan& plan, std::uint32_t step);
[[nodiscard]] Region plane_region(const PlanarPlan& plan, const Plane& source, std::uint32_t step);

}  // namespace pixmill::image
