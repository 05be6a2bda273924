// Jobs go away, a bounded piece per transaction. Their files are gone before their rows.
#include <algorithm>

#include "jobs/postgres_internal.h"

namespace pixmill::jobs::postgres {

namespace {

constexpr std::int64_t kItemsPerSlice = 1'000;
constexpr std::int64_t kRowsPerSlice = 500;  // whose cells may be a megabyte each

}  // namespace

Result<void> Writer::start_removal(const std::vector<std::int64_t>& jobs) {
  PIXMILL_TRY([[maybe_unused]] const auto noted, run(session_, kNoteRemovals, Params().add(jobs)));
  PIXMILL_TRY([[maybe_unused]] const auto set, run(session_, kSetDeleting, Params().add(jobs)));
  PIXMILL_TRY([[maybe_unused]] const auto reviews, run(session_, kForgetReviews, Params().add(jobs)));
  return {};
}

Result<Job> Writer::remove_job(const JobId& id, CancelFirst cancel) {
  return transact(Durability::kDurable, [&]() -> Result<Job> {
    PIXMILL_TRY(const auto job_no, job_number(session_, id));
    // The notes before the job's row, as everybody does.
    if (cancel == CancelFirst::kYes) PIXMILL_RETURN_IF_ERROR(forget_notes(job_no));
    PIXMILL_TRY(auto stored, load_job(session_, id, Lock::kForUpdate));
    if (cancel == CancelFirst::kNo) PIXMILL_RETURN_IF_ERROR(check_removable(stored.job.state));
    PIXMILL_TRY(auto job, cancel_now(std::move(stored)));
    const std::vector<std::int64_t> this_one{job_no};
    if (!is_terminal(job.state)) {
      PIXMILL_TRY([[maybe_unused]] const auto noted, run(session_, kNoteRemovals, Params().add(this_one)));
      return job;
    }
    job.state = JobState::kDeleting;
    PIXMILL_RETURN_IF_ERROR(start_removal(this_one));
    return job;
  });
}

Result<std::uint64_t> Writer::expire_jobs(std::optional<milliseconds> keep) {
  return transact(Durability::kDurable, [&]() -> Result<std::uint64_t> {
    PIXMILL_TRY(const std::uint64_t expired, expire_some(kJobsOverKept, now_ms()));
    if (!keep || expired == static_cast<std::uint64_t>(kExpiresPerTransaction)) return expired;
    PIXMILL_TRY(const auto others, expire_some(kJobsOver, now_ms() - keep->count()));
    return expired + others;
  });
}

Result<std::uint64_t> Writer::expire_some(std::string_view sql, std::int64_t until_ms) {
  PIXMILL_TRY(const auto jobs, numbers(session_, sql, Params().add(until_ms).add(kExpiresPerTransaction)));
  if (!jobs.empty()) PIXMILL_RETURN_IF_ERROR(start_removal(jobs));
  return jobs.size();
}

Result<std::optional<Removal>> Writer::claim_removal(milliseconds lease) {
  return transact(Durability::kDurable, [&]() -> Result<std::optional<Removal>> {
    PIXMILL_TRY([[maybe_unused]] const auto stranded,
                run(session_, kStrandedRemovals, Params().add(now_ms() + kStrandedAfter.count())));
    PIXMILL_TRY(auto due, numbers(session_, kRemovalsDue, Params().add(now_ms()).add(kRemovalsLookedAt)));
    std::ranges::sort(due);  // jobs are locked by their numbers
    for (const auto job_no : due) {
      PIXMILL_TRY(auto removal, take_up_removal(job_no, lease));
      if (removal) return removal;
    }
    return std::nullopt;
  });
}

// nullopt when it has to wait.
Result<std::optional<Removal>> Writer::take_up_removal(std::int64_t job_no, milliseconds lease) {
  PIXMILL_TRY(const auto stored, load_job(session_, job_no, Lock::kForUpdate));
  PIXMILL_TRY(const auto told, session_.query(kIsToldOf, Params().add(job_no)));
  if (!is_terminal(stored.job.state) || !told.empty()) {
    PIXMILL_TRY([[maybe_unused]] const auto put_off,
                run(session_, kPutRemovalOff, Params().add(job_no).add(now_ms() + kRemovalWait.count())));
    return std::nullopt;
  }
  const std::vector<std::int64_t> this_one{job_no};
  PIXMILL_RETURN_IF_ERROR(start_removal(this_one));
  PIXMILL_TRY(const auto leased, session_.query(kLeaseRemoval, Params().add(job_no).add(now_ms() + lease.count())));
  return Removal{.job = stored.job.id,
                 .job_no = job_no,
                 .token = leased[0].integer(0),
                 .blob_prefix = stored.job.blob_prefix,
                 .source_path = stored.job.source_path};
}

Result<bool> Writer::renew_removal(const Removal& removal, milliseconds lease) {
  return transact(Durability::kProgress, [&]() -> Result<bool> {
    PIXMILL_TRY(
        const auto held,
        session_.query(kRenewRemoval, Params().add(removal.job_no).add(removal.token).add(now_ms() + lease.count())));
    return !held.empty();
  });
}

Result<RemovalStep> Writer::remove_slice(const Removal& removal, milliseconds lease) {
  return transact(Durability::kProgress, [&]() -> Result<RemovalStep> {
    PIXMILL_TRY(
        const auto held,
        session_.query(kRenewRemoval, Params().add(removal.job_no).add(removal.token).add(now_ms() + lease.count())));
    if (held.empty()) return RemovalStep::kLost;
    return remove_more(removal.job_no, held[0].integer(0), held[0].integer(1));
  });
}

Result<RemovalStep> Writer::remove_more(std::int64_t job_no, std::int64_t after_item, std::int64_t after_row) {
  PIXMILL_TRY(const auto stored, load_job(session_, job_no));
  const auto remove = [&](std::string_view sql, std::int64_t after, std::int64_t until) -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto gone, run(session_, sql, Params().add(job_no).add(after).add(until)));
    return {};
  };
  if (after_item < static_cast<std::int64_t>(stored.job.total)) {
    PIXMILL_RETURN_IF_ERROR(remove(kRemoveOutputs, after_item, after_item + kItemsPerSlice));
    PIXMILL_RETURN_IF_ERROR(remove(kRemoveItems, after_item, after_item + kItemsPerSlice));
    after_item += kItemsPerSlice;
  } else if (after_row < static_cast<std::int64_t>(stored.job.rows)) {
    PIXMILL_RETURN_IF_ERROR(remove(kRemoveRows, after_row, after_row + kRowsPerSlice));
    after_row += kRowsPerSlice;
  } else {
    PIXMILL_TRY(const auto gone, run(session_, kRemoveGone, Params().add(job_no).add(kItemsPerSlice)));
    if (gone == kItemsPerSlice) return RemovalStep::kMore;
    PIXMILL_RETURN_IF_ERROR(remove_rest(job_no));
    return RemovalStep::kDone;
  }
  PIXMILL_TRY([[maybe_unused]] const auto advanced,
              run(session_, kAdvanceRemoval, Params().add(job_no).add(after_item).add(after_row)));
  return RemovalStep::kMore;
}

// What does not grow with the pictures, and the job itself.
Result<void> Writer::remove_rest(std::int64_t job_no) {
  PIXMILL_TRY([[maybe_unused]] const auto idle, run(session_, kIdleMarksOfJob, Params().add(job_no).add(now_ms())));
  for (const auto sql :
       {kRemoveMarkUses, kRemoveRecipes, kRemoveRowNames, kRemoveFailures, kForgetLeaders, kForgetReopening,
        kRemoveAttempts, kRemoveDeliveries, kRemoveEvents, kForgetRemoval, kRemoveJob}) {
    PIXMILL_TRY([[maybe_unused]] const auto gone, run(session_, sql, Params().add(job_no)));
  }
  // After the job, as whoever begins a sweep locks them.
  const std::vector<std::int64_t> this_one{job_no};
  PIXMILL_TRY([[maybe_unused]] const auto reviews, run(session_, kForgetReviews, Params().add(this_one)));
  memories_.forget(job_no);
  rows_told_.erase(job_no);
  return {};
}

Result<void> Writer::note_mark(const std::string& digest) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    const auto now = now_ms();
    PIXMILL_TRY(const auto noted,
                run(session_, kNoteMark, Params().add(digest).add(now).add(now + kStrandedAfter.count())));
    if (noted == 0) return mark_going();
    return {};
  });
}

Result<std::optional<std::string>> Writer::claim_idle_mark(milliseconds idle, milliseconds lease) {
  return transact(Durability::kDurable, [&]() -> Result<std::optional<std::string>> {
    const auto now = now_ms();
    PIXMILL_TRY([[maybe_unused]] const auto stranded, run(session_, kStrandedMarks, Params().add(now)));
    Params looked_at;
    looked_at.add(now - idle.count()).add(now).add(now + kStrandedAfter.count()).add(kRemovalsLookedAt);
    PIXMILL_TRY(const auto rows, session_.query(kIdleMarks, looked_at));
    for (int i = 0; i < rows.size(); ++i) {
      auto digest = rows[i].text(0);
      PIXMILL_TRY(const auto uses, session_.query(kMarkInUse, Params().add(digest)));
      if (uses.empty()) {
        PIXMILL_TRY([[maybe_unused]] const auto leased,
                    run(session_, kLeaseMark, Params().add(digest).add(now + lease.count())));
        return digest;
      }
      PIXMILL_TRY([[maybe_unused]] const auto forgotten, run(session_, kForgetMark, Params().add(digest)));
    }
    return std::nullopt;
  });
}

Result<void> Writer::forget_mark(const std::string& digest) {
  return transact(Durability::kProgress, [&]() -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto forgotten, run(session_, kForgetMark, Params().add(digest)));
    return {};
  });
}

}  // namespace pixmill::jobs::postgres
