#include "image/output_plan.h"

#include <fmt/format.h>

#include <variant>

#include "base/text.h"
#include "image/animation.h"

namespace pixmill::image {

namespace {

Format choose_format(const Output& output, const Header& header, const Facts& facts) {
  if (output.format) return *output.format;
  if (header.format != Format::kHeif) return header.format;  // which is read and not written
  return facts.has_alpha ? Format::kPng : Format::kJpeg;
}

// Whether an output changes colours or detail; what changes size and place is asked of the geometry.
bool adjusts(const Output& output) {
  return output.grayscale || output.brightness != 1 || output.saturation != 1 || output.blur_px != 0 ||
         output.sharpen_px != 0 || output.watermark;
}

bool rearranges(const Output& output) {
  return output.crop || output.trim || output.rotate != 0 || output.flip || output.flop || output.pad != Padding{};
}

// Asked of a format that cannot, it says nothing: JPEG always loses, PNG, GIF and TIFF never.
bool is_lossless(const Output& output, Format format) {
  return output.lossless && (format == Format::kWebp || format == Format::kAvif);
}

// 0 where the format or its way of encoding has none.
int encoder_quality(const Output& output, Format format) {
  const int default_value = default_quality(format);
  if (default_value == 0 || is_lossless(output, format)) return 0;
  if (!output.quality) return default_value;
  return std::visit([](const EncoderQuality& quality) { return quality.value; }, *output.quality);
}

EncodeOptions encode_options(const Output& output, Format format) {
  return {.format = format,
          .quality = encoder_quality(output, format),
          .lossless = is_lossless(output, format),
          .effort = output.effort,
          .progressive = output.progressive,
          .tables = output.tables,
          .chroma = output.chroma,
          .colours = output.colours,
          .metadata = output.metadata,
          .keep_icc = output.keep_icc};
}

SizePx padded(SizePx size, const Padding& pad) {
  return {.width = size.width + pad.left_px + pad.right_px, .height = size.height + pad.top_px + pad.bottom_px};
}

}  // namespace

SizePx turned(SizePx size, int rotate) {
  return rotate % 180 == 0 ? size : SizePx{.width = size.height, .height = size.width};
}

Result<void> check_result_size(SizePx size, const Limits& limits) {
  const std::uint64_t pixels = std::uint64_t{size.width} * size.height;
  if (pixels <= limits.pixels_max) return {};
  return fail(ErrorCode::kTooLarge, fmt::format("the result has {} pixels; at most {} are allowed",
                                                format_count(pixels), format_count(limits.pixels_max)));
}

Result<OutputPlan> plan_output(const Header& header, const Facts& facts, const Output& output, const Limits& limits) {
  OutputPlan plan{.output = &output, .encode = {}, .size = facts.upright_size()};
  const SizePx upright = plan.size;
  if (output.crop) {
    const auto kept = plan_crop(upright, *output.crop);
    if (!kept) {
      return fail(
          ErrorCode::kInvalidArgument,
          fmt::format("the crop lies outside of the picture, which has {}×{} pixels", upright.width, upright.height));
    }
    plan.size = kept->size;
  }
  plan.size = turned(plan.size, output.rotate);
  const ResizePlan resize = plan_resize(plan.size, output.resize.value_or(Resize{}), output.pixel_ratio);
  PIXMILL_RETURN_IF_ERROR(check_result_size(resize.scaled, limits));
  plan.size = padded(resize.canvas, output.pad);
  PIXMILL_RETURN_IF_ERROR(check_result_size(plan.size, limits));
  plan.encode = encode_options(output, choose_format(output, header, facts));
  PIXMILL_RETURN_IF_ERROR(check_sides(plan.size, plan.encode.format));
  plan.animated = header.frames > 1 && can_be_animated(header.format) && can_be_animated(plan.encode.format);
  plan.adjusts = adjusts(output);
  plan.keeps_pixels = !plan.adjusts && !rearranges(output) && resize.scaled == upright && resize.canvas == upright;
  return plan;
}

SizePx decode_size(const OutputPlan& plan, const Facts& facts) {
  const Output& output = *plan.output;
  // Places within the picture are given in its own pixels.
  if (output.crop || output.trim || !output.resize) return facts.size;
  const SizePx upright = facts.upright_size();
  const ResizePlan resize = plan_resize(turned(upright, output.rotate), *output.resize, output.pixel_ratio);
  const SizePx scaled = turned(resize.scaled, output.rotate);
  return facts.orientation >= 5 ? SizePx{.width = scaled.height, .height = scaled.width} : scaled;
}

}  // namespace pixmill::image
