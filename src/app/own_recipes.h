// The named recipes of a data folder, for commands: read whether a server runs there or not, changed through it when it
// runs. Blocking.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "jobs/recipe_book.h"
#include "jobs/recipe_store.h"

namespace pixmill::app {

// Errors: those of jobs::read_saved_recipes.
[[nodiscard]] Result<std::vector<jobs::SavedRecipe>> read_own_recipes(const std::string& data_folder);

// For commands that can do without: what cannot be read is said on standard error, and the built-in ones are left.
[[nodiscard]] std::shared_ptr<const jobs::RecipeBook> recipe_book_of(const std::string& data_folder);

// `recipe`: a name, or a recipe in either spelling. Errors: kInvalidArgument for either that is not allowed; kConflict
// when another program than a server that can be asked holds the folder; those of the store.
[[nodiscard]] Result<jobs::RecipeSaved> save_own_recipe(const std::string& data_folder, const std::string& name,
                                                        const std::string& recipe);
// Errors: kInvalidArgument for a built-in name, kNotFound, and as above.
[[nodiscard]] Result<void> remove_own_recipe(const std::string& data_folder, const std::string& name);

}  // namespace pixmill::app
