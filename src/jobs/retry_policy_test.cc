#include "jobs/retry_policy.h"

#include <gtest/gtest.h>

namespace pixmill::jobs {
namespace {

const TimePoint kNow = from_unix_ms(1'750'000'000'000);

Error error_of(ErrorCode code) { return {.code = code, .message = "", .detail = ""}; }

std::optional<milliseconds> wait_of(ErrorCode code, FailedAttempt attempt, const RetryPolicy& policy = {}) {
  const auto at = next_attempt_at(policy, error_of(code), attempt, kNow);
  if (!at) return std::nullopt;
  return *at - kNow;
}

TEST(RetryPolicy, NeverRetriesWhatWillNotChange) {
  for (const auto code :
       {ErrorCode::kHttpPermanent, ErrorCode::kDnsNotFound, ErrorCode::kBlockedAddress, ErrorCode::kInvalidUrl,
        ErrorCode::kNotAnImage, ErrorCode::kTooLarge, ErrorCode::kDecodeFailed, ErrorCode::kUnsupportedFormat}) {
    EXPECT_EQ(wait_of(code, {.attempt = 1}), std::nullopt) << code_name(code);
  }
}

TEST(RetryPolicy, RetriesTransientTroubleUntilAttemptsAreUsedUp) {
  for (const auto code : {ErrorCode::kHttpTransient, ErrorCode::kTimeout, ErrorCode::kConnect, ErrorCode::kDns,
                          ErrorCode::kTruncated, ErrorCode::kStoreFailed}) {
    for (int attempt = 1; attempt <= 4; ++attempt) EXPECT_TRUE(wait_of(code, {.attempt = attempt}).has_value());
    EXPECT_EQ(wait_of(code, {.attempt = 5}), std::nullopt) << code_name(code);
    EXPECT_EQ(wait_of(code, {.attempt = 6}), std::nullopt) << code_name(code);
  }
}

TEST(RetryPolicy, WaitsFullJitterOverADoublingBase) {
  const auto wait = [](int attempt, double jitter) {
    return wait_of(ErrorCode::kTimeout, {.attempt = attempt, .engine_crashes = 0, .jitter = jitter}).value();
  };
  EXPECT_EQ(wait(1, 0.0), milliseconds(0));
  EXPECT_EQ(wait(1, 0.5), milliseconds(500));
  EXPECT_EQ(wait(2, 0.5), milliseconds(1'000));
  EXPECT_EQ(wait(4, 0.5), milliseconds(4'000));
  EXPECT_LT(wait(4, 0.999'999), milliseconds(8'000));
}

TEST(RetryPolicy, NeverWaitsLongerThanTheCeiling) {
  RetryPolicy patient;
  patient.attempts_max = 1'000;
  const FailedAttempt late{.attempt = 900, .engine_crashes = 0, .jitter = 0.5};
  EXPECT_EQ(wait_of(ErrorCode::kTimeout, late, patient), milliseconds(30'000));
}

TEST(RetryPolicy, NeverComesBeforeWhatThePeerAskedFor) {
  auto busy = error_of(ErrorCode::kHttpTransient);
  busy.retry_after = std::chrono::seconds(120);
  EXPECT_EQ(next_attempt_at({}, busy, {.attempt = 1}, kNow), kNow + std::chrono::seconds(120));
  busy.retry_after = std::chrono::seconds(0);
  EXPECT_EQ(next_attempt_at({}, busy, {.attempt = 1}, kNow), kNow + milliseconds(500));
}

TEST(RetryPolicy, TriesACrashOnceMoreAtOnce) {
  EXPECT_EQ(wait_of(ErrorCode::kEngineCrash, {.attempt = 1, .engine_crashes = 1}), milliseconds(0));
  EXPECT_EQ(wait_of(ErrorCode::kEngineCrash, {.attempt = 2, .engine_crashes = 2}), std::nullopt);
  EXPECT_EQ(wait_of(ErrorCode::kEngineCrash, {.attempt = 5, .engine_crashes = 1}), std::nullopt);
}

}  // namespace
}  // namespace pixmill::jobs
