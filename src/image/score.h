// What an output lost by being encoded. Used where render() is, and only when somebody asks: it decodes the output
// again.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "image/picture.h"
#include "image/recipe.h"
#include "image/render.h"

namespace pixmill::image {

// Pixels that are judged for one picture, over all its outputs: 24 megapixels take about 4 s.
inline constexpr std::uint64_t kScoredPixelsMax = 24'000'000;

// SSIMULACRA2 of an output's file against `before`, the pixels that were to be encoded, both over `background` where
// they are transparent. Where the file is smaller than `before`, for the sake of max_bytes, `before` is made as small.
// Errors: kInvalidArgument for a picture below the metric's least size, kDecodeFailed, kTooLarge.
[[nodiscard]] Result<double> score_of(const Rendition& output, Picture before, Colour background);

}  // namespace pixmill::image
