// The invariants on SQLite: looking, counting, and putting right.
#include <array>

#include "jobs/sqlite_internal.h"

namespace pixmill::jobs::sqlite {

namespace {

std::int64_t number(std::uint64_t value) { return static_cast<std::int64_t>(value); }

bool is_about_one_job(CheckScope scope) { return scope == CheckScope::kItems || scope == CheckScope::kRows; }

}  // namespace

// --- Looking ---

db::Statement& Reader::bind_check(Invariant invariant, const CheckRange& range) {
  auto& query = database_.prepare(check_of(invariant)).bind(range.first_job);
  if (is_about_one_job(info_of(invariant).scope)) return query.bind(number(range.first)).bind(number(range.last));
  return query.bind(range.last_job).bind(to_unix_ms(clock_.now()));
}

Result<std::vector<Violation>> Reader::violations(Invariant invariant, const CheckRange& range) {
  if (check_of(invariant).empty()) return fail(ErrorCode::kInvalidArgument, "That one is counted, not looked for.");
  auto& row = bind_check(invariant, range);
  std::vector<Violation> found;
  while (true) {
    PIXMILL_TRY(const bool more, step(row));
    if (!more) return found;
    found.push_back({.invariant = invariant,
                     .job_no = row.integer(0),
                     .job = row.text(1),
                     .number = natural(row, 2),
                     .detail = row.text(3)});
  }
}

Result<JobRecord> Reader::record(const JobId& id) {
  PIXMILL_TRY(auto stored, load_job(database_, id));
  return JobRecord{.job_no = stored.job_no, .job = std::move(stored.job), .leased = stored.leased};
}

Result<JobTotals> Reader::item_totals(const CheckRange& range) {
  return snapshot([&]() -> Result<JobTotals> {
    JobTotals totals;
    auto& sums = database_.prepare(kItemTotals).bind(range.first_job).bind(number(range.first));
    PIXMILL_TRY([[maybe_unused]] const bool found, step(sums.bind(number(range.last))));
    totals.total = natural(sums, 0);
    totals.remaining = natural(sums, 1);
    totals.succeeded = natural(sums, 2);
    totals.failed = natural(sums, 3);
    totals.cancelled = natural(sums, 4);
    totals.bytes_in = natural(sums, 5);
    totals.bytes_out = natural(sums, 6);
    totals.unchanged = natural(sums, 7);
    totals.changed = natural(sums, 8);
    sums.reset();
    if (totals.failed == 0) return totals;
    auto& codes = database_.prepare(kFailureTotals).bind(range.first_job).bind(number(range.first));
    codes.bind(number(range.last));
    while (true) {
      PIXMILL_TRY(const bool more, step(codes));
      if (!more) return totals;
      totals.failures[codes.text(0)] = natural(codes, 1);
    }
  });
}

Result<JobTotals> Reader::row_totals(const CheckRange& range) {
  JobTotals totals;
  auto& sums = database_.prepare(kRowTotals).bind(range.first_job).bind(number(range.first)).bind(number(range.last));
  PIXMILL_TRY([[maybe_unused]] const bool found, step(sums));
  totals.rows = natural(sums, 0);
  totals.invalid = natural(sums, 1);
  sums.reset();
  return totals;
}

Result<std::map<std::string, std::uint64_t>> Reader::failure_counts(std::int64_t job_no) {
  std::map<std::string, std::uint64_t> counts;
  auto& row = database_.prepare(kFailureGroups).bind(job_no);
  while (true) {
    PIXMILL_TRY(const bool more, step(row));
    if (!more) return counts;
    counts[row.text(0)] = natural(row, 1);
  }
}

Result<std::int64_t> Reader::jobs_after(std::int64_t after, std::uint32_t count) {
  auto& row = database_.prepare(kLastJobAfter).bind(after).bind(std::int64_t{count});
  PIXMILL_TRY([[maybe_unused]] const bool found, step(row));
  const auto last = row.integer(0);
  row.reset();
  return last;
}

Result<std::vector<Review>> Reader::due_reviews(TimePoint until, std::uint32_t limit) {
  auto& row = database_.prepare(kDueReviews).bind(to_unix_ms(until));
  row.bind(to_unix_ms(clock_.now() + kStrandedAfter)).bind(std::int64_t{limit});
  std::vector<Review> due;
  while (true) {
    PIXMILL_TRY(const bool more, step(row));
    if (!more) return due;
    const auto id = Uuid::parse(row.view(2));
    if (!id) return broken_row("job");
    due.push_back({.job = JobId{*id}, .job_no = row.integer(0), .note = row.integer(1)});
  }
}

// --- Putting right ---

Result<bool> Writer::repair(const Violation& violation) {
  auto repaired = transact(Durability::kDurable, [&] { return repair_now(violation); });
  if (!repaired && repaired.error().code == ErrorCode::kNotFound) return false;
  return repaired;
}

// Single rows, whose statement says itself what it may change.
Result<bool> Writer::repair_now(const Violation& violation) {
  const auto job_no = violation.job_no;
  const auto item = number(violation.number);
  std::int64_t changed = 0;
  switch (violation.invariant) {
    case Invariant::kOverdueLeases: {
      PIXMILL_TRY(changed, run(database_.prepare(kEndOverdueLease).bind(job_no).bind(item).bind(now_ms())));
      return changed > 0;
    }
    case Invariant::kHungJobs: {
      PIXMILL_TRY(changed, run(database_.prepare(kWakeWaiting).bind(job_no).bind(kWakesPerTransaction)));
      return changed > 0;
    }
    case Invariant::kStuckFollowers: {
      PIXMILL_TRY(changed, run(database_.prepare(kWakeFollower).bind(job_no).bind(item)));
      return changed > 0;
    }
    case Invariant::kStrayReopenings: {
      PIXMILL_TRY(changed, run(database_.prepare(kForgetStrayReopening).bind(job_no)));
      return changed > 0;
    }
    case Invariant::kOverdueDeliveries: {
      PIXMILL_TRY(changed, run(database_.prepare(kDateDelivery).bind(violation.detail).bind(now_ms())));
      return changed > 0;
    }
    case Invariant::kStrayOutputs: {
      PIXMILL_TRY(changed, run(database_.prepare(kForgetStrayOutputs).bind(job_no).bind(item)));
      return changed > 0;
    }
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

// By an index that has nothing but states: a million in some 50 ms. This is for what should never be needed.
Result<bool> Writer::recount(std::int64_t job_no) {
  PIXMILL_TRY(const auto stored, load_job(database_, job_no));
  std::array<std::int64_t, 6> counts{};
  constexpr std::array kStates = {ItemState::kPending, ItemState::kLeased,    ItemState::kSucceeded,
                                  ItemState::kFailed,  ItemState::kCancelled, ItemState::kUnchanged};
  for (std::size_t i = 0; i < kStates.size(); ++i) {
    auto& row = database_.prepare(kCountItemsInState).bind(job_no).bind(to_text(kStates[i]));
    PIXMILL_TRY([[maybe_unused]] const bool found, step(row));
    counts[i] = row.integer(0);
    row.reset();
  }
  const auto [pending, leased, made, failed, cancelled, unchanged] = counts;
  const auto remaining = pending + leased;
  const auto succeeded = made + unchanged;
  const auto& job = stored.job;
  if (number(stored.leased) == leased && number(job.remaining) == remaining && number(job.succeeded) == succeeded &&
      number(job.failed) == failed && number(job.cancelled) == cancelled) {
    return false;
  }
  auto& set = database_.prepare(kSetCounts).bind(job_no).bind(leased).bind(remaining).bind(succeeded).bind(failed);
  set.bind(cancelled).bind(remaining + succeeded + failed + cancelled);
  PIXMILL_TRY([[maybe_unused]] const auto changed, run(set));
  PIXMILL_RETURN_IF_ERROR(end_stalled(job_no));
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
  PIXMILL_TRY(const auto stored, load_job(database_, job_no));
  const auto state = stored.job.state;
  if (!is_terminal(state)) return false;
  const bool cancel = state == JobState::kCancelled || state == JobState::kRejected;
  const auto code = code_name(ErrorCode::kInternal);
  auto& settle = database_.prepare(kSettleOpenItems).bind(job_no).bind(kCancelsPerTransaction);
  settle.bind(to_text(cancel ? ItemState::kCancelled : ItemState::kFailed)).bind(now_ms());
  settle.bind(cancel ? std::string_view() : code).bind(cancel ? std::string_view() : kLeftOpenMessage);
  PIXMILL_TRY(const auto settled, run(settle));
  if (settled > 0 && !cancel) {
    PIXMILL_TRY([[maybe_unused]] const auto counted,
                run(database_.prepare(kCountFailures).bind(job_no).bind(code).bind(settled).bind(kLeftOpenMessage)));
  }
  PIXMILL_TRY(const bool recounted, recount(job_no));
  return settled > 0 || recounted;
}

Result<bool> Writer::write_missing_event(std::int64_t job_no) {
  PIXMILL_TRY(const auto stored, load_job(database_, job_no));
  if (!is_terminal(stored.job.state)) return false;
  auto& event = database_.prepare(kTerminalEvent).bind(job_no).bind(std::int64_t{stored.job.generation});
  PIXMILL_TRY(const bool has_one, step(event));
  event.reset();
  if (has_one) return false;
  PIXMILL_RETURN_IF_ERROR(write_event(job_no, stored.job));
  return true;
}

Result<bool> Writer::write_missing_delivery(const Violation& violation) {
  PIXMILL_TRY(const auto stored, load_job(database_, violation.job_no));
  const auto& url = stored.job.webhook_url;
  if (url.empty()) return false;
  auto& insert = database_.prepare(kAddMissingDelivery).bind(violation.detail).bind(url).bind(origin_of(url));
  PIXMILL_TRY(const auto added, run(insert.bind(now_ms())));
  return added > 0;
}

Result<bool> Writer::correct(const JobRecord& record, const JobTotals& truth) {
  return transact(Durability::kDurable, [&]() -> Result<bool> {
    PIXMILL_TRY(const auto stored, load_job(database_, record.job_no));
    auto& set = database_.prepare(kCorrectCounters).bind(record.job_no).bind(std::int64_t{record.job.generation});
    set.bind(number(truth.rows)).bind(number(truth.invalid)).bind(number(truth.total)).bind(number(truth.remaining));
    set.bind(number(truth.succeeded)).bind(number(truth.failed)).bind(number(truth.cancelled));
    set.bind(number(truth.bytes_in)).bind(number(truth.bytes_out)).bind(number(truth.unchanged));
    PIXMILL_TRY(const auto corrected, run(set.bind(number(truth.changed))));
    if (corrected == 0) return false;
    PIXMILL_RETURN_IF_ERROR(correct_failures(stored, truth));
    return true;
  });
}

Result<void> Writer::correct_failures(const StoredJob& stored, const JobTotals& truth) {
  std::vector<std::string> counted;
  auto& row = database_.prepare(kFailureGroups).bind(stored.job_no);
  while (true) {
    PIXMILL_TRY(const bool more, step(row));
    if (!more) break;
    counted.push_back(row.text(0));
  }
  for (const auto& code : counted) {
    if (truth.failures.contains(code)) continue;
    PIXMILL_TRY([[maybe_unused]] const auto forgotten,
                run(database_.prepare(kForgetFailureCount).bind(stored.job_no).bind(code)));
  }
  for (const auto& [code, count] : truth.failures) {
    PIXMILL_TRY([[maybe_unused]] const auto set,
                run(database_.prepare(kSetFailureCount).bind(stored.job_no).bind(code).bind(number(count))));
  }
  return {};
}

// --- Reviews ---

Result<void> Writer::note_review(std::int64_t job_no) {
  PIXMILL_TRY([[maybe_unused]] const auto noted, run(database_.prepare(kNoteReview).bind(job_no).bind(now_ms())));
  return {};
}

Result<void> Writer::end_review(const Review& review) {
  return transact(Durability::kProgress, [&]() -> Result<void> {
    const auto now = now_ms();
    auto& end = database_.prepare(kEndReview).bind(review.job_no).bind(review.note);
    PIXMILL_TRY(const auto ended, run(end.bind(now).bind(now + 2 * kSweepFence.count())));
    if (ended > 0) return {};
    PIXMILL_TRY([[maybe_unused]] const auto put_off,
                run(database_.prepare(kPutReviewOff).bind(review.job_no).bind(review.note).bind(now)));
    return {};
  });
}

Result<bool> Writer::begin_sweep(const JobRecord& record) {
  return transact(Durability::kProgress, [&]() -> Result<bool> {
    const auto now = now_ms();
    auto& begin = database_.prepare(kBeginSweep).bind(record.job_no).bind(std::int64_t{record.job.generation});
    begin.bind(now).bind(sweep_fence(now));
    PIXMILL_TRY(const auto begun, run(begin.bind(now + 2 * kSweepFence.count())));
    return begun > 0;
  });
}

Result<void> Writer::end_sweep(const JobRecord& record) {
  return transact(Durability::kProgress, [&]() -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto ended, run(database_.prepare(kEndSweep).bind(record.job_no)));
    return {};
  });
}

Result<void> Writer::check_not_swept(std::int64_t job_no) {
  auto& row = database_.prepare(kIsSwept).bind(job_no).bind(now_ms()).bind(now_ms() + 2 * kSweepFence.count());
  PIXMILL_TRY(const bool is_swept, step(row));
  row.reset();
  if (is_swept) return job_is_swept();
  return {};
}

}  // namespace pixmill::jobs::sqlite
