#include "image/geometry.h"

#include <algorithm>

namespace pixmill::image {

namespace {

// value × numerator / denominator to the nearest whole number, at least 1.
std::uint32_t scaled_side(std::uint32_t value, std::uint32_t numerator, std::uint32_t denominator) {
  const std::uint64_t product = std::uint64_t{value} * numerator;
  const std::uint64_t rounded = (product + denominator / 2) / denominator;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(rounded, 1, 0xFFFF'FFFF));
}

// True when the box is wider in shape than the source, so that the height decides what fits inside.
bool height_decides(SizePx source, SizePx box) {
  return std::uint64_t{box.width} * source.height > std::uint64_t{box.height} * source.width;
}

SizePx fit_width(SizePx source, std::uint32_t width) {
  return {.width = width, .height = scaled_side(source.height, width, source.width)};
}

SizePx fit_height(SizePx source, std::uint32_t height) {
  return {.width = scaled_side(source.width, height, source.height), .height = height};
}

SizePx inside(SizePx source, SizePx box) {
  const SizePx fitted = height_decides(source, box) ? fit_height(source, box.height) : fit_width(source, box.width);
  return {.width = std::min(fitted.width, box.width), .height = std::min(fitted.height, box.height)};
}

SizePx around(SizePx source, SizePx box) {
  const SizePx fitted = height_decides(source, box) ? fit_width(source, box.width) : fit_height(source, box.height);
  return {.width = std::max(fitted.width, box.width), .height = std::max(fitted.height, box.height)};
}

bool is_larger(SizePx size, SizePx than) { return size.width > than.width || size.height > than.height; }

BoxPx centred(SizePx size, SizePx within) {
  return {.left = (within.width - size.width) / 2, .top = (within.height - size.height) / 2, .size = size};
}

ResizePlan whole(SizePx scaled) {
  const BoxPx all{.left = 0, .top = 0, .size = scaled};
  return {.scaled = scaled, .crop = all, .canvas = scaled, .placement = all};
}

}  // namespace

ResizePlan plan_resize(SizePx source, const Resize& resize) {
  const bool may_enlarge = resize.enlarge == Enlarge::kAllowed;
  if (!resize.width_px && !resize.height_px) return whole(source);
  if (!resize.width_px || !resize.height_px) {
    // One side alone: the other follows the aspect, whatever the fit.
    const SizePx fitted = resize.width_px ? fit_width(source, *resize.width_px) : fit_height(source, *resize.height_px);
    return whole(is_larger(fitted, source) && !may_enlarge ? source : fitted);
  }
  const SizePx box{.width = *resize.width_px, .height = *resize.height_px};
  if (resize.fit == Fit::kFill) {
    if (may_enlarge) return whole(box);
    return whole({.width = std::min(box.width, source.width), .height = std::min(box.height, source.height)});
  }
  SizePx scaled = resize.fit == Fit::kCover ? around(source, box) : inside(source, box);
  if (is_larger(scaled, source) && !may_enlarge) scaled = source;
  ResizePlan plan = whole(scaled);
  if (resize.fit == Fit::kCover) {
    const SizePx kept{.width = std::min(box.width, scaled.width), .height = std::min(box.height, scaled.height)};
    plan.crop = centred(kept, scaled);
    plan.canvas = kept;
    plan.placement = {.left = 0, .top = 0, .size = kept};
  }
  if (resize.fit == Fit::kContain) {
    plan.canvas = box;
    plan.placement = centred(scaled, box);
  }
  return plan;
}

}  // namespace pixmill::image
