// The named recipes of an installation, for commands: in PostgreSQL, or in a data folder, where they are read whether a
// server runs there or not, and changed through it when it runs. Blocking.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/env.h"
#include "base/error.h"
#include "jobs/recipe_book.h"
#include "jobs/recipe_store.h"

namespace pixmill::app {

// Where they are kept.
struct RecipePlace {
  RecipePlace(std::string folder, std::string url = {})  // NOLINT(google-explicit-constructor): a folder is one
      : data_folder(std::move(folder)), database_url(std::move(url)) {}
  std::string data_folder;   // unused with a URL
  std::string database_url;  // DATABASE_URL
};
// `data_folder`: as the command line says, "" for what the environment says.
[[nodiscard]] RecipePlace recipe_place(const Env& env, const std::string& data_folder);

// Errors: those of jobs::read_saved_recipes.
[[nodiscard]] Result<std::vector<jobs::SavedRecipe>> read_own_recipes(const RecipePlace& place);

// For commands that can do without: what cannot be read is said on standard error, and the built-in ones are left.
[[nodiscard]] std::shared_ptr<const jobs::RecipeBook> recipe_book_of(const RecipePlace& place);

// `recipe`: a name, or a recipe in either spelling. Errors: kInvalidArgument for either that is not allowed; kConflict
// when another program than a server that can be asked holds the folder; those of the store.
[[nodiscard]] Result<jobs::RecipeSaved> save_own_recipe(const RecipePlace& place, const std::string& name,
                                                        const std::string& recipe);
// Errors: kInvalidArgument for a built-in name, kNotFound, and as above.
[[nodiscard]] Result<void> remove_own_recipe(const RecipePlace& place, const std::string& name);

}  // namespace pixmill::app
