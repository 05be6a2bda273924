#include "http/response_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/text.h"

namespace pixmill::http {

namespace {

struct Reason {
  int status;
  std::string_view phrase;
};

constexpr Reason kReasons[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

constexpr std::string_view kOurs[] = {"Content-Length", "Transfer-Encoding", "Connection", "Date", "Keep-Alive"};

bool is_ours(std::string_view name) {
  return std::ranges::any_of(kOurs, [&](std::string_view own) { return equals_ignoring_case(own, name); });
}

void append_clean(std::string& to, std::string_view text) {
  for (const char c : text) to += (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f ? ' ' : c;
}

std::optional<std::uint64_t> parse_position(std::string_view text) {
  const bool digits =
      !text.empty() && text.size() <= 18 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  const auto number = digits ? parse_integer(text) : std::nullopt;
  return number ? std::optional<std::uint64_t>(static_cast<std::uint64_t>(*number)) : std::nullopt;
}

}  // namespace

std::string_view reason_phrase(int status) {
  for (const auto& reason : kReasons) {
    if (reason.status == status) return reason.phrase;
  }
  return "Unknown";
}

std::string http_date(std::int64_t unix_seconds) {
  constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t at = unix_seconds;
  std::tm utc{};
  gmtime_r(&at, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                     kMonths[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour, utc.tm_min,
                     utc.tm_sec);
}

std::string response_head(const Response& response, const ResponseFraming& framing, std::int64_t unix_seconds) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status, reason_phrase(response.status),
                                 http_date(unix_seconds));
  for (const auto& [name, value] : response.headers.all()) {
    if (is_ours(name)) continue;
    append_clean(head, name);
    head += ": ";
    append_clean(head, value);
    head += "\r\n";
  }
  if (framing.content_bytes) head += fmt::format("Content-Length: {}\r\n", *framing.content_bytes);
  if (framing.chunked) head += "Transfer-Encoding: chunked\r\n";
  head += framing.close ? "Connection: close\r\n\r\n" : "Connection: keep-alive\r\n\r\n";
  return head;
}

bool has_body(int status) { return status >= 200 && status != 204 && status != 304; }

RangeChoice choose_range(std::string_view header, std::uint64_t bytes) {
  const auto equals = header.find('=');
  if (equals == std::string_view::npos || !equals_ignoring_case(trim(header.substr(0, equals)), "bytes")) return {};
  const std::string_view range = trim(header.substr(equals + 1));
  const auto dash = range.find('-');
  if (dash == std::string_view::npos || range.find(',') != std::string_view::npos) return {};
  const auto first = parse_position(range.substr(0, dash));
  const auto last = parse_position(range.substr(dash + 1));
  if (dash == 0) {  // the last so many bytes
    if (!last) return {};
    if (*last == 0 || bytes == 0) return {.kind = RangeKind::kUnsatisfiable, .part = {}};
    const std::uint64_t count = std::min(*last, bytes);
    return {.kind = RangeKind::kPart, .part = {.first = bytes - count, .bytes = count}};
  }
  if (!first || (!last && dash + 1 != range.size()) || (last && *last < *first)) return {};
  if (*first >= bytes) return {.kind = RangeKind::kUnsatisfiable, .part = {}};
  const std::uint64_t end = last ? std::min(*last, bytes - 1) : bytes - 1;
  return {.kind = RangeKind::kPart, .part = {.first = *first, .bytes = end - *first + 1}};
}

Response refusal_response(const Refusal& refusal, std::string_view request_id) {
  std::string code = to_lower(reason_phrase(refusal.status));
  std::ranges::replace(code, ' ', '_');
  Response response = json_response(
      refusal.status, fmt::format(R"({{"type":"urn:pixmill:error:{}","title":"{}","status":{},"detail":"{}",)"
                                  R"("code":"{}","request_id":"{}"}})",
                                  code, reason_phrase(refusal.status), refusal.status, refusal.why, code, request_id));
  response.headers.set("Content-Type", "application/problem+json");
  response.headers.set("Cache-Control", "no-store");
  return response;
}

}  // namespace pixmill::http
