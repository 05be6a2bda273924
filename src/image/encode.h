// Pixels to a file in one of the formats that Pixmill writes: JPEG, PNG, WebP.
#pragma once

#include <string>

#include "base/error.h"
#include "image/format.h"
#include "image/geometry.h"
#include "image/picture.h"
#include "image/recipe.h"

namespace pixmill::image {

inline constexpr int kDefaultEffort = 4;  // of 1 to 9
inline constexpr int kTrellisEffort = 7;  // JPEG weighs each coefficient against its bits from here on

struct EncodeOptions {
  Format format = Format::kJpeg;
  int quality = 80;                      // of JPEG and WebP
  Metadata metadata = Metadata::kStrip;  // kKeep: EXIF, with orientation 1, and XMP
  // Of JPEG alone:
  JpegTables tables = JpegTables::kBalanced;
  bool progressive = true;
  int effort = kDefaultEffort;
};

// What is used when a recipe names no quality; 0 for lossless formats.
[[nodiscard]] int default_quality(Format format);

// Errors: kTooLarge when the format cannot hold a picture of this size.
[[nodiscard]] Result<void> check_sides(SizePx size, Format format);

// `picture` is 8-bit sRGB or grey, without alpha for JPEG. It is computed here, so all errors of decoding show here
// too.
[[nodiscard]] Result<std::string> encode(const Picture& picture, const EncodeOptions& options);

}  // namespace pixmill::image
