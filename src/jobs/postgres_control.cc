// Jobs are cancelled and retried, and what was left behind is put right, a bounded piece per transaction.
#include <algorithm>

#include "jobs/postgres_internal.h"

namespace pixmill::jobs::postgres {

// Takes what nobody else holds; the rest comes with rescue(). The caller holds the job.
Result<std::int64_t> Writer::cancel_pending(std::int64_t job_no, Finished& finished) {
  PIXMILL_TRY(const auto cancelled,
              run(session_, kCancelPending, Params().add(job_no).add(now_ms()).add(kCancelsPerTransaction)));
  Changes changes;
  changes[job_no].remaining = -cancelled;
  changes[job_no].cancelled = cancelled;
  PIXMILL_RETURN_IF_ERROR(count(changes, finished));
  return cancelled;
}

Result<Job> Writer::cancel(const JobId& id) {
  return transact(Durability::kDurable, [&]() -> Result<Job> {
    PIXMILL_TRY(const auto job_no, job_number(session_, id));
    PIXMILL_RETURN_IF_ERROR(forget_notes(job_no));
    PIXMILL_TRY(auto stored, load_job(session_, job_no, Lock::kForUpdate));
    return cancel_now(std::move(stored));
  });
}

Result<Job> Writer::cancel_now(StoredJob stored) {
  if (is_terminal(stored.job.state)) return std::move(stored.job);
  const auto job_no = stored.job_no;
  PIXMILL_TRY([[maybe_unused]] const auto set,
              run(session_, kSetState, Params().add(job_no).add(to_text(JobState::kCancelling))));
  memories_.forget(job_no);
  Finished finished;
  PIXMILL_TRY([[maybe_unused]] const auto cancelled, cancel_pending(job_no, finished));
  PIXMILL_TRY(auto after, load_job(session_, job_no));
  return std::move(after.job);
}

// Whoever moves a retry on, or appends rows, holds the note and then wants the job.
Result<void> Writer::forget_notes(std::int64_t job_no) {
  PIXMILL_TRY([[maybe_unused]] const auto ingest, run(session_, kForgetIngest, Params().add(job_no)));
  PIXMILL_TRY([[maybe_unused]] const auto reopening, run(session_, kForgetReopening, Params().add(job_no)));
  return {};
}

Result<Job> Writer::pause(const JobId& id) {
  return transact(Durability::kDurable, [&]() -> Result<Job> {
    PIXMILL_TRY(auto stored, load_job(session_, id, Lock::kForUpdate));
    const auto state = paused_state(stored.job);
    return set_state(std::move(stored), state);
  });
}

Result<Job> Writer::resume(const JobId& id) {
  return transact(Durability::kDurable, [&]() -> Result<Job> {
    PIXMILL_TRY(auto stored, load_job(session_, id, Lock::kForUpdate));
    const auto state = resumed_state(stored.job);
    return set_state(std::move(stored), state);
  });
}

Result<Job> Writer::set_state(StoredJob stored, Result<JobState> state) {
  if (!state) return std::unexpected(std::move(state).error());
  stored.job.state = *state;
  PIXMILL_TRY([[maybe_unused]] const auto set,
              run(session_, kSetState, Params().add(stored.job_no).add(to_text(*state))));
  return std::move(stored.job);
}

Result<Job> Writer::job(const JobId& id) {
  return session_.snapshot([&]() -> Result<Job> {
    PIXMILL_TRY(auto stored, load_job(session_, id));
    return std::move(stored.job);
  });
}

Result<void> Writer::replace_headers(const JobId& id, const std::vector<OriginHeader>& headers) {
  std::optional<std::string> sealed;
  if (!headers.empty()) sealed = seal_headers(options_.master_key, id, headers);
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto job_no, job_number(session_, id));
    PIXMILL_TRY([[maybe_unused]] const auto changed,
                run(session_, kReplaceHeaders, Params().add(job_no).add_bytes(sealed)));
    return {};
  });
}

Result<bool> Writer::retry(const JobId& id, const RetryFilter& filter) {
  return transact(Durability::kDurable, [&]() -> Result<bool> {
    PIXMILL_TRY(const auto stored, load_job(session_, id, Lock::kForUpdate));
    PIXMILL_RETURN_IF_ERROR(check_retryable(stored.job.state));
    PIXMILL_RETURN_IF_ERROR(check_not_swept(stored.job_no));
    bool has_some = stored.job.failed > 0;
    if (!filter.error_code.empty()) {
      PIXMILL_TRY(const auto counted,
                  session_.query(kFailureCount, Params().add(stored.job_no).add(filter.error_code)));
      has_some = !counted.empty();
    }
    if (!has_some) return fail(ErrorCode::kConflict, "The job has no such failed image.");
    PIXMILL_TRY([[maybe_unused]] const auto reopened, run(session_, kReopenJob, Params().add(stored.job_no)));
    PIXMILL_TRY([[maybe_unused]] const auto noted,
                run(session_, kNoteReopening, Params().add(stored.job_no).add(filter.error_code)));
    Finished finished;
    return reopen_chunk(stored.job_no, finished);
  });
}

Result<bool> Writer::reopen_more(const JobId& id) {
  return transact(Durability::kProgress, [&]() -> Result<bool> {
    PIXMILL_TRY(const auto job_no, job_number(session_, id));
    Finished finished;
    return reopen_chunk(job_no, finished);
  });
}

// Moves the next failed items of a retry to pending, in input order, so that an item comes before those that wait for
// it. The retry's note remembers how far it is, and keeps the job from ending; true when it is still needed.
Result<bool> Writer::reopen_chunk(std::int64_t job_no, Finished& finished) {
  PIXMILL_TRY(const auto note, session_.query(kReopening, Params().add(job_no)));
  if (note.empty()) return false;
  const auto code = note[0].text(0);
  PIXMILL_TRY(const auto stored, load_job(session_, job_no));
  Params range;
  range.add(job_no).add(note[0].integer(1)).add(kReopensPerTransaction);
  PIXMILL_TRY(const auto failed,
              code.empty() ? session_.query(kFailedAfter, range) : session_.query(kFailedByCodeAfter, range.add(code)));
  std::int64_t reopened = 0;
  if (!failed.empty() && stored.job.state != JobState::kCancelling) {
    PIXMILL_TRY(reopened, reopen_items(stored, failed));
  }
  Changes changes;
  changes[job_no].remaining = reopened;
  changes[job_no].failed = -reopened;
  if (reopened == kReopensPerTransaction) {
    const auto last = failed[failed.size() - 1].integer(0);
    PIXMILL_TRY([[maybe_unused]] const auto advanced, run(session_, kAdvanceReopening, Params().add(job_no).add(last)));
    PIXMILL_RETURN_IF_ERROR(count(changes, finished));
    return true;
  }
  PIXMILL_TRY([[maybe_unused]] const auto forgotten, run(session_, kForgetReopening, Params().add(job_no)));
  PIXMILL_TRY([[maybe_unused]] const auto cleaned, run(session_, kForgetNoFailures, Params().add(job_no)));
  PIXMILL_RETURN_IF_ERROR(count(changes, finished));
  return false;
}

// How those of `items` stand that will not be reopened themselves. Locked, so that none ends before the items that wait
// for it can be seen.
Result<std::map<std::int64_t, ItemState>> Writer::originals(std::int64_t job_no,
                                                            const std::vector<std::int64_t>& items) {
  std::map<std::int64_t, ItemState> states;
  if (items.empty()) return states;
  PIXMILL_TRY(const auto rows, session_.query(kLeaders, Params().add(job_no).add(items)));
  for (int i = 0; i < rows.size(); ++i) {
    const auto state = parse_item_state(rows[i].view(2));
    if (!state) return broken_row("item state");
    states[rows[i].integer(0)] = *state;
  }
  return states;
}

Result<std::int64_t> Writer::reopen_items(const StoredJob& stored, const db::pg::Rows& failed) {
  std::vector<std::int64_t> items, others;
  std::map<std::string, std::int64_t> codes;
  for (int i = 0; i < failed.size(); ++i) {
    items.push_back(failed[i].integer(0));
    ++codes[failed[i].text(1)];
  }
  const auto is_reopened = [&](std::int64_t item) { return std::ranges::binary_search(items, item); };
  for (int i = 0; i < failed.size(); ++i) {
    if (!failed[i].is_null(2) && !is_reopened(failed[i].integer(2))) others.push_back(failed[i].integer(2));
  }
  std::ranges::sort(others);
  PIXMILL_TRY(const auto states, originals(stored.job_no, others));
  std::vector<std::optional<std::int64_t>> same_as, not_before;
  for (int i = 0; i < failed.size(); ++i) {
    same_as.push_back(optional_integer<std::int64_t>(failed[i], 2));
    not_before.emplace_back(0);
    if (!same_as.back()) continue;
    const auto found = states.find(*same_as.back());
    const bool is_waited_for = is_reopened(*same_as.back()) || (found != states.end() && !is_terminal(found->second));
    if (is_waited_for) {
      not_before.back().reset();
    } else if (found == states.end() ||
               (found->second != ItemState::kSucceeded && found->second != ItemState::kUnchanged)) {
      same_as.back().reset();  // the original is not tried again, so this one speaks for itself
    }
  }
  PIXMILL_TRY(const auto reopened, run(session_, kReopenItems,
                                       Params()
                                           .add(stored.job_no)
                                           .add(items)
                                           .add(same_as)
                                           .add(not_before)
                                           .add(std::int64_t{stored.job.generation})));
  std::vector<std::string> names;
  std::vector<std::int64_t> counts;
  for (const auto& [name, count_of_it] : codes) {
    names.push_back(name);
    counts.push_back(count_of_it);
  }
  PIXMILL_TRY([[maybe_unused]] const auto uncounted,
              run(session_, kUncountFailures, Params().add(stored.job_no).add(names).add(counts)));
  return reopened;
}

Result<bool> Writer::rescue_leases(JobStore::RescueReport& report) {
  std::vector<Lease> leases;
  const auto collect = [&](std::string_view sql, std::int64_t limit_ms) -> Result<void> {
    PIXMILL_TRY(const auto rows, session_.query(sql, Params().add(limit_ms).add(kLeasesPerRescue)));
    for (int i = 0; i < rows.size(); ++i) {
      leases.push_back({.job_no = rows[i].integer(0), .item = natural(rows[i], 1), .token = rows[i].integer(2)});
    }
    return {};
  };
  const auto now = now_ms();
  PIXMILL_RETURN_IF_ERROR(collect(kExpiredLeases, now));
  PIXMILL_RETURN_IF_ERROR(collect(kStrandedLeases, now + kStrandedAfter.count()));
  const bool more = std::ssize(leases) >= kLeasesPerRescue;
  PIXMILL_TRY(report.rescued, give_back(std::move(leases), 0, report.jobs_finished));
  return more;
}

// One chunk of the first cancelling job that has pending items; jobs without any are ended on the way.
Result<bool> Writer::rescue_cancelling(JobStore::RescueReport& report) {
  std::int64_t job_no = 0;
  while (true) {
    PIXMILL_TRY(const auto found, numbers(session_, kCancellingJob, Params().add(job_no)));
    if (found.empty()) return false;
    job_no = found.front();
    PIXMILL_TRY(const auto moved, cancel_pending(job_no, report.jobs_finished));
    report.cancelled += static_cast<std::uint64_t>(moved);
    if (moved > 0) return true;
  }
}

Result<bool> Writer::rescue_reopening(JobStore::RescueReport& report) {
  PIXMILL_TRY(const auto found, numbers(session_, kReopeningDue, Params()));
  if (found.empty()) return false;
  PIXMILL_TRY([[maybe_unused]] const bool more, reopen_chunk(found.front(), report.jobs_finished));
  return true;
}

// One kind of work per transaction, and of that one bounded piece: the caller comes again at once while there is more.
Result<JobStore::RescueReport> Writer::rescue() {
  return transact(Durability::kProgress, [&]() -> Result<JobStore::RescueReport> {
    JobStore::RescueReport report;
    PIXMILL_TRY(report.more, rescue_leases(report));
    if (report.more || report.rescued > 0) {
      report.more = true;
      return report;
    }
    PIXMILL_TRY(report.more, rescue_reopening(report));
    if (report.more) return report;
    PIXMILL_TRY(report.more, wake_more_followers());
    if (report.more) return report;
    PIXMILL_TRY(report.more, rescue_cancelling(report));
    return report;
  });
}

}  // namespace pixmill::jobs::postgres
