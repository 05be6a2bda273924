// Takes metadata out of a file without touching its pixels: for pictures whose own bytes are the best result. Works by
// what may stay, so that unknown pieces go. Pure; the input is untrusted.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "image/format.h"

namespace pixmill::image {

enum class ColourProfile : std::uint8_t { kKeep, kDrop };

// JPEG keeps JFIF, Adobe and (if told) ICC segments; PNG what decides how pixels look; WebP pixels, animation and (if
// told) ICC. What follows the end of the picture (maker's appendices, second pictures) goes too. nullopt for other
// formats and for files whose structure is not whole.
[[nodiscard]] std::optional<std::string> strip_metadata(std::string_view bytes, Format format, ColourProfile profile);

}  // namespace pixmill::image
