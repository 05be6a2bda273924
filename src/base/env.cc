#include "base/env.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"

namespace pixmill {

namespace {

constexpr std::size_t kDotenvBytesMax = 1u << 20;

bool is_name(std::string_view text) {
  if (text.empty() || (text[0] >= '0' && text[0] <= '9')) return false;
  for (const char c : text) {
    const bool fits = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    if (!fits) return false;
  }
  return true;
}

// `text` begins behind the opening quote. Other escapes than the three are kept as written, so that "C:\dir" means
// itself.
Result<std::string> quoted_value(std::string_view text, char quote) {
  std::string value;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (text[i] == quote) {
      const auto rest = trim(text.substr(i + 1));
      if (!rest.empty() && rest[0] != '#') {
        return fail(ErrorCode::kInvalidArgument, "text after the closing quote");
      }
      return value;
    }
    if (quote == '"' && text[i] == '\\' && (next == 'n' || next == '"' || next == '\\')) {
      value += next == 'n' ? '\n' : next;
      ++i;
    } else {
      value += text[i];
    }
  }
  return fail(ErrorCode::kInvalidArgument, "the closing quote is missing");
}

Result<std::string> dotenv_value(std::string_view text) {
  text = trim(text);
  if (!text.empty() && (text[0] == '"' || text[0] == '\'')) return quoted_value(text.substr(1), text[0]);
  // A '#' within a word belongs to it (colours, URL fragments, passwords); after a blank it begins a comment.
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '#' && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '\t'))
      return std::string(trim(text.substr(0, i)));
  }
  return std::string(text);
}

// nullopt when there is no such file.
Result<std::optional<std::string>> read_dotenv(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (descriptor < 0) return std::unexpected(errno_error(errno, "cannot read .env"));
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while (text.size() <= kDotenvBytesMax) {
    got = ::read(descriptor, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  const int read_errno = errno;
  ::close(descriptor);
  if (got < 0) return std::unexpected(errno_error(read_errno, "cannot read .env"));
  if (text.size() > kDotenvBytesMax) return fail(ErrorCode::kInvalidArgument, ".env is larger than 1 MB");
  return text;
}

}  // namespace

Result<std::map<std::string, std::string>> parse_dotenv(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::map<std::string, std::string> values;
  int line_number = 0;
  for (auto line : split(text, '\n')) {
    ++line_number;
    line = trim(line);
    if (line.empty() || line[0] == '#') continue;
    if (line.starts_with("export ") || line.starts_with("export\t")) line = trim(line.substr(7));
    const auto equals = line.find('=');
    const auto name = trim(line.substr(0, equals));
    if (equals == std::string_view::npos || !is_name(name)) {
      return fail(ErrorCode::kInvalidArgument, fmt::format(".env line {}: expected NAME=value", line_number));
    }
    auto value = dotenv_value(line.substr(equals + 1));
    if (!value) {
      return fail(ErrorCode::kInvalidArgument, fmt::format(".env line {}: {}", line_number, value.error().message));
    }
    values.insert_or_assign(std::string(name), std::move(*value));
  }
  return values;
}

Result<Env> Env::load(const std::string& dotenv_path) {
  std::map<std::string, std::string> values;
  PIXMILL_TRY(const auto text, read_dotenv(dotenv_path));
  if (text) {
    PIXMILL_TRY(values, parse_dotenv(*text));
  }
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view pair(*entry);
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    values.insert_or_assign(std::string(pair.substr(0, equals)), std::string(pair.substr(equals + 1)));
  }
  return from_map(std::move(values));
}

Env Env::from_map(std::map<std::string, std::string> values) {
  Env env;
  env.values_.insert(std::make_move_iterator(values.begin()), std::make_move_iterator(values.end()));
  return env;
}

std::optional<std::string> Env::get(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

std::string Env::get_or(std::string_view name, std::string_view fallback) const {
  return get(name).value_or(std::string(fallback));
}

Result<bool> Env::flag(std::string_view name, bool fallback) const {
  const auto value = get(name);
  if (!value) return fallback;
  for (const auto yes : {"1", "true", "yes", "on"}) {
    if (equals_ignoring_case(*value, yes)) return true;
  }
  for (const auto no : {"0", "false", "no", "off"}) {
    if (equals_ignoring_case(*value, no)) return false;
  }
  return fail(ErrorCode::kInvalidArgument, fmt::format("{} must be true or false", name));
}

Result<std::int64_t> Env::integer(std::string_view name, std::int64_t fallback, std::int64_t min,
                                  std::int64_t max) const {
  const auto value = get(name);
  if (!value) return fallback;
  const auto number = parse_integer(trim(*value));
  if (!number || *number < min || *number > max) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("{} must be a whole number from {} to {}", name, min, max));
  }
  return *number;
}

}  // namespace pixmill
