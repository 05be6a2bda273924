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

// What people look at: one version of a built-in recipe or of one of the user's own.
struct RecipeEntry {
  SavedRecipe recipe;  // created_at is the beginning of time for a built-in one
  bool built_in = false;
  std::string summary;        // one line for people
  std::vector<int> versions;  // of this name, ascending
};

// The latest of every name: first the built-in ones, then the user's own by name. `saved` as RecipeStore gives it.
[[nodiscard]] std::vector<RecipeEntry> list_recipes(const std::vector<SavedRecipe>& saved);
// One of them; a version of a removed name is found by its number. Errors: kInvalidArgument for what cannot be a name,
// kNotFound with what there is.
[[nodiscard]] Result<RecipeEntry> find_recipe(const std::vector<SavedRecipe>& saved, std::string_view name,
                                              std::optional<int> version);

// Whether a user may call a recipe of his own that. Errors: kInvalidArgument; the message says what is allowed.
[[nodiscard]] Result<void> check_own_recipe_name(std::string_view name);

class RecipeBook {
 public:
  // The built-in recipes alone.
  RecipeBook() = default;
  // Those, and what was written down of others before: for a job that must go on as it began.
  explicit RecipeBook(std::vector<NamedRecipe> named);
  // Those, and the user's own as RecipeStore gives them.
  explicit RecipeBook(const std::vector<SavedRecipe>& saved);

  // What `text` stands for: a name, or a recipe in either spelling. Errors: kInvalidArgument; the message names the
  // field or the name, the value and what is allowed.
  [[nodiscard]] Result<RecipeChoice> resolve(std::string_view text) const;

 private:
  [[nodiscard]] Result<RecipeChoice> find(const RecipeReference& reference, std::string_view text) const;
  void list_names();

  std::map<std::string, RecipeChoice, std::less<>> named_;    // by what may be written: "shop", "shop@1", "shop@2"
  std::vector<std::string> names_;                            // those without a version, in order
  std::map<std::string, std::size_t, std::less<>> versions_;  // how many a name has
};

}  // namespace pixmill::jobs
