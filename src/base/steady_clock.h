// The calendar as it was when the process began, and from then on time as it passes: when somebody sets the system's
// clock, what waits for a moment neither waits for years nor falls due at once (PROMISES P11). For scheduling only;
// what others compare with their own clocks, such as signatures, needs SystemClock.
#pragma once

#include <chrono>

#include "base/time.h"

namespace pixmill {

// Thread-safe.
class SteadyClock final : public Clock {
 public:
  // `calendar` is read once.
  explicit SteadyClock(const Clock& calendar) : began_at_(calendar.now()) {}
  [[nodiscard]] TimePoint now() const override {
    return began_at_ + std::chrono::floor<milliseconds>(std::chrono::steady_clock::now() - began_);
  }

 private:
  TimePoint began_at_;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace pixmill
