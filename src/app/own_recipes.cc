#include "app/own_recipes.h"

#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdio>
#include <utility>

#include "app/server_address.h"
#include "app/settings.h"
#include "base/folder_lock.h"
#include "base/time.h"
#include "jobs/postgres_store.h"
#include "jobs/sqlite_store.h"

namespace pixmill::app {

namespace {

namespace json = boost::json;

constexpr int kCreated = 201;
constexpr int kLastGoodStatus = 299;

std::string database_in(const std::string& data_folder) { return data_folder + "/pixmill.db"; }

// The server's own words, with the code that makes the same exit code as without it.
Error error_of(const ServerAnswer& answer) {
  Error error{.code = ErrorCode::kInternal,
              .message = fmt::format("the server answered {}", answer.status),
              .detail = answer.body};
  if (answer.status == 400) error.code = ErrorCode::kInvalidArgument;
  if (answer.status == 404) error.code = ErrorCode::kNotFound;
  boost::system::error_code broken;
  const auto parsed = json::parse(answer.body, broken);
  const auto* object = broken ? nullptr : parsed.if_object();
  const auto* said = object == nullptr ? nullptr : object->if_contains("detail");
  if (said != nullptr && said->is_string()) error.message = std::string(said->as_string());
  return error;
}

// Asks the server that holds the folder. `locked`: what to say when there is none that can be asked.
Result<ServerAnswer> ask_holder(const std::string& data_folder, const Error& locked, const std::string& method,
                                const std::string& name, const std::string& body) {
  if (locked.code != ErrorCode::kConflict) return std::unexpected(locked);
  const auto address = read_server_address(data_folder);
  if (!address) return std::unexpected(locked);
  PIXMILL_TRY(auto answer, ask_server(*address, method, "/v1/recipes/" + name, body));
  if (answer.status > kLastGoodStatus) return std::unexpected(error_of(answer));
  return answer;
}

jobs::PostgresOptions postgres_of(const RecipePlace& place) {
  jobs::PostgresOptions options;
  options.connect.url = place.database_url;
  options.connect.application_name = "pixmill recipes";
  return options;
}

Result<jobs::RecipeSaved> save_in_folder(const std::string& data_folder, const std::string& name,
                                         const jobs::RecipeChoice& choice) {
  const auto lock = FolderLock::take(data_folder);
  if (lock) return jobs::save_recipe_in(database_in(data_folder), SystemClock(), name, choice.text);
  const std::string body = json::serialize(json::object{{"recipe", choice.text}});
  PIXMILL_TRY(const auto answer, ask_holder(data_folder, lock.error(), "PUT", name, body));
  PIXMILL_TRY(const auto after, read_own_recipes(data_folder));
  PIXMILL_TRY(auto entry, jobs::find_recipe(after, name, std::nullopt));
  return jobs::RecipeSaved{.recipe = std::move(entry.recipe), .is_new = answer.status == kCreated};
}

}  // namespace

RecipePlace recipe_place(const Env& env, const std::string& data_folder) {
  return {data_folder.empty() ? default_data_folder(env) : data_folder, env.get_or("DATABASE_URL", "")};
}

Result<std::vector<jobs::SavedRecipe>> read_own_recipes(const RecipePlace& place) {
  if (!place.database_url.empty()) return jobs::read_saved_recipes(postgres_of(place));
  return jobs::read_saved_recipes(database_in(place.data_folder));
}

std::shared_ptr<const jobs::RecipeBook> recipe_book_of(const RecipePlace& place) {
  const auto saved = read_own_recipes(place);
  if (saved) return std::make_shared<const jobs::RecipeBook>(*saved);
  const std::string where = place.database_url.empty() ? place.data_folder : "DATABASE_URL";
  std::fprintf(stderr, "pixmill: the named recipes of %s cannot be read: %s\n", where.c_str(),
               saved.error().message.c_str());
  return std::make_shared<const jobs::RecipeBook>();
}

Result<jobs::RecipeSaved> save_own_recipe(const RecipePlace& place, const std::string& name,
                                          const std::string& recipe) {
  PIXMILL_RETURN_IF_ERROR(jobs::check_own_recipe_name(name));
  PIXMILL_TRY(const auto before, read_own_recipes(place));
  PIXMILL_TRY(const auto choice, jobs::RecipeBook(before).resolve(recipe));
  if (place.database_url.empty()) return save_in_folder(place.data_folder, name, choice);
  return jobs::save_recipe_in(postgres_of(place), SystemClock(), name, choice.text);
}

Result<void> remove_own_recipe(const RecipePlace& place, const std::string& name) {
  PIXMILL_RETURN_IF_ERROR(jobs::check_own_recipe_name(name));
  PIXMILL_TRY(const auto saved, read_own_recipes(place));
  PIXMILL_TRY([[maybe_unused]] const auto found, jobs::find_recipe(saved, name, std::nullopt));
  if (!place.database_url.empty()) return jobs::remove_recipe_in(postgres_of(place), SystemClock(), name);
  const auto lock = FolderLock::take(place.data_folder);
  if (lock) return jobs::remove_recipe_in(database_in(place.data_folder), name);
  PIXMILL_TRY([[maybe_unused]] const auto answer, ask_holder(place.data_folder, lock.error(), "DELETE", name, ""));
  return {};
}

}  // namespace pixmill::app
