// What the texts stand for that ask for a recipe: a name, or what is to be done in words. Pure; any thread.
//
// A name is that of a built-in recipe or of one of the user's own. `web` is the latest version of it and `web@1` the
// first one; what a version says never changes.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "jobs/model.h"

namespace pixmill::jobs {

inline constexpr std::size_t kRecipeNameBytesMax = 64;
inline constexpr std::string_view kRecipeNameAllowed =
    "1 to 64 lower-case letters, digits, '-' and '_', the first of them a letter or a digit";

[[nodiscard]] bool is_recipe_name(std::string_view text);

struct RecipeReference {
  std::string_view name;
  std::optional<int> version;
};
// nullopt for what cannot be a name with or without a version: it is a recipe in words.
[[nodiscard]] std::optional<RecipeReference> parse_recipe_reference(std::string_view text);

// "shop@2"
[[nodiscard]] std::string versioned_name(std::string_view name, int version);

class RecipeBook {
 public:
  // The built-in recipes alone.
  RecipeBook() = default;
  // Those, and what was written down of others before: for a job that must go on as it began.
  explicit RecipeBook(std::vector<NamedRecipe> named);

  // What `text` stands for: a name, or a recipe in either spelling. Errors: kInvalidArgument; the message names the
  // field or the name, the value and what is allowed.
  [[nodiscard]] Result<RecipeChoice> resolve(std::string_view text) const;

 private:
  [[nodiscard]] Result<RecipeChoice> find(const RecipeReference& reference, std::string_view text) const;

  std::map<std::string, RecipeChoice, std::less<>> named_;  // by what may be written: "shop", "shop@1", "shop@2"
};

}  // namespace pixmill::jobs
