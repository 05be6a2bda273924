// What is decided about one output before a pixel is touched: its format, how it is encoded, how large it becomes.
// Pure.
#pragma once

#include "base/error.h"
#include "image/encode.h"
#include "image/geometry.h"
#include "image/recipe.h"
#include "image/render.h"
#include "image/steps.h"

namespace pixmill::image {

struct OutputPlan {
  const Output* output = nullptr;  // of the recipe, which outlives the plan
  EncodeOptions encode;
  SizePx size;                // of the result; what trimming takes away is not known yet
  bool keeps_pixels = false;  // upright, they go out as they came in
  bool adjusts = false;       // colours or detail are changed
  bool animated = false;      // all frames are wanted
};

// Errors: kTooLarge when the result would have too many pixels, or too long a side for its format; kInvalidArgument
// when a crop lies outside of the picture.
[[nodiscard]] Result<OutputPlan> plan_output(const Header& header, const Facts& facts, const Output& output,
                                             const Limits& limits);

// The least size to decode at, as stored, so that nothing is enlarged afterwards.
[[nodiscard]] SizePx decode_size(const OutputPlan& plan, const Facts& facts);

[[nodiscard]] SizePx turned(SizePx size, int rotate);

// Errors: kTooLarge.
[[nodiscard]] Result<void> check_result_size(SizePx size, const Limits& limits);

}  // namespace pixmill::image
