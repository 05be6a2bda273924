// Pixels to a file in one of the formats that Pixmill writes.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "image/format.h"
#include "image/geometry.h"
#include "image/picture.h"
#include "image/recipe.h"

namespace pixmill::image {

struct EncodeOptions {
  Format format = Format::kJpeg;
  int quality = 80;                 // of JPEG, WebP and AVIF
  bool lossless = false;            // WebP and AVIF
  std::optional<int> effort;        // 1 to 9; nullopt: what suits bulk work
  std::optional<bool> progressive;  // JPEG and PNG; nullopt: JPEG is, PNG is not
  JpegTables tables = JpegTables::kBalanced;
  Chroma chroma = Chroma::kAuto;
  std::optional<int> colours;  // PNG with a palette of so many
  Metadata metadata = Metadata::kStrip;
  bool keep_icc = false;  // the picture's profile goes with it
};

// How a JPEG's coefficients are rounded: exactly when the standard tables are asked for, which is what others do, and
// weighed against their bits from effort 7 on.
[[nodiscard]] TranscodeOptions::Rounding jpeg_rounding(const EncodeOptions& options);

// Whether JPEG holds colour at half the resolution.
[[nodiscard]] bool halves_chroma(const EncodeOptions& options);

// What is used when a recipe names no quality; 0 for lossless formats.
[[nodiscard]] int default_quality(Format format);

// Errors: kTooLarge when the format cannot hold a picture of this size.
[[nodiscard]] Result<void> check_sides(SizePx size, Format format);

// `picture` is 8-bit RGB or grey, without alpha for JPEG. It is computed here, so all errors of decoding show here
// too.
[[nodiscard]] Result<std::string> encode(const Picture& picture, const EncodeOptions& options);

}  // namespace pixmill::image
