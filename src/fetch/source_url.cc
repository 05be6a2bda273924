#include "fetch/source_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace pixmill::fetch {

namespace {

using IpAddress = boost::asio::ip::address;

constexpr std::size_t kUrlBytesMax = 8'192;
constexpr std::size_t kHostBytesMax = 253;  // RFC 1035 section 2.3.4
constexpr std::size_t kLabelBytesMax = 63;
// What RFC 3986 leaves out of paths and queries and browsers encode. '\' is not among them: it is refused everywhere,
// because browsers read it as '/', which is how one parser is made to see another host than the next.
constexpr std::string_view kEncodedCharacters = " \"<>[]^`{|}";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex_digit(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

std::unexpected<Error> invalid(std::string message) { return fail(ErrorCode::kInvalidUrl, std::move(message)); }

bool all_of(std::string_view text, bool (*is)(char)) {
  for (const char c : text) {
    if (!is(c)) return false;
  }
  return true;
}

// What may stand nowhere in an address, whatever the part.
Result<void> check_bytes(std::string_view text) {
  if (text.empty()) return invalid("The address is empty");
  if (text.size() > kUrlBytesMax) return invalid(fmt::format("The address is longer than {} bytes", kUrlBytesMax));
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return invalid("The address has a control character, tab or line break inside");
    if (byte == '\\') return invalid("The address has a backslash; write '/' or %5C");
    if (byte != '%') continue;
    if (i + 2 >= text.size() || !is_hex_digit(text[i + 1]) || !is_hex_digit(text[i + 2])) {
      return invalid("A '%' in the address is not followed by two hexadecimal digits; write %25 for the sign itself");
    }
    if (text[i + 1] == '0' && text[i + 2] == '0') return invalid("The address has a %00 inside");
  }
  if (!is_valid_utf8(text)) return invalid("The address is not valid UTF-8");
  return {};
}

Result<std::uint16_t> parse_port(std::string_view digits) {
  // No leading zeros and no empty port, so that every port has one spelling.
  const bool plain = !digits.empty() && digits.size() <= 5 && all_of(digits, is_digit) && digits.front() != '0';
  const auto port = plain ? parse_integer(digits) : std::nullopt;
  if (!port || *port > 65'535) return invalid("The port is not a plain number from 1 to 65535");
  return static_cast<std::uint16_t>(*port);
}

// The WHATWG rule for "this host is meant as an IPv4 address": its last label is decimal or 0x…. Such a host must be
// the plain dotted form; every other spelling (2130706433, 0x7f.1, 0177.0.0.1, 127.1) is refused rather than
// understood.
bool ends_in_number(std::string_view host) {
  const auto dot = host.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? host : host.substr(dot + 1);
  if (last.starts_with("0x")) return all_of(last.substr(2), is_hex_digit);
  return !last.empty() && all_of(last, is_digit);
}

Result<IpAddress> parse_ipv4(std::string_view host) {
  const auto refused = [] { return invalid("The host is not a plain IPv4 address such as 192.0.2.1"); };
  const auto labels = split(host, '.');
  if (labels.size() != 4) return refused();
  boost::asio::ip::address_v4::bytes_type bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::string_view label = labels[i];
    const bool plain = !label.empty() && label.size() <= 3 && all_of(label, is_digit);
    const auto value = plain ? parse_integer(label) : std::nullopt;
    if (!value || *value > 255 || (label.size() > 1 && label.front() == '0')) return refused();
    bytes[i] = static_cast<std::uint8_t>(*value);
  }
  return IpAddress(boost::asio::ip::address_v4(bytes));
}

Result<IpAddress> parse_ipv6(std::string_view host) {
  if (host.find('%') != std::string_view::npos) return invalid("The IPv6 address has a zone, which only links have");
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address_v6(std::string(host), error);
  if (error) return invalid("The host in brackets is not an IPv6 address");
  return IpAddress(address);
}

Result<void> check_name(std::string_view host) {
  if (host.size() > kHostBytesMax) return invalid("The host name is longer than 253 characters");
  for (const std::string_view label : split(host, '.')) {
    if (label.empty()) return invalid("The host name has an empty part");
    if (label.size() > kLabelBytesMax) return invalid("A part of the host name is longer than 63 characters");
    for (const char c : label) {
      if (!is_ascii(c)) return invalid("The host name is not ASCII; write it in its xn-- form");
      // '_' is no letter of host names, but real ones have it.
      if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_') {
        return invalid("The host name has a character that host names do not have");
      }
    }
  }
  return {};
}

// Fills host, literal and port from "host[:port]".
Result<void> parse_authority(std::string_view authority, SourceUrl& url) {
  if (authority.empty()) return invalid("The address has no host");
  if (authority.find('@') != std::string_view::npos) return invalid("The address has a user name before its host");
  std::string_view host = authority;
  std::optional<std::string_view> port;
  if (authority.front() == '[') {
    const auto close = authority.find(']');
    if (close == std::string_view::npos) return invalid("The host begins with '[' and has no ']'");
    host = authority.substr(1, close - 1);
    const std::string_view rest = authority.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return invalid("Only a port may follow the host in brackets");
    if (!rest.empty()) port = rest.substr(1);
    PIXMILL_TRY(url.literal, parse_ipv6(host));
    url.host = url.literal->to_string();
  } else {
    if (const auto colon = authority.find(':'); colon != std::string_view::npos) {
      host = authority.substr(0, colon);
      port = authority.substr(colon + 1);
    }
    url.host = to_lower(host);
    // "example.com." is the same host, said to be absolute; every address gets one spelling.
    if (url.host.ends_with('.') && !ends_in_number(url.host.substr(0, url.host.size() - 1))) url.host.pop_back();
    PIXMILL_RETURN_IF_ERROR(check_name(url.host));
    if (ends_in_number(url.host)) {
      PIXMILL_TRY(url.literal, parse_ipv4(url.host));
    }
  }
  if (port) {
    PIXMILL_TRY(url.port, parse_port(*port));
  }
  return {};
}

// RFC 3986 section 5.2.4, for a path that begins with '/'.
std::string remove_dot_segments(std::string_view path) {
  std::vector<std::string_view> kept;
  const auto segments = split(path.substr(1), '/');
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool is_last = i + 1 == segments.size();
    const std::string_view segment = segments[i];
    if (segment != "." && segment != "..") {
      kept.push_back(segment);
      continue;
    }
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (is_last) kept.emplace_back();
  }
  std::string result;
  result.reserve(path.size());
  for (const std::string_view segment : kept) {
    result += '/';
    result += segment;
  }
  return result.empty() ? "/" : result;
}

void append_encoded(std::string& to, std::string_view part) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (const char c : part) {
    if (is_ascii(c) && kEncodedCharacters.find(c) == std::string_view::npos) {
      to += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    to += '%';
    to += kDigits[byte >> 4];
    to += kDigits[byte & 0x0f];
  }
}

// `rest` is what follows the authority: empty, or beginning with '/', '?' or '#'.
std::string make_target(std::string_view rest) {
  rest = rest.substr(0, rest.find('#'));
  const auto question = rest.find('?');
  const std::string_view path = rest.substr(0, question);
  std::string target;
  target.reserve(rest.size() + 1);
  append_encoded(target, path.empty() ? std::string("/") : remove_dot_segments(path));
  if (question != std::string_view::npos) append_encoded(target, rest.substr(question));
  return target;
}

// RFC 3986 section 3.1: letters, digits, '+', '-', '.', then ':', before any of "/?#".
bool has_scheme(std::string_view reference) {
  const auto end = reference.find_first_of(":/?#");
  if (end == std::string_view::npos || end == 0 || reference[end] != ':') return false;
  return is_letter(reference.front()) && all_of(reference.substr(0, end), [](char c) {
           return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
         });
}

std::string_view path_of(const SourceUrl& url) { return std::string_view(url.target).substr(0, url.target.find('?')); }

}  // namespace

std::string SourceUrl::origin() const {
  const bool bracketed = literal && literal->is_v6();
  std::string result = fmt::format("{}://{}{}{}", scheme, bracketed ? "[" : "", host, bracketed ? "]" : "");
  if (!port_is_default) result += fmt::format(":{}", port);
  return result;
}

std::string SourceUrl::text() const { return origin() + target; }

Result<SourceUrl> parse_source_url(std::string_view text) {
  PIXMILL_RETURN_IF_ERROR(check_bytes(text));
  SourceUrl url;
  const auto colon = text.find("://");
  if (colon != std::string_view::npos) url.scheme = to_lower(text.substr(0, colon));
  if (url.scheme != "http" && url.scheme != "https") {
    return invalid("The address does not begin with http:// or https://");
  }
  const std::uint16_t default_port = url.scheme == "http" ? 80 : 443;
  url.port = default_port;
  const std::string_view after_scheme = text.substr(colon + 3);
  const auto authority_bytes = std::min(after_scheme.find_first_of("/?#"), after_scheme.size());
  PIXMILL_RETURN_IF_ERROR(parse_authority(after_scheme.substr(0, authority_bytes), url));
  url.port_is_default = url.port == default_port;
  url.target = make_target(after_scheme.substr(authority_bytes));
  return url;
}

Result<SourceUrl> resolve_location(const SourceUrl& base, std::string_view location) {
  if (has_scheme(location)) return parse_source_url(location);
  if (location.starts_with("//")) return parse_source_url(fmt::format("{}:{}", base.scheme, location));
  if (location.starts_with('/')) return parse_source_url(base.origin() + std::string(location));
  if (location.empty() || location.front() == '#') return base;
  const std::string_view path = path_of(base);
  if (location.front() == '?') return parse_source_url(fmt::format("{}{}{}", base.origin(), path, location));
  const std::string_view folder = path.substr(0, path.rfind('/') + 1);
  return parse_source_url(fmt::format("{}{}{}", base.origin(), folder, location));
}

std::string loggable(const SourceUrl& url) { return url.origin() + std::string(path_of(url)); }

}  // namespace pixmill::fetch
