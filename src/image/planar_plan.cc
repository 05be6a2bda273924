#include "image/planar_plan.h"

#include <algorithm>
#include <utility>

namespace pixmill::image {

namespace {

using jpeg::Orientation;

// Clockwise.
Orientation rotation(int degrees) {
  switch (degrees) {
    case 90:
      return {.transpose = true, .mirror_x = true, .mirror_y = false};
    case 180:
      return {.transpose = false, .mirror_x = true, .mirror_y = true};
    case 270:
      return {.transpose = true, .mirror_x = false, .mirror_y = true};
    default:
      return {};
  }
}

// First one, then the other.
Orientation both(Orientation first, Orientation then) {
  if (then.transpose) std::swap(first.mirror_x, first.mirror_y);
  return {.transpose = first.transpose != then.transpose,
          .mirror_x = first.mirror_x != then.mirror_x,
          .mirror_y = first.mirror_y != then.mirror_y};
}

Orientation asked_for(const Output& output) {
  const Orientation mirrored{.transpose = false, .mirror_x = output.flop, .mirror_y = output.flip};
  return both(rotation(output.rotate), mirrored);
}

SizePx transposed_if(bool transpose, SizePx size) {
  return transpose ? SizePx{.width = size.height, .height = size.width} : size;
}

// Where a region of a turned picture lay before it was turned; `size` is that of the turned picture.
Region before(Orientation orientation, Region region, SizePx size) {
  if (orientation.mirror_x) region.left = size.width - region.left - region.width;
  if (orientation.mirror_y) region.top = size.height - region.top - region.height;
  if (orientation.transpose) {
    std::swap(region.left, region.top);
    std::swap(region.width, region.height);
  }
  return region;
}

// One side: where `count` samples begin and how far they reach, when `per_sample` pixels make one.
struct Span {
  double begin = 0;
  double length = 0;
};

// The last sample of a side may reach beyond the picture; when the side is mirrored it is the first one of the result
// that must be whole, so the samples are counted from the other end.
Span span_of(double begin, double length, std::uint32_t count, double per_sample, bool mirrored) {
  const double reach = count * per_sample;
  return {.begin = mirrored ? begin + length - reach : begin, .length = reach};
}

bool chooses_by_content(const Output& output) {
  if (!output.resize || output.resize->fit != Fit::kCover) return false;
  return output.resize->gravity == Gravity::kEntropy || output.resize->gravity == Gravity::kAttention;
}

}  // namespace

std::optional<PlanarPlan> plan_planar(const OutputPlan& plan, const Facts& facts) {
  const Output& output = *plan.output;
  if (plan.adjusts || output.trim || output.pad != Padding{} || chooses_by_content(output)) return std::nullopt;
  const SizePx upright = facts.upright_size();
  BoxPx kept{.left = 0, .top = 0, .size = upright};
  if (output.crop) kept = plan_crop(upright, *output.crop).value_or(kept);  // planned before, so it is inside
  const SizePx turned_size = turned(kept.size, output.rotate);
  const ResizePlan resize = plan_resize(turned_size, output.resize.value_or(Resize{}), output.pixel_ratio);
  if (resize.canvas != resize.placement.size) return std::nullopt;

  const double across = static_cast<double>(turned_size.width) / resize.scaled.width;
  const double down = static_cast<double>(turned_size.height) / resize.scaled.height;
  const Region last{.left = resize.crop.left * across,
                    .top = resize.crop.top * down,
                    .width = resize.crop.size.width * across,
                    .height = resize.crop.size.height * down};
  Region region = before(asked_for(output), last, turned_size);
  region.left += kept.left;
  region.top += kept.top;
  const Orientation exif = jpeg::orientation_of(facts.orientation);
  region = before(exif, region, upright);
  const Orientation all = both(exif, asked_for(output));
  return PlanarPlan{.region = region, .size = transposed_if(all.transpose, resize.crop.size), .orientation = all};
}

Resolution resolution_of(const PlanarPlan& plan, std::uint32_t step) {
  return {.across = plan.size.width / plan.region.width / step, .down = plan.size.height / plan.region.height / step};
}

SizePx plane_size(const PlanarPlan& plan, std::uint32_t step) {
  return {.width = (plan.size.width + step - 1) / step, .height = (plan.size.height + step - 1) / step};
}

Region plane_region(const PlanarPlan& plan, const Plane& source, std::uint32_t step) {
  const SizePx samples = plane_size(plan, step);
  // The mirrors come after rows and columns have changed places.
  const Orientation turn = plan.orientation;
  const bool mirrored_across = turn.transpose ? turn.mirror_y : turn.mirror_x;
  const bool mirrored_down = turn.transpose ? turn.mirror_x : turn.mirror_y;
  const Span x = span_of(plan.region.left, plan.region.width, samples.width, step * plan.region.width / plan.size.width,
                         mirrored_across);
  const Span y = span_of(plan.region.top, plan.region.height, samples.height,
                         step * plan.region.height / plan.size.height, mirrored_down);
  return {.left = x.begin * source.across,
          .top = y.begin * source.down,
          .width = x.length * source.across,
          .height = y.length * source.down};
}

}  // namespace pixmill::image
