// What an output does to the pixels, one step after another, in the order of its fields.
#pragma once

#include "base/error.h"
#include "image/geometry.h"
#include "image/picture.h"
#include "image/recipe.h"
#include "image/render.h"

namespace pixmill::image {

// Whether the steps read the picture in another order than from top to bottom, so that it must lie in memory.
[[nodiscard]] bool needs_memory(const Output& output);

// What is left of `within` when the border that has the colour of its top left pixel goes; all of it when it has no
// other colour. Errors: kDecodeFailed.
[[nodiscard]] Result<BoxPx> trimmed_box(const Picture& picture, BoxPx within, int threshold);

// `picture` is upright and may have been decoded smaller than `full`, its size, where nothing refers to its pixels.
// `mark` is the output's watermark, if it has one. Errors: kDecodeFailed, kTooLarge.
[[nodiscard]] Result<Picture> transform(Picture picture, SizePx full, const Output& output, const Limits& limits,
                                        Mark* mark);

}  // namespace pixmill::image
