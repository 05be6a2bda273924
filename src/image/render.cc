#include "image/render.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "image/encode.h"
#include "image/geometry.h"
#include "image/jpeg/jpeg_transcode.h"
#include "image/jpeg_segments.h"
#include "image/steps.h"
#include "image/strip_metadata.h"
#include "image/tiff_directory.h"
#include "image/truncation.h"

namespace pixmill::image {

namespace {

std::unexpected<Error> too_large(std::string_view what, std::uint64_t pixels, std::uint64_t pixels_max) {
  return fail(ErrorCode::kTooLarge, fmt::format("{} has {} pixels; at most {} are allowed", what, format_count(pixels),
                                                format_count(pixels_max)));
}

Result<void> check_source_size(const Header& header, const Limits& limits) {
  const std::uint64_t pixels_max =
      header.format == Format::kAvif ? std::min(limits.avif_pixels_max, limits.pixels_max) : limits.pixels_max;
  const std::uint64_t frame = std::uint64_t{header.width_px} * header.height_px;
  // In this order nothing can overflow.
  if (frame > pixels_max) return too_large("the picture", frame, pixels_max);
  const std::uint64_t all = frame * header.frames;
  if (all > pixels_max) return too_large("the animation", all, pixels_max);
  return {};
}

Result<void> check_planned_size(const ResizePlan& plan, Format format, const Limits& limits) {
  for (const SizePx size : {plan.scaled, plan.canvas}) {
    const std::uint64_t pixels = std::uint64_t{size.width} * size.height;
    if (pixels > limits.pixels_max) return too_large("the result", pixels, limits.pixels_max);
  }
  return check_sides(plan.canvas, format);
}

bool is_written(Format format) { return format == Format::kJpeg || format == Format::kPng || format == Format::kWebp; }

Format choose_format(const Recipe& recipe, const Header& header, const Facts& facts) {
  if (recipe.format) return *recipe.format;
  if (is_written(header.format)) return header.format;
  return header.format == Format::kGif || facts.has_alpha ? Format::kPng : Format::kJpeg;
}

// Everything that is decided before a pixel is touched.
struct Plan {
  Header header;
  Facts facts;
  ResizePlan resize;
  EncodeOptions encode;
  Colour background;
  bool same_size = false;  // once it is upright

  [[nodiscard]] bool is_upright() const { return facts.orientation == 1; }
};

Result<Plan> make_plan(const Header& header, const Facts& facts, const Recipe& recipe, const Limits& limits) {
  Plan plan{.header = header, .facts = facts, .resize = {}, .encode = {}, .background = recipe.background};
  const SizePx upright = facts.upright_size();
  plan.resize = plan_resize(upright, recipe.resize.value_or(Resize{}));
  plan.encode.format = choose_format(recipe, header, facts);
  const int default_value = default_quality(plan.encode.format);
  plan.encode.quality = default_value == 0 ? 0 : recipe.quality.value_or(default_value);
  plan.encode.metadata = recipe.metadata;
  plan.encode.tables = recipe.tables;
  plan.encode.progressive = recipe.progressive.value_or(true);
  plan.encode.effort = recipe.effort.value_or(kDefaultEffort);
  plan.same_size = plan.resize.canvas == upright && plan.resize.scaled == upright;
  PIXMILL_RETURN_IF_ERROR(check_planned_size(plan.resize, plan.encode.format, limits));
  return plan;
}

// The stored picture's axes, for a size given upright.
SizePx as_stored(SizePx upright, int orientation) {
  return orientation >= 5 ? SizePx{.width = upright.height, .height = upright.width} : upright;
}

// The order of operations.
Result<std::string> render_pixels(std::string_view source, Opened opened, const Plan& plan) {
  const SizePx wanted = as_stored(plan.resize.scaled, plan.facts.orientation);
  PIXMILL_TRY(Picture decoded, decode(source, plan.header.format, std::move(opened), wanted));
  PIXMILL_TRY(Picture coloured, convert_to_srgb(std::move(decoded)));
  PIXMILL_TRY(Picture upright, make_upright(std::move(coloured)));
  PIXMILL_TRY(Picture resized, resize(std::move(upright), plan.resize, plan.background));
  if (plan.encode.format == Format::kJpeg) {
    PIXMILL_TRY(resized, flatten(std::move(resized), plan.background));
  }
  return encode(resized, plan.encode);
}

TranscodeOptions::Rounding rounding_of(const EncodeOptions& options) {
  if (options.effort >= kTrellisEffort) return TranscodeOptions::Rounding::kTrellis;
  // Who asks for the standard tables wants what decoding and encoding would give.
  return options.tables == JpegTables::kStandard ? TranscodeOptions::Rounding::kNearest
                                                 : TranscodeOptions::Rounding::kDeadZone;
}

// JPEG to JPEG with nothing to be done to the pixels but to turn them. nullopt: take the way through pixels, whose
// decoder also judges whatever is damaged.
Result<std::optional<std::string>> render_jpeg_directly(std::string_view source, const Plan& plan) {
  const bool applies = plan.header.format == Format::kJpeg && plan.encode.format == Format::kJpeg && plan.same_size &&
                       plan.facts.is_srgb;
  if (!applies) return std::nullopt;
  TranscodeOptions options{.quality = plan.encode.quality,
                           .tables = plan.encode.tables,
                           .rounding = rounding_of(plan.encode),
                           .progressive = plan.encode.progressive,
                           .orientation = plan.facts.orientation,
                           .profile = TranscodeOptions::Profile::kDrop};
  std::string exif;
  if (plan.encode.metadata == Metadata::kKeep) {
    const JpegMetadata metadata = read_jpeg_metadata(source);
    exif = exif_made_upright(metadata.exif);
    options.exif = exif;
    options.xmp = metadata.xmp;
  }
  auto transcoded = transcode_jpeg(source, options);
  if (transcoded) return std::move(*transcoded);
  if (transcoded.error().code == ErrorCode::kTooLarge) return std::unexpected(std::move(transcoded).error());
  return std::nullopt;
}

Result<std::string> render_bytes(std::string_view source, Opened opened, const Plan& plan) {
  PIXMILL_TRY(std::optional<std::string> direct, render_jpeg_directly(source, plan));
  if (direct) return std::move(*direct);
  return render_pixels(source, std::move(opened), plan);
}

// The source's own bytes, clean, where they are at least as good as the output: not larger, or animated, which the
// output is not.
std::optional<std::string> source_instead(std::string_view source, const Plan& plan, const Recipe& recipe,
                                          std::size_t output_bytes) {
  const bool wanted = recipe.keep_smaller.value_or(!recipe.format && !recipe.resize);
  const bool unchanged =
      plan.encode.format == plan.header.format && plan.same_size && plan.is_upright() && plan.facts.is_srgb;
  if (!wanted || !unchanged) return std::nullopt;
  std::optional<std::string> clean;
  if (recipe.metadata == Metadata::kKeep) {
    clean = std::string(source);
  } else {
    clean = strip_metadata(source, plan.header.format, ColourProfile::kDrop);
  }
  if (!clean || is_cut_off(*clean, plan.header.format)) return std::nullopt;
  return plan.header.frames > 1 || clean->size() <= output_bytes ? clean : std::nullopt;
}

// A return code is not success: the output must be what was asked for, by its own header.
Result<void> verify(const Rendition& rendition, SizePx expected) {
  const auto header = read_header(rendition.bytes);
  if (!header) return fail(ErrorCode::kInternal, "the encoder wrote a broken file", header.error().message);
  if (header->format != rendition.format || header->width_px != expected.width ||
      header->height_px != expected.height) {
    return fail(ErrorCode::kInternal, "the encoder wrote a file of another size or format");
  }
  return {};
}

Result<Rendition> render_one(std::string_view source, const Header& header, const Recipe& recipe,
                             const Limits& limits) {
  PIXMILL_TRY(Opened opened, open_source(source, header.format));
  PIXMILL_TRY(const Plan plan, make_plan(header, opened.facts, recipe, limits));
  Header seen = header;
  seen.width_px = opened.facts.size.width;
  seen.height_px = opened.facts.size.height;
  PIXMILL_RETURN_IF_ERROR(check_source_size(seen, limits));  // the decoder may have found more than our header reader

  const SizePx size = plan.resize.canvas;
  Rendition rendition{.format = plan.encode.format,
                      .width_px = size.width,
                      .height_px = size.height,
                      .quality = plan.encode.quality,
                      .source_kept = false,
                      .first_frame = header.frames > 1,
                      .bytes = {}};
  PIXMILL_TRY(rendition.bytes, render_bytes(source, std::move(opened), plan));
  if (auto kept = source_instead(source, plan, recipe, rendition.bytes.size())) {
    rendition.bytes = std::move(*kept);
    rendition.source_kept = true;
    rendition.first_frame = false;
    rendition.quality = 0;
  }
  PIXMILL_RETURN_IF_ERROR(verify(rendition, size));
  return rendition;
}

}  // namespace

Result<Rendered> render(std::string_view source, const Recipe& recipe, const Limits& limits) {
  PIXMILL_TRY(const Header header, read_header(source));
  PIXMILL_RETURN_IF_ERROR(check_source_size(header, limits));
  auto rendition = render_one(source, header, recipe, limits);
  if (!rendition) {
    Error error = std::move(rendition).error();
    if (error.code == ErrorCode::kDecodeFailed && is_cut_off(source, header.format)) {
      error.code = ErrorCode::kTruncated;
      error.message = fmt::format("the {} file ends too early", format_name(header.format));
    }
    return std::unexpected(std::move(error));
  }
  Rendered rendered{.source = header, .renditions = {}};
  rendered.renditions.push_back(std::move(*rendition));
  return rendered;
}

}  // namespace pixmill::image
