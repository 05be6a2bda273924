#include "jobs/table_check.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "image/recipe.h"
#include "jobs/row_recipes.h"

namespace pixmill::jobs {

namespace {

// Which problem gives the original's answer: its checks run column by column over the whole file, then row by row.
int precedence(const RowProblem& problem) {
  if (problem.message.starts_with("Column 'S.No.'")) return 0;
  return problem.message.starts_with("Column ") ? 1 : 2;
}

std::vector<std::string> watermarks_of(std::string_view text) {
  std::vector<std::string> images;
  const auto recipe = image::parse_recipe(text);
  if (!recipe) return images;
  for (const auto& output : recipe->outputs) {
    if (output.watermark) images.push_back(output.watermark->image);
  }
  return images;
}

}  // namespace

TableCheck::TableCheck(std::unique_ptr<TableReader> table, const TableOptions& options, std::size_t problems_max)
    : table_(std::move(table)),
      dialect_(options.dialect),
      images_max_(options.images_max),
      problems_max_(problems_max) {
  // The job's are not the rows' own.
  for (auto& image : watermarks_of(options.recipe.text)) watermarks_seen_.insert(std::move(image));
}

Result<TableCheck> TableCheck::open(const std::string& path, const TableOptions& options, std::size_t problems_max) {
  PIXMILL_TRY(auto table, TableReader::open(path, options));
  return TableCheck(std::move(table), options, problems_max);
}

Result<bool> TableCheck::read(std::uint64_t rows) {
  for (; rows > 0; --rows) {
    PIXMILL_TRY(auto row, table_->next());
    if (row) {
      add(std::move(*row));
      if (report_.images > images_max_) return std::unexpected(too_many_images(images_max_));
      continue;
    }
    if (report_.rows == 0) return fail(ErrorCode::kInvalidArgument, std::string(kEmptyTableText));
    if (dialect_ == TableDialect::kOriginal && deciding_) put_deciding_first();
    report_.named_recipes = table_->named_recipes();
    return true;
  }
  return false;
}

void TableCheck::add(TableRow row) {
  ++report_.rows;
  report_.images += row.urls.size();
  add_watermarks(row);
  if (!row.problems.empty()) ++report_.bad_rows;
  for (auto& problem : row.problems) {
    if (!deciding_ || precedence(problem) < precedence(*deciding_)) deciding_ = problem;
    if (report_.problems.size() < problems_max_) report_.problems.push_back(std::move(problem));
  }
}

// Equal wishes of rows share one recipe.
void TableCheck::add_watermarks(const TableRow& row) {
  if (!row.recipe || !recipes_seen_.insert(row.recipe).second) return;
  for (auto& image : watermarks_of(row.recipe->text)) {
    if (!watermarks_seen_.insert(image).second) continue;
    const auto& columns = table_->columns();
    const auto is_it = [](const std::string& column) { return equals_ignoring_case(trim(column), kRecipeColumns[0]); };
    const auto column = std::ranges::find_if(columns, is_it);
    report_.watermarks.push_back(
        {.image = std::move(image), .row = row.row, .column = column == columns.end() ? "" : *column});
  }
}

void TableCheck::put_deciding_first() {
  auto& problems = report_.problems;
  const auto same = std::ranges::find_if(problems, [&](const RowProblem& problem) {
    return problem.row == deciding_->row && problem.message == deciding_->message;
  });
  if (same != problems.end()) {
    std::rotate(problems.begin(), same, same + 1);
    return;
  }
  problems.insert(problems.begin(), std::move(*deciding_));
  if (problems.size() > std::max<std::size_t>(problems_max_, 1)) problems.pop_back();
}

TableReport TableCheck::report() { return std::exchange(report_, {}); }

Result<TableReport> check_table(const std::string& path, const TableOptions& options, std::size_t problems_max) {
  constexpr std::uint64_t kStepRows = 100'000;
  PIXMILL_TRY(auto check, TableCheck::open(path, options, problems_max));
  while (true) {
    PIXMILL_TRY(const bool done, check.read(kStepRows));
    if (done) return check.report();
  }
}

}  // namespace pixmill::jobs
