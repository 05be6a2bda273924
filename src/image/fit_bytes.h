// Encoding within a number of bytes: quality goes down first, then size.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "image/encode.h"
#include "image/geometry.h"
#include "image/picture.h"

namespace pixmill::image {

struct Encoded {
  std::string bytes;
  SizePx size;
  int quality = 0;      // what was used; 0 where the format has none
  bool fitted = false;  // quality or size is below what was asked for
};

inline constexpr int kQualityFloor = 25;  // below it a smaller picture looks better than a coarser one

// The best quality from `quality` down to kQualityFloor whose bytes are at most `bytes_max`, else that of the floor,
// which is above it then. `size` is left to the caller. Errors: those of `encode_at`.
[[nodiscard]] Result<Encoded> fit_quality(const std::function<Result<std::string>(int quality)>& encode_at, int quality,
                                          std::optional<std::uint64_t> bytes_max);

// The quality alone goes down: frames are not made smaller. Errors: those of encode(), and kTooLarge when it does not
// fit.
[[nodiscard]] Result<Encoded> fit_animation(const Picture& frames, const EncodeOptions& options,
                                            std::optional<std::uint64_t> bytes_max);

// Errors: those of encode(), and kTooLarge when not even a picture of a few pixels fits.
[[nodiscard]] Result<Encoded> fit_bytes(Picture picture, const EncodeOptions& options,
                                        std::optional<std::uint64_t> bytes_max);

}  // namespace pixmill::image
