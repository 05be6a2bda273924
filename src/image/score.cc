#include "image/score.h"

#include <vips/vips.h>

#include <new>
#include <span>
#include <utility>

#include "image/quality_metric.h"
#include "image/steps.h"
#include "image/vips_runtime.h"

namespace pixmill::image {

namespace {

// Opaque RGB in memory, as the metric reads it.
Result<Picture> to_judge(Picture picture, Colour background) {
  PIXMILL_TRY(picture, convert_to_srgb(std::move(picture)));
  PIXMILL_TRY(picture, flatten(std::move(picture), background));
  Picture colours;
  if (vips_colourspace(picture.get(), colours.out(), VIPS_INTERPRETATION_sRGB, nullptr) != 0) return vips_failed();
  return in_memory(std::move(colours));
}

RgbView view_of(const Picture& picture) {
  const SizePx size = size_of(picture);
  const std::size_t stride = std::size_t{size.width} * 3;
  return {.bytes = {static_cast<const std::uint8_t*>(vips_image_get_data(picture.get())), stride * size.height},
          .width_px = size.width,
          .height_px = size.height,
          .stride_bytes = stride};
}

Result<Picture> decode_file(const Rendition& output) {
  PIXMILL_TRY(Opened opened, open_source(output.bytes, output.format));
  const SizePx size = opened.facts.size;
  return decode(output.bytes, output.format, std::move(opened), size);
}

Result<double> compare(const Rendition& output, Picture before, Colour background) {
  PIXMILL_TRY(Picture file, decode_file(output));
  PIXMILL_TRY(const Picture distorted, to_judge(std::move(file), background));
  const SizePx size = size_of(distorted);
  const BoxPx all{.left = 0, .top = 0, .size = size};
  PIXMILL_TRY(before,
              resize(std::move(before), {.scaled = size, .crop = all, .canvas = size, .placement = all}, background));
  PIXMILL_TRY(const Picture original, to_judge(std::move(before), background));
  return ssimulacra2(view_of(original), view_of(distorted));
}

}  // namespace

Result<double> score_of(const Rendition& output, Picture before, Colour background) {
  try {
    return compare(output, std::move(before), background);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kTooLarge, "there is not memory enough to compare the pictures");
  }
}

}  // namespace pixmill::image
