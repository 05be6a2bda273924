#include "http/chunked.h"

#include <algorithm>

namespace pixmill::http {

namespace {

constexpr std::size_t kSizeLineBytesMax = 256;
// Extensions and trailers of one body together: enough for a checksum, too little to hide a flood in.
constexpr std::size_t kOverheadBytesMax = 16u << 10;

std::unexpected<Refusal> refuse(std::string_view why) { return std::unexpected(Refusal{.status = 400, .why = why}); }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; }

}  // namespace

Accepted<bool> ChunkedDecoder::take_line(std::string_view bytes, std::size_t& at, std::size_t line_bytes_max) {
  for (; at < bytes.size(); ++at) {
    const char c = bytes[at];
    if (behind_cr_) {
      if (c != '\n') return refuse("A chunk line holds a bare carriage return");
      behind_cr_ = false;
      ++at;
      return true;
    }
    if (c == '\r') {
      behind_cr_ = true;
      continue;
    }
    if (is_control(c)) return refuse("A chunk line holds a control character or a bare line feed");
    if (line_.size() >= line_bytes_max) return refuse("A chunk line is too long");
    line_ += c;
  }
  return false;
}

Accepted<void> ChunkedDecoder::read_size_line() {
  const auto digits_end = std::min(line_.find(';'), line_.size());
  if (digits_end == 0 || digits_end > 15) return refuse("A chunk size is not a plain hexadecimal number");
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < digits_end; ++i) {
    const int digit = hex_value(line_[i]);
    if (digit < 0) return refuse("A chunk size is not a plain hexadecimal number");
    size = size << 4 | static_cast<std::uint64_t>(digit);
  }
  overhead_bytes_ += line_.size() - digits_end;
  if (overhead_bytes_ > kOverheadBytesMax) return refuse("The chunk extensions are too long");
  line_.clear();
  remaining_ = size;
  state_ = size == 0 ? State::kTrailer : State::kData;
  return {};
}

Accepted<void> ChunkedDecoder::read_trailer_line() {
  if (line_.empty()) {
    state_ = State::kOver;
    return {};
  }
  // Trailers are dropped, but one that no header could be is still refused: it may be the start of a hidden request.
  if (line_.find(':') == std::string::npos || line_.front() == ' ' || line_.front() == '\t') {
    return refuse("A trailer field cannot be read");
  }
  overhead_bytes_ += line_.size();
  if (overhead_bytes_ > kOverheadBytesMax) return refuse("The trailers are too long");
  line_.clear();
  return {};
}

Accepted<ChunkedDecoder::Step> ChunkedDecoder::step(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size() && state_ != State::kOver) {
    if (state_ == State::kData) {
      const std::size_t taken = std::min<std::uint64_t>(remaining_, bytes.size() - at);
      remaining_ -= taken;
      if (remaining_ == 0) state_ = State::kDataEnd;
      return Step{.consumed = at + taken, .data = bytes.substr(at, taken)};
    }
    // Behind the data stands nothing but a line end: a line of no bytes.
    const bool data_end = state_ == State::kDataEnd;
    const auto whole = take_line(bytes, at, data_end ? 0 : state_ == State::kTrailer ? 8192 : kSizeLineBytesMax);
    if (!whole) return std::unexpected(whole.error());
    if (!*whole) break;
    if (data_end) {
      state_ = State::kSizeLine;
      continue;
    }
    const auto read = state_ == State::kTrailer ? read_trailer_line() : read_size_line();
    if (!read) return std::unexpected(read.error());
  }
  return Step{.consumed = at, .data = {}};
}

}  // namespace pixmill::http
