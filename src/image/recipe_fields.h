// The fields of a recipe, each read from its text in one place, so that the JSON and the compact spelling allow the
// same and complain alike. Internal to the recipe parsers.
#pragma once

#include <string>
#include <string_view>

#include "image/recipe.h"

namespace pixmill::image {

// "recipe field "quality": "500" is not allowed; use a whole number from 1 to 100"
[[nodiscard]] std::unexpected<Error> refuse_field(std::string_view field, std::string_view value,
                                                  std::string_view allowed);
[[nodiscard]] std::unexpected<Error> refuse_unknown_field(std::string_view field);
[[nodiscard]] std::unexpected<Error> refuse_duplicate_field(std::string_view field);

// Each sets one field from its text. Errors: kInvalidArgument.
[[nodiscard]] Result<void> set_format(Recipe& recipe, std::string_view value);
[[nodiscard]] Result<void> set_quality(Recipe& recipe, std::string_view value);
[[nodiscard]] Result<void> set_background(Recipe& recipe, std::string_view value);
[[nodiscard]] Result<void> set_metadata(Recipe& recipe, std::string_view value);
[[nodiscard]] Result<void> set_keep_smaller(Recipe& recipe, std::string_view value);

[[nodiscard]] Result<void> set_progressive(Recipe& recipe, std::string_view value);
[[nodiscard]] Result<void> set_effort(Recipe& recipe, std::string_view value);
[[nodiscard]] Result<void> set_tables(Recipe& recipe, std::string_view value);

[[nodiscard]] Result<std::uint32_t> read_side(std::string_view field, std::string_view value);
[[nodiscard]] std::optional<Fit> read_fit(std::string_view value);
inline constexpr std::string_view kEffortAllowed = "a whole number from 1 to 9";
inline constexpr std::string_view kTablesAllowed = "balanced or standard";
inline constexpr std::string_view kFitsAllowed = "inside, cover, contain or fill";

// The JSON spelling; recipe.cc has the compact one.
[[nodiscard]] Result<Recipe> parse_json_recipe(std::string_view text);

// `value` fit for a message: printable, and cut where it is long.
[[nodiscard]] std::string shown(std::string_view value);

}  // namespace pixmill::image
