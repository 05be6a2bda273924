// One picture of a pixel or few in each readable format, whole files: to make decoders load what they load lazily, and
// to see that they work.
#pragma once

#include <span>
#include <string_view>

#include "image/format.h"

namespace pixmill::image {

struct TinyPicture {
  Format format;
  std::string_view bytes;
};

[[nodiscard]] std::span<const TinyPicture> tiny_pictures();

}  // namespace pixmill::image
