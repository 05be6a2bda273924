// Redis's protocol (RESP2): commands as bytes, and bytes as replies, within bounds. hiredis does the reading. Lives on
// the loop with its connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace pixmill::redis {

// What the server says no with, told by the first word of its answer; everything that is not named here is kOther.
enum class Refusal : std::uint8_t {
  kOther,
  kNoScript,   // the script is not loaded
  kNoGroup,    // the stream or its group is gone
  kBusyGroup,  // the group is there already
  kNotLoggedIn,
  kNotAllowed,  // the user may not do this
  kReadOnly,    // a replica; the primary has moved
  kLoading,     // or busy, or without its primary: later
  kOutOfMemory,
};

struct Reply {
  enum class Kind : std::uint8_t { kNil, kInteger, kText, kError, kArray };

  Kind kind = Kind::kNil;
  std::int64_t integer = 0;
  std::string text = {};             // of kText and kError
  std::vector<Reply> elements = {};  // of kArray

  [[nodiscard]] bool is_error() const { return kind == Kind::kError; }
  [[nodiscard]] Refusal refusal() const;  // of an error
};

// A refusal as an Error: kUnavailable where later may be better, kInvalidArgument where only a person can help (the
// login or its rights), else kInternal. `reply` is a kError.
[[nodiscard]] Error error_of(const Reply& reply);

// A command and its arguments; any bytes.
using Command = std::vector<std::string>;
[[nodiscard]] std::string encode(const Command& command);

struct ReplyLimits {
  std::size_t bytes_max = 8u << 20;    // of one reply
  std::size_t elements_max = 131'072;  // of one reply, nested ones included
};

class ReplyReader {
 public:
  explicit ReplyReader(ReplyLimits limits = {});
  ~ReplyReader();
  ReplyReader(const ReplyReader&) = delete;
  ReplyReader& operator=(const ReplyReader&) = delete;

  // Bytes as they came; then ask next() until it has none.
  void feed(std::string_view bytes);
  // The next whole reply; nullopt until more bytes have come. Errors: kProtocol for what is not RESP2, for more than
  // seven levels, and for what is above the limits; the reader is of no use after it.
  [[nodiscard]] Result<std::optional<Reply>> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pixmill::redis
