// Jobs go away, a bounded piece per transaction. Their files are gone before their rows.
#include <chrono>
#include <limits>

#include "jobs/sqlite_internal.h"

namespace pixmill::jobs::sqlite {

namespace {

// How long a slice goes on; a step more comes on top.
constexpr std::chrono::milliseconds kSliceTime{15};
constexpr std::int64_t kItemsPerStep = 100;
constexpr std::int64_t kGonePerSlice = 1'000;
constexpr std::int64_t kRowsPerStep = 20;  // whose cells may be a megabyte each

Result<std::vector<std::int64_t>> collect(db::Statement& row) {
  std::vector<std::int64_t> numbers;
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return numbers;
    numbers.push_back(row.integer(0));
  }
}

}  // namespace

Result<void> Writer::note_removal(std::int64_t job_no) {
  PIXMILL_TRY([[maybe_unused]] const auto noted, run(database_.prepare(kNoteRemoval).bind(job_no)));
  PIXMILL_TRY([[maybe_unused]] const auto review, run(database_.prepare(kForgetReview).bind(job_no)));
  return {};
}

Result<Job> Writer::remove_job(const JobId& id, CancelFirst cancel) {
  return transact(Durability::kDurable, [&]() -> Result<Job> {
    PIXMILL_TRY(auto stored, load_job(database_, id));
    const auto job_no = stored.job_no;
    if (cancel == CancelFirst::kNo) PIXMILL_RETURN_IF_ERROR(check_removable(stored.job.state));
    PIXMILL_TRY(auto job, cancel_now(std::move(stored)));
    PIXMILL_RETURN_IF_ERROR(note_removal(job_no));
    if (!is_terminal(job.state)) return job;
    job.state = JobState::kDeleting;
    PIXMILL_TRY([[maybe_unused]] const auto set,
                run(database_.prepare(kSetState).bind(job_no).bind(to_text(job.state))));
    return job;
  });
}

Result<std::uint64_t> Writer::expire_jobs(std::optional<milliseconds> keep) {
  return transact(Durability::kDurable, [&]() -> Result<std::uint64_t> {
    PIXMILL_TRY(std::uint64_t expired, expire_some(kJobsOverKept, now_ms()));
    if (!keep || expired == static_cast<std::uint64_t>(kExpiresPerTransaction)) return expired;
    PIXMILL_TRY(const auto others, expire_some(kJobsOver, now_ms() - keep->count()));
    return expired + others;
  });
}

Result<std::uint64_t> Writer::expire_some(std::string_view sql, std::int64_t until_ms) {
  PIXMILL_TRY(const auto jobs, collect(database_.prepare(sql).bind(until_ms).bind(kExpiresPerTransaction)));
  for (const auto job_no : jobs) {
    PIXMILL_RETURN_IF_ERROR(note_removal(job_no));
    PIXMILL_TRY([[maybe_unused]] const auto set,
                run(database_.prepare(kSetState).bind(job_no).bind(to_text(JobState::kDeleting))));
  }
  return jobs.size();
}

Result<std::optional<Removal>> Writer::claim_removal(milliseconds lease) {
  return transact(Durability::kProgress, [&]() -> Result<std::optional<Removal>> {
    PIXMILL_TRY([[maybe_unused]] const auto stranded,
                run(database_.prepare(kStrandedRemovals).bind(now_ms() + kStrandedAfter.count())));
    PIXMILL_TRY(const auto due, collect(database_.prepare(kRemovalsDue).bind(now_ms()).bind(kRemovalsLookedAt)));
    for (const auto job_no : due) {
      PIXMILL_TRY(auto removal, take_up_removal(job_no, lease));
      if (removal) return removal;
    }
    return std::nullopt;
  });
}

// nullopt when it has to wait.
Result<std::optional<Removal>> Writer::take_up_removal(std::int64_t job_no, milliseconds lease) {
  PIXMILL_TRY(const auto stored, load_job(database_, job_no));
  auto& told = database_.prepare(kIsToldOf).bind(job_no);
  PIXMILL_TRY([[maybe_unused]] const bool found, step(told));
  const bool must_wait = !is_terminal(stored.job.state) || told.integer(0) != 0;
  told.reset();
  if (must_wait) {
    PIXMILL_TRY([[maybe_unused]] const auto put_off,
                run(database_.prepare(kPutRemovalOff).bind(job_no).bind(now_ms() + kRemovalWait.count())));
    return std::nullopt;
  }
  PIXMILL_TRY([[maybe_unused]] const auto set,
              run(database_.prepare(kSetState).bind(job_no).bind(to_text(JobState::kDeleting))));
  PIXMILL_TRY([[maybe_unused]] const auto review, run(database_.prepare(kForgetReview).bind(job_no)));
  auto& leased = database_.prepare(kLeaseRemoval).bind(job_no).bind(now_ms() + lease.count());
  PIXMILL_TRY([[maybe_unused]] const bool is_there, step(leased));
  const auto token = leased.integer(0);
  leased.reset();
  return Removal{.job = stored.job.id,
                 .job_no = job_no,
                 .token = token,
                 .blob_prefix = stored.job.blob_prefix,
                 .source_path = stored.job.source_path};
}

Result<bool> Writer::renew_removal(const Removal& removal, milliseconds lease) {
  return transact(Durability::kProgress, [&]() -> Result<bool> {
    auto& held = database_.prepare(kRenewRemoval);
    PIXMILL_TRY(const bool is_held, step(held.bind(removal.job_no).bind(removal.token).bind(now_ms() + lease.count())));
    held.reset();
    return is_held;
  });
}

Result<RemovalStep> Writer::remove_slice(const Removal& removal, milliseconds lease) {
  return transact(Durability::kProgress, [&]() -> Result<RemovalStep> {
    auto& held = database_.prepare(kRenewRemoval);
    PIXMILL_TRY(const bool is_held, step(held.bind(removal.job_no).bind(removal.token).bind(now_ms() + lease.count())));
    const auto after_item = held.integer(0);
    const auto after_row = held.integer(1);
    held.reset();
    if (!is_held) return RemovalStep::kLost;
    return remove_more(removal.job_no, after_item, after_row);
  });
}

Result<RemovalStep> Writer::remove_more(std::int64_t job_no, std::int64_t after_item, std::int64_t after_row) {
  PIXMILL_TRY(const auto stored, load_job(database_, job_no));
  const auto items = static_cast<std::int64_t>(stored.job.total);
  const auto rows = static_cast<std::int64_t>(stored.job.rows);
  if (after_item >= items && after_row >= rows) {
    PIXMILL_TRY(const auto gone, run(database_.prepare(kRemoveGone).bind(job_no).bind(kGonePerSlice)));
    if (gone == kGonePerSlice) return RemovalStep::kMore;
    PIXMILL_RETURN_IF_ERROR(remove_rest(job_no));
    return RemovalStep::kDone;
  }
  const auto remove = [&](std::string_view sql, std::int64_t after, std::int64_t until) -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto gone, run(database_.prepare(sql).bind(job_no).bind(after).bind(until)));
    return {};
  };
  const auto end = std::chrono::steady_clock::now() + kSliceTime;
  while (after_item < items && std::chrono::steady_clock::now() < end) {
    PIXMILL_RETURN_IF_ERROR(remove(kRemoveOutputs, after_item, after_item + kItemsPerStep));
    PIXMILL_RETURN_IF_ERROR(remove(kRemoveItems, after_item, after_item + kItemsPerStep));
    after_item += kItemsPerStep;
  }
  while (after_row < rows && std::chrono::steady_clock::now() < end) {
    PIXMILL_RETURN_IF_ERROR(remove(kRemoveRows, after_row, after_row + kRowsPerStep));
    after_row += kRowsPerStep;
  }
  PIXMILL_TRY([[maybe_unused]] const auto advanced,
              run(database_.prepare(kAdvanceRemoval).bind(job_no).bind(after_item).bind(after_row)));
  return RemovalStep::kMore;
}

// What does not grow with the pictures, and the job itself.
Result<void> Writer::remove_rest(std::int64_t job_no) {
  PIXMILL_TRY([[maybe_unused]] const auto idle, run(database_.prepare(kIdleMarksOfJob).bind(job_no).bind(now_ms())));
  for (const auto sql :
       {kForgetReview, kRemoveMarkUses, kRemoveRecipes, kRemoveRowNames, kRemoveFailures, kForgetLeaders,
        kForgetReopening, kRemoveAttempts, kRemoveDeliveries, kRemoveEvents, kForgetRemoval, kRemoveJob}) {
    PIXMILL_TRY([[maybe_unused]] const auto gone, run(database_.prepare(sql).bind(job_no)));
  }
  memories_.forget(job_no);
  return {};
}

Result<void> Writer::note_mark(const std::string& digest) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    const auto now = now_ms();
    PIXMILL_TRY(const auto noted,
                run(database_.prepare(kNoteMark).bind(digest).bind(now).bind(now + kStrandedAfter.count())));
    if (noted == 0) return mark_going();
    return {};
  });
}

Result<std::optional<std::string>> Writer::claim_idle_mark(milliseconds idle, milliseconds lease) {
  return transact(Durability::kDurable, [&]() -> Result<std::optional<std::string>> {
    const auto now = now_ms();
    PIXMILL_TRY([[maybe_unused]] const auto stranded, run(database_.prepare(kStrandedMarks).bind(now)));
    std::vector<std::string> digests;
    auto& row = database_.prepare(kIdleMarks).bind(now - idle.count()).bind(now);
    row.bind(now + kStrandedAfter.count()).bind(kRemovalsLookedAt);
    while (true) {
      PIXMILL_TRY(const bool found, step(row));
      if (!found) break;
      digests.push_back(row.text(0));
    }
    for (auto& digest : digests) {
      auto& use = database_.prepare(kMarkInUse).bind(digest);
      PIXMILL_TRY([[maybe_unused]] const bool found, step(use));
      const bool is_used = use.integer(0) != 0;
      use.reset();
      auto& change = database_.prepare(is_used ? kForgetMark : kLeaseMark).bind(digest);
      if (!is_used) change.bind(now + lease.count());
      PIXMILL_TRY([[maybe_unused]] const auto changed, run(change));
      if (!is_used) return std::move(digest);
    }
    return std::nullopt;
  });
}

Result<void> Writer::forget_mark(const std::string& digest) {
  return transact(Durability::kProgress, [&]() -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto forgotten, run(database_.prepare(kForgetMark).bind(digest)));
    return {};
  });
}

}  // namespace pixmill::jobs::sqlite
