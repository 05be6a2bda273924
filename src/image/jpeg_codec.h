// Pixels from and to JPEG through libjpeg's own interface, without libvips: it tells cut-off data from harmless
// oddities and scales while decoding. Blocking; any thread. The input is untrusted.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "image/geometry.h"
#include "image/jpeg/jpeg_transcode.h"

namespace pixmill::image {

struct FreeMemory {
  void operator()(std::uint8_t* bytes) const { std::free(bytes); }
};

// Rows × columns × bands, one byte each, without padding: grey (1), RGB (3) or CMYK (4, 0 is no ink).
struct Pixels {
  SizePx size;
  std::uint32_t bands = 0;
  std::unique_ptr<std::uint8_t[], FreeMemory> bytes;
};

// `shrink` is 1, 2, 4 or 8: sides are divided by it and rounded up. Errors: kTruncated, kDecodeFailed,
// kUnsupportedFormat (12-bit, lossless, odd colour models), kTooLarge when memory ran out.
[[nodiscard]] Result<Pixels> decode_jpeg(std::string_view source, std::uint32_t shrink);

struct JpegOptions {
  int quality = 80;  // on libjpeg's scale
  JpegTables tables = JpegTables::kBalanced;
  TranscodeOptions::Rounding rounding = TranscodeOptions::Rounding::kDeadZone;
  bool progressive = true;
  bool halves_chroma = true;   // both ways; planes come as they are
  std::string_view exif = {};  // a TIFF structure; left out when empty or above 64 kB
  std::string_view xmp = {};   // a packet; likewise
  std::string_view icc = {};   // a profile; left out when empty
};

// Gives row `y` of the picture, called with 0, 1, 2 … once each; nullptr stops the encoder.
using RowSource = std::function<const std::uint8_t*(std::uint32_t y)>;

// JPEG with Huffman codes made for it, from rows of 1 (grey) or 3 (RGB) bands; chroma is halved both ways if
// asked. Errors: kDecodeFailed when a row was missing, kTooLarge when memory ran out or a side is above
// 65,500.
[[nodiscard]] Result<std::string> encode_jpeg(SizePx size, std::uint32_t bands, const RowSource& rows,
                                              const JpegOptions& options);

}  // namespace pixmill::image
