#include "image/steps.h"

#include <fmt/format.h>
#include <vips/vips.h>

#include <algorithm>

#include "image/icc.h"
#include "image/jpeg_codec.h"
#include "image/jpeg_segments.h"
#include "image/tiff_directory.h"
#include "image/vips_runtime.h"

namespace pixmill::image {

namespace {

std::string_view blob_of(VipsImage* image, const char* name) {
  const void* data = nullptr;
  std::size_t size = 0;
  if (vips_image_get_typeof(image, name) == 0) return {};
  if (vips_image_get_blob(image, name, &data, &size) != 0) {
    vips_error_clear();
    return {};
  }
  return {static_cast<const char*>(data), size};
}

Result<Picture> open_with_vips(std::string_view source, Format format) {
  Picture picture;
  auto* bytes = const_cast<char*>(source.data());  // libvips' type; it only reads
  const std::size_t size = source.size();
  int failed = -1;
  switch (format) {
    case Format::kPng:
      failed = vips_pngload_buffer(bytes, size, picture.out(), "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                   VIPS_FAIL_ON_ERROR, nullptr);
      break;
    case Format::kWebp:
      failed = vips_webpload_buffer(bytes, size, picture.out(), "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                    VIPS_FAIL_ON_ERROR, nullptr);
      break;
    case Format::kGif:
      failed = vips_gifload_buffer(bytes, size, picture.out(), "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                   VIPS_FAIL_ON_ERROR, nullptr);
      break;
    case Format::kTiff:
      failed = vips_tiffload_buffer(bytes, size, picture.out(), "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                    VIPS_FAIL_ON_ERROR, nullptr);
      break;
    case Format::kAvif:
    case Format::kHeif:
      failed = vips_heifload_buffer(bytes, size, picture.out(), "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                    VIPS_FAIL_ON_ERROR, nullptr);
      break;
    case Format::kJpeg:
      break;  // not libvips'
  }
  if (failed != 0) return vips_failed();
  return picture;
}

Facts facts_of_jpeg(std::string_view source, SizePx size) {
  const JpegMetadata metadata = read_jpeg_metadata(source);
  constexpr int kPrintComponents = 4;
  return {
      .size = size,
      .orientation = exif_orientation(metadata.exif),
      .has_alpha = false,
      .is_srgb = metadata.components != kPrintComponents && (metadata.icc.empty() || is_srgb_profile(metadata.icc))};
}

Facts facts_of(VipsImage* image) {
  const std::string_view icc = blob_of(image, VIPS_META_ICC_NAME);
  const VipsInterpretation interpretation = vips_image_get_interpretation(image);
  const bool plain = interpretation == VIPS_INTERPRETATION_sRGB || interpretation == VIPS_INTERPRETATION_B_W ||
                     interpretation == VIPS_INTERPRETATION_RGB16 || interpretation == VIPS_INTERPRETATION_GREY16;
  return {
      .size = {.width = static_cast<std::uint32_t>(image->Xsize), .height = static_cast<std::uint32_t>(image->Ysize)},
      .orientation = vips_image_get_orientation(image),
      .has_alpha = vips_image_hasalpha(image) != FALSE,
      .is_srgb = plain && (icc.empty() || is_srgb_profile(icc))};
}

// The share of its size at which a JPEG is decoded. Shrinking while decoding averages blocks, which is a little sharp;
// the rest, at least a factor of two, is left to the resampler.
std::uint32_t choose_shrink(SizePx stored, SizePx wanted) {
  const std::uint32_t factor = std::min(stored.width / wanted.width, stored.height / wanted.height);
  if (factor >= 16) return 8;
  if (factor >= 8) return 4;
  if (factor >= 4) return 2;
  return 1;
}

void free_pixels(VipsImage* /*image*/, void* bytes) { FreeMemory()(static_cast<std::uint8_t*>(bytes)); }

VipsInterpretation interpretation_of_bands(std::uint32_t bands) {
  if (bands == 1) return VIPS_INTERPRETATION_B_W;
  return bands == 4 ? VIPS_INTERPRETATION_CMYK : VIPS_INTERPRETATION_sRGB;
}

void set_blob(VipsImage* image, const char* name, std::string_view bytes) {
  if (!bytes.empty()) vips_image_set_blob_copy(image, name, bytes.data(), bytes.size());
}

Result<Picture> decode_jpeg_picture(std::string_view source, const Facts& facts, SizePx wanted) {
  PIXMILL_TRY(Pixels pixels, decode_jpeg(source, choose_shrink(facts.size, wanted)));
  const std::size_t bytes = std::size_t{pixels.size.width} * pixels.size.height * pixels.bands;
  Picture memory(vips_image_new_from_memory(pixels.bytes.get(), bytes, static_cast<int>(pixels.size.width),
                                            static_cast<int>(pixels.size.height), static_cast<int>(pixels.bands),
                                            VIPS_FORMAT_UCHAR));
  if (memory.get() == nullptr) return vips_failed();
  g_signal_connect(memory.get(), "postclose", G_CALLBACK(free_pixels), pixels.bytes.release());
  Picture picture;
  if (vips_copy(memory.get(), picture.out(), "interpretation", interpretation_of_bands(pixels.bands), nullptr) != 0) {
    return vips_failed();
  }
  const JpegMetadata metadata = read_jpeg_metadata(source);
  set_blob(picture.get(), VIPS_META_ICC_NAME, metadata.icc);
  set_blob(picture.get(), VIPS_META_EXIF_NAME, metadata.exif);
  set_blob(picture.get(), VIPS_META_XMP_NAME, metadata.xmp);
  vips_image_set_int(picture.get(), VIPS_META_ORIENTATION, facts.orientation);
  return picture;
}

// Colour without alpha to 8-bit sRGB, or grey where it was grey.
Result<Picture> convert_colour(Picture picture) {
  VipsImage* const image = picture.get();
  const VipsInterpretation guessed = vips_image_guess_interpretation(image);
  const bool grey = image->Bands < 3;
  const VipsInterpretation target = grey ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
  const std::string_view icc = blob_of(image, VIPS_META_ICC_NAME);
  Picture converted;
  if (!icc.empty() && !is_srgb_profile(icc)) {
    if (vips_icc_transform(image, converted.out(), "srgb", "embedded", TRUE, "intent", VIPS_INTENT_RELATIVE,
                           "black_point_compensation", TRUE, "depth", 8, nullptr) == 0) {
      if (!grey) return converted;
      Picture first;
      if (vips_extract_band(converted.get(), first.out(), 0, nullptr) != 0) return vips_failed();
      Picture named;
      if (vips_copy(first.get(), named.out(), "interpretation", target, nullptr) != 0) return vips_failed();
      return named;
    }
    vips_error_clear();  // a broken profile says nothing: take the picture for what it would be without
  }
  Picture named;
  if (vips_copy(image, named.out(), "interpretation", guessed, nullptr) != 0) return vips_failed();
  if (vips_colourspace(named.get(), converted.out(), target, nullptr) != 0) return vips_failed();
  Picture eight_bits;
  if (vips_cast_uchar(converted.get(), eight_bits.out(), nullptr) != 0) return vips_failed();
  return eight_bits;
}

Result<Picture> to_eight_bits(Picture picture) {
  Picture scaled;
  const VipsBandFormat format = vips_image_get_format(picture.get());
  if (format == VIPS_FORMAT_USHORT) {
    if (vips_rshift_const1(picture.get(), scaled.out(), 8, nullptr) != 0) return vips_failed();
  } else if (format == VIPS_FORMAT_FLOAT) {  // 0 to 1
    constexpr double kWhite = 255;
    if (vips_linear1(picture.get(), scaled.out(), kWhite, 0, nullptr) != 0) return vips_failed();
  } else {
    scaled = std::move(picture);
  }
  Picture eight_bits;
  if (vips_cast_uchar(scaled.get(), eight_bits.out(), nullptr) != 0) return vips_failed();
  return eight_bits;
}

bool is_grey(Colour colour) { return colour.red == colour.green && colour.green == colour.blue; }

// A grey picture takes a coloured background only when it has colours itself.
Result<Picture> with_room_for(Picture picture, Colour background) {
  if (vips_image_get_bands(picture.get()) >= 3 || is_grey(background)) return picture;
  return make_rgb(std::move(picture));
}

// As many numbers as the picture has bands, alpha opaque. vips_area_unref() ends it.
VipsArrayDouble* background_of(const Picture& picture, Colour colour, bool with_alpha) {
  double values[4] = {static_cast<double>(colour.red), static_cast<double>(colour.green),
                      static_cast<double>(colour.blue), 255.0};
  int count = 3;
  if (vips_image_get_bands(picture.get()) < 3) {
    values[1] = 255.0;
    count = 1;
  }
  return vips_array_double_new(values, with_alpha && has_alpha(picture) ? count + 1 : count);
}

Result<Picture> scale(Picture picture, SizePx scaled) {
  const SizePx size = size_of(picture);
  if (size == scaled) return picture;
  PIXMILL_TRY(Picture resized, on_premultiplied(std::move(picture), [&](const Picture& weighted) -> Result<Picture> {
                Picture result;
                if (vips_resize(weighted.get(), result.out(), static_cast<double>(scaled.width) / size.width, "vscale",
                                static_cast<double>(scaled.height) / size.height, "kernel", VIPS_KERNEL_LANCZOS3,
                                nullptr) != 0) {
                  return vips_failed();
                }
                return result;
              }));
  if (size_of(resized) == scaled) return resized;
  // libvips rounds by itself; a pixel more or less is repeated or cut.
  Picture exact;
  if (vips_embed(resized.get(), exact.out(), 0, 0, static_cast<int>(scaled.width), static_cast<int>(scaled.height),
                 "extend", VIPS_EXTEND_COPY, nullptr) != 0) {
    return vips_failed();
  }
  return exact;
}

}  // namespace

Result<Opened> open_source(std::string_view source, Format format) {
  PIXMILL_RETURN_IF_ERROR(start_vips());
  if (format == Format::kJpeg) {
    PIXMILL_TRY(const Header header, read_header(source));
    return Opened{.facts = facts_of_jpeg(source, {.width = header.width_px, .height = header.height_px}),
                  .picture = {}};
  }
  PIXMILL_TRY(Picture picture, open_with_vips(source, format));
  const VipsBandFormat samples = vips_image_get_format(picture.get());
  if (samples != VIPS_FORMAT_UCHAR && samples != VIPS_FORMAT_USHORT && samples != VIPS_FORMAT_FLOAT) {
    return fail(
        ErrorCode::kUnsupportedFormat,
        fmt::format("{} with samples of this kind is not read; 8-bit, 16-bit and float are", format_name(format)));
  }
  const Facts facts = facts_of(picture.get());
  return Opened{.facts = facts, .picture = std::move(picture)};
}

Result<Picture> decode(std::string_view source, Format format, Opened opened, SizePx wanted) {
  if (format == Format::kJpeg) return decode_jpeg_picture(source, opened.facts, wanted);
  return std::move(opened.picture);
}

Result<Picture> convert_to_srgb(Picture picture) {
  Picture own;  // metadata is changed, so the image must not be shared
  if (vips_copy(picture.get(), own.out(), nullptr) != 0) return vips_failed();
  const int colour_bands = vips_image_get_bands(own.get()) - (has_alpha(own) ? 1 : 0);
  Picture colour;
  if (vips_extract_band(own.get(), colour.out(), 0, "n", colour_bands == 2 ? 1 : std::min(colour_bands, 4), nullptr) !=
      0) {
    return vips_failed();
  }
  PIXMILL_TRY(Picture converted, convert_colour(std::move(colour)));
  if (has_alpha(own)) {
    Picture alpha;
    if (vips_extract_band(own.get(), alpha.out(), colour_bands, nullptr) != 0) return vips_failed();
    PIXMILL_TRY(const Picture eight_bits, to_eight_bits(std::move(alpha)));
    Picture joined;
    if (vips_bandjoin2(converted.get(), eight_bits.get(), joined.out(), nullptr) != 0) return vips_failed();
    converted = std::move(joined);
  }
  Picture clean;
  if (vips_copy(converted.get(), clean.out(), nullptr) != 0) return vips_failed();
  vips_image_remove(clean.get(), VIPS_META_ICC_NAME);
  return clean;
}

Result<Picture> make_rgb(Picture picture) {
  // A profile of grey would not fit the result.
  PIXMILL_TRY(const Picture neutral, convert_to_srgb(std::move(picture)));
  Picture colour;
  if (vips_colourspace(neutral.get(), colour.out(), VIPS_INTERPRETATION_sRGB, nullptr) != 0) return vips_failed();
  return colour;
}

Result<Picture> keep_colours(Picture picture) {
  const VipsInterpretation interpretation = vips_image_guess_interpretation(picture.get());
  const bool rgb = interpretation == VIPS_INTERPRETATION_sRGB || interpretation == VIPS_INTERPRETATION_RGB ||
                   interpretation == VIPS_INTERPRETATION_RGB16;
  const bool grey = interpretation == VIPS_INTERPRETATION_B_W || interpretation == VIPS_INTERPRETATION_GREY16;
  if (!rgb && !grey) return convert_to_srgb(std::move(picture));
  PIXMILL_TRY(const Picture eight_bits, to_eight_bits(std::move(picture)));
  Picture named;
  if (vips_copy(eight_bits.get(), named.out(), "interpretation",
                grey ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB, nullptr) != 0) {
    return vips_failed();
  }
  return named;
}

Result<Picture> make_upright(Picture picture) {
  constexpr int kUpright = 1;
  constexpr int kMirrored = 2;  // rows stay in order
  const int orientation = vips_image_get_orientation(picture.get());
  if (orientation == kUpright) return picture;
  if (orientation != kMirrored) {
    PIXMILL_TRY(picture, in_memory(std::move(picture)));
  }
  Picture upright;
  if (vips_autorot(picture.get(), upright.out(), nullptr) != 0) return vips_failed();
  return upright;
}

Result<Picture> resize(Picture picture, const ResizePlan& plan, Colour background) {
  PIXMILL_TRY(Picture scaled, scale(std::move(picture), plan.scaled));
  if (plan.crop.size != plan.scaled) {
    Picture cropped;
    if (vips_extract_area(scaled.get(), cropped.out(), static_cast<int>(plan.crop.left),
                          static_cast<int>(plan.crop.top), static_cast<int>(plan.crop.size.width),
                          static_cast<int>(plan.crop.size.height), nullptr) != 0) {
      return vips_failed();
    }
    scaled = std::move(cropped);
  }
  if (plan.canvas == plan.placement.size) return scaled;
  return place_on_canvas(std::move(scaled), plan.placement, plan.canvas, background);
}

Result<Picture> place_on_canvas(Picture picture, BoxPx placement, SizePx canvas, Colour background) {
  PIXMILL_TRY(const Picture roomy, with_room_for(std::move(picture), background));
  VipsArrayDouble* const values = background_of(roomy, background, true);
  Picture placed;
  const int failed =
      vips_embed(roomy.get(), placed.out(), static_cast<int>(placement.left), static_cast<int>(placement.top),
                 static_cast<int>(canvas.width), static_cast<int>(canvas.height), "extend", VIPS_EXTEND_BACKGROUND,
                 "background", values, nullptr);
  vips_area_unref(VIPS_AREA(values));
  if (failed != 0) return vips_failed();
  return placed;
}

Result<Picture> on_premultiplied(Picture picture, const std::function<Result<Picture>(const Picture&)>& change) {
  if (!has_alpha(picture)) return change(picture);
  Picture weighted;
  if (vips_premultiply(picture.get(), weighted.out(), nullptr) != 0) return vips_failed();
  PIXMILL_TRY(const Picture changed, change(weighted));
  Picture plain;
  if (vips_unpremultiply(changed.get(), plain.out(), nullptr) != 0) return vips_failed();
  Picture eight_bits;
  if (vips_cast_uchar(plain.get(), eight_bits.out(), nullptr) != 0) return vips_failed();
  return eight_bits;
}

Result<Picture> flatten(Picture picture, Colour background) {
  if (!has_alpha(picture)) return picture;
  PIXMILL_TRY(const Picture roomy, with_room_for(std::move(picture), background));
  VipsArrayDouble* const values = background_of(roomy, background, false);
  Picture flat;
  const int failed = vips_flatten(roomy.get(), flat.out(), "background", values, nullptr);
  vips_area_unref(VIPS_AREA(values));
  if (failed != 0) return vips_failed();
  return flat;
}

Picture share(const Picture& picture) {
  g_object_ref(picture.get());
  return Picture(picture.get());
}

Result<Picture> in_memory(Picture picture) {
  Picture memory(vips_image_copy_memory(picture.get()));
  if (memory.get() == nullptr) return vips_failed();
  return memory;
}

bool has_alpha(const Picture& picture) { return vips_image_hasalpha(picture.get()) != FALSE; }

SizePx frame_size_of(const Picture& frames) {
  return {.width = static_cast<std::uint32_t>(vips_image_get_width(frames.get())),
          .height = static_cast<std::uint32_t>(vips_image_get_page_height(frames.get()))};
}

SizePx size_of(const Picture& picture) {
  return {.width = static_cast<std::uint32_t>(vips_image_get_width(picture.get())),
          .height = static_cast<std::uint32_t>(vips_image_get_height(picture.get()))};
}

}  // namespace pixmill::image
