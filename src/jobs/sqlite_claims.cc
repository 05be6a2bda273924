// Work goes out: claims, heartbeats, and items that come back unfinished.
#include <algorithm>

#include "jobs/claim_plan.h"
#include "jobs/sqlite_internal.h"

namespace pixmill::jobs::sqlite {

namespace {

Result<void> collect_items(db::Statement& statement, std::vector<std::uint64_t>& items) {
  while (true) {
    PIXMILL_TRY(const bool found, step(statement));
    if (!found) return {};
    items.push_back(static_cast<std::uint64_t>(statement.integer(0)));
  }
}

}  // namespace

// Retries that are due come first: others of their job can wait, they have waited already.
Result<std::vector<std::uint64_t>> Writer::ready_items(std::int64_t job_no, std::size_t limit) {
  std::vector<std::uint64_t> items;
  const auto now = now_ms();
  const auto left = [&] { return static_cast<std::int64_t>(limit - items.size()); };
  PIXMILL_RETURN_IF_ERROR(collect_items(database_.prepare(kDueItems).bind(job_no).bind(now).bind(left()), items));
  if (left() > 0) {
    PIXMILL_RETURN_IF_ERROR(collect_items(database_.prepare(kFreshItems).bind(job_no).bind(left()), items));
  }
  if (left() > 0) {
    auto& stranded = database_.prepare(kStrandedItems).bind(job_no).bind(now + kStrandedAfter.count()).bind(left());
    PIXMILL_RETURN_IF_ERROR(collect_items(stranded, items));
  }
  return items;
}

// Walks the jobs that have something pending; those where all of it has to wait only say until when.
Result<std::vector<Pick>> Writer::pick_items(const ClaimRequest& request, std::optional<TimePoint>& next_ready_at) {
  auto& row = database_.prepare(kRunnableJobs).bind(request.only ? request.only->text() : std::string());
  const auto next_job = [&]() -> Result<std::optional<RunnableJob>> {
    while (true) {
      PIXMILL_TRY(const bool found, step(row));
      if (!found) return std::nullopt;
      const RunnableJob job{.job_no = row.integer(0), .priority = row.integer(1)};
      PIXMILL_TRY(const auto ready, ready_items(job.job_no, 1));
      if (!ready.empty()) return job;
      PIXMILL_TRY(const auto retry_at, next_retry(job.job_no));
      if (retry_at && (!next_ready_at || *retry_at < *next_ready_at)) next_ready_at = retry_at;
    }
  };
  const auto ready = [this](std::int64_t job_no, std::size_t limit) { return ready_items(job_no, limit); };
  auto picks = plan_claim(request.limit, next_job, ready);
  row.reset();
  return picks;
}

Result<std::optional<TimePoint>> Writer::next_retry(std::int64_t job_no) {
  auto& statement = database_.prepare(kNextRetry).bind(job_no);
  PIXMILL_TRY(const bool found, step(statement));
  if (!found) return std::nullopt;
  const auto at = from_unix_ms(statement.integer(0));
  statement.reset();
  return at;
}

Result<Claim> Writer::claim(const ClaimRequest& request) {
  if (request.limit < 1 || request.limit > kClaimMax) {
    return fail(ErrorCode::kInvalidArgument, "A claim is for 1 to 64 items.");
  }
  return transact(Durability::kProgress, [&] { return claim_now(request); });
}

Result<Claim> Writer::claim_now(const ClaimRequest& request) {
  Claim claim;
  PIXMILL_TRY(const bool more_followers, wake_more_followers());
  PIXMILL_TRY(const auto picks, pick_items(request, claim.next_ready_at));
  for (const auto& pick : picks) {
    PIXMILL_RETURN_IF_ERROR(lease_items(pick, request, claim.items));
    PIXMILL_TRY([[maybe_unused]] const auto served, run(database_.prepare(kServeJob)
                                                            .bind(pick.job_no)
                                                            .bind(static_cast<std::int64_t>(pick.items.size()))
                                                            .bind(++turn_)
                                                            .bind(now_ms())));
  }
  if (!claim.items.empty()) claim.next_ready_at.reset();
  if (claim.items.empty() && more_followers) claim.next_ready_at = clock_.now();
  return claim;
}

Result<void> Writer::lease_items(const Pick& pick, const ClaimRequest& request, std::vector<ClaimedItem>& items) {
  PIXMILL_TRY(const auto stored, load_job(database_, pick.job_no));
  PIXMILL_TRY(auto earlier, earlier_job(stored.job));
  auto numbers = pick.items;
  std::ranges::sort(numbers);
  const auto until = now_ms() + request.lease.count();
  for (const auto number : numbers) {
    auto& row = database_.prepare(kItemToClaim).bind(pick.job_no).bind(static_cast<std::int64_t>(number));
    PIXMILL_TRY(const bool found, step(row));
    PIXMILL_CHECK(found);
    ClaimedItem item;
    item.lease = {.job_no = pick.job_no, .item = number, .token = row.integer(4) + 1};
    item.job = stored.job.id;
    item.row = static_cast<std::uint64_t>(row.integer(0));
    item.index = static_cast<std::uint32_t>(row.integer(1));
    item.url = row.text(2);
    item.output_stem = row.text(3);
    item.attempt = static_cast<int>(row.integer(5)) + 1;
    item.engine_crashes = static_cast<int>(row.integer(6));
    const auto original = row.integer(7);
    std::optional<std::int64_t> recipe_no;
    if (!row.is_null(8)) recipe_no = row.integer(8);
    const auto since_item = row.integer(9);
    row.reset();
    PIXMILL_TRY(auto recipe, load_recipe(database_, pick.job_no, recipe_no));
    if (recipe) item.recipe = std::move(recipe->text);
    if (original != 0) {
      PIXMILL_RETURN_IF_ERROR(describe_original(pick.job_no, static_cast<std::uint64_t>(original), item));
    }
    if (earlier && since_item != kKnownWithoutResult && !item.same_as) {
      PIXMILL_RETURN_IF_ERROR(describe_earlier(*earlier, stored.job.recipe, since_item, item));
    }
    PIXMILL_TRY([[maybe_unused]] const auto leased, run(database_.prepare(kLeaseItem)
                                                            .bind(pick.job_no)
                                                            .bind(static_cast<std::int64_t>(number))
                                                            .bind(item.lease.token)
                                                            .bind(until)
                                                            .bind(request.worker)));
    items.push_back(std::move(item));
  }
  return {};
}

Result<void> Writer::describe_original(std::int64_t job_no, std::uint64_t original, ClaimedItem& item) {
  auto& row = database_.prepare(kOriginal).bind(job_no).bind(static_cast<std::int64_t>(original));
  PIXMILL_TRY(const bool found, step(row));
  if (!found) return {};
  const auto state = parse_item_state(row.view(0));
  if (state == ItemState::kSucceeded || state == ItemState::kUnchanged) {
    item.same_as = original;
    item.same_as_unchanged = state == ItemState::kUnchanged;
    item.same_as_bytes_in = static_cast<std::uint64_t>(row.integer(1));
    row.reset();
    PIXMILL_TRY(item.same_as_outputs, load_outputs(database_, job_no, original));
  } else if (state == ItemState::kFailed) {
    item.same_as = original;
    item.same_as_error_code = row.text(2);
    item.same_as_error_message = row.text(3);
  }
  row.reset();
  return {};
}

Result<std::vector<Lease>> Writer::renew(const std::vector<Lease>& leases, milliseconds lease) {
  return transact(Durability::kProgress, [&]() -> Result<std::vector<Lease>> {
    std::vector<Lease> lost;
    std::map<std::int64_t, bool> is_cancelling;
    const auto until = now_ms() + lease.count();
    for (const auto& held : leases) {
      PIXMILL_TRY(const auto renewed, run(database_.prepare(kRenew)
                                              .bind(held.job_no)
                                              .bind(static_cast<std::int64_t>(held.item))
                                              .bind(held.token)
                                              .bind(until)));
      if (renewed == 0) {
        lost.push_back(held);
        continue;
      }
      if (!is_cancelling.contains(held.job_no)) {
        PIXMILL_TRY(const auto stored, load_job(database_, held.job_no));
        is_cancelling[held.job_no] = stored.job.state == JobState::kCancelling;
      }
      if (is_cancelling[held.job_no]) lost.push_back(held);
    }
    return lost;
  });
}

Result<bool> Writer::give_back(const Lease& lease, std::int64_t not_before, JobState job_state) {
  const bool cancelling = job_state == JobState::kCancelling;
  PIXMILL_TRY(const auto changed, run(database_.prepare(cancelling ? kCancelLeasedItem : kReleaseItem)
                                          .bind(lease.job_no)
                                          .bind(static_cast<std::int64_t>(lease.item))
                                          .bind(lease.token)
                                          .bind(cancelling ? now_ms() : not_before)));
  return changed > 0;
}

Result<void> Writer::give_back_all(const std::vector<Lease>& leases, std::int64_t not_before, Finished& finished,
                                   std::uint64_t& given_back) {
  std::map<std::int64_t, std::pair<JobState, CounterChange>> jobs;
  for (const auto& lease : leases) {
    auto entry = jobs.find(lease.job_no);
    if (entry == jobs.end()) {
      auto stored = load_job(database_, lease.job_no);
      if (!stored && stored.error().code == ErrorCode::kNotFound) continue;
      if (!stored) return std::unexpected(stored.error());
      entry = jobs.emplace(lease.job_no, std::pair(stored->job.state, CounterChange{})).first;
    }
    auto& [state, change] = entry->second;
    PIXMILL_TRY(const bool held, give_back(lease, not_before, state));
    if (!held) continue;
    ++given_back;
    --change.leased;
    if (state != JobState::kCancelling) continue;
    --change.remaining;
    ++change.cancelled;
  }
  for (const auto& [job_no, entry] : jobs) {
    PIXMILL_RETURN_IF_ERROR(count(job_no, entry.second));
    PIXMILL_RETURN_IF_ERROR(end_if_done(job_no, finished));
  }
  return {};
}

Result<void> Writer::release(const std::vector<Lease>& leases, std::optional<TimePoint> ready_at) {
  return transact(Durability::kProgress, [&]() -> Result<void> {
    Finished finished;
    std::uint64_t given_back = 0;
    const std::int64_t not_before = ready_at ? std::max<std::int64_t>(to_unix_ms(*ready_at), 0) : 0;
    return give_back_all(leases, not_before, finished, given_back);
  });
}

// Nobody else lives (the caller holds the folder's lock), so every lease is one of a process that died.
Result<std::vector<ClaimedItem>> Writer::start() {
  PIXMILL_RETURN_IF_ERROR(database_.execute("PRAGMA synchronous=NORMAL"));
  return transact(Durability::kDurable, [&]() -> Result<std::vector<ClaimedItem>> {
    auto& turn = database_.prepare(kLastTurn);
    PIXMILL_TRY([[maybe_unused]] const bool found, step(turn));
    turn_ = turn.integer(0);
    turn.reset();
    std::vector<ClaimedItem> interrupted;
    std::vector<Lease> leases;
    auto& row = database_.prepare(kAllLeases);
    while (true) {
      PIXMILL_TRY(const bool more, step(row));
      if (!more) break;
      ClaimedItem item;
      item.lease = {
          .job_no = row.integer(0), .item = static_cast<std::uint64_t>(row.integer(1)), .token = row.integer(2)};
      item.row = static_cast<std::uint64_t>(row.integer(3));
      item.index = static_cast<std::uint32_t>(row.integer(4));
      item.url = row.text(5);
      item.output_stem = row.text(6);
      item.attempt = static_cast<int>(row.integer(7)) + 1;
      item.engine_crashes = static_cast<int>(row.integer(8));
      if (!row.is_null(9)) item.same_as = static_cast<std::uint64_t>(row.integer(9));
      leases.push_back(item.lease);
      interrupted.push_back(std::move(item));
    }
    for (auto& item : interrupted) {
      PIXMILL_TRY(const auto stored, load_job(database_, item.lease.job_no));
      item.job = stored.job.id;
    }
    Finished finished;
    std::uint64_t given_back = 0;
    PIXMILL_RETURN_IF_ERROR(give_back_all(leases, 0, finished, given_back));
    // Whoever had these under way is dead too: they are due now, not when its leases would have ended.
    PIXMILL_RETURN_IF_ERROR(database_.execute("UPDATE ingests SET leased_until = 0"));
    PIXMILL_RETURN_IF_ERROR(database_.execute("UPDATE removals SET due_at = 0"));
    PIXMILL_RETURN_IF_ERROR(database_.execute("UPDATE deliveries SET due_at = 0 WHERE state = 'leased'"));
    return interrupted;
  });
}

}  // namespace pixmill::jobs::sqlite
