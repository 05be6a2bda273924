// What may stand in front of a request's body, checked byte by byte: the defences against requests that two readers
// could understand differently (RFC 9112 sections 2.2, 5.1, 5.2, 6.1, 6.3, 11.2). Stricter than the RFC's robustness
// advice on purpose. Used by request_parser before and after Beast reads the same bytes. Pure; any thread; fuzzed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message.h"

namespace pixmill::http {

// Why a request is not served, and the status that says so. The connection is closed after it.
struct Refusal {
  int status = 400;
  std::string_view why;  // a constant: plain ASCII without quotes
};

template <class T>
using Accepted = std::expected<T, Refusal>;

inline constexpr std::size_t kHeadBytesMax = 16u << 10;
inline constexpr std::size_t kFieldsMax = 100;

// The number of bytes up to and including the empty line that ends the head at the front of `bytes`; nullopt when it
// has not come yet. `scanned` says how far earlier calls got, 0 at first. Refuses bare LF, bare CR and NUL as soon as
// they are seen, and heads above kHeadBytesMax.
[[nodiscard]] Accepted<std::optional<std::size_t>> find_head_end(std::string_view bytes, std::size_t& scanned);

// `head` is what find_head_end measured. Refuses whatever is not `token SP visible-ASCII SP HTTP/1.0|1.1` and `token
// ":" text` lines: folded lines, blanks before the colon, control characters, more than kFieldsMax fields.
[[nodiscard]] Accepted<void> check_head(std::string_view head);

// How the body is delimited and what becomes of the connection.
struct Framing {
  std::uint64_t content_bytes = 0;  // of the body, unless chunked
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;
};

// `minor_version` of HTTP/1.x. Refuses Content-Length together with Transfer-Encoding, two of either, lengths that are
// not plain digits, codings other than chunked, Transfer-Encoding in HTTP/1.0, expectations other than 100-continue,
// and anything but one good Host in HTTP/1.1.
[[nodiscard]] Accepted<Framing> framing_of(const Headers& headers, int minor_version);

struct Target {
  std::string path;  // percent-decoded
  std::vector<std::pair<std::string, std::string>> query;
  std::string authority;  // of the absolute form, which overrides Host; else empty
};

// The origin form, the absolute form (RFC 9112 section 3.2.2) and, for OPTIONS, "*".
[[nodiscard]] Accepted<Target> parse_target(std::string_view method, std::string_view target);

}  // namespace pixmill::http
