// Events on their way to webhooks: written in the transaction that ends a job, delivered afterwards. A seam like
// JobStore; each database implements both. Called from the loop. Errors of every verb: as JobStore's.
//
//   DELIVERY  pending ► leased ► delivered | pending(next_at) | exhausted | endpoint_gone
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/task.h"
#include "base/time.h"

namespace pixmill::jobs {

enum class DeliveryState : std::uint8_t { kPending, kLeased, kDelivered, kExhausted, kEndpointGone };
[[nodiscard]] std::string_view to_text(DeliveryState state);

struct DueDelivery {
  std::string event_id;  // the webhook-id of every attempt
  JobId job;
  std::string type;  // "job." and the state in which the job ended: job.completed, job.completed_with_errors …
  std::string url;
  std::string body;  // frozen with the event
  int attempt = 1;   // this one included
  std::int64_t token = 0;
};

struct DeliveryResult {
  std::string event_id;
  std::int64_t token = 0;
  DeliveryState state = DeliveryState::kDelivered;  // kPending with next_at: try again
  std::optional<TimePoint> next_at;
  int http_status = 0;  // 0: no answer
  std::string error;    // code and message of a failed attempt
  std::string answer;   // the first 8 kB
  std::int64_t elapsed_ms = 0;
};

struct DeliveryAttempt {
  int attempt = 1;
  TimePoint at;
  int http_status = 0;
  std::string error;
  std::int64_t elapsed_ms = 0;
};

struct Delivery {
  std::string event_id;
  std::string type;
  std::string url;
  DeliveryState state = DeliveryState::kPending;
  std::optional<TimePoint> next_at;
  std::vector<DeliveryAttempt> attempts;
};

struct DeliveryClaim {
  std::uint32_t limit = 16;
  milliseconds lease{30'000};
  // "https://example.com:8443": scheme and authority as a delivery's URL spells them, up to the next '/', '?', '#' or
  // its end. Deliveries to these are left where they are, because their receiver has as many under way as it may: one
  // that hangs must not fill the claims of all others.
  std::vector<std::string> held_origins;
};

class Outbox {
 public:
  virtual ~Outbox() = default;
  struct Due {
    std::vector<DueDelivery> deliveries;
    std::optional<TimePoint> next_at;  // when nothing is due: when something will be, held origins left out
  };
  // The longest due first. Raises attempt and token; an expired lease is claimable again: that is how a kill between
  // send and record is survived.
  [[nodiscard]] virtual Task<Result<Due>> claim_deliveries(DeliveryClaim claim) = 0;
  // Pending and leased, for metrics.
  [[nodiscard]] virtual Task<Result<std::uint64_t>> open_deliveries() = 0;
  // A stale token changes nothing (and is no error).
  [[nodiscard]] virtual Task<Result<void>> record_delivery(DeliveryResult result) = 0;
  [[nodiscard]] virtual Task<Result<std::vector<Delivery>>> deliveries(JobId job) = 0;
  // Another attempt at once under the same id, whatever the state. Errors: kNotFound.
  [[nodiscard]] virtual Task<Result<void>> resend(std::string event_id) = 0;

  // Small sealed values of the installation, such as the webhook secret. nullopt when unset.
  [[nodiscard]] virtual Task<Result<std::optional<std::string>>> setting(std::string name) = 0;
  [[nodiscard]] virtual Task<Result<void>> set_setting(std::string name, std::string value) = 0;
};

}  // namespace pixmill::jobs
