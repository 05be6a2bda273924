#include "image/watermark.h"

#include <fmt/format.h>
#include <vips/vips.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "base/text.h"
#include "image/icc.h"
#include "image/steps.h"
#include "image/vips_runtime.h"

namespace pixmill::image {

namespace {

constexpr std::uint64_t kKeptPixelsMax = 16'000'000;  // of a mark's other forms

Result<Picture> decode_pixels(std::string_view file, const Limits& limits) {
  PIXMILL_TRY(const Header header, read_header(file));
  const bool costly = header.format == Format::kAvif || header.format == Format::kHeif;
  const std::uint64_t allowed = std::min(costly ? limits.avif_pixels_max : limits.pixels_max, kMarkPixelsMax);
  const auto check = [&](std::uint64_t pixels) -> Result<void> {
    if (pixels <= allowed) return {};
    return fail(ErrorCode::kTooLarge,
                fmt::format("it has {} pixels; at most {} are allowed", format_count(pixels), format_count(allowed)));
  };
  PIXMILL_RETURN_IF_ERROR(check(std::uint64_t{header.width_px} * header.height_px));
  PIXMILL_TRY(Opened opened, open_source(file, header.format));
  const SizePx size = opened.facts.size;
  PIXMILL_RETURN_IF_ERROR(check(std::uint64_t{size.width} * size.height));
  PIXMILL_TRY(Picture picture, decode(file, header.format, std::move(opened), size));
  PIXMILL_TRY(picture, convert_to_srgb(std::move(picture)));
  PIXMILL_TRY(picture, make_upright(std::move(picture)));
  if (!has_alpha(picture)) {
    Picture opaque;
    if (vips_addalpha(picture.get(), opaque.out(), nullptr) != 0) return vips_failed();
    picture = std::move(opaque);
  }
  return in_memory(std::move(picture));
}

Result<Picture> weakened(Picture picture, double opacity) {
  if (opacity == 1) return picture;
  const int bands = vips_image_get_bands(picture.get());
  double weights[] = {1, 1, 1, 1};
  const double nothing[] = {0, 0, 0, 0};
  weights[bands - 1] = opacity;
  Picture changed;
  if (vips_linear(picture.get(), changed.out(), weights, nothing, bands, "uchar", TRUE, nullptr) != 0) {
    return vips_failed();
  }
  return changed;
}

// A block of tiles with gaps right and below, large enough that repeating it costs little; in memory when it has
// several.
Result<Picture> tile_block(const Picture& mark, std::uint32_t gap_px) {
  constexpr std::uint32_t kBlockSide = 256;
  const SizePx size = size_of(mark);
  const SizePx step{.width = size.width + gap_px, .height = size.height + gap_px};
  Picture spaced;
  if (vips_embed(mark.get(), spaced.out(), 0, 0, static_cast<int>(step.width), static_cast<int>(step.height), "extend",
                 VIPS_EXTEND_BLACK, nullptr) != 0) {
    return vips_failed();
  }
  if (std::min(step.width, step.height) >= kBlockSide) return spaced;  // gaps may be wide: nobody asks for all of them
  const auto times = [](std::uint32_t side) { return static_cast<int>((kBlockSide + side - 1) / side); };
  Picture block;
  if (vips_replicate(spaced.get(), block.out(), times(step.width), times(step.height), nullptr) != 0) {
    return vips_failed();
  }
  return in_memory(std::move(block));
}

// Tiles all over a canvas, so that one of them lies in `place`.
Result<Picture> tiled(const Picture& mark, SizePx canvas, const BoxPx& place, std::uint32_t gap_px) {
  PIXMILL_TRY(const Picture block, tile_block(mark, gap_px));
  const SizePx size = size_of(block);
  const auto before = [gap_px](std::uint32_t at, std::uint32_t side) {
    const std::uint32_t step = side + gap_px;
    return (step - at % step) % step;
  };
  const std::uint32_t left = before(place.left, place.size.width);
  const std::uint32_t top = before(place.top, place.size.height);
  const auto times = [](std::uint32_t needed, std::uint32_t side) {
    return static_cast<int>((needed + side - 1) / side);
  };
  Picture repeated;
  if (vips_replicate(block.get(), repeated.out(), times(canvas.width + left, size.width),
                     times(canvas.height + top, size.height), nullptr) != 0) {
    return vips_failed();
  }
  Picture cut;
  if (vips_extract_area(repeated.get(), cut.out(), static_cast<int>(left), static_cast<int>(top),
                        static_cast<int>(canvas.width), static_cast<int>(canvas.height), nullptr) != 0) {
    return vips_failed();
  }
  return cut;
}

// The mark's sRGB numbers in the colours of the profile that `like` carries, if it carries one.
Result<Picture> in_colours_of(Picture mark, const Picture& like) {
  const void* data = nullptr;
  std::size_t size = 0;
  if (vips_image_get_typeof(like.get(), VIPS_META_ICC_NAME) == 0 ||
      vips_image_get_blob(like.get(), VIPS_META_ICC_NAME, &data, &size) != 0) {
    vips_error_clear();
    return mark;
  }
  const std::string_view profile(static_cast<const char*>(data), size);
  if (is_srgb_profile(profile) || vips_image_get_bands(mark.get()) < 3) return mark;
  Picture colours;
  Picture alpha;
  Picture neutral;
  if (vips_extract_band(mark.get(), colours.out(), 0, "n", 3, nullptr) != 0 ||
      vips_extract_band(mark.get(), alpha.out(), 3, nullptr) != 0 ||
      vips_icc_import(colours.get(), neutral.out(), "input_profile", "srgb", nullptr) != 0) {
    return vips_failed();
  }
  Picture named;
  if (vips_copy(neutral.get(), named.out(), nullptr) != 0) return vips_failed();
  vips_image_set_blob_copy(named.get(), VIPS_META_ICC_NAME, profile.data(), profile.size());
  Picture converted;
  if (vips_icc_export(named.get(), converted.out(), "depth", 8, nullptr) != 0 ||
      vips_image_get_bands(converted.get()) != 3) {
    vips_error_clear();  // a broken profile says nothing
    return mark;
  }
  Picture joined;
  if (vips_bandjoin2(converted.get(), alpha.get(), joined.out(), nullptr) != 0) return vips_failed();
  return joined;
}

// Two pictures of the same size; the result has as many bands as the first.
Result<Picture> blend(const Picture& under, const Picture& over) {
  const int bands = vips_image_get_bands(under.get());
  const VipsInterpretation space = bands < 3 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
  Picture both;
  if (vips_composite2(under.get(), over.get(), both.out(), VIPS_BLEND_MODE_OVER, "compositing_space", space, nullptr) !=
      0) {
    return vips_failed();
  }
  Picture result;
  if (vips_extract_band(both.get(), result.out(), 0, "n", bands, nullptr) != 0) return vips_failed();
  Picture eight_bits;
  if (vips_cast_uchar(result.get(), eight_bits.out(), nullptr) != 0) return vips_failed();
  return eight_bits;
}

}  // namespace

Result<Mark> Mark::decode(std::string_view file, const Limits& limits) {
  Mark mark;
  PIXMILL_TRY(mark.pixels_, decode_pixels(file, limits));
  mark.size_ = size_of(mark.pixels_);
  return mark;
}

std::size_t Mark::bytes() const {
  const auto bytes = [](const Picture& picture) -> std::size_t {
    return picture.get() == nullptr ? 0 : VIPS_IMAGE_SIZEOF_IMAGE(picture.get());
  };
  return bytes(pixels_) + bytes(form_);
}

Result<Picture> Mark::at(SizePx size, double opacity) {
  if (size == size_ && opacity == 1) return share(pixels_);
  if (form_.get() != nullptr && size == form_size_ && opacity == form_opacity_) return share(form_);
  const BoxPx all{.left = 0, .top = 0, .size = size};
  const ResizePlan plan{.scaled = size, .crop = all, .canvas = size, .placement = all};
  PIXMILL_TRY(Picture scaled, resize(share(pixels_), plan, Colour{}));
  PIXMILL_TRY(scaled, weakened(std::move(scaled), opacity));
  if (std::uint64_t{size.width} * size.height > kKeptPixelsMax) return scaled;
  PIXMILL_TRY(form_, in_memory(std::move(scaled)));
  form_size_ = size;
  form_opacity_ = opacity;
  return share(form_);
}

Result<Picture> lay_over(Picture picture, const Watermark& watermark, Mark& mark) {
  const SizePx canvas = size_of(picture);
  BoxPx place = plan_watermark(canvas, mark.size(), watermark);
  PIXMILL_TRY(Picture over, mark.at(place.size, watermark.opacity));
  if (watermark.tile) {
    PIXMILL_TRY(over, tiled(over, canvas, place, watermark.margin_px));
    place = {.left = 0, .top = 0, .size = canvas};
  }
  const bool grey = vips_image_get_bands(picture.get()) < 3;
  const bool grey_mark = vips_image_get_bands(over.get()) < 3;
  if (grey && !grey_mark) {
    PIXMILL_TRY(picture, make_rgb(std::move(picture)));
  }
  if (!grey && grey_mark) {
    PIXMILL_TRY(over, make_rgb(std::move(over)));
  }
  PIXMILL_TRY(over, in_colours_of(std::move(over), picture));
  if (place.size == canvas) return blend(picture, over);
  // Only what lies under it is computed; the rest passes as it is.
  Picture under;
  if (vips_extract_area(picture.get(), under.out(), static_cast<int>(place.left), static_cast<int>(place.top),
                        static_cast<int>(place.size.width), static_cast<int>(place.size.height), nullptr) != 0) {
    return vips_failed();
  }
  PIXMILL_TRY(const Picture blended, blend(under, over));
  Picture whole;
  if (vips_insert(picture.get(), blended.get(), whole.out(), static_cast<int>(place.left), static_cast<int>(place.top),
                  nullptr) != 0) {
    return vips_failed();
  }
  return whole;
}

}  // namespace pixmill::image
