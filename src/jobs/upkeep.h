// Looking after a store: what is wrong in it, and putting it right. A seam over SQLite and PostgreSQL, of small verbs
// that each take milliseconds; worker/reconciler and jobs/job_check say in which order. Every implementation passes
// tests/conformance/upkeep_suite.h. Called from the loop; SQL runs on threads of the implementation.
//
// What is found is true of one moment: a query sees one snapshot. What is put right is looked at once more inside the
// transaction that does it, so that a repair may come late, or twice.
//
// Errors of every verb: as JobStore.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "base/time.h"
#include "jobs/invariants.h"
#include "jobs/model.h"

namespace pixmill::jobs {

inline constexpr std::uint32_t kViolationsMax = 100;  // of one answer
// A sweep that removes files keeps retries of its job waiting for at most so long …
inline constexpr milliseconds kSweepFence = std::chrono::minutes(5);
// … and begins no removal later than this after it began, so that a request under way ends within the fence.
inline constexpr milliseconds kSweepBudget = std::chrono::minutes(1);

struct Violation {
  Invariant invariant = Invariant::kStalledJobs;
  std::int64_t job_no = 0;
  std::string job = {};      // its id; "" where only the number is known
  std::uint64_t number = 0;  // of the item or row, or a count
  std::string detail = {};   // for people, or the event's id
  bool operator==(const Violation&) const = default;
};

// Which part of the store a query looks at, both ends included.
struct CheckRange {
  std::int64_t first_job = 0;
  std::int64_t last_job = std::numeric_limits<std::int64_t>::max();
  // Of items or rows, for those of one job (first_job).
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

// A job with what only its row in the store says.
struct JobRecord {
  std::int64_t job_no = 0;
  Job job;
  std::uint64_t leased = 0;
};

// The true counts of a job, or of a part of it.
struct JobTotals {
  std::uint64_t rows = 0;
  std::uint64_t invalid = 0;
  std::uint64_t total = 0;
  std::uint64_t remaining = 0;
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t unchanged = 0;
  std::uint64_t changed = 0;
  std::map<std::string, std::uint64_t> failures = {};  // final ones, by code
  bool operator==(const JobTotals&) const = default;
};

// A job that ended and that nobody has looked through since.
struct Review {
  JobId job;
  std::int64_t job_no = 0;
  std::int64_t note = 0;
};

class Upkeep {
 public:
  virtual ~Upkeep() = default;

  // Whether it is this process, of those on the same database, that looks after it. The first one that asks is it until
  // it ends or loses its connection.
  [[nodiscard]] virtual Task<Result<bool>> lead() = 0;

  // At most kViolationsMax. Not for CheckScope::kTotals.
  [[nodiscard]] virtual Task<Result<std::vector<Violation>>> violations(Invariant invariant, CheckRange range) = 0;
  // Puts right what violations() found, a bounded part of it at a time; false when there was nothing to do any more, or
  // it is not one that is repaired. Not for CheckScope::kTotals.
  [[nodiscard]] virtual Task<Result<bool>> repair(Violation violation) = 0;

  [[nodiscard]] virtual Task<Result<JobRecord>> record(JobId job) = 0;  // kNotFound
  // Of items, and of rows, `range.first` to `range.last` of job `range.first_job`: the caller adds slices up.
  [[nodiscard]] virtual Task<Result<JobTotals>> item_totals(CheckRange range) = 0;
  [[nodiscard]] virtual Task<Result<JobTotals>> row_totals(CheckRange range) = 0;
  // How many items the job says to have failed for each reason.
  [[nodiscard]] virtual Task<Result<std::map<std::string, std::uint64_t>>> failure_counts(std::int64_t job_no) = 0;
  // Of a job that has ended, in the generation that `record` says: its counters and its failures by reason become
  // `truth`. False when it has gone on meanwhile.
  [[nodiscard]] virtual Task<Result<bool>> correct(JobRecord record, JobTotals truth) = 0;
  // The number of the last of at most `count` jobs after number `after`; 0 when there is none.
  [[nodiscard]] virtual Task<Result<std::int64_t>> jobs_after(std::int64_t after, std::uint32_t count) = 0;

  // Those noted at `until` or before, oldest first; at most `limit`.
  [[nodiscard]] virtual Task<Result<std::vector<Review>>> due_reviews(TimePoint until, std::uint32_t limit) = 0;
  // Unless it was noted again since, or a sweep is under way: then it is due again later.
  [[nodiscard]] virtual Task<Result<void>> end_review(Review review) = 0;

  // Keeps retries of an ended job from starting for kSweepFence, so that no row can come to name a file of its; false
  // when the job is not in the generation of `record`, has not ended, or is being removed. Where another sweep's fence
  // stands, end_sweep() of neither lifts it: it runs out.
  [[nodiscard]] virtual Task<Result<bool>> begin_sweep(JobRecord record) = 0;
  [[nodiscard]] virtual Task<Result<void>> end_sweep(JobRecord record) = 0;
};

}  // namespace pixmill::jobs
