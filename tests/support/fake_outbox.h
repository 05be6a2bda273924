// An outbox in memory with the rules of the real one: due times, leases, tokens, held origins. Lives on the loop.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"
#include "jobs/outbox.h"

namespace pixmill::testing {

class FakeOutbox final : public jobs::Outbox {
 public:
  // The body of every event: bytes that a careless serialisation would change.
  static constexpr std::string_view kBody = "{\"type\":\"job.completed\",\"note\":\"b\xc3\xbcyte \\u0000 exact\"}\n";

  struct Row {
    jobs::DueDelivery delivery;
    jobs::DeliveryState state = jobs::DeliveryState::kPending;
    TimePoint due_at;
    std::vector<jobs::DeliveryResult> results;
  };

  explicit FakeOutbox(const Clock& clock) : clock_(clock) {}

  void add(const std::string& id, const std::string& url) {
    Row row;
    row.delivery.event_id = id;
    row.delivery.type = "job.completed";
    row.delivery.url = url;
    row.delivery.body = kBody;
    row.delivery.attempt = 0;
    row.due_at = clock_.now();
    rows[id] = std::move(row);
  }

  Task<Result<Due>> claim_deliveries(jobs::DeliveryClaim claim) override {
    if (claim_failure) co_return std::unexpected(*claim_failure);
    last_lease = claim.lease;
    Due due;
    for (auto& [id, row] : rows) {
      const bool open = row.state == jobs::DeliveryState::kPending || row.state == jobs::DeliveryState::kLeased;
      if (!open || is_held(row.delivery.url, claim.held_origins)) continue;
      if (row.due_at > clock_.now()) {
        due.next_at = std::min(due.next_at.value_or(row.due_at), row.due_at);
      } else if (due.deliveries.size() < claim.limit) {
        row.state = jobs::DeliveryState::kLeased;
        row.due_at = clock_.now() + claim.lease;
        ++row.delivery.attempt;
        ++row.delivery.token;
        due.deliveries.push_back(row.delivery);
      }
    }
    co_return due;
  }
  Task<Result<std::uint64_t>> open_deliveries() override {
    co_return static_cast<std::uint64_t>(std::ranges::count_if(rows, [](const auto& entry) {
      return entry.second.state == jobs::DeliveryState::kPending || entry.second.state == jobs::DeliveryState::kLeased;
    }));
  }
  Task<Result<void>> record_delivery(jobs::DeliveryResult result) override {
    if (record_failures > 0) {
      --record_failures;
      co_return fail(ErrorCode::kDiskFull, "full");
    }
    auto& row = rows.at(result.event_id);
    if (row.state != jobs::DeliveryState::kLeased || row.delivery.token != result.token) co_return Result<void>();
    row.state = result.state;
    row.due_at = result.next_at.value_or(clock_.now());
    row.results.push_back(std::move(result));
    co_return Result<void>();
  }
  Task<Result<std::vector<jobs::Delivery>>> deliveries(JobId) override { co_return std::vector<jobs::Delivery>(); }
  Task<Result<void>> resend(std::string event_id) override {
    rows.at(event_id).state = jobs::DeliveryState::kPending;
    rows.at(event_id).due_at = clock_.now();
    co_return Result<void>();
  }
  Task<Result<std::optional<std::string>>> setting(std::string) override { co_return std::nullopt; }
  Task<Result<void>> set_setting(std::string, std::string) override { co_return Result<void>(); }

  std::map<std::string, Row> rows;
  std::optional<Error> claim_failure;
  int record_failures = 0;
  milliseconds last_lease{0};

 private:
  static bool is_held(const std::string& url, const std::vector<std::string>& origins) {
    return std::ranges::any_of(origins, [&](const std::string& origin) {
      return url.starts_with(origin) &&
             (url.size() == origin.size() || std::string_view("/?#").contains(url[origin.size()]));
    });
  }
  const Clock& clock_;
};

}  // namespace pixmill::testing
