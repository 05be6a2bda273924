#include "http/request_head.h"

#include <algorithm>

#include "base/text.h"

namespace pixmill::http {

namespace {

std::unexpected<Refusal> refuse(std::string_view why, int status = 400) {
  return std::unexpected(Refusal{.status = status, .why = why});
}

// RFC 9110 section 5.6.2.
bool is_token_char(char c) {
  const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return alphanumeric || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_token_char); }

bool is_visible(char c) { return c > 0x20 && c < 0x7f; }

bool is_value_char(char c) { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

Accepted<void> check_request_line(std::string_view line) {
  const auto method_end = line.find(' ');
  if (method_end == std::string_view::npos || method_end > 32 || !is_token(line.substr(0, method_end))) {
    return refuse("The request line does not begin with a method");
  }
  line.remove_prefix(method_end + 1);
  const auto target_end = line.find(' ');
  const std::string_view target = line.substr(0, target_end);
  if (target_end == std::string_view::npos || target.empty() || !std::ranges::all_of(target, is_visible)) {
    return refuse("The request target cannot be read");
  }
  const std::string_view version = line.substr(target_end + 1);
  if (version == "HTTP/1.1" || version == "HTTP/1.0") return {};
  const bool other_version = version.size() == 8 && version.starts_with("HTTP/") && is_digit(version[5]) &&
                             version[6] == '.' && is_digit(version[7]);
  return other_version ? refuse("Only HTTP/1.1 and HTTP/1.0 are spoken here", 505)
                       : refuse("The request line does not end with a version");
}

Accepted<void> check_field_line(std::string_view line) {
  if (line.starts_with(' ') || line.starts_with('\t')) return refuse("A header field is folded over two lines");
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    return refuse("A header field has no proper name");
  }
  if (!std::ranges::all_of(line.substr(colon + 1), is_value_char)) {
    return refuse("A header field holds a control character");
  }
  return {};
}

// The values of one name, which must not be repeated where repeating would be ambiguous.
std::vector<std::string_view> values_of(const Headers& headers, std::string_view name) {
  std::vector<std::string_view> values;
  for (const auto& [field_name, value] : headers.all()) {
    if (equals_ignoring_case(field_name, name)) values.push_back(trim(value));
  }
  return values;
}

bool has_connection_option(const Headers& headers, std::string_view option) {
  for (const auto value : values_of(headers, "Connection")) {
    for (const auto part : split(value, ',')) {
      if (equals_ignoring_case(trim(part), option)) return true;
    }
  }
  return false;
}

// RFC 3986's host and port, generously; what matters is that nothing in it separates or hides.
bool is_good_host(std::string_view host) {
  return std::ranges::all_of(host, [](char c) {
    return is_visible(c) && std::string_view("/\\?#@,\"<>^`{|}").find(c) == std::string_view::npos;
  });
}

Accepted<void> check_host(const Headers& headers, int minor_version) {
  const auto hosts = values_of(headers, "Host");
  if (hosts.size() > 1) return refuse("The request has more than one Host");
  if (hosts.empty() && minor_version == 1) return refuse("The request has no Host");
  if (!hosts.empty() && !is_good_host(hosts.front())) return refuse("The Host cannot be read");
  return {};
}

Accepted<std::uint64_t> parse_length(std::string_view text) {
  // 18 digits are an exabyte, and cannot overflow.
  if (text.empty() || text.size() > 18 || !std::ranges::all_of(text, is_digit)) {
    return refuse("The Content-Length is not a plain number");
  }
  std::uint64_t length = 0;
  for (const char c : text) length = length * 10 + static_cast<std::uint64_t>(c - '0');
  return length;
}

std::string decode_form(std::string_view text) {
  std::string spaced(text);
  std::ranges::replace(spaced, '+', ' ');
  // A lone percent sign in a query is common and harmless; it stays as it came.
  return percent_decode(spaced).value_or(spaced);
}

std::vector<std::pair<std::string, std::string>> parse_query(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> query;
  for (const auto part : split(text, '&')) {
    if (part.empty()) continue;
    const auto equals = part.find('=');
    query.emplace_back(decode_form(part.substr(0, equals)),
                       equals == std::string_view::npos ? "" : decode_form(part.substr(equals + 1)));
  }
  return query;
}

}  // namespace

Accepted<std::optional<std::size_t>> find_head_end(std::string_view bytes, std::size_t& scanned) {
  const std::size_t end = std::min(bytes.size(), kHeadBytesMax);
  for (std::size_t i = scanned; i < end; ++i) {
    const bool behind_cr = i > 0 && bytes[i - 1] == '\r';
    if (bytes[i] == '\0') return refuse("The header holds a NUL byte");
    if (bytes[i] == '\n' && !behind_cr) return refuse("A header line ends in a bare line feed");
    if (bytes[i] != '\n' && behind_cr) return refuse("The header holds a bare carriage return");
    if (bytes[i] == '\n' && i >= 3 && bytes[i - 2] == '\n') return i + 1;
  }
  scanned = end;
  if (bytes.size() >= kHeadBytesMax) return refuse("The header is larger than 16 kB", 431);
  return std::nullopt;
}

Accepted<void> check_head(std::string_view head) {
  std::size_t lines = 0;
  while (true) {
    const auto end = head.find("\r\n");
    if (end == std::string_view::npos) return refuse("The header does not end");
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end + 2);
    if (line.empty() && lines > 0) break;
    const auto checked = lines == 0 ? check_request_line(line) : check_field_line(line);
    if (!checked) return checked;
    if (lines++ > kFieldsMax) return refuse("The request has too many header fields", 431);
  }
  return head.empty() ? Accepted<void>() : refuse("The header ends twice");
}

Accepted<Framing> framing_of(const Headers& headers, int minor_version) {
  if (const auto host = check_host(headers, minor_version); !host) return std::unexpected(host.error());
  Framing framing;
  const auto lengths = values_of(headers, "Content-Length");
  const auto codings = values_of(headers, "Transfer-Encoding");
  if (!codings.empty() && !lengths.empty()) return refuse("The request has both Content-Length and Transfer-Encoding");
  if (lengths.size() > 1) return refuse("The request has more than one Content-Length");
  if (codings.size() > 1) return refuse("The request has more than one Transfer-Encoding");
  if (!codings.empty() && minor_version == 0) return refuse("HTTP/1.0 knows no Transfer-Encoding");
  if (!codings.empty() && !equals_ignoring_case(codings.front(), "chunked")) {
    // A coding that is there but hidden behind blanks or commas is an attack; one by another name is merely unknown
    // here.
    return is_token(codings.front()) ? refuse("The only transfer coding spoken here is chunked", 501)
                                     : refuse("The Transfer-Encoding is not just chunked");
  }
  framing.chunked = !codings.empty();
  if (!lengths.empty()) {
    const auto length = parse_length(lengths.front());
    if (!length) return std::unexpected(length.error());
    framing.content_bytes = *length;
  }
  const bool close = has_connection_option(headers, "close");
  framing.keep_alive = !close && (minor_version == 1 || has_connection_option(headers, "keep-alive"));
  const auto expectations = values_of(headers, "Expect");
  for (const auto expectation : expectations) {
    if (!equals_ignoring_case(expectation, "100-continue")) return refuse("The expectation cannot be met", 417);
  }
  framing.expects_continue = !expectations.empty() && minor_version == 1;
  return framing;
}

Accepted<Target> parse_target(std::string_view method, std::string_view target) {
  Target parsed;
  if (target == "*" && method == "OPTIONS") {
    parsed.path = "*";
    return parsed;
  }
  const auto scheme_end = target.find("://");
  if (!target.starts_with('/') && scheme_end != std::string_view::npos) {
    const std::string_view scheme = target.substr(0, scheme_end);
    if (!equals_ignoring_case(scheme, "http") && !equals_ignoring_case(scheme, "https")) {
      return refuse("The request target is of a foreign scheme");
    }
    target.remove_prefix(scheme_end + 3);
    const auto authority_end = std::min(target.find_first_of("/?"), target.size());
    parsed.authority = target.substr(0, authority_end);
    if (parsed.authority.empty() || !is_good_host(parsed.authority)) return refuse("The request target has no host");
    target.remove_prefix(authority_end);
    if (target.empty()) target = "/";
  }
  const auto query_begin = target.find('?');
  const std::string_view raw_path = target.substr(0, query_begin);
  if (!raw_path.starts_with('/') && !(raw_path.empty() && !parsed.authority.empty())) {
    return refuse("The request target is not a path");
  }
  auto path = percent_decode(raw_path.empty() ? "/" : raw_path);
  if (!path || path->find('\0') != std::string::npos || target.find('#') != std::string_view::npos) {
    return refuse("The request target is wrongly encoded");
  }
  parsed.path = std::move(*path);
  if (query_begin != std::string_view::npos) parsed.query = parse_query(target.substr(query_begin + 1));
  return parsed;
}

}  // namespace pixmill::http
