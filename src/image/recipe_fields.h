// The fields of an output, each read and written in one place, so that the JSON and the compact spelling allow the same
// and complain alike. Internal to the recipe parsers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "image/recipe.h"

namespace pixmill::image {

// What JSON has for a field, besides what is said of kObject.
enum class JsonKind : std::uint8_t {
  kText,
  kNumber,
  kFlag,
  kFlagOrNumber,
  kTextOrNumber,
  kObject,        // with members of its own: resize
  kTextOrObject,  // likewise: watermark
};

struct Field {
  std::string_view name;
  JsonKind json;
  std::string_view allowed;                             // for people, after "use"
  bool (*set)(Output& output, std::string_view value);  // false: the value is not allowed
  std::string (*text)(const Output& output);            // the canonical value; empty for the default
};

// In the order of the canonical text.
[[nodiscard]] std::span<const Field> output_fields();
// Errors: kInvalidArgument for a field that does not exist.
[[nodiscard]] Result<const Field*> find_field(std::string_view name);
[[nodiscard]] Result<void> set_field(Output& output, const Field& field, std::string_view value);

// `recipe field "quality": "500" is not allowed; use a whole number from 1 to 100`
[[nodiscard]] std::unexpected<Error> refuse_field(std::string_view field, std::string_view value,
                                                  std::string_view allowed);
[[nodiscard]] std::unexpected<Error> refuse_duplicate_field(std::string_view field);

// One more output named `name`, beginning as `common`. Errors: kInvalidArgument for a name that is not allowed, or was
// given before, or is one too many.
[[nodiscard]] Result<void> add_output(Recipe& recipe, const Output& common, std::string_view name);

inline constexpr std::string_view kSideAllowed = "a number of pixels from 1 to 65535";
inline constexpr std::string_view kFitAllowed = "inside, outside, cover, contain or fill";
inline constexpr std::string_view kGravityAllowed =
    "centre, north, northeast, east, southeast, south, southwest, west, northwest, entropy or attention";
// Each sets one part of a box; false: the value is not allowed.
[[nodiscard]] bool set_width(Resize& resize, std::string_view value);
[[nodiscard]] bool set_height(Resize& resize, std::string_view value);
[[nodiscard]] bool set_fit(Resize& resize, std::string_view value);
[[nodiscard]] bool set_gravity(Resize& resize, std::string_view value);

inline constexpr std::string_view kWatermarkImageAllowed =
    "an http or https address without spaces, upload, or upload: and the SHA-256 of a file that was uploaded before";
inline constexpr std::string_view kWatermarkGravityAllowed =
    "centre, north, northeast, east, southeast, south, southwest, west or northwest";
inline constexpr std::string_view kShareAllowed = "a number from 0.01 to 1";
inline constexpr std::string_view kMarginAllowed = "a number of pixels from 0 to 10000";
// Likewise for a watermark.
[[nodiscard]] bool set_watermark_image(Watermark& watermark, std::string_view value);
[[nodiscard]] bool set_watermark_gravity(Watermark& watermark, std::string_view value);
[[nodiscard]] bool set_watermark_opacity(Watermark& watermark, std::string_view value);
[[nodiscard]] bool set_watermark_scale(Watermark& watermark, std::string_view value);
[[nodiscard]] bool set_watermark_margin(Watermark& watermark, std::string_view value);

// The JSON spelling; recipe.cc has the compact one.
[[nodiscard]] Result<Recipe> parse_json_recipe(std::string_view text);

// `value` fit for a message: printable, and cut where it is long.
[[nodiscard]] std::string shown(std::string_view value);

}  // namespace pixmill::image
