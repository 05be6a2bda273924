// A picture laid over others. Used where render() is: by engines, which keep the last ones decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "image/geometry.h"
#include "image/picture.h"
#include "image/recipe.h"
#include "image/render.h"

namespace pixmill::image {

inline constexpr std::uint64_t kMarkPixelsMax = 25'000'000;

// One watermark's pixels, and the last form in which they were wanted.
class Mark {
 public:
  // The first frame, upright, in sRGB or grey, with alpha. Errors: those of render().
  [[nodiscard]] static Result<Mark> decode(std::string_view file, const Limits& limits);

  [[nodiscard]] SizePx size() const { return size_; }
  // What it holds in memory.
  [[nodiscard]] std::size_t bytes() const;
  // Its pixels at another size, alpha weakened by `opacity`. Errors: kDecodeFailed, kTooLarge.
  [[nodiscard]] Result<Picture> at(SizePx size, double opacity);

 private:
  Mark() = default;

  Picture pixels_;  // in memory
  SizePx size_;
  Picture form_;  // in memory, or empty
  SizePx form_size_;
  double form_opacity_ = 1;
};

// `picture` is 8-bit sRGB or grey, or as the profile means it that is attached to it. Alpha of both is honoured, and
// the picture has it afterwards if it had it before. Errors: kDecodeFailed, kTooLarge.
[[nodiscard]] Result<Picture> lay_over(Picture picture, const Watermark& watermark, Mark& mark);

}  // namespace pixmill::image
