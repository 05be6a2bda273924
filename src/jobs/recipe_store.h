// The recipes that users gave names to: a seam over SQLite and, later, PostgreSQL. Every implementation passes
// tests/conformance/recipe_suite.h. Called from the loop; SQL runs on threads of the implementation.
//
// Errors of every verb: kUnavailable (closing, or the database is away), kDiskFull, kIo, kInternal; others are named.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "jobs/model.h"

namespace pixmill::jobs {

// All of it is read at once where names are resolved, so it is bounded.
inline constexpr std::uint64_t kSavedRecipesMax = 10'000;  // versions of all names together
inline constexpr std::uint64_t kSavedRecipeBytesMax = 8ULL << 20;

struct RecipeSaved {
  SavedRecipe recipe;
  bool is_new = false;  // false: the latest version said the same already
};

class RecipeStore {
 public:
  virtual ~RecipeStore() = default;

  // Gives `name` its next version, unless the latest one says the same. `text` is canonical. A name that was removed
  // comes back with the version after its last one. Durable. Errors: kTooLarge when there is no room for one more.
  [[nodiscard]] virtual Task<Result<RecipeSaved>> save_recipe(std::string name, std::string text) = 0;
  // The name stands for nothing until it is saved again; its versions are still known by their numbers. Durable.
  // Errors: kNotFound.
  [[nodiscard]] virtual Task<Result<void>> remove_recipe(std::string name) = 0;
  // Every version, by name and number.
  [[nodiscard]] virtual Task<Result<std::vector<SavedRecipe>>> saved_recipes() = 0;
};

}  // namespace pixmill::jobs
