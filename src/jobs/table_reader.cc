#include "jobs/table_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "base/text.h"
#include "jobs/csv_reader.h"
#include "jobs/json_line.h"
#include "jobs/table_input.h"
#include "jobs/table_layout.h"

namespace pixmill::jobs {

namespace {

// JSON Lines: how far the columns are looked for.
constexpr std::size_t kFirstLines = 100;
constexpr std::size_t kFirstLinesBytes = 1u << 20;

// What the layers below say, in the words of the dialect.
std::unexpected<Error> in_words_of(TableDialect dialect, Error error) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
      return broken_table(dialect, std::move(error.message));
    case ErrorCode::kUnsupportedFormat:
    case ErrorCode::kDecodeFailed:
      return strange_table(dialect, ErrorCode::kInvalidArgument, std::move(error.message));
    case ErrorCode::kTooLarge:
    case ErrorCode::kTruncated:
      return strange_table(dialect, error.code, std::move(error.message));
    default:
      return std::unexpected(std::move(error));
  }
}

std::unexpected<Error> empty_table() { return fail(ErrorCode::kInvalidArgument, std::string(kEmptyTableText)); }

bool all_blank(std::vector<std::string>::const_iterator begin, std::vector<std::string>::const_iterator end) {
  return std::all_of(begin, end, [](const std::string& cell) { return trim(cell).empty(); });
}

// A line of spaces, or of one empty quoted cell.
bool is_blank_line(const std::vector<std::string>& cells) { return cells.size() == 1 && trim(cells[0]).empty(); }

// Comma- and tab-separated tables.
class CsvTable final : public TableReader {
 public:
  CsvTable(std::unique_ptr<TableInput> input, char delimiter, const TableOptions& options)
      : input_(std::move(input)),
        delimiter_(delimiter),
        dialect_(options.dialect),
        reader_([this] { return input_->next(); }, CsvOptions{.delimiter = delimiter}),
        recipes_(row_recipes(options)) {}

  Result<void> read_header(const TableOptions& options) {
    PIXMILL_TRY(auto header, next_record());
    if (!header) return empty_table();
    const bool is_list = dialect_ == TableDialect::kAny && header->size() == 1 && is_url_list_entry(header->front());
    columns_ = is_list ? std::vector<std::string>{"url"} : *header;
    auto layout = find_layout(columns_, options);
    if (!layout) return explain_missing_columns(options, std::move(layout).error());
    layout_ = *layout;
    if (is_list) first_record_ = std::move(header);
    return {};
  }

  const std::vector<std::string>& columns() const override { return columns_; }
  int url_column() const override { return layout_.url_column; }
  int product_column() const override { return layout_.product_column; }
  std::vector<NamedRecipe> named_recipes() const override { return recipes_.named(); }

  Result<std::optional<TableRow>> next() override {
    auto record = std::exchange(first_record_, std::nullopt);
    if (!record) {
      PIXMILL_TRY(record, next_record());
    }
    if (!record) return std::nullopt;
    TableRow row{.row = ++row_, .cells = std::move(*record), .urls = {}, .problems = {}};
    if (has_too_many(row.cells)) {
      if (dialect_ == TableDialect::kOriginal) return too_many(row.cells.size());
      refuse_too_many(row);
      return row;
    }
    row.cells.resize(columns_.size());
    auto checked = check_row(layout_, columns_, std::nullopt, recipes_, row);
    if (!checked) return in_words_of(dialect_, std::move(checked).error());
    return row;
  }

 private:
  // The next record that is no blank line.
  Result<std::optional<std::vector<std::string>>> next_record() {
    while (true) {
      auto record = reader_.next();
      if (!record) return in_words_of(dialect_, std::move(record).error());
      if (!*record || !is_blank_line(**record)) return record;
    }
  }

  bool has_too_many(const std::vector<std::string>& cells) const {
    if (cells.size() <= columns_.size()) return false;
    return !all_blank(cells.begin() + static_cast<std::ptrdiff_t>(columns_.size()), cells.end());
  }

  std::unexpected<Error> too_many(std::size_t cells) const {
    return broken_table(dialect_, fmt::format("Line {}: it has {} cells where the header has {}.", reader_.line(),
                                              cells, columns_.size()));
  }

  // Nothing is lost: what is too much stays in the last cell, as it stood in the file.
  void refuse_too_many(TableRow& row) const {
    row.problems.push_back({.row = row.row,
                            .column = "",
                            .message = fmt::format("Row {} has {} cells where the header has {}; a cell that holds the "
                                                   "separator must stand in quotes",
                                                   row.row, row.cells.size(), columns_.size())});
    std::string& last = row.cells[columns_.size() - 1];
    for (std::size_t i = columns_.size(); i < row.cells.size(); ++i) last.append(1, delimiter_).append(row.cells[i]);
    row.cells.resize(columns_.size());
  }

  // The original reads the whole file before it looks at the columns, so what it cannot parse comes first.
  std::unexpected<Error> explain_missing_columns(const TableOptions& options, Error missing) {
    for (const char separator : std::string_view(";|\t,")) {
      if (columns_.size() != 1 || separator == delimiter_) continue;
      std::vector<std::string> columns;
      for (const auto name : split(columns_[0], separator)) columns.emplace_back(name);
      if (!find_layout(columns, options)) continue;
      const std::string name = separator == '\t' ? "tabs" : fmt::format("'{}'", separator);
      return broken_table(dialect_, fmt::format("The columns are separated by {}; save the file with commas.", name));
    }
    while (dialect_ == TableDialect::kOriginal) {
      const auto record = next_record();
      if (!record) return std::unexpected(record.error());
      if (!*record) break;
      if (has_too_many(**record)) return too_many((*record)->size());
    }
    return std::unexpected(std::move(missing));
  }

  std::unique_ptr<TableInput> input_;
  char delimiter_;
  TableDialect dialect_;
  CsvReader reader_;
  RowRecipes recipes_;
  TableLayout layout_;
  std::vector<std::string> columns_;
  std::optional<std::vector<std::string>> first_record_;
  std::uint64_t row_ = 0;
};

class JsonLinesTable final : public TableReader {
 public:
  JsonLinesTable(std::unique_ptr<TableInput> input, const TableOptions& options)
      : input_(std::move(input)), recipes_(row_recipes(options)) {}

  Result<void> read_header(const TableOptions& options) {
    std::size_t bytes = 0;
    while (first_lines_.size() < kFirstLines && bytes < kFirstLinesBytes) {
      PIXMILL_TRY(auto line, next_line());
      if (!line) break;
      bytes += line->bytes;
      for (const auto& member : line->members) {
        if (std::ranges::find(columns_, member.key) == columns_.end()) columns_.push_back(member.key);
      }
      if (columns_.size() > limits_.columns_max) {
        return strange_table(TableDialect::kAny, ErrorCode::kTooLarge,
                             fmt::format("The first lines have more than {} different keys", limits_.columns_max));
      }
      first_lines_.push_back(std::move(*line));
    }
    if (first_lines_.empty()) return empty_table();
    PIXMILL_TRY(layout_, find_layout(columns_, options));
    return {};
  }

  const std::vector<std::string>& columns() const override { return columns_; }
  int url_column() const override { return layout_.url_column; }
  int product_column() const override { return layout_.product_column; }
  std::vector<NamedRecipe> named_recipes() const override { return recipes_.named(); }

  Result<std::optional<TableRow>> next() override {
    std::optional<Line> line;
    if (first_lines_.empty()) {
      PIXMILL_TRY(line, next_line());
    } else {
      line = std::move(first_lines_.front());
      first_lines_.pop_front();
    }
    if (!line) return std::nullopt;
    TableRow row{.row = ++row_, .cells = {}, .urls = {}, .problems = {}};
    row.cells.resize(columns_.size());
    if (!line->problem.empty()) {
      row.problems.push_back({.row = row_, .column = "", .message = fmt::format("Row {} {}", row_, line->problem)});
      return row;
    }
    std::optional<std::vector<std::string>> url_list;
    for (auto& member : line->members) {
      const auto column = std::ranges::find(columns_, member.key) - columns_.begin();
      if (column == std::ssize(columns_)) continue;
      row.cells[static_cast<std::size_t>(column)] = std::move(member.cell);
      if (column == layout_.url_column) url_list = std::move(member.list);
    }
    PIXMILL_RETURN_IF_ERROR(check_row(layout_, columns_, url_list, recipes_, row));
    return row;
  }

 private:
  struct Line {
    std::vector<JsonMember> members;
    std::string problem;
    std::size_t bytes = 0;
  };

  Result<std::optional<Line>> next_line() {
    PIXMILL_TRY(const auto text, next_text());
    if (!text) return std::nullopt;
    auto members = parse_json_line(*text, limits_.columns_max, limits_.field_bytes_max);
    if (members) return Line{.members = std::move(*members), .problem = {}, .bytes = text->size()};
    if (members.error().code == ErrorCode::kTooLarge) return too_large(members.error().message);
    return Line{.members = {}, .problem = members.error().message, .bytes = text->size()};
  }

  // The next line that is not blank, without its end.
  Result<std::optional<std::string>> next_text() {
    std::string text;
    while (true) {
      const auto end = chunk_.find('\n');
      text += chunk_.substr(0, end);
      if (text.size() > limits_.record_bytes_max) {
        ++line_;
        return too_large(fmt::format("is longer than {} bytes", format_count(limits_.record_bytes_max)));
      }
      if (end != std::string_view::npos) {
        chunk_.remove_prefix(end + 1);
        ++line_;
        if (!trim(text).empty()) return text;
        text.clear();
        continue;
      }
      chunk_ = {};
      if (!at_end_) {
        auto piece = input_->next();
        if (!piece) return in_words_of(TableDialect::kAny, std::move(piece).error());
        chunk_ = *piece;
        at_end_ = chunk_.empty();
      }
      if (!at_end_) continue;
      if (trim(text).empty()) return std::nullopt;
      ++line_;
      return text;
    }
  }

  std::unexpected<Error> too_large(std::string_view why) const {
    return strange_table(TableDialect::kAny, ErrorCode::kTooLarge, fmt::format("Line {} {}", line_, why));
  }

  std::unique_ptr<TableInput> input_;
  RowRecipes recipes_;
  CsvOptions limits_;
  std::string_view chunk_;
  bool at_end_ = false;
  std::uint64_t line_ = 0;
  TableLayout layout_;
  std::vector<std::string> columns_;
  std::deque<Line> first_lines_;
  std::uint64_t row_ = 0;
};

enum class Form : std::uint8_t { kCommas, kTabs, kJsonLines };

Form form_of(const TableOptions& options, std::string_view head) {
  if (options.dialect == TableDialect::kOriginal) return Form::kCommas;
  std::string name = to_lower(options.file_name);
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  if (name.ends_with(".tsv") || name.ends_with(".tab")) return Form::kTabs;
  if (name.ends_with(".jsonl") || name.ends_with(".ndjson")) return Form::kJsonLines;
  const auto text = trim(head);
  if (text.starts_with('{')) return Form::kJsonLines;
  const auto first_line = text.substr(0, text.find_first_of("\r\n"));
  const bool tabs = first_line.find('\t') != std::string_view::npos;
  return tabs && first_line.find(',') == std::string_view::npos ? Form::kTabs : Form::kCommas;
}

Result<std::unique_ptr<TableReader>> open_source(std::unique_ptr<ByteSource> source, const TableOptions& options) {
  const TableInputLimits limits{.unpacked_bytes_max = options.unpacked_bytes_max,
                                .unpack_ratio_max = std::max<std::uint32_t>(options.unpack_ratio_max, 1)};
  auto input = TableInput::open(std::move(source), limits);
  if (!input) return in_words_of(options.dialect, std::move(input).error());
  if ((*input)->was_packed() && options.dialect == TableDialect::kOriginal) {
    return broken_table(options.dialect, "The file is gzipped.");
  }
  const Form form = form_of(options, (*input)->head());
  if (form == Form::kJsonLines) {
    auto table = std::make_unique<JsonLinesTable>(std::move(*input), options);
    PIXMILL_RETURN_IF_ERROR(table->read_header(options));
    return table;
  }
  auto table = std::make_unique<CsvTable>(std::move(*input), form == Form::kTabs ? '\t' : ',', options);
  PIXMILL_RETURN_IF_ERROR(table->read_header(options));
  return table;
}

}  // namespace

Result<std::unique_ptr<TableReader>> TableReader::open(const std::string& path, TableOptions options) {
  PIXMILL_TRY(auto source, open_file_source(path));
  return open_source(std::move(source), options);
}

Result<std::unique_ptr<TableReader>> TableReader::open_bytes(std::string bytes, TableOptions options) {
  return open_source(make_memory_source(std::move(bytes)), options);
}

}  // namespace pixmill::jobs
