#include "jobs/recipe_book.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/text.h"
#include "image/recipe.h"

namespace pixmill::jobs {

namespace {

// What a built-in recipe says changes with Pixmill alone, and would get another version then.
constexpr int kBuiltInVersion = 1;
constexpr std::size_t kNamesShown = 20;

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

const image::BuiltInRecipe* find_built_in(std::string_view name) {
  const auto built_in = image::built_in_recipes();
  const auto found = std::ranges::find(built_in, name, &image::BuiltInRecipe::name);
  return found == built_in.end() ? nullptr : &*found;
}

Result<RecipeChoice> in_words(std::string_view text) {
  PIXMILL_TRY(const auto recipe, image::parse_recipe(text));
  RecipeChoice choice{.text = image::canonical_text(recipe), .name = {}};
  // It is read again for every picture, so what is written down must be readable: outputs repeat what they have in
  // common there.
  if (const auto readable = image::parse_recipe(choice.text); !readable) return std::unexpected(readable.error());
  return choice;
}

RecipeEntry built_in_entry(const image::BuiltInRecipe& built_in) {
  const auto choice = in_words(built_in.text);
  PIXMILL_CHECK(choice.has_value());
  return {.recipe = {.name = std::string(built_in.name),
                     .version = kBuiltInVersion,
                     .text = choice->text,
                     .created_at = {},
                     .removed = false},
          .built_in = true,
          .summary = std::string(built_in.summary),
          .versions = {kBuiltInVersion}};
}

RecipeEntry own_entry(const SavedRecipe& recipe, std::vector<int> versions) {
  return {.recipe = recipe, .built_in = false, .summary = {}, .versions = std::move(versions)};
}

}  // namespace

bool is_recipe_name(std::string_view text) {
  return !text.empty() && text.size() <= kRecipeNameBytesMax && is_word(text.front()) &&
         std::ranges::all_of(text, [](char c) { return is_word(c) || c == '-' || c == '_'; });
}

std::optional<RecipeReference> parse_recipe_reference(std::string_view text) {
  const auto at = text.find('@');
  RecipeReference reference{.name = text.substr(0, at), .version = std::nullopt};
  if (!is_recipe_name(reference.name)) return std::nullopt;
  if (at == std::string_view::npos) return reference;
  constexpr std::size_t kVersionDigitsMax = 9;
  const auto digits = text.substr(at + 1);
  if (digits.empty() || digits.front() == '0' || digits.size() > kVersionDigitsMax) return std::nullopt;
  const auto version = parse_integer(digits);
  if (!version || *version < 1) return std::nullopt;
  reference.version = static_cast<int>(*version);
  return reference;
}

std::string versioned_name(std::string_view name, int version) { return fmt::format("{}@{}", name, version); }

RecipeBook::RecipeBook(std::vector<NamedRecipe> named) {
  for (auto& recipe : named) named_.insert_or_assign(std::move(recipe.written), std::move(recipe.recipe));
  list_names();
}

RecipeBook::RecipeBook(const std::vector<SavedRecipe>& saved) {
  for (const auto& recipe : saved) {
    const RecipeChoice choice{.text = recipe.text, .name = versioned_name(recipe.name, recipe.version)};
    named_.insert_or_assign(choice.name, choice);
    if (!recipe.removed) named_.insert_or_assign(recipe.name, choice);
  }
  list_names();
}

void RecipeBook::list_names() {
  for (const auto& [written, choice] : named_) {
    const auto at = written.find('@');
    if (at == std::string::npos) {
      names_.push_back(written);
    } else {
      ++versions_[written.substr(0, at)];
    }
  }
}

std::vector<RecipeEntry> list_recipes(const std::vector<SavedRecipe>& saved) {
  std::vector<RecipeEntry> list;
  for (const auto& built_in : image::built_in_recipes()) list.push_back(built_in_entry(built_in));
  std::vector<int> versions;
  for (std::size_t i = 0; i < saved.size(); ++i) {
    versions.push_back(saved[i].version);
    const bool is_latest = i + 1 == saved.size() || saved[i + 1].name != saved[i].name;
    if (!is_latest) continue;
    if (!saved[i].removed) list.push_back(own_entry(saved[i], versions));
    versions.clear();
  }
  return list;
}

Result<RecipeEntry> find_recipe(const std::vector<SavedRecipe>& saved, std::string_view name,
                                std::optional<int> version) {
  if (!is_recipe_name(name)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("\"{}\" is no name of a recipe; use {}", replace_invalid_utf8(name), kRecipeNameAllowed));
  }
  if (const auto* built_in = find_built_in(name); built_in != nullptr && version.value_or(1) == kBuiltInVersion) {
    return built_in_entry(*built_in);
  }
  std::vector<int> versions;
  const SavedRecipe* found = nullptr;
  for (const auto& recipe : saved) {
    if (recipe.name != name) continue;
    versions.push_back(recipe.version);
    if (version ? recipe.version == *version : !recipe.removed) found = &recipe;
  }
  if (found != nullptr) return own_entry(*found, std::move(versions));
  if (!version || versions.empty()) {
    return fail(ErrorCode::kNotFound, fmt::format("There is no recipe '{}'.", name));
  }
  return fail(ErrorCode::kNotFound,
              fmt::format("The recipe '{}' has no version {}; it has 1 to {}.", name, *version, versions.back()));
}

Result<void> check_own_recipe_name(std::string_view name) {
  if (!is_recipe_name(name)) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" cannot be the name of a recipe; use {}",
                                                         replace_invalid_utf8(name), kRecipeNameAllowed));
  }
  if (find_built_in(name) == nullptr) return {};
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("\"{}\" is built in and stays what it is; use another name", name));
}

Result<RecipeChoice> RecipeBook::resolve(std::string_view text) const {
  text = trim(text);
  if (const auto reference = parse_recipe_reference(text)) return find(*reference, text);
  return in_words(text);
}

Result<RecipeChoice> RecipeBook::find(const RecipeReference& reference, std::string_view text) const {
  if (const auto found = named_.find(text); found != named_.end()) return found->second;
  if (const auto* built_in = find_built_in(reference.name)) {
    if (reference.version.value_or(kBuiltInVersion) == kBuiltInVersion) {
      PIXMILL_TRY(auto choice, in_words(built_in->text));
      choice.name = versioned_name(reference.name, kBuiltInVersion);
      return choice;
    }
  }
  // Many rows of a table may ask for what is not there: no more is looked at than is shown.
  std::vector<std::string> shown;
  for (const auto& built_in : image::built_in_recipes()) shown.emplace_back(built_in.name);
  std::size_t there_are = shown.size() + names_.size();
  const auto show = [&](const std::string& name) {
    if (shown.size() < kNamesShown) shown.push_back(name);
    return shown.size() < kNamesShown;
  };
  // Of a name that exists the versions, of another all names.
  const auto versions = reference.version ? versions_.find(reference.name) : versions_.end();
  if (versions != versions_.end()) {
    there_are += versions->second;
    const std::string prefix = versions->first + "@";
    for (auto at = named_.lower_bound(prefix); at != named_.end() && at->first.starts_with(prefix); ++at) {
      if (!show(at->first)) break;
    }
  }
  for (const auto& name : names_) {
    if (!show(name)) break;
  }
  const std::string more = there_are > shown.size() ? fmt::format(" and {} more", there_are - shown.size()) : "";
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("recipe: \"{}\" is neither field=value nor the name of a recipe; there are {}{}", text,
                          fmt::join(shown, ", "), more));
}

}  // namespace pixmill::jobs
