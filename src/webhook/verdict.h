// What one attempt means for its delivery: done, again later, or never. Pure; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "http/client.h"
#include "jobs/outbox.h"

namespace pixmill::webhook {

// For the metric pixmill_webhook_attempts_total.
enum class AttemptKind : std::uint8_t {
  kDelivered,
  kGone,       // 410
  kHttpError,  // any other status, redirects included
  kBlocked,    // by the address policy
  kTimeout,
  kUnreachable,  // no name, no connection, no HTTP
  kInvalidUrl,
};
inline constexpr int kAttemptKinds = static_cast<int>(AttemptKind::kInvalidUrl) + 1;
[[nodiscard]] std::string_view to_text(AttemptKind kind);

struct AttemptContext {
  int attempt = 1;                         // this one included
  std::span<const milliseconds> schedule;  // the wait before each attempt
  TimePoint now;                           // when the attempt ended
  double jitter = 0.5;                     // uniform in [0, 1)
};

struct Verdict {
  AttemptKind kind = AttemptKind::kDelivered;
  jobs::DeliveryState state = jobs::DeliveryState::kDelivered;
  std::optional<TimePoint> next_at;  // with kPending
  std::string error;                 // "http_503: …"; empty when delivered
};

// 2xx is delivered, 410 ends the endpoint, an address that is no URL ends the delivery, everything else is tried again
// by the schedule ±10 %, not before what Retry-After asks for (at most 24 h), until its last entry has been used.
[[nodiscard]] Verdict judge(const Result<http::ClientResponse>& answer, const AttemptContext& context);

}  // namespace pixmill::webhook
