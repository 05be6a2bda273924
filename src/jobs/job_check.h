// Every invariant of one job, in slices that take milliseconds each, through the seam of jobs/upkeep.h. Used by the
// reconciler for jobs that ended, and by audits. Lives on the loop.
//
// A job of 100 million items is 10,000 slices of some 30 ms: minutes, but nothing waits for them. Its sums are compared
// with its counters only when those did not change meanwhile, so that a job at work is never said to be wrong.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "jobs/invariants.h"
#include "jobs/upkeep.h"

namespace pixmill::jobs {

// What is wrong with one invariant.
struct Finding {
  Invariant invariant = Invariant::kStalledJobs;
  std::uint64_t count = 0;                 // without repairs, at most kViolationsMax of each slice are counted
  std::uint64_t repaired = 0;              // repairs that changed something; one may mend several, and several one
  bool open = false;                       // it still holds not
  std::vector<std::string> examples = {};  // the first few, for people
};

struct CheckOptions {
  bool repair = false;
  std::uint32_t items_per_slice = 10'000;
  std::uint32_t rows_per_slice = 5'000;
  std::function<bool()> is_stopping = nullptr;  // asked between slices: true ends with kCancelled
};

struct JobCheck {
  JobRecord record;
  std::vector<Finding> findings;  // those with a count
  bool sums_compared = false;     // false: the job changed all the time
};

// One invariant in one range. Repairs until nothing is found any more, or nothing can be repaired. Not for
// CheckScope::kTotals. Errors: the store's.
[[nodiscard]] Task<Result<Finding>> check_invariant(Upkeep& upkeep, Invariant invariant, CheckRange range, bool repair);

// Errors: kNotFound, kCancelled, the store's.
[[nodiscard]] Task<Result<JobCheck>> check_job(Upkeep& upkeep, JobId job, CheckOptions options);

}  // namespace pixmill::jobs
