// Tables of images, whatever their clothes: CSV, TSV, JSON Lines, any of them gzipped, UTF-8 with or without BOM,
// UTF-16 refused with a clear word. Gives rows of cells with the URLs already split and checked. Blocking reads; use on
// a BlockingThread.
//
// What is read how:
// - By the file's name (".gz" taken off): .tsv and .tab are tab-separated, .jsonl and .ndjson are JSON Lines. Other
// names by
//   content: JSON Lines when it begins with '{', tabs when the header has tabs and no comma, else commas. Gzip is told
//   by content.
// - The original form has the columns S.No., Product Name and Input Image Urls; its URL cell is split at every comma,
// as the
//   original platform does, so a comma inside a URL there must be written %2C.
// - The plain form has one URL column. It is split only at commas before http:// or https://, because image CDNs write
// commas
//   into their paths. A first line that is itself a URL is a list without a header: its column is called url.
// - JSON Lines: each line an object; its columns are the keys of the first 100 lines (or 1 MB of them) in order of
// appearance, and
//   keys first met later are left out. A string is its cell, numbers and nested values keep the text they have in the
//   file, null and missing keys are empty. The URL key may hold a list of strings.
// - With `overrides`, the columns recipe, width, height, format and quality (whatever their case) give a row a recipe
// of its own, and the
//   column name the base name of its files; an empty cell leaves what the job has. The columns of a URL, S.No. and
//   Product Name are never these.
// - Cells keep what the file says ("001", "NA", "null"). Rows may have fewer cells than the header; more of them,
// unless empty,
//   are a problem: the original's text 3 there, the row's problem elsewhere. Blank lines are no rows.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "jobs/model.h"
#include "jobs/recipe_book.h"

namespace pixmill::jobs {

// Error texts 2 and 3 of the original platform (COMPATIBILITY).
inline constexpr std::string_view kEmptyTableText = "CSV file is empty or unreadable.";
inline constexpr std::string_view kBrokenTableText =
    "CSV file contains parsing errors (e.g., incorrect delimiters or corrupted data).";

enum class TableDialect : std::uint8_t {
  kOriginal,  // S.No., Product Name, Input Image Urls are required: what /imgproc/upload accepts
  kAny,       // that, or one URL column: url, image_url, image, src, or the one named
};

struct TableOptions {
  TableDialect dialect = TableDialect::kAny;
  std::string url_column;  // "" to find it
  std::string file_name;   // decides .tsv and .jsonl; else by content
  std::uint64_t unpacked_bytes_max = 64ULL << 30;
  std::uint32_t unpack_ratio_max = 100;                 // gzip
  std::uint64_t images_max = kItemsPerJobMax;           // check_table answers kTooLarge above
  bool overrides = false;                               // columns may change the recipe and the name row by row
  RecipeChoice recipe = {};                             // that they change: the job's
  std::shared_ptr<const RecipeBook> recipes = nullptr;  // that they may name; null: the built-in ones
  std::vector<std::string> s3_buckets = {};  // whose objects rows may name as s3://bucket/key; kEveryBucket: any
};

inline constexpr std::string_view kEveryBucket = "*";

// One problem of one row (or of the file: row 0), in the original platform's words where it has them (COMPATIBILITY,
// error texts).
struct RowProblem {
  std::uint64_t row = 0;
  std::string column;   // "" when it is not about one
  std::string message;  // "Invalid URL found at row 3: htp://x"
};

struct TableRow {
  std::uint64_t row = 0;           // from 1, the header not counted
  std::vector<std::string> cells;  // as many as there are columns
  std::vector<std::string> urls;   // trimmed, in order; empty when there is a problem
  std::vector<RowProblem> problems;
  std::shared_ptr<const RecipeChoice> recipe = nullptr;  // where it is not the job's
  std::string name = {};                                 // base name of its files; "" for the name template's
};

class TableReader {
 public:
  // Reads the header. Errors: kInvalidArgument with one of the original's texts 2 to 4, kTooLarge, kTruncated (gzip),
  // kNotFound, kIo. In kOriginal every message is exactly a text of the original (3, or 8 for what it has no word for)
  // and `detail`, which may be shown too, names the line; in kAny text 3 is followed by the line and the reason.
  [[nodiscard]] static Result<std::unique_ptr<TableReader>> open(const std::string& path, TableOptions options);
  // The same over bytes in memory.
  [[nodiscard]] static Result<std::unique_ptr<TableReader>> open_bytes(std::string bytes, TableOptions options);
  virtual ~TableReader() = default;

  [[nodiscard]] virtual const std::vector<std::string>& columns() const = 0;
  // Indices into columns(); product_column is -1 in the plain form.
  [[nodiscard]] virtual int url_column() const = 0;
  [[nodiscard]] virtual int product_column() const = 0;
  // nullopt at the end. A row with problems is a value; an error ends the table.
  // Errors: kInvalidArgument (text 3, with the line), kTooLarge (a limit, or too many different recipes), kTruncated,
  // kIo.
  [[nodiscard]] virtual Result<std::optional<TableRow>> next() = 0;
  // The recipes that rows so far asked for by name.
  [[nodiscard]] virtual std::vector<NamedRecipe> named_recipes() const = 0;
};

// Reads the whole table and collects problems, at most `problems_max` of them. In kOriginal the first one is the one
// that decides the answer's text: empty cells of required columns come before the rows' own problems.
struct RowWatermark {
  std::string image;  // as a recipe calls it
  std::uint64_t row = 0;
  std::string column;
};
struct TableReport {
  std::uint64_t rows = 0;
  std::uint64_t images = 0;    // of good rows
  std::uint64_t bad_rows = 0;  // all of them
  std::vector<RowProblem> problems;
  std::vector<NamedRecipe> named_recipes = {};  // that rows asked for
  // Those of rows' own recipes that the job's does not have, each once, with its first row. Bounded as these recipes
  // are.
  std::vector<RowWatermark> watermarks = {};
};
// Errors: those of open() and next(), kInvalidArgument text 2 when there is a header but no row, and kTooLarge when
// there are more images than a job can hold.
[[nodiscard]] Result<TableReport> check_table(const std::string& path, const TableOptions& options,
                                              std::size_t problems_max);

}  // namespace pixmill::jobs
