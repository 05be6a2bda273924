// The one serialisation of a named recipe: API and CLI --json. JSON text; key order is stable. Pure.
#pragma once

#include <string>
#include <vector>

#include "jobs/recipe_book.h"

namespace pixmill::jobs {

// {"name", "version", "id": "shop@2", "built_in", "removed", "summary", "recipe", "created_at", "versions"}
[[nodiscard]] std::string recipe_document(const RecipeEntry& entry);
// {"recipes":[…]}
[[nodiscard]] std::string recipe_list_document(const std::vector<RecipeEntry>& entries);

}  // namespace pixmill::jobs
