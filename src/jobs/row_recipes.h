// What the rows of one table make of their job's recipe. A table has few different wishes, so each is put together
// once. Pure; one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "jobs/model.h"
#include "jobs/recipe_book.h"

namespace pixmill::jobs {

// The columns that change the recipe, in the order of RowRecipes::Cells.
inline constexpr std::array<std::string_view, 5> kRecipeColumns = {"recipe", "width", "height", "format", "quality"};
// The column with the base name of the row's files.
inline constexpr std::string_view kNameColumn = "name";

class RowRecipes {
 public:
  // By kRecipeColumns, as the file has them; "" where there is no such column.
  using Cells = std::array<std::string_view, kRecipeColumns.size()>;
  struct BadCell {
    std::size_t column = 0;  // of Cells
    std::string why;         // what is allowed
  };

  // `book` must not be null. `base` is the job's.
  RowRecipes(std::shared_ptr<const RecipeBook> book, RecipeChoice base);

  // nullptr for the job's own recipe, and when there are bad cells, which are added to `bad`. Errors: kTooLarge when
  // the table has more different wishes than a job can hold.
  [[nodiscard]] Result<std::shared_ptr<const RecipeChoice>> find(const Cells& cells, std::vector<BadCell>& bad);

  // The names that rows asked for, with what they stood for.
  [[nodiscard]] std::vector<NamedRecipe> named() const;

 private:
  [[nodiscard]] std::shared_ptr<const RecipeChoice> make(const Cells& cells, std::vector<BadCell>& bad);

  std::shared_ptr<const RecipeBook> book_;
  RecipeChoice base_;
  std::set<std::string> uploaded_;  // watermarks of base_ that were uploaded
  std::map<std::string, std::shared_ptr<const RecipeChoice>, std::less<>> made_;  // by the cells, joined
  std::map<std::string, std::vector<BadCell>, std::less<>> bad_;                  // likewise, a bounded number
  std::map<std::string, RecipeChoice, std::less<>> named_;
  std::uint64_t bytes_ = 0;
};

// What a cell of `name` gives: without spaces around it, and without the extension of a picture.
[[nodiscard]] std::string_view base_name(std::string_view cell);
// Empty, or what is allowed instead.
[[nodiscard]] std::string_view check_base_name(std::string_view name);

}  // namespace pixmill::jobs
