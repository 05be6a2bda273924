// Jobs are cancelled and retried, and what was left behind is put right, a bounded piece per transaction.
#include <fmt/format.h>

#include "jobs/sqlite_internal.h"

namespace pixmill::jobs::sqlite {

Result<std::int64_t> Writer::cancel_pending(std::int64_t job_no) {
  PIXMILL_TRY(const auto cancelled,
              run(database_.prepare(kCancelPending).bind(job_no).bind(now_ms()).bind(kCancelsPerTransaction)));
  CounterChange change;
  change.remaining = -cancelled;
  change.cancelled = cancelled;
  if (cancelled > 0) PIXMILL_RETURN_IF_ERROR(count(job_no, change));
  return cancelled;
}

Result<Job> Writer::cancel(const JobId& id) {
  return transact(Durability::kDurable, [&]() -> Result<Job> {
    PIXMILL_TRY(auto stored, load_job(database_, id));
    return cancel_now(std::move(stored));
  });
}

Result<Job> Writer::cancel_now(StoredJob stored) {
  if (is_terminal(stored.job.state)) return std::move(stored.job);
  const auto job_no = stored.job_no;
  PIXMILL_TRY([[maybe_unused]] const auto set,
              run(database_.prepare(kSetState).bind(job_no).bind(to_text(JobState::kCancelling))));
  PIXMILL_TRY([[maybe_unused]] const auto forgotten, run(database_.prepare(kForgetReopening).bind(job_no)));
  PIXMILL_TRY([[maybe_unused]] const auto woken_no_more, run(database_.prepare(kForgetLeaders).bind(job_no)));
  PIXMILL_RETURN_IF_ERROR(forget_ingest(job_no));
  PIXMILL_TRY([[maybe_unused]] const auto cancelled, cancel_pending(job_no));
  Finished finished;
  PIXMILL_RETURN_IF_ERROR(end_if_done(job_no, finished));
  PIXMILL_TRY(auto after, load_job(database_, job_no));
  return std::move(after.job);
}

Result<void> Writer::forget_ingest(std::int64_t job_no) {
  memories_.forget(job_no);
  PIXMILL_TRY([[maybe_unused]] const auto forgotten, run(database_.prepare(kForgetIngest).bind(job_no)));
  return {};
}

Result<Job> Writer::pause(const JobId& id) {
  return transact(Durability::kDurable, [&]() -> Result<Job> {
    PIXMILL_TRY(auto stored, load_job(database_, id));
    const auto state = paused_state(stored.job);
    return set_state(std::move(stored), state);
  });
}

Result<Job> Writer::resume(const JobId& id) {
  return transact(Durability::kDurable, [&]() -> Result<Job> {
    PIXMILL_TRY(auto stored, load_job(database_, id));
    const auto state = resumed_state(stored.job);
    return set_state(std::move(stored), state);
  });
}

Result<Job> Writer::set_state(StoredJob stored, Result<JobState> state) {
  if (!state) return std::unexpected(std::move(state).error());
  stored.job.state = *state;
  PIXMILL_TRY([[maybe_unused]] const auto set,
              run(database_.prepare(kSetState).bind(stored.job_no).bind(to_text(*state))));
  return std::move(stored.job);
}

Result<Job> Writer::job(const JobId& id) {
  PIXMILL_TRY(auto stored, load_job(database_, id));
  return std::move(stored.job);
}

Result<void> Writer::replace_headers(const JobId& id, const std::vector<OriginHeader>& headers) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto job_no, job_number(database_, id));
    auto& statement = database_.prepare(kReplaceHeaders).bind(job_no);
    if (headers.empty()) {
      statement.bind_null();
    } else {
      statement.bind_blob(seal_headers(options_.master_key, id, headers));
    }
    PIXMILL_TRY([[maybe_unused]] const auto changed, run(statement));
    return {};
  });
}

Result<bool> Writer::retry(const JobId& id, const RetryFilter& filter) {
  return transact(Durability::kDurable, [&]() -> Result<bool> {
    PIXMILL_TRY(auto stored, load_job(database_, id));
    const auto& job = stored.job;
    PIXMILL_RETURN_IF_ERROR(check_retryable(job.state));
    PIXMILL_RETURN_IF_ERROR(check_not_swept(stored.job_no));
    bool has_some = job.failed > 0;
    if (!filter.error_code.empty()) {
      auto& counted = database_.prepare(kFailureCount).bind(stored.job_no).bind(filter.error_code);
      PIXMILL_TRY(has_some, step(counted));
      counted.reset();
    }
    if (!has_some) return fail(ErrorCode::kConflict, "The job has no such failed image.");
    PIXMILL_TRY([[maybe_unused]] const auto reopened, run(database_.prepare(kReopenJob).bind(stored.job_no)));
    PIXMILL_TRY([[maybe_unused]] const auto noted,
                run(database_.prepare(kNoteReopening).bind(stored.job_no).bind(filter.error_code)));
    Finished finished;
    return reopen_chunk(stored.job_no, finished);
  });
}

Result<bool> Writer::reopen_more(const JobId& id) {
  return transact(Durability::kProgress, [&]() -> Result<bool> {
    PIXMILL_TRY(const auto job_no, job_number(database_, id));
    Finished finished;
    return reopen_chunk(job_no, finished);
  });
}

// Moves the next failed items of a retry to pending, in input order, so that an item comes before those that wait for
// it. The retry's note remembers how far it is, and keeps the job from ending; true when it is still needed.
Result<bool> Writer::reopen_chunk(std::int64_t job_no, Finished& finished) {
  auto& note = database_.prepare(kReopening).bind(job_no);
  PIXMILL_TRY(const bool found, step(note));
  if (!found) return false;
  const std::string code = note.text(0);
  const auto after = note.integer(1);
  note.reset();
  std::vector<std::uint64_t> items;
  auto& row = database_.prepare(code.empty() ? kFailedAfter : kFailedByCodeAfter);
  row.bind(job_no).bind(after).bind(kReopensPerTransaction);
  if (!code.empty()) row.bind(code);
  while (true) {
    PIXMILL_TRY(const bool more, step(row));
    if (!more) break;
    items.push_back(static_cast<std::uint64_t>(row.integer(0)));
  }
  PIXMILL_TRY(const auto stored, load_job(database_, job_no));
  for (const auto item : items) PIXMILL_RETURN_IF_ERROR(reopen_item(job_no, item, stored.job.generation));
  CounterChange change;
  change.remaining = static_cast<std::int64_t>(items.size());
  change.failed = -change.remaining;
  PIXMILL_RETURN_IF_ERROR(count(job_no, change));
  if (change.remaining == kReopensPerTransaction) {
    PIXMILL_TRY([[maybe_unused]] const auto advanced,
                run(database_.prepare(kAdvanceReopening).bind(job_no).bind(static_cast<std::int64_t>(items.back()))));
    return true;
  }
  PIXMILL_TRY([[maybe_unused]] const auto forgotten, run(database_.prepare(kForgetReopening).bind(job_no)));
  PIXMILL_TRY([[maybe_unused]] const auto cleaned, run(database_.prepare(kForgetNoFailures).bind(job_no)));
  PIXMILL_RETURN_IF_ERROR(end_if_done(job_no, finished));
  return false;
}

Result<void> Writer::reopen_item(std::int64_t job_no, std::uint64_t item, std::int64_t generation) {
  const auto number = static_cast<std::int64_t>(item);
  auto& row = database_.prepare(kItemToReopen).bind(job_no).bind(number);
  PIXMILL_TRY(const bool found, step(row));
  PIXMILL_CHECK(found);
  const std::string code = row.text(0);
  std::optional<std::int64_t> same_as;
  std::optional<std::int64_t> not_before = 0;
  if (!row.is_null(1)) same_as = row.integer(1);
  row.reset();
  if (same_as) {
    auto& original = database_.prepare(kOriginal).bind(job_no).bind(*same_as);
    PIXMILL_TRY([[maybe_unused]] const bool there, step(original));
    const auto state = parse_item_state(original.view(0));
    original.reset();
    if (state && !is_terminal(*state)) {
      not_before.reset();
    } else if (state != ItemState::kSucceeded && state != ItemState::kUnchanged) {
      same_as.reset();  // the original is not tried again, so this one speaks for itself
    }
  }
  PIXMILL_TRY(
      [[maybe_unused]] const auto reopened,
      run(database_.prepare(kReopenItem).bind(job_no).bind(number).bind(generation).bind(same_as).bind(not_before)));
  PIXMILL_TRY([[maybe_unused]] const auto uncounted, run(database_.prepare(kUncountFailure).bind(job_no).bind(code)));
  return {};
}

Result<bool> Writer::rescue_leases(Finished& finished, std::uint64_t& rescued) {
  std::vector<Lease> leases;
  const auto collect = [&](db::Statement& row) -> Result<void> {
    while (true) {
      PIXMILL_TRY(const bool found, step(row));
      if (!found) return {};
      leases.push_back(
          {.job_no = row.integer(0), .item = static_cast<std::uint64_t>(row.integer(1)), .token = row.integer(2)});
    }
  };
  const auto now = now_ms();
  PIXMILL_RETURN_IF_ERROR(collect(database_.prepare(kExpiredLeases).bind(now).bind(kLeasesPerRescue)));
  PIXMILL_RETURN_IF_ERROR(
      collect(database_.prepare(kStrandedLeases).bind(now + kStrandedAfter.count()).bind(kLeasesPerRescue)));
  PIXMILL_RETURN_IF_ERROR(give_back_all(leases, 0, finished, rescued));
  return std::ssize(leases) >= kLeasesPerRescue;
}

// One chunk of the first cancelling job that has pending items; jobs without any are ended on the way.
Result<bool> Writer::rescue_cancelling(Finished& finished, std::uint64_t& cancelled) {
  std::int64_t job_no = 0;
  while (true) {
    auto& row = database_.prepare(kCancellingJob).bind(job_no);
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return false;
    job_no = row.integer(0);
    row.reset();
    PIXMILL_TRY(const auto moved, cancel_pending(job_no));
    PIXMILL_RETURN_IF_ERROR(end_if_done(job_no, finished));
    cancelled += static_cast<std::uint64_t>(moved);
    if (moved > 0) return true;
  }
}

Result<bool> Writer::rescue_reopening(Finished& finished) {
  auto& row = database_.prepare(kReopeningDue);
  PIXMILL_TRY(const bool found, step(row));
  if (!found) return false;
  const auto job_no = row.integer(0);
  row.reset();
  PIXMILL_TRY([[maybe_unused]] const bool more, reopen_chunk(job_no, finished));
  return true;
}

Result<JobStore::RescueReport> Writer::rescue() {
  return transact(Durability::kProgress, [&]() -> Result<JobStore::RescueReport> {
    JobStore::RescueReport report;
    PIXMILL_TRY(report.more, rescue_leases(report.jobs_finished, report.rescued));
    // One heavy step per transaction: the caller comes again at once.
    if (report.more) return report;
    PIXMILL_TRY(report.more, rescue_cancelling(report.jobs_finished, report.cancelled));
    if (report.more) return report;
    PIXMILL_TRY(report.more, rescue_reopening(report.jobs_finished));
    if (report.more) return report;
    PIXMILL_TRY(report.more, wake_more_followers());
    return report;
  });
}

}  // namespace pixmill::jobs::sqlite
