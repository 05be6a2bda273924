#include "jobs/table_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "fetch/source_url.h"
#include "storage/s3_address.h"

namespace pixmill::jobs {

namespace {

constexpr std::string_view kSerial = "S.No.";
constexpr std::string_view kProduct = "Product Name";
constexpr std::string_view kUrls = "Input Image Urls";
constexpr std::array kRequired = {kSerial, kProduct, kUrls};
constexpr std::array<std::string_view, 5> kUrlColumns = {"url", "image_url", "image", "src", kUrls};

constexpr std::string_view kS3Scheme = "s3://";
constexpr std::size_t kProblemsPerRowMax = 20;
constexpr std::size_t kShownUrlBytesMax = 500;

// The first column of that name; in kOriginal case counts, as there.
int column_of(const std::vector<std::string>& columns, std::string_view name, TableDialect dialect) {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const auto column = trim(columns[i]);
    if (dialect == TableDialect::kOriginal ? column == name : equals_ignoring_case(column, name)) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

std::unexpected<Error> missing(std::string_view names) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("Missing required column(s): {}", names));
}

// Cut for messages, between characters.
std::string shown(std::string_view url) {
  if (url.size() <= kShownUrlBytesMax) return std::string(url);
  std::size_t end = kShownUrlBytesMax;
  while (end > 0 && (static_cast<unsigned char>(url[end]) & 0xc0) == 0x80) --end;
  return fmt::format("{}…", url.substr(0, end));
}

bool begins_with_scheme(std::string_view text) {
  return equals_ignoring_case(text.substr(0, 7), "http://") || equals_ignoring_case(text.substr(0, 8), "https://") ||
         text.starts_with(kS3Scheme);
}

// Whether a picture can be asked for at that address, as far as its spelling says.
Result<void> check_source(const std::string& url, const std::vector<std::string>& s3_buckets) {
  if (s3_buckets.empty() || !url.starts_with(kS3Scheme)) {
    PIXMILL_RETURN_IF_ERROR(fetch::parse_source_url(url));
    return {};
  }
  PIXMILL_TRY(const auto object, storage::parse_s3_location(url));
  if (object.key.empty()) return fail(ErrorCode::kInvalidUrl, "It names a bucket and no object in it");
  const auto is_open = [&](const std::string& name) { return name == kEveryBucket || name == object.bucket; };
  if (std::ranges::any_of(s3_buckets, is_open)) return {};
  return fail(ErrorCode::kInvalidUrl, fmt::format("The bucket {} is not one of S3_SOURCES", object.bucket));
}

// The plain form: a comma separates only where another URL begins.
std::vector<std::string> split_before_schemes(std::string_view cell) {
  std::vector<std::string> urls;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < cell.size(); ++at) {
    if (cell[at] != ',' || !begins_with_scheme(trim(cell.substr(at + 1)))) continue;
    urls.emplace_back(trim(cell.substr(begin, at - begin)));
    begin = at + 1;
  }
  urls.emplace_back(trim(cell.substr(begin)));
  return urls;
}

std::vector<std::string> split_at_commas(std::string_view cell) {
  std::vector<std::string> urls;
  for (const auto piece : split(cell, ',')) urls.emplace_back(trim(piece));
  return urls;
}

// Columns that change the recipe and the name, whatever their case in either dialect.
void find_overrides(const std::vector<std::string>& columns, TableLayout& layout) {
  const auto find = [&](std::string_view name) {
    const int column = column_of(columns, name, TableDialect::kAny);
    const bool is_taken =
        column == layout.url_column || column == layout.product_column || column == layout.serial_column;
    return is_taken ? -1 : column;
  };
  for (std::size_t i = 0; i < kRecipeColumns.size(); ++i) layout.recipe_columns[i] = find(kRecipeColumns[i]);
  layout.name_column = find(kNameColumn);
}

class RowCheck {
 public:
  RowCheck(const TableLayout& layout, const std::vector<std::string>& columns, TableRow& row)
      : layout_(layout), columns_(columns), row_(row) {}

  void required(int column, std::string_view name) {
    if (column < 0 || !trim(row_.cells[static_cast<std::size_t>(column)]).empty()) return;
    report(column, fmt::format("Column '{}' contains empty values.", name));
  }

  Result<void> overrides(RowRecipes& recipes) {
    RowRecipes::Cells cells;
    for (std::size_t i = 0; i < cells.size(); ++i) cells[i] = cell(layout_.recipe_columns[i]);
    std::vector<RowRecipes::BadCell> bad;
    PIXMILL_TRY(row_.recipe, recipes.find(cells, bad));
    for (const auto& [column, why] : bad) report_value(layout_.recipe_columns[column], kRecipeColumns[column], why);
    const auto name = base_name(cell(layout_.name_column));
    if (const auto allowed = check_base_name(name); !allowed.empty()) {
      report_value(layout_.name_column, kNameColumn, fmt::format("use {}", allowed));
    } else {
      row_.name = name;
    }
    return {};
  }

  void urls(std::vector<std::string> urls) {
    if (std::ranges::all_of(urls, [](const std::string& url) { return url.empty(); })) {
      report(layout_.url_column, fmt::format("Empty URL field found at row {}", row_.row));
      return;
    }
    for (const auto& url : urls) {
      const auto checked = check_source(url, layout_.s3_buckets);
      if (checked) continue;
      std::string message = fmt::format("Invalid URL found at row {}: {}", row_.row, shown(url));
      if (layout_.dialect == TableDialect::kAny) message += fmt::format(" ({})", checked.error().message);
      report(layout_.url_column, std::move(message));
      if (row_.problems.size() >= kProblemsPerRowMax) return;
    }
    if (row_.problems.empty()) row_.urls = std::move(urls);
  }

 private:
  [[nodiscard]] std::string_view cell(int column) const {
    return column < 0 ? std::string_view() : row_.cells[static_cast<std::size_t>(column)];
  }

  // A combination may be wrong that no cell is to blame for alone; it is said of the first column there is.
  void report_value(int column, std::string_view what, std::string_view why) {
    if (column < 0) {
      const auto first = std::ranges::find_if(layout_.recipe_columns, [](int other) { return other >= 0; });
      return report(*first, fmt::format("Invalid {} found at row {} ({})", what, row_.row, why));
    }
    report(column, fmt::format("Invalid {} found at row {}: {} ({})", what, row_.row, shown(trim(cell(column))), why));
  }

  void report(int column, std::string message) {
    row_.problems.push_back(
        {.row = row_.row, .column = columns_[static_cast<std::size_t>(column)], .message = std::move(message)});
  }

  const TableLayout& layout_;
  const std::vector<std::string>& columns_;
  TableRow& row_;
};

}  // namespace

namespace {

Result<TableLayout> find_required(const std::vector<std::string>& columns, const TableOptions& options) {
  TableLayout layout{.dialect = options.dialect};
  std::vector<std::string_view> absent;
  for (const auto name : kRequired) {
    if (column_of(columns, name, options.dialect) < 0) absent.push_back(name);
  }
  const bool names_another = !options.url_column.empty() && !equals_ignoring_case(options.url_column, kUrls);
  if (options.dialect == TableDialect::kOriginal || (absent.empty() && !names_another)) {
    if (!absent.empty()) return missing(fmt::format("{}", fmt::join(absent, ", ")));
    layout.original_form = true;
    layout.serial_column = column_of(columns, kSerial, options.dialect);
    layout.product_column = column_of(columns, kProduct, options.dialect);
    layout.url_column = column_of(columns, kUrls, options.dialect);
    return layout;
  }
  if (!options.url_column.empty()) {
    layout.url_column = column_of(columns, trim(options.url_column), options.dialect);
    if (layout.url_column < 0) return missing(options.url_column);
    return layout;
  }
  for (const auto name : kUrlColumns) {
    layout.url_column = column_of(columns, name, options.dialect);
    if (layout.url_column >= 0) return layout;
  }
  return missing("url (or image_url, image, src; or S.No., Product Name and Input Image Urls)");
}

}  // namespace

Result<TableLayout> find_layout(const std::vector<std::string>& columns, const TableOptions& options) {
  PIXMILL_TRY(auto layout, find_required(columns, options));
  if (options.overrides) find_overrides(columns, layout);
  layout.s3_buckets = options.s3_buckets;
  return layout;
}

RowRecipes row_recipes(const TableOptions& options) {
  // Whoever reads a table without a job in mind has no recipe for it.
  const RecipeChoice none{.text = "format=keep", .name = {}};
  return {options.recipes ? options.recipes : std::make_shared<const RecipeBook>(),
          options.recipe.text.empty() ? none : options.recipe};
}

Result<void> check_row(const TableLayout& layout, const std::vector<std::string>& columns,
                       const std::optional<std::vector<std::string>>& url_list, RowRecipes& recipes, TableRow& row) {
  RowCheck check(layout, columns, row);
  if (layout.original_form) {
    check.required(layout.serial_column, kSerial);
    check.required(layout.product_column, kProduct);
  }
  PIXMILL_RETURN_IF_ERROR(check.overrides(recipes));
  const std::string& cell = row.cells[static_cast<std::size_t>(layout.url_column)];
  if (url_list) {
    check.urls(*url_list);
  } else {
    check.urls(layout.original_form ? split_at_commas(cell) : split_before_schemes(cell));
  }
  return {};
}

bool is_url_list_entry(std::string_view cell) {
  const auto text = trim(cell);
  if (text.starts_with(kS3Scheme)) return storage::parse_s3_location(text).has_value();
  return begins_with_scheme(text) && fetch::parse_source_url(text).has_value();
}

std::unexpected<Error> broken_table(TableDialect dialect, std::string reason) {
  if (dialect == TableDialect::kOriginal) {
    return fail(ErrorCode::kInvalidArgument, std::string(kBrokenTableText), std::move(reason));
  }
  return fail(ErrorCode::kInvalidArgument, fmt::format("{} {}", kBrokenTableText, reason));
}

std::unexpected<Error> strange_table(TableDialect dialect, ErrorCode code, std::string reason) {
  while (reason.ends_with('.')) reason.pop_back();
  const auto change_first = [&](char from, char to, int by) {
    if (!reason.empty() && reason.front() >= from && reason.front() <= to) {
      reason.front() = static_cast<char>(reason.front() + by);
    }
  };
  if (dialect == TableDialect::kOriginal) {
    change_first('A', 'Z', 'a' - 'A');
    return fail(code, fmt::format("An unexpected error occurred: {}", reason));
  }
  change_first('a', 'z', 'A' - 'a');
  return fail(code, reason + '.');
}

}  // namespace pixmill::jobs
