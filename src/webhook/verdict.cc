#include "webhook/verdict.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/http_time.h"

namespace pixmill::webhook {

namespace {

constexpr seconds kRetryAfterMax = std::chrono::hours(24);  // the longest wait of the schedule
constexpr double kSpread = 0.1;

AttemptKind kind_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidUrl:
      return AttemptKind::kInvalidUrl;
    case ErrorCode::kBlockedAddress:
      return AttemptKind::kBlocked;
    case ErrorCode::kTimeout:
      return AttemptKind::kTimeout;
    default:
      return AttemptKind::kUnreachable;
  }
}

std::string status_text(int status) {
  if (status >= 300 && status < 400) {
    return fmt::format("http_{}: the receiver redirects, and webhooks are not redirected", status);
  }
  return fmt::format("http_{}: the receiver answered {}", status, status);
}

std::optional<seconds> asked_delay(const http::ClientResponse& answer, TimePoint now) {
  const auto header = answer.headers.get("Retry-After");
  if (!header) return std::nullopt;
  // A date is meant by the receiver's own clock, which may be off.
  const auto receiver_now = parse_http_date(answer.headers.get("Date").value_or(""));
  return parse_retry_after(*header, receiver_now.value_or(now), kRetryAfterMax);
}

// Spread both ways around the schedule, and only upwards from what the receiver asked for: not all events of a receiver
// that was down should come back in the same second.
std::optional<TimePoint> next_attempt(const AttemptContext& context, std::optional<seconds> asked) {
  const auto index = static_cast<std::size_t>(context.attempt);
  if (index >= context.schedule.size()) return std::nullopt;
  const auto scaled = [](milliseconds wait, double factor) {
    return std::chrono::ceil<milliseconds>(std::chrono::duration<double, std::milli>(wait) * factor);
  };
  auto wait = scaled(context.schedule[index], 1 - kSpread + 2 * kSpread * context.jitter);
  if (asked) wait = std::max(wait, scaled(*asked, 1 + kSpread * context.jitter));
  return context.now + wait;
}

}  // namespace

std::string_view to_text(AttemptKind kind) {
  switch (kind) {
    case AttemptKind::kDelivered:
      return "delivered";
    case AttemptKind::kGone:
      return "gone";
    case AttemptKind::kHttpError:
      return "http_error";
    case AttemptKind::kBlocked:
      return "blocked";
    case AttemptKind::kTimeout:
      return "timeout";
    case AttemptKind::kUnreachable:
      return "unreachable";
    case AttemptKind::kInvalidUrl:
      return "invalid_url";
  }
  return "unreachable";
}

Verdict judge(const Result<http::ClientResponse>& answer, const AttemptContext& context) {
  if (answer && answer->status >= 200 && answer->status < 300) return {};
  Verdict verdict;
  std::optional<seconds> asked;
  if (answer) {
    verdict.kind = answer->status == 410 ? AttemptKind::kGone : AttemptKind::kHttpError;
    verdict.error = status_text(answer->status);
    asked = asked_delay(*answer, context.now);
  } else {
    verdict.kind = kind_of(answer.error().code);
    verdict.error = fmt::format("{}: {}", code_text(answer.error()), answer.error().message);
  }
  if (verdict.kind == AttemptKind::kGone) {
    verdict.state = jobs::DeliveryState::kEndpointGone;
    return verdict;
  }
  // A malformed address does not get better by waiting; a blocked one may, because names change.
  if (verdict.kind != AttemptKind::kInvalidUrl) verdict.next_at = next_attempt(context, asked);
  verdict.state = verdict.next_at ? jobs::DeliveryState::kPending : jobs::DeliveryState::kExhausted;
  return verdict;
}

}  // namespace pixmill::webhook
