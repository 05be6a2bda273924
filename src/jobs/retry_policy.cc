#include "jobs/retry_policy.h"

#include <algorithm>

namespace pixmill::jobs {

namespace {

// min(ceiling, base · 2^(attempt-1)), without overflow however many attempts there were.
milliseconds longest_wait(const RetryPolicy& policy, int attempt) {
  milliseconds wait = policy.base;
  for (int i = 1; i < attempt && wait < policy.ceiling; ++i) wait *= 2;
  return std::min(wait, policy.ceiling);
}

}  // namespace

std::optional<TimePoint> next_attempt_at(const RetryPolicy& policy, const Error& error, FailedAttempt attempt,
                                         TimePoint now) {
  if (!is_transient(error.code)) return std::nullopt;
  if (attempt.attempt >= policy.attempts_max) return std::nullopt;
  if (error.code == ErrorCode::kEngineCrash) {
    if (attempt.engine_crashes >= policy.engine_crashes_max) return std::nullopt;
    return now;
  }
  const double jittered_ms = attempt.jitter * static_cast<double>(longest_wait(policy, attempt.attempt).count());
  milliseconds wait(static_cast<std::int64_t>(jittered_ms));
  if (error.retry_after) wait = std::max(wait, milliseconds(*error.retry_after));
  return now + wait;
}

}  // namespace pixmill::jobs
