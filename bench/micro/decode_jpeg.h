// A JPEG in memory as pixels, by libjpeg with its own defaults.
#pragma once

#include <string_view>

#include "base/error.h"
#include "bench/micro/pixels.h"

namespace pixmill::bench {

struct DecodedJpeg {
  Pixels pixels;
  long warnings = 0;  // what libjpeg found wrong and read all the same
};

// Grey and YCbCr. Errors: kDecodeFailed with libjpeg's words.
[[nodiscard]] Result<DecodedJpeg> decode_jpeg(std::string_view file);

}  // namespace pixmill::bench
