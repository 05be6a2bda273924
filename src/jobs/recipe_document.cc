#include "jobs/recipe_document.h"

#include <boost/json.hpp>

namespace pixmill::jobs {

namespace {

namespace json = boost::json;

json::object recipe_object(const RecipeEntry& entry) {
  const SavedRecipe& recipe = entry.recipe;
  return {{"name", recipe.name},
          {"version", recipe.version},
          {"id", versioned_name(recipe.name, recipe.version)},
          {"built_in", entry.built_in},
          {"removed", recipe.removed},
          {"summary", entry.summary.empty() ? json::value(nullptr) : json::value(entry.summary)},
          {"recipe", recipe.text},
          {"created_at", entry.built_in ? json::value(nullptr) : json::value(to_rfc3339(recipe.created_at))},
          {"versions", json::array(entry.versions.begin(), entry.versions.end())}};
}

}  // namespace

std::string recipe_document(const RecipeEntry& entry) { return json::serialize(recipe_object(entry)); }

std::string recipe_list_document(const std::vector<RecipeEntry>& entries) {
  json::array list;
  for (const auto& entry : entries) list.push_back(recipe_object(entry));
  return json::serialize(json::object{{"recipes", std::move(list)}});
}

}  // namespace pixmill::jobs
