// Decodes a JPEG to planes of 1/2, 1/4 or 1/8 of their size: of every block of 8 × 8 only the 4 × 4, 2 × 2 or 1 × 1
// lowest frequencies are transformed back, by a cosine transform of that size (as libjpeg 7 and later do). Each
// component at the resolution that is wanted of it. Pure; the input is untrusted.
#pragma once

#include <string_view>

#include "base/error.h"
#include "image/planes.h"

namespace pixmill::image::jpeg {

// The planes have at least kDecodeMargin times the resolution that is wanted. Errors: kUnsupportedFormat when this way
// does not suit the source (as for transcode_jpeg(), and progressive), or a plane is wanted at more than half of its
// size; kTruncated and kDecodeFailed for damage; kTooLarge when memory ran out.
[[nodiscard]] Result<Planes> decode_reduced(std::string_view source, Resolution luma, Resolution chroma);

}  // namespace pixmill::image::jpeg
