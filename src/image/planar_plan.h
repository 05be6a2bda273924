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

// What the planes of the result need. `step` is 2 for chroma of half the resolution, else 1.
[[nodiscard]] Resolution resolution_of(const PlanarPlan& plan, std::uint32_t step);

// Where the samples of a plane of the result come from.
[[nodiscard]] SizePx plane_size(const PlanarPlan& plan, std::uint32_t step);
[[nodiscard]] Region plane_region(const PlanarPlan& plan, const Plane& source, std::uint32_t step);

}  // namespace pixmill::image
