// Time as the product sees it: wall-clock instants in whole milliseconds since 1970 (UTC), from a Clock that tests
// replace.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace pixmill {

using std::chrono::milliseconds;
using std::chrono::seconds;
using TimePoint = std::chrono::sys_time<milliseconds>;

// Thread-safe. One SystemClock per process; tests pass a ManualClock (tests/support/manual_clock.h).
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override;
};

[[nodiscard]] inline std::int64_t to_unix_ms(TimePoint at) { return at.time_since_epoch().count(); }
[[nodiscard]] inline TimePoint from_unix_ms(std::int64_t unix_ms) { return TimePoint(milliseconds(unix_ms)); }

// RFC 3339 in UTC with milliseconds: "2026-01-31T08:05:00.123Z".
[[nodiscard]] std::string to_rfc3339(TimePoint at);

}  // namespace pixmill
