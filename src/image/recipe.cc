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

constexpr std::array kBuiltIn = {
    BuiltInRecipe{"compress", "format=jpeg quality=50", "JPEG of quality 50 at the size it has"},
    BuiltInRecipe{"web", "format=webp quality=80 resize=1600x1600:inside", "WebP of at most 1600 pixels a side"},
    BuiltInRecipe{"thumbnail", "format=jpeg quality=75 resize=256x256:inside", "JPEG of at most 256 pixels a side"},
    BuiltInRecipe{"product-set",
                  "quality=80 large-webp: format=webp resize=1600x1600 large-jpeg: format=jpeg resize=1600x1600 "
                  "medium-webp: format=webp resize=800x800 medium-jpeg: format=jpeg resize=800x800 "
                  "small-webp: format=webp resize=256x256 small-jpeg: format=jpeg resize=256x256",
                  "1600, 800 and 256 pixels a side, each as WebP and as JPEG"},
    BuiltInRecipe{"lossless", "format=webp lossless=true", "WebP without loss, at the size it has"},
};

std::unexpected<Error> refuse_word(std::string_view word) {
  std::vector<std::string_view> names;
  names.reserve(kBuiltIn.size());
  for (const auto& built_in : kBuiltIn) names.push_back(built_in.name);
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("recipe: \"{}\" is neither field=value nor the name of a recipe; built in are {}",
                          shown(word), fmt::join(names, ", ")));
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

// Words before the first "name:" are common to all outputs.
Result<Recipe> parse_compact_recipe(std::string_view text) {
  Recipe recipe{.outputs = {}};
  Output common;
  std::set<std::string_view> seen;
  for (const auto word : split_words(text)) {
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos && word.ends_with(':')) {
      PIXMILL_RETURN_IF_ERROR(add_output(recipe, common, word.substr(0, word.size() - 1)));
      seen.clear();
      continue;
    }
    if (equals == std::string_view::npos) return refuse_word(word);
    const std::string_view name = word.substr(0, equals);
    if (!seen.insert(name).second) return refuse_duplicate_field(name);
    PIXMILL_TRY(const Field* const field, find_field(name));
    Output& output = recipe.outputs.empty() ? common : recipe.outputs.back();
    PIXMILL_RETURN_IF_ERROR(set_field(output, *field, word.substr(equals + 1)));
  }
  if (recipe.outputs.empty()) recipe.outputs.push_back(common);
  return recipe;
}

std::string canonical_fields(const Output& output) {
  std::vector<std::string> fields;
  for (const Field& field : output_fields()) {
    if (const std::string value = field.text(output); !value.empty()) {
      fields.push_back(fmt::format("{}={}", field.name, value));
    }
  }
  // All defaults: an empty text would read as a forgotten recipe.
  if (fields.empty()) return "format=keep";
  return fmt::format("{}", fmt::join(fields, " "));
}

Result<Recipe> parse_either(std::string_view text) {
  if (text.starts_with('{')) return parse_json_recipe(text);
  for (const auto& built_in : kBuiltIn) {
    if (built_in.name == text) return parse_compact_recipe(built_in.text);
  }
  return parse_compact_recipe(text);
}

}  // namespace

std::span<const BuiltInRecipe> built_in_recipes() { return kBuiltIn; }

Result<Recipe> parse_recipe(std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("the recipe is too long; at most {} bytes are allowed", bytes_max));
  }
  text = trim(text);
  if (text.empty()) {
    return fail(ErrorCode::kInvalidArgument, "the recipe is empty; write for example: format=jpeg quality=50");
  }
  PIXMILL_TRY(Recipe recipe, parse_either(text));
  // What holds for all outputs is written out for each of them, and that text is stored and read again.
  if (canonical_text(recipe).size() > bytes_max) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("the recipe is too long once written out for each output; at most {} bytes are allowed",
                            bytes_max));
  }
  return recipe;
}

std::string canonical_text(const Recipe& recipe) {
  std::vector<std::string> outputs;
  outputs.reserve(recipe.outputs.size());
  for (const Output& output : recipe.outputs) {
    outputs.push_back(output.name.empty() ? canonical_fields(output)
                                          : fmt::format("{}: {}", output.name, canonical_fields(output)));
  }
  return fmt::format("{}", fmt::join(outputs, " "));
}

}  // namespace pixmill::image
