// multipart/form-data (RFC 7578), push-parsed so that a file part streams to disk. Pure: bytes in, events out; fuzzed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace pixmill::http {

struct PartHeader {
  std::string name;                     // form field
  std::optional<std::string> filename;  // present for files, path components removed
  std::string content_type;             // as sent, may be empty
};

struct MultipartLimits {
  std::size_t parts_max = 1'000;
  std::size_t header_bytes_max = 8'192;  // of one part
};

class MultipartParser {
 public:
  struct Events {
    // An error returned by a callback stops the parser and comes out of feed().
    std::function<Result<void>(const PartHeader&)> on_part;
    std::function<Result<void>(std::string_view)> on_data;
    std::function<Result<void>()> on_part_end;
  };

  MultipartParser(std::string boundary, Events events, MultipartLimits limits = {});
  ~MultipartParser();

  // Any split of the bytes gives the same events. Errors: kInvalidArgument for a malformed body, kTooLarge beyond the
  // limits.
  [[nodiscard]] Result<void> feed(std::string_view bytes);
  // Errors: kInvalidArgument when the closing boundary has not been seen.
  [[nodiscard]] Result<void> finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The boundary of a Content-Type header, or nullopt when it is not multipart/form-data with a boundary of 1 to 70
// characters.
[[nodiscard]] std::optional<std::string> multipart_boundary(std::string_view content_type);

}  // namespace pixmill::http
