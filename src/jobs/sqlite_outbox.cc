// Events on their way to webhooks, and sealed settings.
#include "base/crypto.h"
#include "jobs/sqlite_internal.h"

namespace pixmill::jobs::sqlite {

namespace {

struct DueRow {
  DueDelivery delivery;
  std::int64_t attempts = 0;
};

Result<std::vector<DueRow>> collect_due(db::Statement& row) {
  std::vector<DueRow> due;
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return due;
    const auto job = Uuid::parse(row.view(6));
    PIXMILL_CHECK(job.has_value());
    due.push_back({.delivery = {.event_id = row.text(0),
                                .job = JobId{*job},
                                .type = row.text(4),
                                .url = row.text(1),
                                .body = row.text(5),
                                .attempt = static_cast<int>(row.integer(2)) + 1,
                                .token = row.integer(3) + 1},
                   .attempts = row.integer(2) + 1});
  }
}

}  // namespace

Result<Outbox::Due> Writer::claim_deliveries(const DeliveryClaim& request) {
  if (request.limit < 1 || request.limit > kDeliveriesPerClaimMax) {
    return fail(ErrorCode::kInvalidArgument, "A claim is for 1 to 64 deliveries.");
  }
  return transact(Durability::kProgress, [&]() -> Result<Outbox::Due> {
    const auto now = now_ms();
    const auto held = to_json(request.held_origins);
    PIXMILL_TRY([[maybe_unused]] const auto stranded,
                run(database_.prepare(kStrandedDeliveries).bind(now + kStrandedAfter.count())));
    PIXMILL_TRY(auto rows,
                collect_due(database_.prepare(kDueDeliveries).bind(now).bind(std::int64_t{request.limit}).bind(held)));
    Outbox::Due due;
    for (auto& row : rows) {
      PIXMILL_TRY([[maybe_unused]] const auto leased, run(database_.prepare(kLeaseDelivery)
                                                              .bind(row.delivery.event_id)
                                                              .bind(now + request.lease.count())
                                                              .bind(row.attempts)
                                                              .bind(row.delivery.token)));
      due.deliveries.push_back(std::move(row.delivery));
    }
    if (!due.deliveries.empty()) return due;
    auto& next = database_.prepare(kNextDelivery).bind(held);
    PIXMILL_TRY(const bool found, step(next));
    if (found) due.next_at = from_unix_ms(next.integer(0));
    next.reset();
    return due;
  });
}

Result<void> Writer::record_delivery(const DeliveryResult& result) {
  PIXMILL_RETURN_IF_ERROR(check_delivery(result));
  // An answer of the receiver must not be asked for twice because the power failed, so its record is durable.
  return transact(Durability::kDurable, [&]() -> Result<void> {
    std::optional<std::int64_t> next_ms;
    if (result.state == DeliveryState::kPending) next_ms = to_unix_ms(*result.next_at);
    PIXMILL_TRY(const auto held, run(database_.prepare(kRecordDelivery)
                                         .bind(result.event_id)
                                         .bind(result.token)
                                         .bind(to_text(result.state))
                                         .bind(next_ms)));
    if (held == 0) return {};
    PIXMILL_TRY([[maybe_unused]] const auto noted, run(database_.prepare(kInsertAttempt)
                                                           .bind(result.event_id)
                                                           .bind(now_ms())
                                                           .bind(std::int64_t{result.http_status})
                                                           .bind(bounded(result.error, kErrorMessageBytesMax))
                                                           .bind(bounded(result.answer, kAnswerBytesMax))
                                                           .bind(result.elapsed_ms)));
    return {};
  });
}

Result<void> Writer::resend(const std::string& event_id) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto changed, run(database_.prepare(kResend).bind(event_id).bind(now_ms())));
    if (changed == 0) return fail(ErrorCode::kNotFound, "There is no such delivery.");
    return {};
  });
}

Result<void> Writer::set_setting(const std::string& name, const std::string& value) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    const auto sealed = seal(options_.master_key, value, seal_context(name));
    PIXMILL_TRY([[maybe_unused]] const auto set, run(database_.prepare(kSetSetting).bind(name).bind_blob(sealed)));
    return {};
  });
}

Result<std::optional<std::string>> Reader::setting(const std::string& name) {
  auto& row = database_.prepare(kSetting).bind(name);
  PIXMILL_TRY(const bool found, step(row));
  if (!found) return std::nullopt;
  const auto sealed = row.text(0);
  row.reset();
  auto value = unseal(master_key_, sealed, seal_context(name));
  if (value) return std::move(*value);
  return fail(ErrorCode::kInvalidArgument,
              "A setting was sealed under another master key; start Pixmill with that one.", value.error().message);
}

namespace {

Result<std::vector<DeliveryAttempt>> attempts_of(db::Database& database, const std::string& event_id) {
  std::vector<DeliveryAttempt> attempts;
  auto& row = database.prepare(kAttemptsOfDelivery).bind(event_id);
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return attempts;
    attempts.push_back({.attempt = static_cast<int>(row.integer(0)),
                        .at = from_unix_ms(row.integer(1)),
                        .http_status = static_cast<int>(row.integer(2)),
                        .error = row.text(3),
                        .elapsed_ms = row.integer(4)});
  }
}

}  // namespace

Result<std::uint64_t> Reader::open_deliveries() {
  auto& row = database_.prepare(kOpenDeliveries);
  PIXMILL_TRY([[maybe_unused]] const bool found, step(row));
  const auto open = static_cast<std::uint64_t>(row.integer(0));
  row.reset();
  return open;
}

Result<std::vector<Delivery>> Reader::deliveries(const JobId& id) {
  return snapshot([&]() -> Result<std::vector<Delivery>> {
    std::vector<Delivery> deliveries;
    auto& row = database_.prepare(kDeliveriesOfJob).bind(id.text());
    while (true) {
      PIXMILL_TRY(const bool found, step(row));
      if (!found) break;
      const auto state = parse_delivery_state(row.view(3));
      PIXMILL_CHECK(state.has_value());
      Delivery delivery;
      delivery.event_id = row.text(0);
      delivery.type = row.text(1);
      delivery.url = row.text(2);
      delivery.state = *state;
      if (state == DeliveryState::kPending) delivery.next_at = from_unix_ms(row.integer(4));
      deliveries.push_back(std::move(delivery));
    }
    for (auto& delivery : deliveries) {
      PIXMILL_TRY(delivery.attempts, attempts_of(database_, delivery.event_id));
    }
    return deliveries;
  });
}

}  // namespace pixmill::jobs::sqlite
