#include "image/geometry.h"

#include <algorithm>
#include <cmath>

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

enum class Side : std::uint8_t { kStart, kMiddle, kEnd };

Side across(Gravity gravity) {
  switch (gravity) {
    case Gravity::kWest:
    case Gravity::kNorthWest:
    case Gravity::kSouthWest:
      return Side::kStart;
    case Gravity::kEast:
    case Gravity::kNorthEast:
    case Gravity::kSouthEast:
      return Side::kEnd;
    default:
      return Side::kMiddle;
  }
}

Side down(Gravity gravity) {
  switch (gravity) {
    case Gravity::kNorth:
    case Gravity::kNorthWest:
    case Gravity::kNorthEast:
      return Side::kStart;
    case Gravity::kSouth:
    case Gravity::kSouthWest:
    case Gravity::kSouthEast:
      return Side::kEnd;
    default:
      return Side::kMiddle;
  }
}

std::uint32_t offset(Side side, std::uint32_t room) {
  if (side == Side::kMiddle) return room / 2;
  return side == Side::kEnd ? room : 0;
}

BoxPx placed(SizePx size, SizePx within, Gravity gravity) {
  return {.left = offset(across(gravity), within.width - size.width),
          .top = offset(down(gravity), within.height - size.height),
          .size = size};
}

std::optional<std::uint32_t> times(std::optional<std::uint32_t> side, double ratio) {
  if (!side || ratio == 1) return side;
  return static_cast<std::uint32_t>(std::lround(*side * ratio));
}

ResizePlan whole(SizePx scaled) {
  const BoxPx all{.left = 0, .top = 0, .size = scaled};
  return {.scaled = scaled, .crop = all, .canvas = scaled, .placement = all};
}

}  // namespace

ResizePlan plan_resize(SizePx source, const Resize& resize, double pixel_ratio) {
  const bool may_enlarge = resize.enlarge == Enlarge::kAllowed;
  const auto width_px = times(resize.width_px, pixel_ratio);
  const auto height_px = times(resize.height_px, pixel_ratio);
  if (!width_px && !height_px) return whole(source);
  if (!width_px || !height_px) {
    // One side alone: the other follows the aspect, whatever the fit.
    const SizePx fitted = width_px ? fit_width(source, *width_px) : fit_height(source, *height_px);
    return whole(is_larger(fitted, source) && !may_enlarge ? source : fitted);
  }
  const SizePx box{.width = *width_px, .height = *height_px};
  if (resize.fit == Fit::kFill) {
    if (may_enlarge) return whole(box);
    return whole({.width = std::min(box.width, source.width), .height = std::min(box.height, source.height)});
  }
  const bool covers = resize.fit == Fit::kCover || resize.fit == Fit::kOutside;
  SizePx scaled = covers ? around(source, box) : inside(source, box);
  if (is_larger(scaled, source) && !may_enlarge) scaled = source;
  ResizePlan plan = whole(scaled);
  if (resize.fit == Fit::kCover) {
    const SizePx kept{.width = std::min(box.width, scaled.width), .height = std::min(box.height, scaled.height)};
    plan.crop = placed(kept, scaled, resize.gravity);
    plan.canvas = kept;
    plan.placement = {.left = 0, .top = 0, .size = kept};
  }
  if (resize.fit == Fit::kContain) {
    plan.canvas = box;
    plan.placement = placed(scaled, box, resize.gravity);
  }
  return plan;
}

BoxPx plan_watermark(SizePx canvas, SizePx mark, const Watermark& watermark) {
  // Where the margins would leave nothing, there are none.
  const auto margin_of = [&](std::uint32_t side) {
    return side > 2 * std::uint64_t{watermark.margin_px} ? watermark.margin_px : 0;
  };
  const std::uint32_t across_px = margin_of(canvas.width);
  const std::uint32_t down_px = margin_of(canvas.height);
  const SizePx room{.width = canvas.width - 2 * across_px, .height = canvas.height - 2 * down_px};
  SizePx size = mark;
  if (watermark.scale) {
    const long width_px = std::lround(canvas.width * *watermark.scale);
    size = fit_width(mark, static_cast<std::uint32_t>(std::max(width_px, 1L)));
  }
  if (is_larger(size, room)) size = inside(mark, room);
  BoxPx place = placed(size, room, watermark.gravity);
  place.left += across_px;
  place.top += down_px;
  return place;
}

std::optional<BoxPx> plan_crop(SizePx source, const Crop& crop) {
  if (crop.left_px >= source.width || crop.top_px >= source.height) return std::nullopt;
  return BoxPx{.left = crop.left_px,
               .top = crop.top_px,
               .size = {.width = std::min(crop.width_px, source.width - crop.left_px),
                        .height = std::min(crop.height_px, source.height - crop.top_px)}};
}

}  // namespace pixmill::image
