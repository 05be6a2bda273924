#include "jobs/json_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "base/text.h"

namespace pixmill::jobs {

namespace {

namespace json = boost::json;

// Walks over text that has been parsed as an object before, to get at the values as they are written.
class Walker {
 public:
  explicit Walker(std::string_view text) : rest_(text) {}

  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
  [[nodiscard]] char front() const { return rest_.empty() ? '\0' : rest_.front(); }
  void skip_one() { rest_.remove_prefix(1); }

  // The text of the value at the front.
  std::string_view take_value() {
    std::size_t length = 0;
    int depth = 0;
    do {
      const char c = rest_[length];
      if (c == '"') {
        length += string_bytes(rest_.substr(length));
      } else if (depth == 0 && c != '{' && c != '[') {
        length += std::min(rest_.substr(length).find_first_of(",]} \t\r\n"), rest_.size() - length);
      } else {
        depth += c == '{' || c == '[' ? 1 : 0;
        depth -= c == '}' || c == ']' ? 1 : 0;
        ++length;
      }
    } while (depth > 0 && length < rest_.size());
    const auto value = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return value;
  }

 private:
  // Of a string with its quotes.
  static std::size_t string_bytes(std::string_view text) {
    for (std::size_t i = 1; i < text.size(); ++i) {
      if (text[i] == '\\') {
        ++i;
      } else if (text[i] == '"') {
        return i + 1;
      }
    }
    return text.size();
  }

  std::string_view rest_;
};

std::string decode_string(std::string_view text) {
  boost::system::error_code ignored;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), ignored);
  return value.is_string() ? std::string(value.get_string()) : std::string();
}

std::optional<std::vector<std::string>> list_of_strings(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), error);
  if (!value.is_array()) return std::nullopt;
  std::vector<std::string> list;
  for (const auto& entry : value.get_array()) {
    if (!entry.is_string()) return std::nullopt;
    list.emplace_back(trim(std::string_view(entry.get_string())));
  }
  return list;
}

JsonMember make_member(std::string key, std::string_view value) {
  JsonMember member{.key = std::move(key), .cell = {}, .list = {}};
  if (value.starts_with('"')) {
    member.cell = decode_string(value);
  } else if (value.starts_with('[')) {
    member.list = list_of_strings(value);
    member.cell = member.list ? fmt::format("{}", fmt::join(*member.list, ", ")) : std::string(value);
  } else if (value != "null") {
    member.cell = std::string(value);
  }
  return member;
}

std::unexpected<Error> bad(std::string why) { return fail(ErrorCode::kInvalidArgument, std::move(why)); }

}  // namespace

Result<std::vector<JsonMember>> parse_json_line(std::string_view line, std::size_t columns_max,
                                                std::size_t cell_bytes_max) {
  boost::system::error_code error;
  const json::value whole = json::parse(json::string_view(line.data(), line.size()), error);
  if (error) return bad("is not valid JSON");
  if (!whole.is_object()) return bad("is not a JSON object");
  if (whole.get_object().size() > columns_max) {
    return fail(ErrorCode::kTooLarge, fmt::format("has more than {} keys", columns_max));
  }
  std::vector<JsonMember> members;
  Walker walker(line);
  walker.skip_blanks();
  walker.skip_one();  // {
  walker.skip_blanks();
  while (walker.front() == '"') {
    std::string key = decode_string(walker.take_value());
    walker.skip_blanks();
    walker.skip_one();  // :
    walker.skip_blanks();
    JsonMember member = make_member(std::move(key), walker.take_value());
    if (std::max(member.cell.size(), member.key.size()) > cell_bytes_max) {
      return fail(ErrorCode::kTooLarge, fmt::format("has a value longer than {} bytes", format_count(cell_bytes_max)));
    }
    if (member.cell.find('\0') != std::string::npos || member.key.find('\0') != std::string::npos) {
      return bad("holds a NUL character");
    }
    const auto same = std::ranges::find(members, member.key, &JsonMember::key);
    if (same == members.end()) {
      members.push_back(std::move(member));
    } else {
      *same = std::move(member);
    }
    walker.skip_blanks();
    if (walker.front() == ',') walker.skip_one();
    walker.skip_blanks();
  }
  return members;
}

}  // namespace pixmill::jobs
