// Which column of a table means what, and what is wrong with a row. Internal to table_reader. Pure; any thread.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "jobs/row_recipes.h"
#include "jobs/table_reader.h"

namespace pixmill::jobs {

struct TableLayout {
  TableDialect dialect = TableDialect::kAny;
  bool original_form = false;
  int url_column = -1;
  int product_column = -1;
  int serial_column = -1;  // of the original form
  // Without `overrides` there are none of these.
  std::array<int, kRecipeColumns.size()> recipe_columns = {-1, -1, -1, -1, -1};
  int name_column = -1;
  std::vector<std::string> s3_buckets = {};  // of TableOptions
};

// Errors: kInvalidArgument, text 4.
[[nodiscard]] Result<TableLayout> find_layout(const std::vector<std::string>& columns, const TableOptions& options);

// Fills in all but number and cells. `url_list`: the URLs when the file has them as a list already. Errors: kTooLarge,
// of `recipes`.
[[nodiscard]] Result<void> check_row(const TableLayout& layout, const std::vector<std::string>& columns,
                                     const std::optional<std::vector<std::string>>& url_list, RowRecipes& recipes,
                                     TableRow& row);

// What the rows of a table with these options may ask for.
[[nodiscard]] RowRecipes row_recipes(const TableOptions& options);

// Whether a table without a header begins with this cell.
[[nodiscard]] bool is_url_list_entry(std::string_view cell);

// A table that cannot be read on: text 3 with the reason ("Line 5: a quote is never closed.") as the dialect has it.
[[nodiscard]] std::unexpected<Error> broken_table(TableDialect dialect, std::string reason);
// What the original has no text for: text 8 there. Capital and full stop of `reason` are set as the text needs them.
[[nodiscard]] std::unexpected<Error> strange_table(TableDialect dialect, ErrorCode code, std::string reason);

}  // namespace pixmill::jobs
