#include "fetch/robots_txt.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "base/text.h"

namespace pixmill::fetch {

namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_unreserved(unsigned char c) {
  return is_letter(static_cast<char>(c)) || is_digit(static_cast<char>(c)) || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

// One form for what means the same (RFC 9309 section 2.2.2): bytes beyond ASCII are percent-encoded, encoded characters
// that need not be are decoded, and digits are upper case.
std::string normalised(std::string_view path) {
  std::string form;
  form.reserve(path.size());
  for (std::size_t i = 0; i < path.size(); ++i) {
    const auto byte = static_cast<unsigned char>(path[i]);
    if (byte > 0x7e || byte <= 0x20) {
      form += fmt::format("%{:02X}", byte);
      continue;
    }
    const bool is_coded =
        byte == '%' && i + 2 < path.size() && hex_value(path[i + 1]) >= 0 && hex_value(path[i + 2]) >= 0;
    if (!is_coded) {
      form += path[i];
      continue;
    }
    const auto coded = static_cast<unsigned char>(hex_value(path[i + 1]) * 16 + hex_value(path[i + 2]));
    if (is_unreserved(coded)) {
      form += static_cast<char>(coded);
    } else {
      form += fmt::format("%{:02X}", coded);
    }
    i += 2;
  }
  return form;
}

// Every part between two '*' is looked for behind the one before, the first at the very beginning; taking the first
// place where a part fits loses nothing. Linear in the path, for memmem is.
bool matches(std::string_view pattern, std::string_view path) {
  const bool to_the_end = pattern.ends_with('$');
  if (to_the_end) pattern.remove_suffix(1);
  std::size_t star = pattern.find('*');
  const std::string_view first = pattern.substr(0, star);
  if (!path.starts_with(first)) return false;
  path.remove_prefix(first.size());
  if (star == std::string_view::npos) return !to_the_end || path.empty();
  while (true) {
    pattern.remove_prefix(star + 1);
    star = pattern.find('*');
    const std::string_view part = pattern.substr(0, star);
    if (star == std::string_view::npos && to_the_end) return path.ends_with(part);
    const void* found = part.empty() ? path.data() : memmem(path.data(), path.size(), part.data(), part.size());
    if (found == nullptr) return false;
    path.remove_prefix(static_cast<std::size_t>(static_cast<const char*>(found) - path.data()) + part.size());
    if (star == std::string_view::npos) return true;
  }
}

struct Line {
  std::string_view key;
  std::string_view value;
};

std::optional<Line> line_in(std::string_view text) {
  text = trim(text.substr(0, text.find('#')));
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return Line{.key = trim(text.substr(0, colon)), .value = trim(text.substr(colon + 1))};
}

// The next line and its end, which is LF, CR or both.
std::string_view take_line(std::string_view& text) {
  const auto end = text.find_first_of("\r\n");
  const auto line = text.substr(0, end);
  if (end == std::string_view::npos) {
    text = {};
  } else {
    text.remove_prefix(end + (text.substr(end).starts_with("\r\n") ? 2 : 1));
  }
  return line;
}

// Directives with a value of their own behind a colon; any other name in front of a colon is a product's.
constexpr std::array<std::string_view, 4> kWithValue = {"unavailable_after", "max-snippet", "max-image-preview",
                                                        "max-video-preview"};
constexpr std::array<std::string_view, 5> kForbid = {"noai", "noimageai", "noindex", "noimageindex", "none"};

template <std::size_t Count>
bool is_one_of(std::string_view word, const std::array<std::string_view, Count>& words) {
  return std::ranges::any_of(words, [&](std::string_view one) { return equals_ignoring_case(one, word); });
}

}  // namespace

std::string_view product_token(std::string_view user_agent) {
  const auto end = std::ranges::find_if_not(user_agent, [](char c) { return is_letter(c) || c == '_' || c == '-'; });
  return user_agent.substr(0, static_cast<std::size_t>(end - user_agent.begin()));
}

RobotsTxt RobotsTxt::parse(std::string_view text, std::string_view product) {
  text = text.substr(0, kBytesMax);
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::vector<Rule> ours;
  std::vector<Rule> everyones;
  bool is_for_us = false;  // the group that we are in, and whether any was
  bool is_for_everyone = false;
  bool was_for_us = false;
  bool names_products = false;  // the line before was a User-agent
  while (!text.empty()) {
    const auto line = line_in(take_line(text));
    if (!line) continue;
    if (equals_ignoring_case(line->key, "user-agent")) {
      if (!std::exchange(names_products, true)) is_for_us = is_for_everyone = false;
      is_for_everyone = is_for_everyone || line->value == "*";
      const auto named = product_token(line->value);
      is_for_us = is_for_us || (!named.empty() && equals_ignoring_case(named, product));
      was_for_us = was_for_us || is_for_us;
      continue;
    }
    const bool allows = equals_ignoring_case(line->key, "allow");
    // Lines of other kinds, such as Sitemap, end no group.
    if (!allows && !equals_ignoring_case(line->key, "disallow")) continue;
    names_products = false;
    if (line->value.empty()) continue;  // forbids nothing
    for (auto* rules : {is_for_us ? &ours : nullptr, is_for_everyone ? &everyones : nullptr}) {
      if (rules != nullptr && rules->size() < kRulesMax) {
        rules->push_back({.pattern = normalised(line->value), .allows = allows});
      }
    }
  }
  RobotsTxt robots;
  robots.rules_ = std::move(was_for_us ? ours : everyones);
  std::ranges::stable_sort(robots.rules_, [](const Rule& a, const Rule& b) {
    return a.pattern.size() != b.pattern.size() ? a.pattern.size() > b.pattern.size() : a.allows && !b.allows;
  });
  return robots;
}

bool RobotsTxt::allows(std::string_view target) const {
  if (rules_.empty() || target == "/robots.txt") return true;
  const std::string path = normalised(target);
  const auto found = std::ranges::find_if(rules_, [&](const Rule& rule) { return matches(rule.pattern, path); });
  return found == rules_.end() || found->allows;
}

std::size_t RobotsTxt::bytes() const {
  std::size_t sum = sizeof(*this) + rules_.capacity() * sizeof(Rule);
  for (const auto& rule : rules_) sum += rule.pattern.capacity();
  return sum;
}

bool forbids_use(std::string_view x_robots_tag, std::string_view product) {
  bool is_for_us = true;
  for (std::string_view part : split(x_robots_tag, ',')) {
    part = trim(part);
    if (const auto colon = part.find(':'); colon != std::string_view::npos) {
      const auto name = trim(part.substr(0, colon));
      if (is_one_of(name, kWithValue)) continue;
      is_for_us = equals_ignoring_case(name, product) || name == "*";
      part = trim(part.substr(colon + 1));
    }
    if (is_for_us && is_one_of(part, kForbid)) return true;
  }
  return false;
}

}  // namespace pixmill::fetch
