#include "image/fit_bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "image/steps.h"

namespace pixmill::image {

namespace {

// The size whose pixels should take `bytes_max` when those of `size` take `bytes`, a little below to be on the safe
// side, and at least a step smaller.
SizePx smaller(SizePx size, std::size_t bytes, std::uint64_t bytes_max) {
  constexpr double kCaution = 0.95;
  constexpr double kLeastStep = 0.9;
  const double ratio = static_cast<double>(bytes_max) / static_cast<double>(bytes);
  const double factor = std::min(kCaution * std::sqrt(ratio), kLeastStep);
  const auto side = [&](std::uint32_t px) {
    return std::max(static_cast<std::uint32_t>(px * factor), std::uint32_t{1});
  };
  return {.width = side(size.width), .height = side(size.height)};
}

ResizePlan scaled_to(SizePx size) {
  const BoxPx all{.left = 0, .top = 0, .size = size};
  return {.scaled = size, .crop = all, .canvas = size, .placement = all};
}

Result<Encoded> encode_fitting(const Picture& picture, EncodeOptions options, std::optional<std::uint64_t> bytes_max) {
  const auto at_quality = [&](int quality) {
    options.quality = quality;
    return encode(picture, options);
  };
  PIXMILL_TRY(Encoded encoded, fit_quality(at_quality, options.quality, bytes_max));
  encoded.size = size_of(picture);
  return encoded;
}

}  // namespace

Result<Encoded> fit_quality(const std::function<Result<std::string>(int quality)>& encode_at, int quality,
                            std::optional<std::uint64_t> bytes_max) {
  Encoded best{.bytes = {}, .size = {}, .quality = quality, .fitted = false};
  PIXMILL_TRY(best.bytes, encode_at(quality));
  if (!bytes_max || best.bytes.size() <= *bytes_max || quality <= kQualityFloor) return best;
  PIXMILL_TRY(best.bytes, encode_at(kQualityFloor));
  best.quality = kQualityFloor;
  best.fitted = true;
  if (best.bytes.size() > *bytes_max) return best;
  int good = kQualityFloor;
  int bad = quality;
  while (bad - good > 1) {
    const int middle = good + (bad - good) / 2;
    PIXMILL_TRY(std::string bytes, encode_at(middle));
    if (bytes.size() > *bytes_max) {
      bad = middle;
      continue;
    }
    good = best.quality = middle;
    best.bytes = std::move(bytes);
  }
  return best;
}

Result<Encoded> fit_animation(const Picture& frames, const EncodeOptions& options,
                              std::optional<std::uint64_t> bytes_max) {
  PIXMILL_TRY(Encoded encoded, encode_fitting(frames, options, bytes_max));
  if (bytes_max && encoded.bytes.size() > *bytes_max) {
    return fail(ErrorCode::kTooLarge, fmt::format("the animation does not fit into max_bytes={}", *bytes_max));
  }
  encoded.size = frame_size_of(frames);
  return encoded;
}

Result<Encoded> fit_bytes(Picture picture, const EncodeOptions& options, std::optional<std::uint64_t> bytes_max) {
  if (bytes_max) {
    PIXMILL_TRY(picture, in_memory(std::move(picture)));
  }
  PIXMILL_TRY(Encoded encoded, encode_fitting(picture, options, bytes_max));
  constexpr int kTriesMax = 24;
  for (int tries = 0; bytes_max && encoded.bytes.size() > *bytes_max; ++tries) {
    if (tries == kTriesMax || (encoded.size.width == 1 && encoded.size.height == 1)) {
      return fail(ErrorCode::kTooLarge, fmt::format("the picture does not fit into max_bytes={}", *bytes_max));
    }
    const SizePx size = smaller(encoded.size, encoded.bytes.size(), *bytes_max);
    PIXMILL_TRY(const Picture reduced, resize(share(picture), scaled_to(size), Colour{}));
    PIXMILL_TRY(const Picture ready, in_memory(share(reduced)));
    PIXMILL_TRY(encoded, encode_fitting(ready, options, bytes_max));
    encoded.fitted = true;
  }
  return encoded;
}

}  // namespace pixmill::image
