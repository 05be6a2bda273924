// Named recipes in an open database, inside the caller's transaction. Blocking. Private to src/jobs/sqlite_*.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "db/sqlite.h"
#include "jobs/recipe_store.h"

namespace pixmill::jobs::sqlite {

struct NewVersion {
  std::string name;
  std::string text;
  TimePoint at;
  std::uint64_t recipes_max = kSavedRecipesMax;
};

// As the verbs of RecipeStore.
[[nodiscard]] Result<RecipeSaved> save_recipe(db::Database& database, const NewVersion& wanted);
[[nodiscard]] Result<void> remove_recipe(db::Database& database, const std::string& name);
[[nodiscard]] Result<std::vector<SavedRecipe>> load_saved_recipes(db::Database& database);

}  // namespace pixmill::jobs::sqlite
