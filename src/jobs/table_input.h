// The bytes of a table, from a file or from memory: unpacked when gzipped, without byte order mark, refused when they
// are not UTF-8 text at all. Internal to table_reader. Blocking reads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace pixmill::jobs {

struct TableInputLimits {
  std::uint64_t unpacked_bytes_max = 0;
  std::uint32_t unpack_ratio_max = 0;
};

// Where bytes come from as they are stored.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // The next piece, valid until the next call; empty at the end.
  [[nodiscard]] virtual Result<std::string_view> next() = 0;
  [[nodiscard]] virtual std::uint64_t total_bytes() const = 0;
};

// Errors: kNotFound, kIo.
[[nodiscard]] Result<std::unique_ptr<ByteSource>> open_file_source(const std::string& path);
[[nodiscard]] std::unique_ptr<ByteSource> make_memory_source(std::string bytes);

class TableInput {
 public:
  // Reads the beginning. Errors: those of next(), and kUnsupportedFormat for what is recognised as something else
  // (UTF-16, a spreadsheet); the message says what, and what to do.
  [[nodiscard]] static Result<std::unique_ptr<TableInput>> open(std::unique_ptr<ByteSource> source,
                                                                TableInputLimits limits);
  virtual ~TableInput() = default;

  // The first 64 kB, or all there is. Only before the first next().
  [[nodiscard]] virtual std::string_view head() const = 0;
  [[nodiscard]] virtual bool was_packed() const = 0;
  // The next piece, beginning with head(); valid until the next call; empty at the end.
  // Errors: kIo, kTooLarge (a limit), kTruncated (gzip ends early), kDecodeFailed (gzip is damaged).
  [[nodiscard]] virtual Result<std::string_view> next() = 0;
};

}  // namespace pixmill::jobs
