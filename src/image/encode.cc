#include "image/encode.h"

#include <fmt/format.h>
#include <vips/vips.h>

#include <algorithm>

#include "image/jpeg_codec.h"
#include "image/steps.h"
#include "image/strip_metadata.h"
#include "image/tiff_directory.h"
#include "image/vips_runtime.h"
#include "image/xmp.h"

namespace pixmill::image {

using namespace std::string_view_literals;

namespace {

constexpr int kTrellisEffort = 7;

// Computes the picture from top to bottom on the calling thread, a strip at a time.
class RowReader {
 public:
  explicit RowReader(VipsImage* image) : image_(image), region_(vips_region_new(image)) {}
  ~RowReader() { g_object_unref(region_); }
  RowReader(const RowReader&) = delete;
  RowReader& operator=(const RowReader&) = delete;

  // nullptr when it could not be computed.
  [[nodiscard]] const std::uint8_t* row(std::uint32_t y) {
    const int at = static_cast<int>(y);
    if (at >= strip_end_) {
      constexpr int kStripRows = 64;
      const VipsRect strip{
          .left = 0, .top = at, .width = image_->Xsize, .height = std::min(kStripRows, image_->Ysize - at)};
      failed_ = vips_region_prepare(region_, &strip) != 0;
      if (failed_) return nullptr;
      strip_end_ = at + strip.height;
    }
    return VIPS_REGION_ADDR(region_, 0, at);
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  VipsImage* image_;
  VipsRegion* region_;
  int strip_end_ = 0;
  bool failed_ = false;
};

struct KeptMetadata {
  std::string exif;  // a TIFF structure, orientation 1
  std::string xmp;
  std::string icc;
};

std::string blob_of(VipsImage* image, const char* name) {
  const void* data = nullptr;
  std::size_t size = 0;
  if (vips_image_get_typeof(image, name) == 0 || vips_image_get_blob(image, name, &data, &size) != 0) return {};
  return {static_cast<const char*>(data), size};
}

KeptMetadata metadata_of(const Picture& picture, const EncodeOptions& options) {
  KeptMetadata kept;
  if (options.keep_icc) kept.icc = blob_of(picture.get(), VIPS_META_ICC_NAME);
  if (options.metadata == Metadata::kStrip) return kept;
  std::string exif = blob_of(picture.get(), VIPS_META_EXIF_NAME);
  constexpr std::string_view kPrefix = "Exif\0\0"sv;  // some loaders leave it
  if (exif.starts_with(kPrefix)) exif.erase(0, kPrefix.size());
  kept.exif = options.metadata == Metadata::kCopyright ? exif_copyright(exif) : exif_made_upright(exif);
  if (options.metadata == Metadata::kKeep) {
    kept.xmp = xmp_made_upright(blob_of(picture.get(), VIPS_META_XMP_NAME));
  }
  return kept;
}

Result<std::string> encode_with_jpeg(const Picture& picture, const EncodeOptions& options) {
  const KeptMetadata metadata = metadata_of(picture, options);
  RowReader reader(picture.get());
  const RowSource rows = [&](std::uint32_t y) { return reader.row(y); };
  auto encoded = encode_jpeg(size_of(picture), static_cast<std::uint32_t>(vips_image_get_bands(picture.get())), rows,
                             {.quality = options.quality,
                              .tables = options.tables,
                              .rounding = jpeg_rounding(options),
                              .progressive = options.progressive.value_or(true),
                              .halves_chroma = halves_chroma(options),
                              .exif = metadata.exif,
                              .xmp = metadata.xmp,
                              .icc = metadata.icc});
  if (!encoded && reader.failed()) return vips_failed();
  return encoded;
}

// What encoders need to write an animation.
bool belongs_to_animation(std::string_view field) {
  return field == VIPS_META_PAGE_HEIGHT || field == VIPS_META_N_PAGES || field == "delay" || field == "loop";
}

// libvips makes EXIF, comments and text anew from fields of many names, so those that may stay are named, not the
// others.
void remove_fields(VipsImage* image, Metadata wanted) {
  char** const names = vips_image_get_fields(image);
  for (char** name = names; name != nullptr && *name != nullptr; ++name) {
    const std::string_view field = *name;
    const bool is_replaced = field == VIPS_META_EXIF_NAME || field == VIPS_META_XMP_NAME ||
                             field == VIPS_META_IPTC_NAME || field == VIPS_META_PHOTOSHOP_NAME ||
                             field == VIPS_META_ICC_NAME || field == VIPS_META_ORIENTATION;
    if (is_replaced || (wanted != Metadata::kKeep && !belongs_to_animation(field))) vips_image_remove(image, *name);
  }
  g_strfreev(names);
}

// The same pixels with no metadata but what is to be kept.
Result<Picture> with_metadata(const Picture& picture, const EncodeOptions& options) {
  Picture own;
  if (vips_copy(picture.get(), own.out(), nullptr) != 0) return vips_failed();
  const KeptMetadata metadata = metadata_of(picture, options);
  remove_fields(own.get(), options.metadata);
  if (!metadata.exif.empty()) {
    vips_image_set_blob_copy(own.get(), VIPS_META_EXIF_NAME, metadata.exif.data(), metadata.exif.size());
  }
  if (!metadata.xmp.empty()) {
    vips_image_set_blob_copy(own.get(), VIPS_META_XMP_NAME, metadata.xmp.data(), metadata.xmp.size());
  }
  if (!metadata.icc.empty()) {
    vips_image_set_blob_copy(own.get(), VIPS_META_ICC_NAME, metadata.icc.data(), metadata.icc.size());
  }
  return own;
}

// The least depth of a palette that holds so many colours; libvips thinks in depths.
int bits_for(std::optional<int> colours) {
  if (!colours || *colours > 16) return 8;
  if (*colours > 4) return 4;
  return *colours > 2 ? 2 : 1;
}

VipsForeignSubsample subsampling(Chroma chroma) {
  switch (chroma) {
    case Chroma::kHalved:
      return VIPS_FOREIGN_SUBSAMPLE_ON;
    case Chroma::kFull:
      return VIPS_FOREIGN_SUBSAMPLE_OFF;
    default:
      return VIPS_FOREIGN_SUBSAMPLE_AUTO;
  }
}

// `effort` 1 to 9 on a scale from `least` to `most`.
int effort_on_scale(int effort, int least, int most) { return least + (effort - 1) * (most - least) / 8; }

int save(VipsImage* image, const EncodeOptions& options, gboolean strip, void** bytes, std::size_t* size) {
  const gboolean lossless = options.lossless ? TRUE : FALSE;
  switch (options.format) {
    case Format::kPng:
      // On photographic cut-outs level 6 costs 1.7 times the CPU of 4 for 1.5 % fewer bytes.
      return vips_pngsave_buffer(image, bytes, size, "compression", options.effort.value_or(4), "filter",
                                 options.colours ? VIPS_FOREIGN_PNG_FILTER_NONE : VIPS_FOREIGN_PNG_FILTER_ALL,
                                 "interlace", options.progressive.value_or(false) ? TRUE : FALSE, "palette",
                                 options.colours ? TRUE : FALSE, "bitdepth", bits_for(options.colours), "strip", strip,
                                 nullptr);
    case Format::kWebp:
      // Method 4 costs 2.2 times the CPU of 2 for 5 % fewer bytes.
      return vips_webpsave_buffer(image, bytes, size, "Q", std::max(options.quality, 1), "lossless", lossless, "effort",
                                  options.effort ? effort_on_scale(*options.effort, 0, 6) : 2, "strip", strip, nullptr);
    case Format::kAvif:
      // Effort 5, speed 4 of its encoder, is the most that large pictures can have within their deadline.
      return vips_heifsave_buffer(image, bytes, size, "Q", std::max(options.quality, 1), "lossless", lossless,
                                  "compression", VIPS_FOREIGN_HEIF_COMPRESSION_AV1, "subsample-mode",
                                  subsampling(options.lossless ? Chroma::kFull : options.chroma), "effort",
                                  options.effort ? effort_on_scale(*options.effort, 1, 5) : 1, "strip", strip, nullptr);
    case Format::kGif:
      return vips_gifsave_buffer(image, bytes, size, "effort", options.effort.value_or(4), "strip", strip, nullptr);
    default:
      return vips_tiffsave_buffer(image, bytes, size, "compression", VIPS_FOREIGN_TIFF_COMPRESSION_DEFLATE, "predictor",
                                  VIPS_FOREIGN_TIFF_PREDICTOR_HORIZONTAL, "strip", strip, nullptr);
  }
}

Result<std::string> encode_with_vips(const Picture& picture, const EncodeOptions& options) {
  PIXMILL_TRY(const Picture own, with_metadata(picture, options));
  const bool bare = options.metadata == Metadata::kStrip && !options.keep_icc;
  void* bytes = nullptr;
  std::size_t size = 0;
  const int failed = save(own.get(), options, bare ? TRUE : FALSE, &bytes, &size);
  if (failed != 0) return vips_failed();
  const std::string_view written(static_cast<const char*>(bytes), size);
  // libvips 8.14 writes an EXIF block into WebP files even when told to strip.
  std::optional<std::string> stripped;
  if (bare) stripped = strip_metadata(written, options.format, ColourProfile::kDrop);
  std::string result = stripped ? std::move(*stripped) : std::string(written);
  g_free(bytes);
  return result;
}

}  // namespace

int default_quality(Format format) {
  switch (format) {
    case Format::kJpeg:
    case Format::kWebp:
      return 80;
    case Format::kAvif:
      return 60;  // looks like the others' 80
    default:
      return 0;
  }
}

bool halves_chroma(const EncodeOptions& options) {
  // That is not seen at usual qualities; whoever asks for 90 or more wants colour whole.
  constexpr int kFullChromaQuality = 90;
  if (options.chroma == Chroma::kAuto) return options.quality < kFullChromaQuality;
  return options.chroma == Chroma::kHalved;
}

TranscodeOptions::Rounding jpeg_rounding(const EncodeOptions& options) {
  if (options.effort.value_or(1) >= kTrellisEffort) return TranscodeOptions::Rounding::kTrellis;
  return options.tables == JpegTables::kStandard ? TranscodeOptions::Rounding::kNearest
                                                 : TranscodeOptions::Rounding::kDeadZone;
}

Result<void> check_sides(SizePx size, Format format) {
  std::uint32_t side_max = 0x7FFF'FFFF;
  if (format == Format::kJpeg) side_max = 65'500;  // libjpeg's
  if (format == Format::kWebp) side_max = 16'383;  // the format's 14 bits
  if (std::max(size.width, size.height) <= side_max) return {};
  return fail(ErrorCode::kTooLarge, fmt::format("a {} picture can have at most {} pixels a side, this one has {}×{}; "
                                                "resize it or choose another format",
                                                format_name(format), side_max, size.width, size.height));
}

Result<std::string> encode(const Picture& picture, const EncodeOptions& options) {
  if (options.format == Format::kJpeg) return encode_with_jpeg(picture, options);
  return encode_with_vips(picture, options);
}

}  // namespace pixmill::image
