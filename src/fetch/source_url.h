// The one strict parser of image and webhook addresses, for checking and for connecting, so that the two cannot disagree.
// Pure; any thread; fuzzed. WHATWG-like leniency is refused on purpose: PROMISES section E lists the spellings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/ip/address.hpp>

#include "base/error.h"

namespace pixmill::fetch {

struct SourceUrl {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower-case ASCII name, or a literal address without brackets
  std::optional<boost::asio::ip::address> literal;  // set when host is an address
  std::uint16_t port = 0;       // 80 or 443 when the URL has none
  bool port_is_default = true;
  std::string target;  // path and query, percent-encoded ASCII, begins with '/'; the fragment is gone

  // scheme://host[:port]; two URLs of one origin share credentials and connections.
  [[nodiscard]] std::string origin() const;
  // The whole address again, in normal form.
  [[nodiscard]] std::string text() const;
};

// Spaces and non-ASCII characters in path and query are percent-encoded (UTF-8); everything else must be as RFC 3986 writes it.
// At most 8,192 bytes. Errors: kInvalidUrl, the message says what is wrong; kBlockedAddress for a port no picture is served on.
[[nodiscard]] Result<SourceUrl> parse_source_url(std::string_view text);

// `location` of a redirect, absolute or relative to `base` (RFC 3986 section 5.2). Errors: as above.
[[nodiscard]] Result<SourceUrl> resolve_location(const SourceUrl& base, std::string_view location);

// For logs: without the query, which may carry tokens.
[[nodiscard]] std::string loggable(const SourceUrl& url);

}  // namespace pixmill::fetch
