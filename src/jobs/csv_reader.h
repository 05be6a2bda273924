// CSV as Python's csv module reads it (RFC 4180 with its leniencies), pulled record by record from chunks. Pure;
// fuzzed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace pixmill::jobs {

struct CsvOptions {
  char delimiter = ',';
  bool skip_spaces_after_delimiter = true;  // also before an opening quote, as the original platform reads
  std::size_t field_bytes_max = 64u << 10;
  std::size_t record_bytes_max = 1u << 20;
  std::size_t columns_max = 256;
};

// Memory is bounded by record_bytes_max whatever the input: what is too long ends the reading as soon as it is met.
// Differences from Python's csv: a quote never closed is an error, and blank lines give no record.
class CsvReader {
 public:
  // Gives the next piece of input, of any size, valid until the next call; empty at the end.
  using Source = std::function<Result<std::string_view>()>;
  CsvReader(Source source, CsvOptions options);

  // The next record, or nullopt at the end. Blank lines are skipped; lines end with LF, CRLF or CR. Quoted fields may
  // hold delimiters, quotes ("") and line ends. Errors: kInvalidArgument (a quote never closed; NUL byte; not UTF-8:
  // the message names the record's line), kTooLarge, and the source's own. An error is final: later calls repeat it.
  [[nodiscard]] Result<std::optional<std::vector<std::string>>> next();
  // Of the record last returned, or of the one that could not be, from 1.
  [[nodiscard]] std::uint64_t line() const { return line_; }

 private:
  class Record;
  [[nodiscard]] Result<bool> read(Record& record);

  Source source_;
  CsvOptions options_;
  std::string_view chunk_;  // what is left of the piece in hand
  bool at_end_ = false;
  bool after_cr_ = false;  // the byte before was a CR: an LF now belongs to it
  std::uint64_t line_ = 0;
  std::uint64_t next_line_ = 1;
  std::optional<Error> error_;
};

}  // namespace pixmill::jobs
