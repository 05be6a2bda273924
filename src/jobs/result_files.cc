#include "jobs/result_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace pixmill::jobs {

namespace {

constexpr std::uint32_t kRowsPerPiece = 500;
constexpr std::size_t kPhoneDigitsMin = 5;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "-12.5", "+1,234.50", "-3e-5", "-7 %": a spreadsheet shows these as numbers and runs nothing.
bool is_signed_number(std::string_view text) {
  text.remove_prefix(1);
  if (text.ends_with('%')) text.remove_suffix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  std::size_t mantissa = 0;
  while (mantissa < text.size() && (is_digit(text[mantissa]) || text[mantissa] == '.' || text[mantissa] == ',')) {
    ++mantissa;
  }
  if (std::ranges::none_of(text.substr(0, mantissa), is_digit)) return false;
  auto exponent = text.substr(mantissa);
  if (exponent.empty()) return true;
  if (exponent.front() != 'e' && exponent.front() != 'E') return false;
  exponent.remove_prefix(1);
  if (exponent.starts_with('-') || exponent.starts_with('+')) exponent.remove_prefix(1);
  return !exponent.empty() && std::ranges::all_of(exponent, is_digit);
}

// "+49 (0)170 123-45.67/8": no letter in it, so nothing that could be a function or a reference.
bool is_phone_like(std::string_view text) {
  if (!text.starts_with('+')) return false;
  const auto belongs = [](char c) {
    return is_digit(c) || std::string_view(" ()-./").find(c) != std::string_view::npos;
  };
  return std::ranges::all_of(text.substr(1), belongs) &&
         static_cast<std::size_t>(std::ranges::count_if(text, is_digit)) >= kPhoneDigitsMin;
}

bool needs_quotes(std::string_view cell) {
  // A space in front would be skipped by readers like ours, so it is kept in quotes.
  return cell.starts_with(' ') || cell.find_first_of(",\"\r\n") != std::string_view::npos;
}

bool is_good(const Item& item) { return item.state == ItemState::kSucceeded || item.state == ItemState::kUnchanged; }

// One word for a row of pictures.
std::string_view row_status(const Row& row) {
  if (!row.problem.empty()) return "invalid";
  const auto count = [&](auto predicate) { return std::ranges::count_if(row.items, predicate); };
  const auto all = std::ssize(row.items);
  const auto good = count(is_good);
  if (count([](const Item& item) { return !is_terminal(item.state); }) > 0) return "pending";
  const auto unchanged = count([](const Item& item) { return item.state == ItemState::kUnchanged; });
  if (good == all) return all > 0 && unchanged == all ? "unchanged" : "succeeded";
  if (good > 0) return "partly_succeeded";
  return count([](const Item& item) { return item.state == ItemState::kFailed; }) > 0 ? "failed" : "cancelled";
}

std::string row_errors(const Row& row) {
  if (!row.problem.empty()) return row.problem;
  std::string errors;
  for (const auto& item : row.items) {
    if (item.error_code.empty() || is_good(item)) continue;
    if (!errors.empty()) errors += "; ";
    if (row.items.size() > 1) errors += fmt::format("image {}: ", item.index);
    errors += fmt::format("{}: {}", item.error_code, item.error_message);
  }
  return errors;
}

// As many slots as the row has URLs, in their order.
std::string output_urls(const Row& row, const Links& links) {
  std::string urls;
  for (std::size_t i = 0; i < row.items.size(); ++i) {
    if (i > 0) urls += ", ";
    if (!row.items[i].outputs.empty()) urls += links.file(row.items[i].outputs.front().key);
  }
  return urls;
}

using Cells = std::vector<std::string>;

// Pulls rows and writes records; shared by the calls of one stream.
struct Stream {
  JobStore& store;
  Job job;
  ResultFile file;
  CellSafety safety;
  Links links;
  std::uint64_t after_row = 0;  // of gone.csv: after_item of the earlier job
  bool header_written = false;
  bool ended = false;

  [[nodiscard]] RecipeChoice recipe_of(const Item& item) const {
    return item.recipe.value_or(RecipeChoice{.text = job.recipe, .name = job.recipe_name});
  }

  void write(std::string& text, Cells cells) const {
    if (safety == CellSafety::kSpreadsheet) {
      for (auto& cell : cells) cell = spreadsheet_safe(cell);
    }
    text += csv_record(cells);
  }

  void write_header(std::string& text) const {
    if (file == ResultFile::kGoneCsv) return write(text, {"row", "index", "source"});
    if (file == ResultFile::kImagesCsv) {
      write(text, {"row",      "index",     "source",   "output", "state",  "code",     "bytes",        "width",
                   "height",   "format",    "quality",  "ssim",   "sha256", "fetch_ms", "transform_ms", "store_ms",
                   "attempts", "rendition", "bytes_in", "error",  "note",   "recipe",   "recipe_name"});
      return;
    }
    Cells cells = job.columns;
    cells.insert(cells.end(),
                 {"Output Image Urls", "Status", "Errors", "Bytes In", "Bytes Out", "Recipe Used", "Recipe Name"});
    write(text, std::move(cells));
  }

  void write_result_row(std::string& text, const Row& row) const {
    Cells cells = row.cells;
    cells.resize(job.columns.size());
    cells.push_back(output_urls(row, links));
    cells.emplace_back(row_status(row));
    cells.push_back(row_errors(row));
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
    for (const auto& item : row.items) {
      if (!is_good(item)) continue;
      bytes_in += item.bytes_in;
      for (const auto& output : item.outputs) bytes_out += output.bytes;
    }
    const bool any_good = std::ranges::any_of(row.items, is_good);
    cells.push_back(any_good ? std::to_string(bytes_in) : "");
    cells.push_back(any_good ? std::to_string(bytes_out) : "");
    // A row has one recipe for all of its pictures; an invalid one has none.
    const auto recipe = row.items.empty() ? RecipeChoice{} : recipe_of(row.items.front());
    cells.insert(cells.end(), {recipe.text, recipe.name});
    write(text, std::move(cells));
  }

  void write_image(std::string& text, const Item& item, const Output* output) const {
    const bool good = is_good(item);
    Cells cells = {std::to_string(item.row),
                   std::to_string(item.index),
                   item.url,
                   output != nullptr ? links.file(output->key) : "",
                   std::string(to_text(item.state)),
                   good ? "" : item.error_code};
    if (output != nullptr) {
      cells.insert(cells.end(),
                   {std::to_string(output->bytes), std::to_string(output->width_px), std::to_string(output->height_px),
                    output->format, output->quality > 0 ? std::to_string(output->quality) : "", "", output->sha256});
    } else {
      cells.resize(cells.size() + 7);
    }
    cells.insert(cells.end(), {std::to_string(item.times.fetch_ms), std::to_string(item.times.transform_ms),
                               std::to_string(item.times.store_ms), std::to_string(item.attempts),
                               output != nullptr ? output->rendition : "", good ? std::to_string(item.bytes_in) : "",
                               good ? "" : item.error_message, output != nullptr ? output->note : ""});
    const auto recipe = recipe_of(item);
    cells.insert(cells.end(), {recipe.text, recipe.name});
    write(text, std::move(cells));
  }

  void write_row(std::string& text, const Row& row) const {
    if (file == ResultFile::kResultCsv) return write_result_row(text, row);
    for (const auto& item : row.items) {
      for (const auto& output : item.outputs) write_image(text, item, &output);
      if (item.outputs.empty()) write_image(text, item, nullptr);
    }
  }
};

Task<Result<void>> add_gone(std::shared_ptr<Stream> stream, std::string& text) {
  PIXMILL_CO_TRY(const auto urls, co_await stream->store.gone(stream->job.id, stream->after_row, kRowsPerPiece));
  for (const auto& gone : urls) {
    stream->write(text, {std::to_string(gone.row), std::to_string(gone.index), gone.url});
    stream->after_row = gone.item;
  }
  co_return Result<void>();
}

Task<Result<std::string>> next_piece(std::shared_ptr<Stream> stream) {
  std::string text;
  if (!stream->header_written) {
    stream->write_header(text);
    stream->header_written = true;
  }
  if (stream->file == ResultFile::kGoneCsv) {
    PIXMILL_CO_RETURN_IF_ERROR(co_await add_gone(stream, text));
    co_return text;
  }
  // A page of invalid rows has no line in images.csv, and an empty piece would be the end.
  do {
    if (stream->ended) break;
    PIXMILL_CO_TRY(const auto rows, co_await stream->store.rows(stream->job.id, stream->after_row, kRowsPerPiece));
    stream->ended = rows.empty();
    for (const auto& row : rows) stream->write_row(text, row);
    if (!rows.empty()) stream->after_row = rows.back().row;
  } while (text.empty());
  co_return text;
}

}  // namespace

std::function<Task<Result<std::string>>()> stream_result_file(JobStore& store, Job job, ResultFile file,
                                                              CellSafety safety, Links links) {
  auto stream = std::make_shared<Stream>(
      Stream{.store = store, .job = std::move(job), .file = file, .safety = safety, .links = std::move(links)});
  return [stream = std::move(stream)] { return next_piece(stream); };
}

std::string csv_record(const std::vector<std::string>& cells) {
  std::string text;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) text += ',';
    // A record of one empty cell would read as a blank line.
    if (!needs_quotes(cells[i]) && !(cells.size() == 1 && cells[i].empty())) {
      text += cells[i];
      continue;
    }
    text += '"';
    for (const char c : cells[i]) text.append(c == '"' ? 2 : 1, c);
    text += '"';
  }
  text += "\r\n";
  return text;
}

std::string spreadsheet_safe(std::string_view cell) {
  constexpr std::string_view kRun = "=+-@\t\r\n";
  if (cell.empty() || kRun.find(cell.front()) == std::string_view::npos) return std::string(cell);
  const bool is_signed = cell.front() == '+' || cell.front() == '-';
  if (is_signed && (is_signed_number(cell) || is_phone_like(cell))) return std::string(cell);
  return fmt::format("'{}", cell);
}

}  // namespace pixmill::jobs
