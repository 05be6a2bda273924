#include "jobs/row_recipes.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"
#include "image/format.h"
#include "image/recipe.h"
#include "image/recipe_overrides.h"

namespace pixmill::jobs {

namespace {

constexpr std::size_t kRecipeCell = 0;
// A column that does not fit is wrong in the same few ways in every row.
constexpr std::size_t kBadKept = 1'000;
constexpr std::size_t kBadKeyBytesMax = 1'000;
constexpr std::size_t kBaseNameBytesMax = 120;  // of a path segment, see storage/object_name

// Programs that know numbers alone write 800 as 800.0 where other rows have none.
std::string_view without_decimals(std::string_view number) {
  const auto dot = number.find('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == number.size()) return number;
  const bool is_zero = number.find_first_not_of('0', dot + 1) == std::string_view::npos;
  return is_zero ? number.substr(0, dot) : number;
}

// The uploaded files that a recipe names by their digests.
std::set<std::string> uploaded_watermarks(std::string_view text) {
  std::set<std::string> images;
  const auto recipe = image::parse_recipe(text);
  if (!recipe) return images;
  for (const auto& output : recipe->outputs) {
    if (!output.watermark || !output.watermark->image.starts_with(image::kUploadedWatermark)) continue;
    images.insert(output.watermark->image);
  }
  return images;
}

// A row's recipe that says `upload` means the file that came with the job. "", or why it cannot.
std::string_view settle_upload(image::Recipe& recipe, const std::set<std::string>& uploaded) {
  for (auto& output : recipe.outputs) {
    if (!output.watermark || output.watermark->image != image::kUploadedWatermark) continue;
    if (uploaded.empty()) {
      return "no file came with the job, whose own recipe does not say upload; use the address of a watermark";
    }
    if (uploaded.size() > 1) return "the job's own recipe has several uploaded watermarks; use upload:SHA-256 of one";
    output.watermark->image = *uploaded.begin();
  }
  return {};
}

std::string plain_value(std::string_view column, std::string_view cell) {
  return column == "format" ? to_lower(cell) : std::string(without_decimals(cell));
}

}  // namespace

RowRecipes::RowRecipes(std::shared_ptr<const RecipeBook> book, RecipeChoice base)
    : book_(std::move(book)), base_(std::move(base)), uploaded_(uploaded_watermarks(base_.text)) {}

Result<std::shared_ptr<const RecipeChoice>> RowRecipes::find(const Cells& cells, std::vector<BadCell>& bad) {
  Cells trimmed;
  std::ranges::transform(cells, trimmed.begin(), trim);
  if (std::ranges::all_of(trimmed, &std::string_view::empty)) return nullptr;
  std::string key;
  for (const auto cell : trimmed) key.append(cell).append(1, '\0');
  if (const auto found = made_.find(key); found != made_.end()) return found->second;
  if (const auto found = bad_.find(key); found != bad_.end()) {
    bad = found->second;
    return nullptr;
  }
  auto choice = make(trimmed, bad);
  if (!bad.empty()) {
    if (bad_.size() < kBadKept && key.size() <= kBadKeyBytesMax) bad_.emplace(std::move(key), bad);
    return nullptr;
  }
  bytes_ += key.size() + (choice ? choice->text.size() : 0);
  if (made_.size() == kRecipesPerJobMax || bytes_ > kRecipeBytesPerJobMax) {
    return std::unexpected(too_many_recipes(kRecipesPerJobMax));
  }
  made_.emplace(std::move(key), choice);
  return choice;
}

std::shared_ptr<const RecipeChoice> RowRecipes::make(const Cells& cells, std::vector<BadCell>& bad) {
  RecipeChoice choice = base_;
  if (const auto text = cells[kRecipeCell]; !text.empty()) {
    auto found = book_->resolve(text);
    if (!found) {
      bad.push_back({.column = kRecipeCell, .why = std::move(found.error().message)});
    } else {
      if (!found->name.empty()) named_.insert_or_assign(std::string(text), *found);
      choice = std::move(*found);
    }
  }
  image::RecipeOverrides overrides;
  for (std::size_t i = kRecipeCell + 1; i < cells.size(); ++i) {
    if (cells[i].empty()) continue;
    const auto set = overrides.set(kRecipeColumns[i], plain_value(kRecipeColumns[i], cells[i]));
    if (!set) bad.push_back({.column = i, .why = "use " + set.error().message});
  }
  if (!bad.empty()) return nullptr;
  auto recipe = image::parse_recipe(choice.text);
  if (!recipe) {
    bad.push_back({.column = kRecipeCell, .why = std::move(recipe.error().message)});
    return nullptr;
  }
  if (const auto why = settle_upload(*recipe, uploaded_); !why.empty()) {
    bad.push_back({.column = kRecipeCell, .why = std::string(why)});
    return nullptr;
  }
  overrides.apply(*recipe);
  auto changed = book_->resolve(image::canonical_text(*recipe));
  if (!changed) {
    bad.push_back({.column = kRecipeCell, .why = std::move(changed.error().message)});
    return nullptr;
  }
  choice.text = std::move(changed->text);
  return choice == base_ ? nullptr : std::make_shared<const RecipeChoice>(std::move(choice));
}

std::vector<NamedRecipe> RowRecipes::named() const {
  std::vector<NamedRecipe> named;
  for (const auto& [written, recipe] : named_) named.push_back({.written = written, .recipe = recipe});
  return named;
}

std::string_view base_name(std::string_view cell) {
  cell = trim(cell);
  const auto dot = cell.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return cell;
  return image::parse_format(to_lower(cell.substr(dot + 1))) ? trim(cell.substr(0, dot)) : cell;
}

std::string_view check_base_name(std::string_view name) {
  const bool has_control = std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) < ' '; });
  if (name.size() <= kBaseNameBytesMax && !has_control) return {};
  return "a file name of at most 120 bytes on one line";
}

}  // namespace pixmill::jobs
