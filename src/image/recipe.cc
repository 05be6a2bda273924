#include "image/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "base/text.h"
#include "image/recipe_fields.h"

namespace pixmill::image {

namespace {

constexpr std::size_t kTextBytesMax = 4096;

constexpr std::array kBuiltIn = {
    BuiltInRecipe{"compress", "format=jpeg quality=50", "JPEG of quality 50 at the size it has"},
    BuiltInRecipe{"web", "format=webp quality=80 resize=1600x1600:inside", "WebP of at most 1600 pixels a side"},
    BuiltInRecipe{"thumbnail", "format=jpeg quality=75 resize=256x256:inside", "JPEG of at most 256 pixels a side"},
};

constexpr std::string_view kResizeAllowed =
    "WIDTHxHEIGHT, WIDTHx or xHEIGHT in pixels, then :inside, :cover, :contain or :fill, and :enlarge if wanted";

std::string_view fit_name(Fit fit) {
  switch (fit) {
    case Fit::kInside:
      return "inside";
    case Fit::kCover:
      return "cover";
    case Fit::kContain:
      return "contain";
    case Fit::kFill:
      return "fill";
  }
  return "inside";
}

// "800x600", "800x" or "x600".
Result<Resize> parse_box(std::string_view box, std::string_view whole_value) {
  Resize resize;
  const std::size_t cross = box.find('x');
  if (cross == std::string_view::npos || box.size() == 1) return refuse_field("resize", whole_value, kResizeAllowed);
  if (cross > 0) {
    PIXMILL_TRY(resize.width_px, read_side("resize", box.substr(0, cross)));
  }
  if (cross + 1 < box.size()) {
    PIXMILL_TRY(resize.height_px, read_side("resize", box.substr(cross + 1)));
  }
  return resize;
}

Result<void> set_resize(Recipe& recipe, std::string_view value) {
  const auto parts = split(value, ':');
  PIXMILL_TRY(Resize resize, parse_box(parts.front(), value));
  bool fit_given = false;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (const auto fit = read_fit(parts[i]); fit && !fit_given) {
      resize.fit = *fit;
      fit_given = true;
    } else if (parts[i] == "enlarge" && resize.enlarge == Enlarge::kNever) {
      resize.enlarge = Enlarge::kAllowed;
    } else {
      return refuse_field("resize", value, kResizeAllowed);
    }
  }
  recipe.resize = resize;
  return {};
}

std::unexpected<Error> refuse_word(std::string_view word) {
  std::vector<std::string_view> names;
  for (const auto& built_in : kBuiltIn) names.push_back(built_in.name);
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("recipe: \"{}\" is neither field=value nor the name of a recipe; built in are {}",
                          shown(word), fmt::join(names, ", ")));
}

struct CompactField {
  std::string_view name;
  Result<void> (*set)(Recipe&, std::string_view);
};
constexpr std::array kCompactFields = {
    CompactField{"format", set_format},           CompactField{"quality", set_quality},
    CompactField{"resize", set_resize},           CompactField{"background", set_background},
    CompactField{"metadata", set_metadata},       CompactField{"keep_smaller", set_keep_smaller},
    CompactField{"progressive", set_progressive}, CompactField{"effort", set_effort},
    CompactField{"tables", set_tables},
};

Result<void> set_compact_field(Recipe& recipe, std::string_view name, std::string_view value) {
  for (const auto& field : kCompactFields) {
    if (field.name == name) return field.set(recipe, value);
  }
  return refuse_unknown_field(name);
}

std::vector<std::string_view> split_words(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<std::string_view> words;
  std::size_t at = text.find_first_not_of(kSpace);
  while (at != std::string_view::npos) {
    const std::size_t end = std::min(text.find_first_of(kSpace, at), text.size());
    words.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(kSpace, end);
  }
  return words;
}

Result<Recipe> parse_compact_recipe(std::string_view text) {
  Recipe recipe;
  std::set<std::string_view> seen;
  for (const auto word : split_words(text)) {
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) return refuse_word(word);
    const std::string_view name = word.substr(0, equals);
    if (!seen.insert(name).second) return refuse_duplicate_field(name);
    PIXMILL_RETURN_IF_ERROR(set_compact_field(recipe, name, word.substr(equals + 1)));
  }
  return recipe;
}

std::string resize_text(const Resize& resize) {
  std::string text = "resize=";
  if (resize.width_px) text += fmt::to_string(*resize.width_px);
  text += 'x';
  if (resize.height_px) text += fmt::to_string(*resize.height_px);
  if (resize.fit != Fit::kInside) text += fmt::format(":{}", fit_name(resize.fit));
  if (resize.enlarge == Enlarge::kAllowed) text += ":enlarge";
  return text;
}

}  // namespace

std::span<const BuiltInRecipe> built_in_recipes() { return kBuiltIn; }

Result<Recipe> parse_recipe(std::string_view text) {
  if (text.size() > kTextBytesMax) {
    return fail(ErrorCode::kInvalidArgument, "the recipe is too long; at most 4096 bytes are allowed");
  }
  text = trim(text);
  if (text.empty()) {
    return fail(ErrorCode::kInvalidArgument, "the recipe is empty; write for example: format=jpeg quality=50");
  }
  if (text.starts_with('{')) return parse_json_recipe(text);
  for (const auto& built_in : kBuiltIn) {
    if (built_in.name == text) return parse_compact_recipe(built_in.text);
  }
  return parse_compact_recipe(text);
}

std::string canonical_text(const Recipe& recipe) {
  std::vector<std::string> fields;
  if (recipe.format) fields.push_back(fmt::format("format={}", format_name(*recipe.format)));
  if (recipe.quality) fields.push_back(fmt::format("quality={}", *recipe.quality));
  if (recipe.resize) fields.push_back(resize_text(*recipe.resize));
  if (recipe.background != Colour{}) {
    const Colour& colour = recipe.background;
    fields.push_back(fmt::format("background=#{:02x}{:02x}{:02x}", colour.red, colour.green, colour.blue));
  }
  if (recipe.metadata == Metadata::kKeep) fields.emplace_back("metadata=keep");
  if (recipe.keep_smaller) fields.push_back(fmt::format("keep_smaller={}", *recipe.keep_smaller));
  if (recipe.progressive) fields.push_back(fmt::format("progressive={}", *recipe.progressive));
  if (recipe.effort) fields.push_back(fmt::format("effort={}", *recipe.effort));
  if (recipe.tables == JpegTables::kStandard) fields.emplace_back("tables=standard");
  // All defaults: an empty text would read as a forgotten recipe.
  if (fields.empty()) return "format=keep";
  return fmt::format("{}", fmt::join(fields, " "));
}

}  // namespace pixmill::image
