#include "base/http_time.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"

namespace pixmill {

namespace {

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::vector<std::string_view> words_of(std::string_view text) {
  constexpr std::string_view kSeparators = " ,-:";
  std::vector<std::string_view> words;
  while (true) {
    const auto begin = text.find_first_not_of(kSeparators);
    if (begin == std::string_view::npos) return words;
    text.remove_prefix(begin);
    const auto end = std::min(text.find_first_of(kSeparators), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

// The same order for all three forms: day, month, year, hour, minute, second.
std::optional<std::array<std::string_view, 6>> date_words(std::string_view text) {
  const auto w = words_of(text);
  if (w.size() == 8 && w[7] == "GMT") return std::array{w[1], w[2], w[3], w[4], w[5], w[6]};
  if (w.size() == 7) return std::array{w[2], w[1], w[6], w[3], w[4], w[5]};
  return std::nullopt;
}

std::optional<int> number_in(std::string_view text, int max) {
  const auto value = parse_integer(text);
  if (!value || *value < 0 || *value > max) return std::nullopt;
  return static_cast<int>(*value);
}

}  // namespace

std::optional<TimePoint> parse_http_date(std::string_view text) {
  const auto words = date_words(trim(text));
  if (!words) return std::nullopt;
  const auto month = std::ranges::find(kMonths, (*words)[1]);
  const auto day = number_in((*words)[0], 31);
  auto year = number_in((*words)[2], 9999);
  const auto hour = number_in((*words)[3], 23);
  const auto minute = number_in((*words)[4], 59);
  const auto second = number_in((*words)[5], 60);  // 60 is a leap second
  if (month == kMonths.end() || !day || !year || !hour || !minute || !second) return std::nullopt;
  if ((*words)[2].size() == 2) *year += *year < 70 ? 2000 : 1900;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(month - kMonths.begin()) + 1),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) + seconds(*second);
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view value, TimePoint now, std::chrono::seconds max) {
  value = trim(value);
  const bool digits = !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
  if (digits) {
    const auto delay = parse_integer(value);
    return delay ? std::min(seconds(*delay), max) : max;  // too large to be read is too large to be waited for
  }
  const auto at = parse_http_date(value);
  if (!at) return std::nullopt;
  return std::clamp(std::chrono::ceil<seconds>(*at - now), seconds(0), max);
}

}  // namespace pixmill
