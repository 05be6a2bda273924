// Small text helpers that several modules need. Pure; any thread. ASCII only unless said otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pixmill {

[[nodiscard]] std::string to_lower(std::string_view text);
[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b);
[[nodiscard]] std::string_view trim(std::string_view text);                                // spaces, tabs, CR, LF
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);  // keeps empty parts

// A whole decimal number and nothing else; nullopt on anything else or overflow.
[[nodiscard]] std::optional<std::int64_t> parse_integer(std::string_view text);
[[nodiscard]] std::optional<double> parse_decimal(std::string_view text);

// "312.4 GB": powers of 1000, one decimal from kB up.
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);
// "998,871".
[[nodiscard]] std::string format_count(std::uint64_t count);
// "20:14", "1:02:03".
[[nodiscard]] std::string format_duration(std::int64_t seconds);

[[nodiscard]] std::string html_escape(std::string_view text);  // & < > " '
// RFC 3986 unreserved characters and '/' stay.
[[nodiscard]] std::string percent_encode_path(std::string_view path);
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);  // nullopt on a malformed escape

[[nodiscard]] bool is_valid_utf8(std::string_view text);
// Every byte that is no part of a well-formed sequence becomes U+FFFD: for foreign text that must go into JSON or HTML.
[[nodiscard]] std::string replace_invalid_utf8(std::string_view text);
// At most bytes_max bytes from the front, not ending within a sequence.
[[nodiscard]] std::string_view utf8_prefix(std::string_view text, std::size_t bytes_max);

}  // namespace pixmill
