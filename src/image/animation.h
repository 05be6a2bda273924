// Animated GIF and WebP that stay animated. libvips holds an animation as one tall picture, frame under frame.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "image/format.h"
#include "image/geometry.h"
#include "image/picture.h"
#include "image/recipe.h"
#include "image/render.h"

namespace pixmill::image {

struct Animation {
  Picture frames;  // one under the other, in memory, as stored
  SizePx stored;   // of one
  SizePx size;     // of one made upright
  std::uint32_t count = 1;
  std::vector<int> delays_ms;  // as many as frames, or none
  int loops = 0;               // 0: for ever
};

[[nodiscard]] bool can_be_animated(Format format);

// `source` must outlive the animation. Errors: kDecodeFailed, kTooLarge when there are more frames than allowed.
[[nodiscard]] Result<Animation> open_animation(std::string_view source, Format format, const Limits& limits);

// Every frame transformed alike: where the pixels decide about a part, those of the first frame do for trimming, and
// the centre is kept by gravities that look for content. `mark` is as for transform(). Encoders write the result as an
// animation. Errors: those of transform().
[[nodiscard]] Result<Picture> transform_animation(const Animation& animation, const Output& output,
                                                  const Limits& limits, Mark* mark);

}  // namespace pixmill::image
