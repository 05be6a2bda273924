// The chunked transfer coding (RFC 9112 section 7.1), read strictly: a size is 1 to 15 hexadecimal digits and nothing
// else, lines end in CRLF, extensions and trailers are bounded and dropped. Pure; fuzzed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "http/request_head.h"

namespace pixmill::http {

class ChunkedDecoder {
 public:
  struct Step {
    std::size_t consumed = 0;  // bytes of the input that are done with, data included
    std::string_view data;     // a part of the input; empty when more input is needed or the body is over
  };

  // Reads up to and including the next stretch of data. Once over, nothing is consumed any more. After a refusal the
  // decoder is not to be used again.
  [[nodiscard]] Accepted<Step> step(std::string_view bytes);
  [[nodiscard]] bool over() const { return state_ == State::kOver; }

 private:
  enum class State : std::uint8_t { kSizeLine, kData, kDataEnd, kTrailer, kOver };

  // Moves bytes of one line, line end excluded, to line_; true when it is whole.
  [[nodiscard]] Accepted<bool> take_line(std::string_view bytes, std::size_t& at, std::size_t line_bytes_max);
  [[nodiscard]] Accepted<void> read_size_line();
  [[nodiscard]] Accepted<void> read_trailer_line();

  State state_ = State::kSizeLine;
  std::string line_;
  bool behind_cr_ = false;
  std::uint64_t remaining_ = 0;     // of the current chunk
  std::size_t overhead_bytes_ = 0;  // extensions and trailers so far
};

}  // namespace pixmill::http
