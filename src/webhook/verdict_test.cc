#include "webhook/verdict.h"

#include <gmock/gmock.h>

namespace pixmill::webhook {
namespace {

using jobs::DeliveryState;
using ::testing::HasSubstr;

const std::vector<milliseconds> kSchedule = {milliseconds(0), seconds(10), seconds(100)};
constexpr TimePoint kNow{milliseconds(1'750'000'000'000)};

Result<http::ClientResponse> status(int code, std::string retry_after = {}) {
  http::ClientResponse response;
  response.status = code;
  if (!retry_after.empty()) response.headers.add("retry-after", std::move(retry_after));
  return response;
}

Verdict after(const Result<http::ClientResponse>& answer, int attempt = 1, double jitter = 0.5) {
  return judge(answer, {.attempt = attempt, .schedule = kSchedule, .now = kNow, .jitter = jitter});
}

TEST(Verdict, TwoHundredsAreDelivered) {
  for (const int code : {200, 201, 202, 204, 299}) {
    EXPECT_EQ(after(status(code)).state, DeliveryState::kDelivered) << code;
    EXPECT_EQ(after(status(code)).error, "");
  }
}

TEST(Verdict, EveryOtherStatusIsTriedAgain) {
  for (const int code : {100, 300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 409, 429, 500, 502, 503, 999}) {
    const auto verdict = after(status(code));
    EXPECT_EQ(verdict.state, DeliveryState::kPending) << code;
    EXPECT_EQ(verdict.kind, AttemptKind::kHttpError) << code;
    EXPECT_EQ(verdict.next_at, kNow + seconds(10)) << code;
    EXPECT_THAT(verdict.error, HasSubstr(std::to_string(code)));
  }
}

TEST(Verdict, GoneEndsTheEndpoint) {
  const auto verdict = after(status(410, "10"));
  EXPECT_EQ(verdict.state, DeliveryState::kEndpointGone);
  EXPECT_EQ(verdict.kind, AttemptKind::kGone);
  EXPECT_FALSE(verdict.next_at);
}

TEST(Verdict, ErrorsAreTriedAgainAndKeepTheirKind) {
  const std::vector<std::pair<ErrorCode, AttemptKind>> kinds = {
      {ErrorCode::kTimeout, AttemptKind::kTimeout},     {ErrorCode::kBlockedAddress, AttemptKind::kBlocked},
      {ErrorCode::kConnect, AttemptKind::kUnreachable}, {ErrorCode::kTls, AttemptKind::kUnreachable},
      {ErrorCode::kDns, AttemptKind::kUnreachable},     {ErrorCode::kDnsNotFound, AttemptKind::kUnreachable},
      {ErrorCode::kProtocol, AttemptKind::kUnreachable}};
  for (const auto& [code, kind] : kinds) {
    const auto verdict = after(fail(code, "what happened", "for the log"));
    EXPECT_EQ(verdict.state, DeliveryState::kPending);
    EXPECT_EQ(verdict.kind, kind);
    EXPECT_EQ(verdict.error, std::string(code_name(code)) + ": what happened");
  }
}

TEST(Verdict, AnAddressThatIsNoUrlIsNotTriedAgain) {
  const auto verdict = after(fail(ErrorCode::kInvalidUrl, "no scheme"));
  EXPECT_EQ(verdict.state, DeliveryState::kExhausted);
  EXPECT_FALSE(verdict.next_at);
}

TEST(Verdict, TheScheduleIsSpreadByATenth) {
  EXPECT_EQ(after(status(500), 1, 0).next_at, kNow + seconds(9));
  EXPECT_EQ(after(status(500), 1, 0.5).next_at, kNow + seconds(10));
  EXPECT_LE(after(status(500), 1, 0.999'999).next_at, kNow + seconds(11));
  EXPECT_EQ(after(status(500), 2, 0.5).next_at, kNow + seconds(100));
}

TEST(Verdict, TheLastAttemptExhausts) {
  EXPECT_EQ(after(status(500), 3).state, DeliveryState::kExhausted);
  EXPECT_EQ(after(status(500), 4).state, DeliveryState::kExhausted)
      << "an attempt beyond the schedule, asked for by hand";
  EXPECT_EQ(after(status(429, "5"), 3).state, DeliveryState::kExhausted);
  EXPECT_EQ(after(status(200), 4).state, DeliveryState::kDelivered);
}

TEST(Verdict, NeverBeforeWhatRetryAfterAsksFor) {
  for (const double jitter : {0.0, 0.5, 0.99}) {
    const auto later = after(status(429, "60"), 1, jitter).next_at.value();
    EXPECT_GE(later, kNow + seconds(60));
    EXPECT_LE(later, kNow + seconds(66));
  }
  EXPECT_EQ(after(status(503, "1")).next_at, kNow + seconds(10)) << "the schedule waits longer";
  EXPECT_EQ(after(status(503, "soon")).next_at, kNow + seconds(10));
  EXPECT_EQ(after(status(503, "999999999"), 1, 0).next_at, kNow + std::chrono::hours(24));
  EXPECT_GE(after(status(503, "Sun, 15 Jun 2025 15:08:40 GMT"), 1, 0).next_at, kNow + seconds(120));
}

TEST(Verdict, ADateIsMeantByTheReceiversClock) {
  auto answer = status(503, "Sun, 06 Nov 1994 08:59:37 GMT");
  answer->headers.add("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(after(answer, 1, 0).next_at, kNow + seconds(600));
}

TEST(Verdict, KindsHaveNamesOfTheirOwn) {
  std::vector<std::string_view> names;
  for (int kind = 0; kind < kAttemptKinds; ++kind) {
    const auto name = to_text(static_cast<AttemptKind>(kind));
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 0) << name;
    names.push_back(name);
  }
}

}  // namespace
}  // namespace pixmill::webhook
