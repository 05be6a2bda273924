// When a failed item runs again. Pure.
#pragma once

#include <optional>

#include "base/error.h"
#include "base/time.h"

namespace pixmill::jobs {

struct RetryPolicy {
  int attempts_max = 5;
  int engine_crashes_max = 2;
  milliseconds base{1'000};      // full jitter over base · 2^(attempt-1) …
  milliseconds ceiling{60'000};  // … at most this
};

struct FailedAttempt {
  int attempt = 1;         // from 1, this one included
  int engine_crashes = 0;  // this one included
  double jitter = 0.5;     // uniform in [0, 1)
};

// nullopt: the failure is final (permanent kind, or attempts used up). Never before what the peer's Retry-After asks
// for. A crash is tried again at once, until it is the second.
[[nodiscard]] std::optional<TimePoint> next_attempt_at(const RetryPolicy& policy, const Error& error,
                                                       FailedAttempt attempt, TimePoint now);

}  // namespace pixmill::jobs
