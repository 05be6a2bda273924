// The recipes that users gave names to.
#include "jobs/sqlite_recipes.h"

#include <fmt/format.h>

#include "jobs/sqlite_internal.h"

namespace pixmill::jobs::sqlite {

namespace {

Result<void> check_room(db::Database& database, std::uint64_t recipes_max, std::string_view text) {
  auto& row = database.prepare(kMeasureRecipes);
  PIXMILL_TRY([[maybe_unused]] const bool found, step(row));
  const auto count = static_cast<std::uint64_t>(row.integer(0));
  const auto bytes = static_cast<std::uint64_t>(row.integer(1));
  row.reset();
  return check_recipe_room(count, bytes, recipes_max, text);
}

}  // namespace

Result<RecipeSaved> save_recipe(db::Database& database, const NewVersion& wanted) {
  auto& latest = database.prepare(kLatestRecipe).bind(wanted.name);
  PIXMILL_TRY(const bool found, step(latest));
  RecipeSaved saved;
  if (found) saved.recipe = read_saved_recipe(latest);
  latest.reset();
  if (found && !saved.recipe.removed && saved.recipe.text == wanted.text) return saved;
  PIXMILL_RETURN_IF_ERROR(check_room(database, wanted.recipes_max, wanted.text));
  saved.is_new = true;
  saved.recipe = {.name = wanted.name,
                  .version = found ? saved.recipe.version + 1 : 1,
                  .text = wanted.text,
                  .created_at = wanted.at,
                  .removed = false};
  PIXMILL_TRY([[maybe_unused]] const auto inserted, run(database.prepare(kInsertSavedRecipe)
                                                            .bind(saved.recipe.name)
                                                            .bind(std::int64_t{saved.recipe.version})
                                                            .bind(saved.recipe.text)
                                                            .bind(to_unix_ms(saved.recipe.created_at))));
  return saved;
}

Result<void> remove_recipe(db::Database& database, const std::string& name) {
  PIXMILL_TRY(const auto removed, run(database.prepare(kRemoveRecipe).bind(name)));
  if (removed == 0) return fail(ErrorCode::kNotFound, fmt::format("There is no recipe '{}'.", name));
  return {};
}

Result<std::vector<SavedRecipe>> load_saved_recipes(db::Database& database) {
  std::vector<SavedRecipe> recipes;
  auto& row = database.prepare(kSavedRecipes);
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return recipes;
    recipes.push_back(read_saved_recipe(row));
  }
}

Result<RecipeSaved> Writer::save_recipe(const std::string& name, const std::string& text) {
  const NewVersion wanted{.name = name, .text = text, .at = clock_.now(), .recipes_max = options_.saved_recipes_max};
  return transact(Durability::kDurable, [&] { return sqlite::save_recipe(database_, wanted); });
}

Result<void> Writer::remove_recipe(const std::string& name) {
  return transact(Durability::kDurable, [&] { return sqlite::remove_recipe(database_, name); });
}

Result<std::vector<SavedRecipe>> Reader::saved_recipes() { return load_saved_recipes(database_); }

}  // namespace pixmill::jobs::sqlite
