// Events on their way to webhooks, sealed settings, and the recipes that users gave names to.
#include <fmt/format.h>

#include "base/crypto.h"
#include "jobs/postgres_internal.h"

namespace pixmill::jobs::postgres {

using db::pg::Rows;

namespace {

Result<std::vector<DueDelivery>> due_of(const Rows& rows) {
  std::vector<DueDelivery> due;
  for (int i = 0; i < rows.size(); ++i) {
    const auto row = rows[i];
    const auto job = Uuid::parse(row.view(6));
    if (!job) return broken_row("job id");
    due.push_back({.event_id = row.text(0),
                   .job = JobId{*job},
                   .type = row.text(4),
                   .url = row.text(1),
                   .body = row.text(5),
                   .attempt = static_cast<int>(row.integer(2)) + 1,
                   .token = row.integer(3) + 1});
  }
  return due;
}

}  // namespace

Result<Outbox::Due> Writer::claim_deliveries(const DeliveryClaim& request) {
  if (request.limit < 1 || request.limit > kDeliveriesPerClaimMax) {
    return fail(ErrorCode::kInvalidArgument, "A claim is for 1 to 64 deliveries.");
  }
  return transact(Durability::kDurable, [&]() -> Result<Outbox::Due> {
    const auto now = now_ms();
    PIXMILL_TRY([[maybe_unused]] const auto stranded,
                run(session_, kStrandedDeliveries, Params().add(now + kStrandedAfter.count())));
    PIXMILL_TRY(
        const auto rows,
        session_.query(kDueDeliveries, Params().add(now).add(std::int64_t{request.limit}).add(request.held_origins)));
    Outbox::Due due;
    PIXMILL_TRY(due.deliveries, due_of(rows));
    if (due.deliveries.empty()) {
      PIXMILL_TRY(const auto next, session_.query(kNextDelivery, Params().add(request.held_origins)));
      if (!next.empty()) due.next_at = here(next[0].integer(0));
      return due;
    }
    std::vector<std::string> ids;
    for (const auto& delivery : due.deliveries) ids.push_back(delivery.event_id);
    PIXMILL_TRY([[maybe_unused]] const auto leased,
                run(session_, kLeaseDeliveries, Params().add(ids).add(now + request.lease.count())));
    return due;
  });
}

Result<void> Writer::record_delivery(const DeliveryResult& result) {
  PIXMILL_RETURN_IF_ERROR(check_delivery(result));
  // An answer of the receiver must not be asked for twice because the power failed, so its record is durable.
  return transact(Durability::kDurable, [&]() -> Result<void> {
    std::optional<std::int64_t> next_ms;
    if (result.state == DeliveryState::kPending) next_ms = database_ms(*result.next_at);
    PIXMILL_TRY(const auto held,
                run(session_, kRecordDelivery,
                    Params().add(result.event_id).add(result.token).add(to_text(result.state)).add(next_ms)));
    if (held == 0) return {};
    PIXMILL_TRY([[maybe_unused]] const auto noted, run(session_, kInsertAttempt,
                                                       Params()
                                                           .add(result.event_id)
                                                           .add(now_ms())
                                                           .add(std::int64_t{result.http_status})
                                                           .add(bounded(result.error, kErrorMessageBytesMax))
                                                           .add(bounded(result.answer, kAnswerBytesMax))
                                                           .add(result.elapsed_ms)));
    return {};
  });
}

Result<void> Writer::resend(const std::string& event_id) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto changed, run(session_, kResend, Params().add(event_id).add(now_ms())));
    if (changed == 0) return fail(ErrorCode::kNotFound, "There is no such delivery.");
    PIXMILL_TRY([[maybe_unused]] const auto told, session_.query(kNotifyEvent, Params()));
    return {};
  });
}

Result<void> Writer::set_setting(const std::string& name, const std::string& value) {
  const auto sealed = seal(options_.master_key, value, seal_context(name));
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto set, run(session_, kSetSetting, Params().add(name).add_bytes(sealed)));
    return {};
  });
}

Result<void> Writer::set_setting_once(const std::string& name, const std::string& value) {
  const auto sealed = seal(options_.master_key, value, seal_context(name));
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto set, run(session_, kSetSettingOnce, Params().add(name).add_bytes(sealed)));
    return {};
  });
}

Result<std::optional<std::string>> Reader::setting(const std::string& name) {
  std::string sealed;
  PIXMILL_TRY(const bool found, snapshot([&]() -> Result<bool> {
                PIXMILL_TRY(const auto rows, session_.query(kSetting, Params().add(name)));
                if (!rows.empty()) sealed = rows[0].text(0);
                return !rows.empty();
              }));
  if (!found) return std::nullopt;
  auto value = unseal(master_key_, sealed, seal_context(name));
  if (value) return std::move(*value);
  return fail(ErrorCode::kInvalidArgument,
              "A setting was sealed under another master key; start Pixmill with that one.", value.error().message);
}

Result<std::uint64_t> Reader::open_deliveries() {
  return snapshot([&]() -> Result<std::uint64_t> {
    PIXMILL_TRY(const auto rows, session_.query(kOpenDeliveries, Params()));
    return natural(rows[0], 0);
  });
}

namespace {

Result<std::vector<DeliveryAttempt>> attempts_of(Session& session, const std::string& event_id) {
  PIXMILL_TRY(const auto rows, session.query(kAttemptsOfDelivery, Params().add(event_id)));
  std::vector<DeliveryAttempt> attempts;
  for (int i = 0; i < rows.size(); ++i) {
    const auto row = rows[i];
    attempts.push_back({.attempt = static_cast<int>(row.integer(0)),
                        .at = from_unix_ms(row.integer(1)),
                        .http_status = static_cast<int>(row.integer(2)),
                        .error = row.text(3),
                        .elapsed_ms = row.integer(4)});
  }
  return attempts;
}

}  // namespace

Result<std::vector<Delivery>> Reader::deliveries(const JobId& id) {
  return snapshot([&]() -> Result<std::vector<Delivery>> {
    PIXMILL_TRY(const auto rows, session_.query(kDeliveriesOfJob, Params().add(id.text())));
    std::vector<Delivery> deliveries;
    for (int i = 0; i < rows.size(); ++i) {
      const auto state = parse_delivery_state(rows[i].view(3));
      if (!state) return broken_row("delivery state");
      Delivery delivery;
      delivery.event_id = rows[i].text(0);
      delivery.type = rows[i].text(1);
      delivery.url = rows[i].text(2);
      delivery.state = *state;
      if (state == DeliveryState::kPending) delivery.next_at = from_unix_ms(rows[i].integer(4));
      PIXMILL_TRY(delivery.attempts, attempts_of(session_, delivery.event_id));
      deliveries.push_back(std::move(delivery));
    }
    return deliveries;
  });
}

// Two that save at once come one after the other.
Result<RecipeSaved> Writer::save_recipe(const std::string& name, const std::string& text) {
  return transact(Durability::kDurable, [&]() -> Result<RecipeSaved> {
    PIXMILL_TRY([[maybe_unused]] const auto locked, session_.query(kLockRecipes, Params()));
    PIXMILL_TRY(const auto latest, session_.query(kLatestRecipe, Params().add(name)));
    RecipeSaved saved;
    if (!latest.empty()) saved.recipe = read_saved_recipe(latest[0]);
    if (!latest.empty() && !saved.recipe.removed && saved.recipe.text == text) return saved;
    PIXMILL_TRY(const auto measured, session_.query(kMeasureRecipes, Params()));
    PIXMILL_RETURN_IF_ERROR(
        check_recipe_room(natural(measured[0], 0), natural(measured[0], 1), options_.saved_recipes_max, text));
    saved.is_new = true;
    saved.recipe = {.name = name,
                    .version = latest.empty() ? 1 : saved.recipe.version + 1,
                    .text = text,
                    .created_at = clock_.now(),
                    .removed = false};
    PIXMILL_TRY([[maybe_unused]] const auto inserted, run(session_, kInsertSavedRecipe,
                                                          Params()
                                                              .add(name)
                                                              .add(std::int64_t{saved.recipe.version})
                                                              .add(text)
                                                              .add(to_unix_ms(saved.recipe.created_at))));
    return saved;
  });
}

Result<void> Writer::remove_recipe(const std::string& name) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto removed, run(session_, kRemoveRecipe, Params().add(name)));
    if (removed == 0) return fail(ErrorCode::kNotFound, fmt::format("There is no recipe '{}'.", name));
    return {};
  });
}

Result<std::vector<SavedRecipe>> Reader::saved_recipes() {
  return snapshot([&]() -> Result<std::vector<SavedRecipe>> {
    PIXMILL_TRY(const auto rows, session_.query(kSavedRecipes, Params()));
    std::vector<SavedRecipe> recipes;
    for (int i = 0; i < rows.size(); ++i) recipes.push_back(read_saved_recipe(rows[i]));
    return recipes;
  });
}

}  // namespace pixmill::jobs::postgres
