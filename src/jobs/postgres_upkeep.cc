// The invariants on PostgreSQL: looking, counting, and putting right.
#include <array>
#include <set>

#include "jobs/postgres_internal.h"

namespace pixmill::jobs::postgres {

namespace {

std::int64_t number(std::uint64_t value) { return static_cast<std::int64_t>(value); }

bool is_about_one_job(CheckScope scope) { return scope == CheckScope::kItems || scope == CheckScope::kRows; }

Params slice_of(const CheckRange& range) {
  Params params;
  params.add(range.first_job).add(number(range.first)).add(number(range.last));
  return params;
}

}  // namespace

// --- Looking ---

// Outside of a transaction's effects: the lock belongs to the connection.
Result<bool> Writer::lead() {
  return session_.snapshot([&]() -> Result<bool> {
    PIXMILL_TRY(const auto rows, session_.query(kLead, Params()));
    return rows[0].integer(0) != 0;
  });
}

Result<std::vector<Violation>> Writer::violations(Invariant invariant, const CheckRange& range) {
  const auto sql = check_of(invariant);
  if (sql.empty()) return fail(ErrorCode::kInvalidArgument, "That one is counted, not looked for.");
  const bool one_job = is_about_one_job(info_of(invariant).scope);
  return session_.snapshot([&]() -> Result<std::vector<Violation>> {
    const auto params = one_job ? slice_of(range) : Params().add(range.first_job).add(range.last_job).add(now_ms());
    PIXMILL_TRY(const auto rows, session_.query(sql, params));
    std::vector<Violation> found;
    for (int i = 0; i < rows.size(); ++i) {
      found.push_back({.invariant = invariant,
                       .job_no = rows[i].integer(0),
                       .job = rows[i].text(1),
                       .number = natural(rows[i], 2),
                       .detail = rows[i].text(3)});
    }
    return found;
  });
}

Result<JobRecord> Writer::record(const JobId& id) {
  return session_.snapshot([&]() -> Result<JobRecord> {
    PIXMILL_TRY(auto stored, load_job(session_, id));
    return JobRecord{.job_no = stored.job_no, .job = std::move(stored.job), .leased = stored.leased};
  });
}

Result<JobTotals> Writer::item_totals(const CheckRange& range) {
  return session_.snapshot([&]() -> Result<JobTotals> {
    PIXMILL_TRY(const auto sums, session_.query(kItemTotals, slice_of(range)));
    JobTotals totals;
    totals.total = natural(sums[0], 0);
    totals.remaining = natural(sums[0], 1);
    totals.succeeded = natural(sums[0], 2);
    totals.failed = natural(sums[0], 3);
    totals.cancelled = natural(sums[0], 4);
    totals.bytes_in = natural(sums[0], 5);
    totals.bytes_out = natural(sums[0], 6);
    totals.unchanged = natural(sums[0], 7);
    totals.changed = natural(sums[0], 8);
    if (totals.failed == 0) return totals;
    PIXMILL_TRY(const auto codes, session_.query(kFailureTotals, slice_of(range)));
    for (int i = 0; i < codes.size(); ++i) totals.failures[codes[i].text(0)] = natural(codes[i], 1);
    return totals;
  });
}

Result<JobTotals> Writer::row_totals(const CheckRange& range) {
  return session_.snapshot([&]() -> Result<JobTotals> {
    PIXMILL_TRY(const auto sums, session_.query(kRowTotals, slice_of(range)));
    JobTotals totals;
    totals.rows = natural(sums[0], 0);
    totals.invalid = natural(sums[0], 1);
    return totals;
  });
}

Result<std::map<std::string, std::uint64_t>> Writer::failure_counts(std::int64_t job_no) {
  return session_.snapshot([&]() -> Result<std::map<std::string, std::uint64_t>> {
    PIXMILL_TRY(const auto rows, session_.query(kFailureGroups, Params().add(job_no)));
    std::map<std::string, std::uint64_t> counts;
    for (int i = 0; i < rows.size(); ++i) counts[rows[i].text(0)] = natural(rows[i], 1);
    return counts;
  });
}

Result<std::int64_t> Writer::jobs_after(std::int64_t after, std::uint32_t count) {
  return session_.snapshot([&]() -> Result<std::int64_t> {
    PIXMILL_TRY(const auto rows, session_.query(kLastJobAfter, Params().add(after).add(std::int64_t{count})));
    return rows[0].integer(0);
  });
}

Result<std::vector<Review>> Writer::due_reviews(TimePoint until, std::uint32_t limit) {
  return session_.snapshot([&]() -> Result<std::vector<Review>> {
    Params params;
    params.add(database_ms(until)).add(database_ms(clock_.now() + kStrandedAfter)).add(std::int64_t{limit});
    PIXMILL_TRY(const auto rows, session_.query(kDueReviews, params));
    std::vector<Review> due;
    for (int i = 0; i < rows.size(); ++i) {
      const auto id = Uuid::parse(rows[i].view(2));
      if (!id) return broken_row("job");
      due.push_back({.job = JobId{*id}, .job_no = rows[i].integer(0), .note = rows[i].integer(1)});
    }
    return due;
  });
}

// --- Putting right ---

Result<bool> Writer::repair(const Violation& violation) {
  auto repaired = transact(Durability::kDurable, [&] { return repair_now(violation); });
  if (!repaired && repaired.error().code == ErrorCode::kNotFound) return false;
  return repaired;
}

// Single rows, whose statement says itself what it may change.
Result<bool> Writer::repair_now(const Violation& violation) {
  const auto one = Params().add(violation.job_no).add(number(violation.number));
  const auto changed = [&](std::string_view sql, const Params& params) -> Result<bool> {
    PIXMILL_TRY(const auto rows, run(session_, sql, params));
    return rows > 0;
  };
  switch (violation.invariant) {
    case Invariant::kOverdueLeases:
      return changed(kEndOverdueLease, Params(one).add(now_ms()));
    case Invariant::kHungJobs:
      return changed(kWakeWaiting, Params().add(violation.job_no).add(kWakesPerTransaction));
    case Invariant::kStuckFollowers:
      return changed(kWakeFollower, one);
    case Invariant::kStrayReopenings:
      return changed(kForgetStrayReopening, Params().add(violation.job_no));
    case Invariant::kOverdueDeliveries:
      return changed(kDateDelivery, Params().add(violation.detail).add(now_ms()));
    case Invariant::kStrayOutputs:
      return changed(kForgetStrayOutputs, one);
    default:
      return repair_job(violation);
  }
}

Result<bool> Writer::repair_job(const Violation& violation) {
  switch (violation.invariant) {
    case Invariant::kStalledJobs:
      return recount_and_end(violation.job_no);
    case Invariant::kLeasedCounts:
    case Invariant::kPendingCounts:
      return recount(violation.job_no);
    case Invariant::kLeasesOfEndedJobs:
    case Invariant::kOpenItemsOfEndedJobs:
      return settle_open_items(violation.job_no);
    case Invariant::kEndsWithoutEvent:
      return write_missing_event(violation.job_no);
    case Invariant::kEventsWithoutDelivery:
      return write_missing_delivery(violation);
    default:
      return false;
  }
}

Result<bool> Writer::end_stalled(std::int64_t job_no) {
  Finished finished;
  PIXMILL_RETURN_IF_ERROR(end_if_done(job_no, finished));
  return !finished.empty();
}

// The job's row is held before its items are counted, in a statement of its own: every change of an item that this one
// sees has changed the counters too, and every other is going to, when the row is free.
Result<bool> Writer::recount(std::int64_t job_no) {
  PIXMILL_TRY(const auto stored, load_job(session_, job_no, Lock::kForUpdate));
  PIXMILL_TRY(const auto counts, session_.query(kCountItemsInState, Params().add(job_no)));
  const auto leased = counts[0].integer(1);
  const auto remaining = counts[0].integer(0) + leased;
  const auto succeeded = counts[0].integer(2);
  const auto failed = counts[0].integer(3);
  const auto cancelled = counts[0].integer(4);
  const auto& job = stored.job;
  if (number(stored.leased) == leased && number(job.remaining) == remaining && number(job.succeeded) == succeeded &&
      number(job.failed) == failed && number(job.cancelled) == cancelled) {
    return false;
  }
  Params params;
  params.add(job_no).add(leased).add(remaining).add(succeeded).add(failed).add(cancelled);
  params.add(remaining + succeeded + failed + cancelled);
  PIXMILL_TRY([[maybe_unused]] const auto changed, run(session_, kSetCounts, params));
  PIXMILL_TRY([[maybe_unused]] const bool ended, end_stalled(job_no));
  return true;
}

// Its counter may be what is wrong: a job with open items must not be ended.
Result<bool> Writer::recount_and_end(std::int64_t job_no) {
  PIXMILL_TRY(const bool recounted, recount(job_no));
  if (recounted) return true;
  return end_stalled(job_no);
}

// They failed without anybody's fault, and may be retried, or are cancelled with their job.
Result<bool> Writer::settle_open_items(std::int64_t job_no) {
  // Locked, or a retry might reopen items in between.
  PIXMILL_TRY(const auto stored, load_job(session_, job_no, Lock::kForUpdate));
  const auto state = stored.job.state;
  if (!is_terminal(state)) return false;
  const bool cancel = state == JobState::kCancelled || state == JobState::kRejected;
  const auto code = code_name(ErrorCode::kInternal);
  Params params;
  params.add(job_no).add(kCancelsPerTransaction).add(to_text(cancel ? ItemState::kCancelled : ItemState::kFailed));
  params.add(now_ms()).add(cancel ? std::string_view() : code).add(cancel ? std::string_view() : kLeftOpenMessage);
  PIXMILL_TRY(const auto settled, run(session_, kSettleOpenItems, params));
  if (settled > 0 && !cancel) {
    const std::vector<std::int64_t> jobs = {job_no};
    const std::vector<std::int64_t> counts = {settled};
    const std::vector<std::string> codes = {std::string(code)};
    const std::vector<std::string> examples = {std::string(kLeftOpenMessage)};
    PIXMILL_TRY([[maybe_unused]] const auto counted,
                run(session_, kCountFailures, Params().add(jobs).add(codes).add(counts).add(examples)));
  }
  PIXMILL_TRY(const bool recounted, recount(job_no));
  return settled > 0 || recounted;
}

Result<bool> Writer::write_missing_event(std::int64_t job_no) {
  PIXMILL_TRY(const auto stored, load_job(session_, job_no, Lock::kForUpdate));
  if (!is_terminal(stored.job.state)) return false;
  PIXMILL_TRY(const auto event,
              session_.query(kTerminalEvent, Params().add(job_no).add(std::int64_t{stored.job.generation})));
  if (!event.empty()) return false;
  PIXMILL_RETURN_IF_ERROR(write_event(job_no, stored.job));
  return true;
}

Result<bool> Writer::write_missing_delivery(const Violation& violation) {
  PIXMILL_TRY(const auto stored, load_job(session_, violation.job_no, Lock::kForUpdate));
  const auto& url = stored.job.webhook_url;
  if (url.empty()) return false;
  PIXMILL_TRY(const auto added, run(session_, kAddMissingDelivery,
                                    Params().add(violation.detail).add(url).add(origin_of(url)).add(now_ms())));
  PIXMILL_TRY([[maybe_unused]] const auto told, session_.query(kNotifyEvent, Params()));
  return added > 0;
}

Result<bool> Writer::correct(const JobRecord& record, const JobTotals& truth) {
  return transact(Durability::kDurable, [&]() -> Result<bool> {
    // The job before its failures, as a retry locks them; outcomes and removals, which lock them the other way round,
    // do not come for a job that has ended and stays.
    PIXMILL_TRY(const auto stored, load_job(session_, record.job_no, Lock::kForUpdate));
    const bool has_ended = is_terminal(stored.job.state) && stored.job.state != JobState::kDeleting;
    if (!has_ended || stored.job.generation != record.job.generation) return false;
    PIXMILL_RETURN_IF_ERROR(correct_failures(record.job_no, truth));
    Params params;
    params.add(record.job_no).add(std::int64_t{record.job.generation}).add(number(truth.rows));
    params.add(number(truth.invalid)).add(number(truth.total)).add(number(truth.remaining));
    params.add(number(truth.succeeded)).add(number(truth.failed)).add(number(truth.cancelled));
    params.add(number(truth.bytes_in)).add(number(truth.bytes_out)).add(number(truth.unchanged));
    PIXMILL_TRY(const auto corrected, run(session_, kCorrectCounters, params.add(number(truth.changed))));
    return corrected > 0;
  });
}

Result<void> Writer::correct_failures(std::int64_t job_no, const JobTotals& truth) {
  PIXMILL_TRY(const auto groups, session_.query(kFailureGroups, Params().add(job_no)));
  for (int i = 0; i < groups.size(); ++i) {
    if (truth.failures.contains(groups[i].text(0))) continue;
    PIXMILL_TRY([[maybe_unused]] const auto forgotten,
                run(session_, kForgetFailureCount, Params().add(job_no).add(groups[i].text(0))));
  }
  for (const auto& [code, count] : truth.failures) {
    PIXMILL_TRY([[maybe_unused]] const auto set,
                run(session_, kSetFailureCount, Params().add(job_no).add(code).add(number(count))));
  }
  return {};
}

// --- Reviews ---

Result<void> Writer::note_reviews(const std::vector<std::int64_t>& jobs) {
  if (jobs.empty()) return {};
  PIXMILL_TRY([[maybe_unused]] const auto noted, run(session_, kNoteReview, Params().add(jobs).add(now_ms())));
  return {};
}

Result<void> Writer::note_fenced(const std::vector<Lease>& fenced) {
  std::set<std::int64_t> jobs;
  for (const auto& lease : fenced) jobs.insert(lease.job_no);
  return note_reviews({jobs.begin(), jobs.end()});
}

Result<void> Writer::end_review(const Review& review) {
  return transact(Durability::kProgress, [&]() -> Result<void> {
    const auto now = now_ms();
    PIXMILL_TRY(const auto ended,
                run(session_, kEndReview,
                    Params().add(review.job_no).add(review.note).add(now).add(now + 2 * kSweepFence.count())));
    if (ended > 0) return {};
    PIXMILL_TRY([[maybe_unused]] const auto put_off,
                run(session_, kPutReviewOff, Params().add(review.job_no).add(review.note).add(now)));
    return {};
  });
}

Result<bool> Writer::begin_sweep(const JobRecord& record) {
  return transact(Durability::kDurable, [&]() -> Result<bool> {
    PIXMILL_TRY(const auto stored, load_job(session_, record.job_no, Lock::kForUpdate));
    const bool has_ended = is_terminal(stored.job.state) && stored.job.state != JobState::kDeleting;
    if (!has_ended || stored.job.generation != record.job.generation) return false;
    const auto now = now_ms();
    Params params;
    params.add(record.job_no).add(now).add(sweep_fence(now)).add(now + 2 * kSweepFence.count());
    PIXMILL_TRY([[maybe_unused]] const auto begun, run(session_, kBeginSweep, params));
    return true;
  });
}

Result<void> Writer::end_sweep(const JobRecord& record) {
  return transact(Durability::kProgress, [&]() -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto ended, run(session_, kEndSweep, Params().add(record.job_no)));
    return {};
  });
}

// The caller holds the job, as whoever begins a sweep does.
Result<void> Writer::check_not_swept(std::int64_t job_no) {
  const auto now = now_ms();
  PIXMILL_TRY(const auto rows,
              session_.query(kIsSwept, Params().add(job_no).add(now).add(now + 2 * kSweepFence.count())));
  if (!rows.empty()) return job_is_swept();
  return {};
}

}  // namespace pixmill::jobs::postgres
