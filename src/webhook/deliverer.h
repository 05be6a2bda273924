// Sends events to webhooks: Standard Webhooks 1.0, at least once, under the address policy. Lives on the loop; one per
// process.
//
// A delivery is leased from the outbox, sent, and its result recorded. A kill in between lets the lease end, and the
// event goes out again under the same id. Each receiver has few attempts under way at once, and a receiver that has its
// fill is left out of the claims, so one that hangs delays nobody else.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/signature.h"
#include "base/task.h"
#include "fetch/address_policy.h"
#include "http/client.h"
#include "http/resolver.h"
#include "jobs/outbox.h"

namespace pixmill::webhook {

struct DelivererOptions {
  std::uint32_t parallel = 16;
  std::uint32_t parallel_per_origin = 4;
  milliseconds attempt_timeout{15'000};  // one attempt, resolving the name included
  milliseconds idle_poll{2'000};
  milliseconds stop_grace{5'000};  // what stop() gives attempts under way before it breaks them off
  std::uint64_t answer_bytes_max = 64u << 10;
  // The wait before each attempt, ±10 %, the first of which is 0 (an event is due when it is committed); as many
  // attempts as entries. Empty: default_schedule().
  std::vector<milliseconds> schedule;
  std::string user_agent;  // empty: "Pixmill/<version>"
};

// 0, 5 s, 5 min, 30 min, 2, 5, 10, 14, 20, 24 h (Standard Webhooks' recommendation).
[[nodiscard]] std::vector<milliseconds> default_schedule();

// All must outlive the deliverer. `client` should have been made with may_connect of the same policy, which checks the
// address once more right before connecting.
struct DelivererParts {
  jobs::Outbox& outbox;
  http::Client& client;
  http::Resolver& resolver;
  const fetch::AddressPolicy& policy;
  const Clock& clock;
  Metrics& metrics;
  const Clock* calendar = nullptr;  // of signatures, which receivers compare with their own clocks; null: `clock`
};

class Deliverer {
 public:
  Deliverer(Executor executor, DelivererParts parts, WebhookSecret secret, DelivererOptions options);
  // When start() was called, stop() must have returned, or the loop must not run any more.
  ~Deliverer();
  Deliverer(const Deliverer&) = delete;
  Deliverer& operator=(const Deliverer&) = delete;

  void start();
  void wake();  // an event was committed
  // Claims nothing more and waits for the attempts under way; those that outlast stop_grace are broken off, stay leased
  // and are sent again later. Returns after attempt_timeout at the latest.
  [[nodiscard]] Task<void> stop();

  // Claims what is due and sends it, until nothing is due; all attempts have ended when it returns. Says when to come
  // again. For callers that do not start(), such as commands and tests under a simulated clock.
  [[nodiscard]] Task<std::optional<TimePoint>> run_once();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace pixmill::webhook
