// A clock that stands still until a test moves it. Thread-safe.
#pragma once

#include <atomic>

#include "base/time.h"

namespace pixmill::testing {

class ManualClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return from_unix_ms(unix_ms_.load()); }
  void advance(milliseconds by) { unix_ms_ += by.count(); }

 private:
  std::atomic<std::int64_t> unix_ms_{1'750'000'000'000};
};

}  // namespace pixmill::testing
