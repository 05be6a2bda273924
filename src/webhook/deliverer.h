// Sends events to webhooks: Standard Webhooks 1.0, at least once, under the address policy. Lives on the loop; one per process.
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
  milliseconds attempt_timeout{15'000};
  milliseconds idle_poll{2'000};
  std::uint64_t answer_bytes_max = 64u << 10;
  // Waits before attempts 2, 3 …, each ±10 %.
  std::vector<milliseconds> schedule;  // empty: default_schedule()
  std::string user_agent;
};

// 0, 5 s, 5 min, 30 min, 2, 5, 10, 14, 20, 24 h: the first is the wait before attempt 1 (Standard Webhooks' recommendation).
[[nodiscard]] std::vector<milliseconds> default_schedule();

// All must outlive the deliverer.
struct DelivererParts {
  jobs::Outbox& outbox;
  http::Client& client;
  http::Resolver& resolver;
  const fetch::AddressPolicy& policy;
  const Clock& clock;
  Metrics& metrics;
};

class Deliverer {
 public:
  Deliverer(Executor executor, DelivererParts parts, WebhookSecret secret, DelivererOptions options);
  ~Deliverer();

  void start();
  void wake();  // an event was committed
  [[nodiscard]] Task<void> stop();

  // Claims what is due and sends it, all attempts ended when it returns; says when to come again. start() loops over it; tests call
  // it under a simulated clock.
  [[nodiscard]] Task<std::optional<TimePoint>> run_once();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace pixmill::webhook
