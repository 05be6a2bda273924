// JPEG to JPEG of another quality without touching pixels: Huffman decode, requantise, Huffman encode. As good as
// decoding and encoding with the same tables, and several times as fast. Used by render, for recipes that keep the
// size. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace pixmill::image {

// kStandard: libjpeg's. kBalanced: fewer bytes at the same SSIMULACRA2, see jpeg/quantisation.h.
enum class JpegTables : std::uint8_t { kBalanced, kStandard };

struct TranscodeOptions {
  // kNearest: exactly. kDeadZone: small coefficients go to 0 a little early. kTrellis: each is weighed against its
  // bits, which takes about half as long again.
  enum class Rounding : std::uint8_t { kNearest, kDeadZone, kTrellis };
  // The source's profile is written again unless it is sRGB, or not at all.
  enum class Profile : std::uint8_t { kKeepUnlessSrgb, kDrop };

  int quality = 80;  // 1 to 100; means what it means to libjpeg, whatever the tables
  JpegTables tables = JpegTables::kBalanced;
  Rounding rounding = Rounding::kDeadZone;
  bool progressive = true;  // very small pictures become baseline where that is smaller
  // EXIF orientation of the source, 1 to 8, which is applied. A picture whose sides do not consist of whole MCUs cannot
  // be mirrored on them without pixels, unless up to 31 rows or columns may be cut off.
  int orientation = 1;
  bool trim_partial_mcus = false;
  // Balanced tables: whether the coefficients of a source that is nearly as coarse as the target stay as they are.
  bool keep_near_source = true;
  Profile profile = Profile::kKeepUnlessSrgb;
  // Written as they are, if not empty; of the source's own metadata nothing else stays but the density.
  std::string_view exif = {};  // a TIFF structure; its orientation should be 1
  std::string_view xmp = {};   // a packet
};

// No step becomes finer than the source's, so quality cannot be made up and files do not grow; where the target is near
// the source's own quality the coefficients stay as they are, and only their coding changes. Errors: kUnsupportedFormat
// when this way does not suit the source and it is to be decoded to pixels instead (CMYK, RGB, 12-bit, arithmetic
// coding, lossless, partial MCUs in the way, anything unusual); kTruncated and kDecodeFailed for damage; kTooLarge when
// memory ran out.
[[nodiscard]] Result<std::string> transcode_jpeg(std::string_view source, const TranscodeOptions& options);

}  // namespace pixmill::image
