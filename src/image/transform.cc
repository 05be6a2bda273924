#include "image/transform.h"

#include <vips/vips.h>

#include <algorithm>
#include <functional>

#include "image/output_plan.h"
#include "image/steps.h"
#include "image/vips_runtime.h"
#include "image/watermark.h"

namespace pixmill::image {

namespace {

Result<Picture> cut(const Picture& picture, BoxPx box) {
  Picture part;
  if (vips_extract_area(picture.get(), part.out(), static_cast<int>(box.left), static_cast<int>(box.top),
                        static_cast<int>(box.size.width), static_cast<int>(box.size.height), nullptr) != 0) {
    return vips_failed();
  }
  return part;
}

Result<Picture> turn(Picture picture, int degrees) {
  if (degrees == 0) return picture;
  const VipsAngle angle = degrees == 90 ? VIPS_ANGLE_D90 : degrees == 180 ? VIPS_ANGLE_D180 : VIPS_ANGLE_D270;
  Picture turned_picture;
  if (vips_rot(picture.get(), turned_picture.out(), angle, nullptr) != 0) return vips_failed();
  return turned_picture;
}

Result<Picture> mirror(Picture picture, VipsDirection direction) {
  Picture mirrored;
  if (vips_flip(picture.get(), mirrored.out(), direction, nullptr) != 0) return vips_failed();
  return mirrored;
}

bool chooses_by_content(const Output& output) {
  if (!output.resize || output.resize->fit != Fit::kCover) return false;
  return output.resize->gravity == Gravity::kEntropy || output.resize->gravity == Gravity::kAttention;
}

Result<Picture> cut_by_content(Picture picture, const ResizePlan& plan, const Output& output) {
  const bool entropy = output.resize->gravity == Gravity::kEntropy;
  const ResizePlan scaled{.scaled = plan.scaled,
                          .crop = {.left = 0, .top = 0, .size = plan.scaled},
                          .canvas = plan.scaled,
                          .placement = {.left = 0, .top = 0, .size = plan.scaled}};
  PIXMILL_TRY(const Picture resized, resize(std::move(picture), scaled, output.background));
  if (plan.crop.size == plan.scaled) return share(resized);
  // Two passes over the scaled picture.
  PIXMILL_TRY(const Picture memory, in_memory(share(resized)));
  Picture part;
  if (vips_smartcrop(memory.get(), part.out(), static_cast<int>(plan.crop.size.width),
                     static_cast<int>(plan.crop.size.height), "interesting",
                     entropy ? VIPS_INTERESTING_ENTROPY : VIPS_INTERESTING_ATTENTION, nullptr) != 0) {
    return vips_failed();
  }
  return part;
}

Result<Picture> pad(Picture picture, const Padding& pad, Colour background) {
  if (pad == Padding{}) return picture;
  const SizePx size = size_of(picture);
  const SizePx canvas{.width = size.width + pad.left_px + pad.right_px,
                      .height = size.height + pad.top_px + pad.bottom_px};
  return place_on_canvas(std::move(picture), {.left = pad.left_px, .top = pad.top_px, .size = size}, canvas,
                         background);
}

using Change = std::function<Result<Picture>(const Picture& colours)>;

// Applies `change` to the colours alone, alpha stays.
Result<Picture> change_colours(Picture picture, const Change& change) {
  if (!has_alpha(picture)) return change(picture);
  const int bands = vips_image_get_bands(picture.get());
  Picture colours;
  if (vips_extract_band(picture.get(), colours.out(), 0, "n", bands - 1, nullptr) != 0) return vips_failed();
  PIXMILL_TRY(const Picture changed, change(colours));
  Picture alpha;
  if (vips_extract_band(picture.get(), alpha.out(), bands - 1, nullptr) != 0) return vips_failed();
  Picture joined;
  if (vips_bandjoin2(changed.get(), alpha.get(), joined.out(), nullptr) != 0) return vips_failed();
  return joined;
}

Result<Picture> to_space(const Picture& picture, VipsInterpretation space) {
  Picture converted;
  if (vips_colourspace(picture.get(), converted.out(), space, nullptr) != 0) return vips_failed();
  return converted;
}

// As brightness() and saturate() of W3C's Filter Effects, in that order.
Result<Picture> modulate(const Picture& colours, double brightness, double saturation) {
  const bool grey = vips_image_get_bands(colours.get()) < 3;
  const double s = grey ? 1 : saturation;
  constexpr double kRed = 0.213;
  constexpr double kGreen = 0.715;
  constexpr double kBlue = 0.072;
  const double b = brightness;
  const double weights[] = {
      b * (kRed + (1 - kRed) * s), b * (kGreen - kGreen * s),       b * (kBlue - kBlue * s),
      b * (kRed - kRed * s),       b * (kGreen + (1 - kGreen) * s), b * (kBlue - kBlue * s),
      b * (kRed - kRed * s),       b * (kGreen - kGreen * s),       b * (kBlue + (1 - kBlue) * s)};
  Picture changed;
  if (grey) {
    if (vips_linear1(colours.get(), changed.out(), b, 0, nullptr) != 0) return vips_failed();
  } else {
    const Picture matrix(vips_image_new_matrix_from_array(3, 3, weights, 9));
    if (matrix.get() == nullptr || vips_recomb(colours.get(), changed.out(), matrix.get(), nullptr) != 0) {
      return vips_failed();
    }
  }
  Picture eight_bits;
  if (vips_cast_uchar(changed.get(), eight_bits.out(), nullptr) != 0) return vips_failed();
  return eight_bits;
}

Result<Picture> adjust_colours(Picture picture, const Output& output) {
  if (output.grayscale) {
    PIXMILL_TRY(picture, change_colours(std::move(picture), [](const Picture& colours) {
                  return to_space(colours, VIPS_INTERPRETATION_B_W);
                }));
  }
  if (output.brightness == 1 && output.saturation == 1) return picture;
  return change_colours(std::move(picture), [&](const Picture& colours) {
    return modulate(colours, output.brightness, output.saturation);
  });
}

Result<Picture> blur(Picture picture, double sigma_px) {
  if (sigma_px == 0) return picture;
  return on_premultiplied(std::move(picture), [&](const Picture& weighted) -> Result<Picture> {
    Picture blurred;
    if (vips_gaussblur(weighted.get(), blurred.out(), sigma_px, nullptr) != 0) return vips_failed();
    return blurred;
  });
}

Result<Picture> sharpen(Picture picture, double sigma_px) {
  if (sigma_px == 0) return picture;
  return change_colours(std::move(picture), [&](const Picture& colours) -> Result<Picture> {
    Picture sharp;
    if (vips_sharpen(colours.get(), sharp.out(), "sigma", sigma_px, nullptr) != 0) return vips_failed();
    return to_space(sharp, vips_image_get_interpretation(colours.get()));
  });
}

}  // namespace

Result<BoxPx> trimmed_box(const Picture& picture, BoxPx within, int threshold) {
  PIXMILL_TRY(Picture part, cut(picture, within));
  PIXMILL_TRY(const Picture opaque, flatten(std::move(part), Colour{}));
  double* corner = nullptr;
  int bands = 0;
  if (vips_getpoint(opaque.get(), &corner, &bands, 0, 0, nullptr) != 0) return vips_failed();
  VipsArrayDouble* const background = vips_array_double_new(corner, bands);
  g_free(corner);
  int left = 0;
  int top = 0;
  int width = 0;
  int height = 0;
  const int failed = vips_find_trim(opaque.get(), &left, &top, &width, &height, "threshold",
                                    static_cast<double>(threshold), "background", background, nullptr);
  vips_area_unref(VIPS_AREA(background));
  if (failed != 0) return vips_failed();
  if (width <= 0 || height <= 0) return within;
  return BoxPx{.left = within.left + static_cast<std::uint32_t>(left),
               .top = within.top + static_cast<std::uint32_t>(top),
               .size = {.width = static_cast<std::uint32_t>(width), .height = static_cast<std::uint32_t>(height)}};
}

bool needs_memory(const Output& output) {
  return output.trim || output.crop || output.rotate != 0 || output.flip || chooses_by_content(output) ||
         output.max_bytes || output.colours;
}

Result<Picture> transform(Picture picture, SizePx full, const Output& output, const Limits& limits, Mark* mark) {
  if (output.crop) {
    if (const auto box = plan_crop(full, *output.crop)) {
      PIXMILL_TRY(picture, cut(picture, *box));
    }
  }
  if (output.trim) {
    PIXMILL_TRY(const BoxPx kept, trimmed_box(picture, {.size = size_of(picture)}, *output.trim));
    PIXMILL_TRY(picture, cut(picture, kept));
  }
  const SizePx kept = output.crop || output.trim ? size_of(picture) : full;
  PIXMILL_TRY(picture, turn(std::move(picture), output.rotate));
  if (output.flip) {
    PIXMILL_TRY(picture, mirror(std::move(picture), VIPS_DIRECTION_VERTICAL));
  }
  if (output.flop) {
    PIXMILL_TRY(picture, mirror(std::move(picture), VIPS_DIRECTION_HORIZONTAL));
  }
  const ResizePlan plan =
      plan_resize(turned(kept, output.rotate), output.resize.value_or(Resize{}), output.pixel_ratio);
  PIXMILL_RETURN_IF_ERROR(check_result_size(plan.scaled, limits));
  if (chooses_by_content(output)) {
    PIXMILL_TRY(picture, cut_by_content(std::move(picture), plan, output));
  } else {
    PIXMILL_TRY(picture, resize(std::move(picture), plan, output.background));
  }
  PIXMILL_TRY(picture, pad(std::move(picture), output.pad, output.background));
  PIXMILL_TRY(picture, adjust_colours(std::move(picture), output));
  PIXMILL_TRY(picture, blur(std::move(picture), output.blur_px));
  PIXMILL_TRY(picture, sharpen(std::move(picture), output.sharpen_px));
  if (mark == nullptr) return picture;
  return lay_over(std::move(picture), *output.watermark, *mark);
}

}  // namespace pixmill::image
