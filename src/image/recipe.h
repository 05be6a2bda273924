// What is to be done to an image. Two spellings, JSON and compact ("format=jpeg quality=50 resize=800x600:inside"),
// parse to one Recipe, and a Recipe has one canonical text (compact, fields in a fixed order, defaults left out). Pure;
// fuzzed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "image/format.h"
#include "image/jpeg/jpeg_transcode.h"

namespace pixmill::image {

enum class Fit : std::uint8_t {
  kInside,   // whole picture inside the box, aspect kept
  kCover,    // box filled, aspect kept, centre crop
  kContain,  // whole picture inside the box, box filled up with background
  kFill,     // box filled, aspect not kept
};
enum class Enlarge : std::uint8_t { kNever, kAllowed };
enum class Metadata : std::uint8_t { kStrip, kKeep };

struct Resize {
  std::optional<std::uint32_t> width_px;  // 1 to 65,535; at least one of the two
  std::optional<std::uint32_t> height_px;
  Fit fit = Fit::kInside;
  Enlarge enlarge = Enlarge::kNever;
  bool operator==(const Resize&) const = default;
};

struct Colour {
  std::uint8_t red = 255, green = 255, blue = 255;
  bool operator==(const Colour&) const = default;
};

struct Recipe {
  std::optional<Format>
      format;  // nullopt: keep the source's (formats that cannot be written become JPEG, or PNG with alpha)
  std::optional<int> quality;  // 1 to 100 on libjpeg's scale; nullopt: the format's default
  std::optional<Resize> resize;
  Colour background;  // behind alpha when the output has none, and around kContain
  Metadata metadata = Metadata::kStrip;
  // The source's bytes are kept when the output would not be smaller and format, size and orientation stay.
  // nullopt: on when the recipe keeps format and size.
  std::optional<bool> keep_smaller;
  // For JPEG alone today. nullopt: progressive, effort 4.
  std::optional<bool> progressive;
  std::optional<int> effort;  // 1 to 9: CPU for fewer bytes
  JpegTables tables = JpegTables::kBalanced;
  bool operator==(const Recipe&) const = default;
};

// Either spelling: a text that begins with '{' is JSON. "compress" and other built-in names stand for their recipes.
// At most 4,096 bytes.
// Errors: kInvalidArgument; the message names the field, the value and what is allowed.
[[nodiscard]] Result<Recipe> parse_recipe(std::string_view text);

[[nodiscard]] std::string canonical_text(const Recipe& recipe);

struct BuiltInRecipe {
  std::string_view name;
  std::string_view text;     // compact
  std::string_view summary;  // one line for people
};

[[nodiscard]] std::span<const BuiltInRecipe> built_in_recipes();

inline constexpr std::string_view kDefaultRecipe = "compress";  // the original platform's: format=jpeg quality=50

}  // namespace pixmill::image
