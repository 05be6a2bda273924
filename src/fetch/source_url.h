// The one strict parser of image and webhook addresses, for checking and for connecting, so that the two cannot
// disagree. Pure; any thread; fuzzed. WHATWG-like leniency about hosts is refused on purpose: PROMISES section E lists
// the spellings.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace pixmill::fetch {

struct SourceUrl {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower-case ASCII name without a final dot, or a literal address without brackets
  std::optional<boost::asio::ip::address> literal;  // set when host is an address
  std::uint16_t port = 0;                           // 80 or 443 when the URL has none
  bool port_is_default = true;                      // also when the URL spells the default out
  std::string target;  // path and query, percent-encoded ASCII, begins with '/'; dot segments and the fragment are gone

  // scheme://host[:port]; two URLs of one origin share credentials and connections.
  [[nodiscard]] std::string origin() const;
  // The whole address again, in normal form.
  [[nodiscard]] std::string text() const;
};

// In path and query, spaces, non-ASCII characters (UTF-8) and " < > [ ] ^ ` { | } are percent-encoded, as browsers do;
// everything else must be as RFC 3986 writes it. At most 8,192 bytes, without blanks around it. Any port from 1 to
// 65535 parses: whether pictures may come from it depends on the address too, so AddressPolicy::check has the table.
// Host names are ASCII (an international one is written xn--…). Errors: kInvalidUrl, the message says what is wrong.
[[nodiscard]] Result<SourceUrl> parse_source_url(std::string_view text);

// `location` of a redirect, absolute or relative to `base` (RFC 3986 section 5.2). Errors: as above.
[[nodiscard]] Result<SourceUrl> resolve_location(const SourceUrl& base, std::string_view location);

// For logs: without the query, which may carry tokens.
[[nodiscard]] std::string loggable(const SourceUrl& url);

}  // namespace pixmill::fetch
