#include "jobs/retention.h"

#include <fmt/format.h>

#include <cstdint>

#include "base/text.h"
#include "jobs/model.h"

namespace pixmill::jobs {

namespace {

constexpr std::int64_t kDaySeconds = 24LL * 3600;
constexpr std::int64_t kMostSeconds = 100 * 366 * kDaySeconds;

// 0 for what is no unit.
std::int64_t seconds_of(char unit) {
  switch (unit) {
    case 's':
      return 1;
    case 'm':
      return 60;
    case 'h':
      return 3600;
    case 'd':
      return kDaySeconds;
    case 'w':
      return 7 * kDaySeconds;
    default:
      return 0;
  }
}

}  // namespace

Result<std::optional<milliseconds>> parse_keep(std::string_view text) {
  const std::string lower = to_lower(trim(text));
  if (lower.empty()) return std::nullopt;
  if (lower == "forever") return kForever;
  const std::int64_t unit = seconds_of(lower.back());
  const auto count = parse_integer(std::string_view(lower).substr(0, lower.size() - 1));
  if (unit == 0 || !count || *count < 0 || *count > kMostSeconds / unit) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("it must be {}", kKeepForms));
  }
  return seconds(*count * unit);
}

}  // namespace pixmill::jobs
