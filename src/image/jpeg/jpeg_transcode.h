// JPEG to JPEG of another quality without touching pixels: Huffman decode, requantise, Huffman encode. As good as
// decoding and encoding with the same tables, and several times as fast. Used by render, for recipes that keep the
// size. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace pixmill::image {

struct TranscodeOptions {
  int quality = 80;  // 1 to 100 on libjpeg's scale
};

// Errors: kUnsupportedFormat when this way does not suit the source and it is to be decoded to pixels instead (CMYK,
// RGB, 12-bit, arithmetic coding, lossless, anything unusual); kTruncated and kDecodeFailed for damage; kTooLarge when
// memory ran out.
[[nodiscard]] Result<std::string> transcode_jpeg(std::string_view source, const TranscodeOptions& options);

}  // namespace pixmill::image
