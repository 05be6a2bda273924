// Work goes out: claims, heartbeats, and items that come back unfinished.
#include <algorithm>
#include <set>

#include "jobs/postgres_internal.h"

namespace pixmill::jobs::postgres {

namespace {

// Another process is taking what was ready: it is done within a transaction's time.
constexpr milliseconds kTakenWait{20};

// Columns 0 to 9 of kLeaseItems.
Result<ClaimedItem> read_claimed(const db::pg::Row& row) {
  ClaimedItem item;
  item.lease = {.job_no = row.integer(0), .item = natural(row, 1), .token = row.integer(2)};
  item.row = natural(row, 3);
  item.index = static_cast<std::uint32_t>(row.integer(4));
  item.url = row.text(5);
  item.output_stem = row.text(6);
  item.attempt = static_cast<int>(row.integer(7)) + 1;
  item.engine_crashes = static_cast<int>(row.integer(8));
  const auto id = Uuid::parse(row.view(9));
  if (!id) return broken_row("job id");
  item.job = JobId{*id};
  return item;
}

}  // namespace

Result<Claim> Writer::claim(const ClaimRequest& request) {
  if (request.limit < 1 || request.limit > kClaimMax) {
    return fail(ErrorCode::kInvalidArgument, "A claim is for 1 to 64 items.");
  }
  // Durable: a token that a crash of the server takes back would be given out twice.
  return transact(Durability::kDurable, [&] { return claim_now(request); });
}

Result<Claim> Writer::claim_now(const ClaimRequest& request) {
  Claim claim;
  PIXMILL_TRY(const auto jobs, runnable_jobs(request, claim));
  auto next = jobs.begin();
  const auto next_job = [&]() -> Result<std::optional<RunnableJob>> {
    if (next == jobs.end()) return std::nullopt;
    return *next++;
  };
  const auto ready = [this](std::int64_t job_no, std::size_t limit) { return ready_items(job_no, limit); };
  PIXMILL_TRY(const auto picks, plan_claim(request.limit, next_job, ready));
  if (!picks.empty()) {
    PIXMILL_RETURN_IF_ERROR(lease_items(picks, request, claim.items));
    PIXMILL_RETURN_IF_ERROR(serve_jobs(picks));
    claim.next_ready_at.reset();
    return claim;
  }
  PIXMILL_TRY(const bool more_followers, wake_more_followers());
  if (more_followers) {
    claim.next_ready_at = clock_.now();
  } else if (!jobs.empty()) {
    claim.next_ready_at = clock_.now() + kTakenWait;
  }
  return claim;
}

// Those that have something ready, in the order of service; of the others the earliest retry.
Result<std::vector<RunnableJob>> Writer::runnable_jobs(const ClaimRequest& request, Claim& claim) {
  const auto now = now_ms();
  PIXMILL_TRY(const auto rows,
              session_.query(
                  kRunnableJobs,
                  Params().add(request.only ? request.only->text() : "").add(now).add(now + kStrandedAfter.count())));
  std::vector<RunnableJob> jobs;
  for (int i = 0; i < rows.size(); ++i) {
    const auto row = rows[i];
    if (!row.is_null(2)) {
      jobs.push_back({.job_no = row.integer(0), .priority = row.integer(1)});
    } else if (!row.is_null(3)) {
      const auto retry_at = here(row.integer(3));
      if (!claim.next_ready_at || retry_at < *claim.next_ready_at) claim.next_ready_at = retry_at;
    }
  }
  return jobs;
}

Result<std::vector<std::uint64_t>> Writer::ready_items(std::int64_t job_no, std::size_t limit) {
  const auto now = now_ms();
  PIXMILL_TRY(
      const auto found,
      numbers(session_, kReadyItems,
              Params().add(job_no).add(now).add(now + kStrandedAfter.count()).add(static_cast<std::int64_t>(limit))));
  return std::vector<std::uint64_t>(found.begin(), found.end());
}

Result<void> Writer::lease_items(const std::vector<Pick>& picks, const ClaimRequest& request,
                                 std::vector<ClaimedItem>& items) {
  std::vector<std::int64_t> job_no;
  std::vector<std::int64_t> item;
  for (const auto& pick : picks) {
    auto ascending = pick.items;
    std::ranges::sort(ascending);
    job_no.insert(job_no.end(), ascending.size(), pick.job_no);
    item.insert(item.end(), ascending.begin(), ascending.end());
  }
  PIXMILL_TRY(const auto rows, session_.query(kLeaseItems, Params()
                                                               .add(job_no)
                                                               .add(item)
                                                               .add(now_ms() + request.lease.count())
                                                               .add(request.worker)
                                                               .add(options_.server)));
  if (rows.size() != static_cast<int>(item.size())) return session_.try_again();
  std::vector<std::int64_t> since_items;
  for (int i = 0; i < rows.size(); ++i) {
    const auto row = rows[i];
    PIXMILL_TRY(auto claimed, read_claimed(row));
    since_items.push_back(row.integer(16));
    claimed.recipe = row.text(10);
    const auto original_state = parse_item_state(row.view(12));
    if (original_state == ItemState::kSucceeded || original_state == ItemState::kUnchanged) {
      claimed.same_as = natural(row, 11);
      claimed.same_as_unchanged = original_state == ItemState::kUnchanged;
      claimed.same_as_bytes_in = natural(row, 13);
    } else if (original_state == ItemState::kFailed) {
      claimed.same_as = natural(row, 11);
      claimed.same_as_error_code = row.text(14);
      claimed.same_as_error_message = row.text(15);
    }
    items.push_back(std::move(claimed));
  }
  PIXMILL_RETURN_IF_ERROR(describe_originals(items));
  return describe_earlier(items, since_items);
}

// What was stored for the same address before, once for all items that share it.
Result<void> Writer::describe_originals(std::vector<ClaimedItem>& items) {
  std::map<std::int64_t, std::set<std::int64_t>> wanted;
  for (const auto& item : items) {
    const bool succeeded = item.same_as && item.same_as_error_code.empty();
    if (succeeded) wanted[item.lease.job_no].insert(static_cast<std::int64_t>(*item.same_as));
  }
  for (const auto& [job_no, originals] : wanted) {
    const std::vector<std::int64_t> numbers(originals.begin(), originals.end());
    PIXMILL_TRY(const auto outputs, load_outputs(session_, job_no, numbers));
    for (auto& item : items) {
      if (item.lease.job_no != job_no || !item.same_as) continue;
      if (const auto found = outputs.find(*item.same_as); found != outputs.end()) item.same_as_outputs = found->second;
    }
  }
  return {};
}

Result<void> Writer::serve_jobs(const std::vector<Pick>& picks) {
  std::vector<std::int64_t> job_no;
  std::vector<std::int64_t> items;
  for (const auto& pick : picks) {
    job_no.push_back(pick.job_no);
    items.push_back(std::ssize(pick.items));
  }
  PIXMILL_TRY(const auto served, run(session_, kServeJobs, Params().add(job_no).add(items).add(now_ms())));
  // One was cancelled since it was picked.
  if (served != std::ssize(picks)) return session_.try_again();
  return {};
}

Result<std::vector<Lease>> Writer::renew(const std::vector<Lease>& leases, milliseconds lease) {
  const LeaseArrays arrays(leases);
  return transact(Durability::kProgress, [&]() -> Result<std::vector<Lease>> {
    PIXMILL_TRY(
        const auto rows,
        session_.query(kRenew,
                       Params().add(arrays.job_no).add(arrays.item).add(arrays.token).add(now_ms() + lease.count())));
    PIXMILL_TRY(const auto cancelling, numbers(session_, kCancellingAmong, Params().add(arrays.job_no)));
    std::vector<Lease> held;
    for (int i = 0; i < rows.size(); ++i) {
      if (std::ranges::find(cancelling, rows[i].integer(0)) != cancelling.end()) continue;
      held.push_back({.job_no = rows[i].integer(0), .item = natural(rows[i], 1), .token = rows[i].integer(2)});
    }
    std::vector<Lease> lost;
    std::ranges::copy_if(leases, std::back_inserter(lost),
                         [&](const Lease& one) { return std::ranges::find(held, one) == held.end(); });
    return lost;
  });
}

Result<std::uint64_t> Writer::give_back(std::vector<Lease> leases, std::int64_t not_before, Finished& finished) {
  if (leases.empty()) return 0;
  const LeaseArrays arrays(std::move(leases));
  PIXMILL_TRY(
      const auto rows,
      session_.query(kGiveBack,
                     Params().add(arrays.job_no).add(arrays.item).add(arrays.token).add(not_before).add(now_ms())));
  Changes changes;
  for (int i = 0; i < rows.size(); ++i) {
    auto& change = changes[rows[i].integer(0)];
    --change.leased;
    if (rows[i].view(1) != to_text(ItemState::kCancelled)) continue;
    --change.remaining;
    ++change.cancelled;
  }
  PIXMILL_RETURN_IF_ERROR(count(changes, finished));
  return static_cast<std::uint64_t>(rows.size());
}

Result<void> Writer::release(const std::vector<Lease>& leases, std::optional<TimePoint> ready_at) {
  return transact(Durability::kProgress, [&]() -> Result<void> {
    Finished finished;
    const std::int64_t not_before = ready_at ? database_ms(*ready_at) : 0;
    PIXMILL_TRY([[maybe_unused]] const auto given_back, give_back(leases, not_before, finished));
    return {};
  });
}

Result<bool> Writer::wake_more_followers() {
  PIXMILL_TRY(const auto due, session_.query(kLeaderDue, Params()));
  if (due.empty()) return false;
  const auto leader = Params().add(due[0].integer(0)).add(due[0].integer(1));
  PIXMILL_TRY(const auto woken, run(session_, kWakeMore, Params(leader).add(kWakesPerTransaction)));
  if (woken == kWakesPerTransaction) return true;
  PIXMILL_TRY([[maybe_unused]] const auto forgotten, run(session_, kForgetLeader, leader));
  return true;
}

Result<std::vector<ClaimedItem>> Writer::start() {
  if (options_.server.empty()) return std::vector<ClaimedItem>();
  return transact(Durability::kDurable, [&]() -> Result<std::vector<ClaimedItem>> {
    PIXMILL_TRY(const auto rows, session_.query(kLeasesOfServer, Params().add(options_.server)));
    PIXMILL_TRY([[maybe_unused]] const auto ingests,
                run(session_, kReleaseIngestsOfServer, Params().add(options_.server)));
    std::vector<ClaimedItem> interrupted;
    std::vector<Lease> leases;
    for (int i = 0; i < rows.size(); ++i) {
      PIXMILL_TRY(auto item, read_claimed(rows[i]));
      item.same_as = optional_integer<std::uint64_t>(rows[i], 10);
      leases.push_back(item.lease);
      interrupted.push_back(std::move(item));
    }
    Finished finished;
    PIXMILL_TRY([[maybe_unused]] const auto given_back, give_back(std::move(leases), 0, finished));
    return interrupted;
  });
}

}  // namespace pixmill::jobs::postgres
