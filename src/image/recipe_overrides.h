// Single fields of a recipe replaced from outside of it: what a row of a table may change of its job's recipe. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "base/error.h"
#include "image/recipe.h"

namespace pixmill::image {

class RecipeOverrides {
 public:
  // `field` is width, height, format or quality, `value` as the recipe's own field allows it. Errors: kInvalidArgument;
  // the message is what is allowed, and nothing else: "a whole number from 1 to 100".
  [[nodiscard]] Result<void> set(std::string_view field, std::string_view value);

  // Changes every output. Width and height are the new box, fitted as the old one was, else inside; where one of them
  // is given alone the other follows the aspect.
  void apply(Recipe& recipe) const;

 private:
  std::optional<Resize> box_;     // its sides alone count
  std::optional<Output> format_;  // its format alone counts, which may be the source's
  std::optional<Quality> quality_;
};

}  // namespace pixmill::image
