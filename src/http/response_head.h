// The head of an answer, and the arithmetic of Range (RFC 9110 section 14). Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"
#include "http/request_head.h"

namespace pixmill::http {

struct ResponseFraming {
  std::optional<std::uint64_t> content_bytes;  // nullopt: chunked, or until the connection closes, or no body at all
  bool chunked = false;
  bool close = false;
};

[[nodiscard]] std::string_view reason_phrase(int status);
// RFC 9110 section 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT".
[[nodiscard]] std::string http_date(std::int64_t unix_seconds);

// Status line, Date, the response's own fields, then ours: what it says about length, coding, connection and date
// itself is left out. A control character in a field becomes a blank, so that no value can begin a new line.
[[nodiscard]] std::string response_head(const Response& response, const ResponseFraming& framing,
                                        std::int64_t unix_seconds);

// 1xx, 204 and 304 have no body, whatever the handler gave.
[[nodiscard]] bool has_body(int status);

struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t bytes = 0;
  bool operator==(const ByteRange&) const = default;
};
enum class RangeKind : std::uint8_t {
  kWhole,  // none asked for, several, or one that cannot be read: the whole is the answer
  kPart,
  kUnsatisfiable,  // 416
};
struct RangeChoice {
  RangeKind kind = RangeKind::kWhole;
  ByteRange part;
};
// `header`: the value of Range. `bytes`: of the whole.
[[nodiscard]] RangeChoice choose_range(std::string_view header, std::uint64_t bytes);

// A minimal problem+json for requests that no handler sees.
[[nodiscard]] Response refusal_response(const Refusal& refusal, std::string_view request_id);

}  // namespace pixmill::http
