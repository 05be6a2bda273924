#include "api/recipes.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <utility>

#include "api/checked_handler.h"
#include "api/intake.h"
#include "jobs/recipe_document.h"

namespace pixmill::api {

namespace json = boost::json;

namespace {

constexpr std::size_t kBodyBytesMax = 64u << 10;
constexpr std::uint64_t kVersionMax = 999'999'999;
constexpr std::string_view kBodyAllowed = R"(a JSON object such as {"recipe": "format=webp quality=80"})";

struct Wish {
  std::optional<std::string> name;
  std::string recipe;  // as it was sent, in either spelling
};

Checked<Wish> parse_wish(const std::string& body) {
  boost::system::error_code error;
  const json::value parsed = json::parse(body, error);
  const json::object* object = error ? nullptr : parsed.if_object();
  if (object == nullptr) return refuse(wrong_parameter("body", body, std::string(kBodyAllowed)));
  Wish wish;
  for (const auto& [key, value] : *object) {
    if (key == "name" && value.is_string()) {
      wish.name = std::string(value.as_string());
    } else if (key == "recipe" && value.is_string()) {
      wish.recipe = std::string(value.as_string());
    } else if (key == "recipe" && value.is_object()) {
      wish.recipe = json::serialize(value);
    } else {
      return refuse(
          wrong_parameter(std::string(key), json::serialize(value), "name, a text, and recipe, a text or an object"));
    }
  }
  return wish;
}

Task<Checked<Wish>> read_wish(http::Request& request) {
  const auto body = co_await http::read_all(*request.body, kBodyBytesMax);
  if (!body) co_return refuse(problem_of(body.error()));
  co_return parse_wish(*body);
}

Problem wrong_name(std::string_view name, const Error& error) {
  Problem problem = wrong_parameter("name", name, fmt::format("{}; not a built-in name", jobs::kRecipeNameAllowed));
  problem.detail = fmt::format("name: {}", error.message);
  return problem;
}

// The number behind the name's @, or the query's.
Checked<std::optional<int>> version_of(const http::Request& request, const jobs::RecipeReference& reference) {
  if (reference.version) return reference.version;
  if (!request.query_value("version")) return std::nullopt;
  PIXMILL_TRY(const auto version, number_parameter(request, "version", 1, 1, kVersionMax));
  return static_cast<int>(version);
}

}  // namespace

void Recipes::add_routes(http::Router& router) {
  router.add("GET", "/v1/recipes", checked(this, &Recipes::list), true);
  router.add("POST", "/v1/recipes", checked(this, &Recipes::create), true);
  router.add("GET", "/v1/recipes/{name}", checked(this, &Recipes::show), true);
  router.add("PUT", "/v1/recipes/{name}", checked(this, &Recipes::put), true);
  router.add("DELETE", "/v1/recipes/{name}", checked(this, &Recipes::remove), true);
}

Task<Checked<http::Response>> Recipes::list(http::Request&) {
  const auto saved = co_await context_.parts.recipes.saved_recipes();
  if (!saved) co_return refuse(problem_of(saved.error()));
  co_return http::json_response(200, jobs::recipe_list_document(jobs::list_recipes(*saved)));
}

Task<Checked<http::Response>> Recipes::show(http::Request& request) {
  const std::string asked = request.params["name"];
  const auto reference = jobs::parse_recipe_reference(asked);
  if (!reference) co_return refuse(not_found("There is no such recipe"));
  PIXMILL_API_TRY(const auto version, version_of(request, *reference));
  const auto saved = co_await context_.parts.recipes.saved_recipes();
  if (!saved) co_return refuse(problem_of(saved.error()));
  const auto found = jobs::find_recipe(*saved, reference->name, version);
  if (!found) co_return refuse(problem_of(found.error()));
  co_return http::json_response(200, jobs::recipe_document(*found));
}

Task<Checked<http::Response>> Recipes::create(http::Request& request) {
  PIXMILL_API_TRY(Wish wish, co_await read_wish(request));
  co_return co_await save(wish.name.value_or(""), std::move(wish.recipe));
}

Task<Checked<http::Response>> Recipes::put(http::Request& request) {
  PIXMILL_API_TRY(Wish wish, co_await read_wish(request));
  const std::string name = request.params["name"];
  if (wish.name && *wish.name != name) {
    co_return refuse(wrong_parameter("name", *wish.name, fmt::format("the one of the address, {}, or none", name)));
  }
  co_return co_await save(name, std::move(wish.recipe));
}

Task<Checked<http::Response>> Recipes::save(std::string name, std::string recipe) {
  if (const auto good = jobs::check_own_recipe_name(name); !good) co_return refuse(wrong_name(name, good.error()));
  PIXMILL_API_TRY(const auto book, co_await recipe_book(context_));
  PIXMILL_API_TRY(auto choice, check_recipe(recipe, *book));
  const auto saved = co_await context_.parts.recipes.save_recipe(name, std::move(choice.text));
  if (!saved) co_return refuse(problem_of(saved.error()));
  const auto all = co_await context_.parts.recipes.saved_recipes();
  if (!all) co_return refuse(problem_of(all.error()));
  const auto entry = jobs::find_recipe(*all, name, saved->recipe.version);
  if (!entry) co_return refuse(problem_of(entry.error()));
  auto response = http::json_response(saved->is_new ? 201 : 200, jobs::recipe_document(*entry));
  response.headers.set("Location", fmt::format("{}/v1/recipes/{}?version={}", context_.options.links.base_url, name,
                                               saved->recipe.version));
  co_return response;
}

Task<Checked<http::Response>> Recipes::remove(http::Request& request) {
  const std::string name = request.params["name"];
  if (!jobs::is_recipe_name(name)) co_return refuse(not_found("There is no such recipe"));
  if (const auto own = jobs::check_own_recipe_name(name); !own) co_return refuse(wrong_name(name, own.error()));
  const auto removed = co_await context_.parts.recipes.remove_recipe(name);
  if (!removed) co_return refuse(problem_of(removed.error()));
  co_return http::Response{.status = 204, .headers = {}, .body = {}};
}

}  // namespace pixmill::api
