#include "api/json_upload.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace pixmill::api {

namespace {

namespace json = boost::json;

constexpr std::string_view kRows = "rows";

// Where values begin and end in a text that is known to be JSON.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  [[nodiscard]] char next() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size()));
    return rest_.empty() ? '\0' : rest_.front();
  }
  // Brackets, commas and colons.
  void skip_sign() {
    static_cast<void>(next());
    rest_.remove_prefix(1);
  }
  std::string_view value() {
    const char first = next();
    if (first == '"') return take(string_chars());
    if (first == '{' || first == '[') return take(nested_chars());
    return take(std::min(rest_.find_first_of(",]} \t\r\n"), rest_.size()));
  }

 private:
  std::string_view take(std::size_t count) {
    const auto taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  [[nodiscard]] std::size_t string_chars(std::size_t at = 0) const {
    for (++at; rest_[at] != '"'; ++at) at += rest_[at] == '\\' ? 1 : 0;
    return at + 1;
  }
  [[nodiscard]] std::size_t nested_chars() const {
    std::size_t depth = 0;
    for (std::size_t at = 0;;) {
      const char c = rest_[at];
      if (c == '"') {
        at = string_chars(at);
        continue;
      }
      ++at;
      if (c == '{' || c == '[') ++depth;
      if ((c == '}' || c == ']') && --depth == 0) return at;
    }
  }

  std::string_view rest_;
};

// The last member `rows` of a JSON object that has one, as it is written.
std::string_view rows_of(std::string_view body) {
  Scanner scanner(body);
  std::string_view rows;
  do {
    scanner.skip_sign();
    const auto key = json::parse(scanner.value());
    scanner.skip_sign();
    const auto value = scanner.value();
    if (key.as_string() == kRows) rows = value;
  } while (scanner.next() == ',');
  return rows;
}

Problem wrong_row(std::size_t row, std::string_view value) {
  return wrong_parameter(fmt::format("rows[{}]", row), value,
                         R"(an object with a cell for each column, or an address as text)");
}

Checked<std::string> lines_of(std::string_view rows) {
  std::string table;
  Scanner scanner(rows);
  std::size_t row = 0;
  do {
    scanner.skip_sign();
    const auto value = scanner.value();
    if (value.empty()) break;  // of an empty list
    if (value.front() != '{' && value.front() != '"') return refuse(wrong_row(row, value));
    const auto begin = table.size();
    table += value.front() == '{' ? std::string(value) : fmt::format(R"({{"url":{}}})", value);
    // A line of its own: breaks can only be between the values.
    std::ranges::replace_if(
        table.begin() + static_cast<std::ptrdiff_t>(begin), table.end(), [](char c) { return c == '\n' || c == '\r'; },
        ' ');
    table += '\n';
    ++row;
  } while (scanner.next() == ',');
  return table;
}

Checked<std::string> lines_of_texts(const std::string& name, const json::value& value) {
  const auto wrong = [&] { return refuse(wrong_parameter(name, json::serialize(value), "a list of texts")); };
  if (!value.is_array()) return wrong();
  std::string lines;
  for (const auto& line : value.as_array()) {
    if (!line.is_string()) return wrong();
    if (!lines.empty()) lines += '\n';
    lines += std::string_view(line.as_string());
  }
  return lines;
}

Checked<std::string> field_of(const std::string& name, const json::value& value) {
  const auto wrong = [&](std::string_view allowed) {
    return refuse(wrong_parameter(name, json::serialize(value), std::string(allowed)));
  };
  if (name == "headers") return lines_of_texts(name, value);
  if (name == "priority")
    return value.is_int64() ? json::serialize(value) : Checked<std::string>(wrong("a whole number"));
  if (name == "skip_invalid" || name == "overrides") {
    return value.is_bool() ? json::serialize(value) : Checked<std::string>(wrong("true or false"));
  }
  if (name == "recipe" && value.is_object()) return json::serialize(value);
  return value.is_string() ? std::string(value.as_string()) : Checked<std::string>(wrong("a text"));
}

}  // namespace

Checked<JsonUpload> read_json_upload(std::string_view body) {
  boost::system::error_code error;
  const json::value parsed = json::parse(body, error);
  const json::object* object = error ? nullptr : parsed.if_object();
  if (object == nullptr) {
    return refuse(wrong_parameter("body", body, R"(a JSON object such as {"rows": [{"url": "https://…"}]})"));
  }
  const auto* rows = object->if_contains(kRows);
  if (rows == nullptr || !rows->is_array()) {
    return refuse(wrong_parameter("rows", rows == nullptr ? "" : json::serialize(*rows), "a list of rows"));
  }
  JsonUpload upload;
  PIXMILL_TRY(upload.table, lines_of(rows_of(body)));
  for (const auto& [key, value] : *object) {
    if (key == kRows) continue;
    const std::string name(key);
    PIXMILL_TRY(auto field, field_of(name, value));
    if (field.size() > kJsonFieldBytesMax) return refuse(wrong_parameter(name, field, "at most 64 kB"));
    upload.fields.emplace(name, std::move(field));
  }
  return upload;
}

}  // namespace pixmill::api
