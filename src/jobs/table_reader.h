// Tables of images, whatever their clothes: CSV, TSV, JSON Lines, any of them gzipped, UTF-8 with or without BOM, UTF-16 refused
// with a clear word. Gives rows of cells with the URLs already split and checked. Blocking reads; use on a BlockingThread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace pixmill::jobs {

enum class TableDialect : std::uint8_t {
  kOriginal,  // S.No., Product Name, Input Image Urls are required: what /imgproc/upload accepts
  kAny,       // that, or one URL column: url, image_url, image, src, or the one named
};

struct TableOptions {
  TableDialect dialect = TableDialect::kAny;
  std::string url_column;  // "" to find it
  std::string file_name;   // decides .tsv and .jsonl; else by content
  std::uint64_t unpacked_bytes_max = 64ULL << 30;
  std::uint32_t unpack_ratio_max = 100;  // gzip
};

// One problem of one row (or of the file: row 0), in the original platform's words where it has them (COMPATIBILITY, error texts).
struct RowProblem {
  std::uint64_t row = 0;
  std::string column;   // "" when it is not about one
  std::string message;  // "Invalid URL found at row 3: htp://x"
};

struct TableRow {
  std::uint64_t row = 0;  // from 1, the header not counted
  std::vector<std::string> cells;  // as many as there are columns
  std::vector<std::string> urls;   // trimmed, in order; empty when there is a problem
  std::vector<RowProblem> problems;
};

class TableReader {
 public:
  // Reads the header. Errors: kInvalidArgument with one of the original's texts 2 to 4, kTooLarge, kTruncated (gzip), kIo.
  [[nodiscard]] static Result<std::unique_ptr<TableReader>> open(const std::string& path, TableOptions options);
  virtual ~TableReader() = default;

  [[nodiscard]] virtual const std::vector<std::string>& columns() const = 0;
  // Indices into columns(); product_column is -1 in the plain form.
  [[nodiscard]] virtual int url_column() const = 0;
  [[nodiscard]] virtual int product_column() const = 0;
  // nullopt at the end. A row with problems is a value; an error ends the table.
  // Errors: kInvalidArgument (text 3, with the line), kTooLarge, kTruncated, kIo.
  [[nodiscard]] virtual Result<std::optional<TableRow>> next() = 0;
};

// Reads the whole table and collects problems, at most `problems_max` of them (all are counted).
struct TableReport {
  std::uint64_t rows = 0;
  std::uint64_t images = 0;
  std::uint64_t bad_rows = 0;
  std::vector<RowProblem> problems;
};
// Errors: those of open() and next(), and kInvalidArgument text 2 when there is a header but no row.
[[nodiscard]] Result<TableReport> check_table(const std::string& path, const TableOptions& options, std::size_t problems_max);

}  // namespace pixmill::jobs
