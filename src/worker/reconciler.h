// Looks after the store: that every invariant holds (jobs/invariants.h), and that every job that ends is looked through
// once, its files included. Runs in `serve`; of a fleet in one process at a time (jobs::Upkeep::lead), the others stand
// by. Lives on the loop.
//
// Every round, 30 s apart, asks what can be asked by an index over what is under way, whatever its size, and a window
// of all jobs by number, so that each job's state, events and deliveries are looked at now and then. What grows with
// the pictures is counted only in jobs that ended since (table `reviews`, written in the transaction that ends them),
// one job after the other, in slices, beside the rounds: jobs/job_check.h. What can be put right is, in a transaction
// that looks again; everything is logged and counted.
//
// A job's files are swept with its review (jobs/job_sweep.h): what attempts stored that lost their lease, or died, and
// that no row names. A fenced outcome of a job that has ended notes a review anew.
//
// Metrics: pixmill_invariant_violations{invariant}, what was found when last looked at and is not put right;
// pixmill_invariant_violations_found_total{invariant}, pixmill_invariant_repairs_total{invariant},
// pixmill_reviewed_jobs_total, pixmill_orphans_removed_total.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "base/metrics.h"
#include "base/task.h"
#include "base/time.h"
#include "base/wakeup.h"
#include "jobs/job_check.h"
#include "jobs/job_store.h"
#include "jobs/job_sweep.h"
#include "jobs/upkeep.h"
#include "storage/blob_store.h"

namespace pixmill::worker {

struct ReconcilerOptions {
  milliseconds every{30'000};
  // A job is looked through so long after its end: what was on its way to the store when its worker died has arrived.
  milliseconds review_after{60'000};
  std::uint32_t jobs_per_round = 2'000;       // of the window over all jobs
  std::uint32_t rounds_per_second_look = 20;  // at a job with something that could not be put right
};

// All must outlive it.
struct ReconcilerParts {
  jobs::JobStore& store;
  jobs::Upkeep& upkeep;
  storage::BlobStore& blobs;
  const Clock& clock;
  Metrics& metrics;
};

class Reconciler {
 public:
  // `on_repaired`: jobs may have ended, or events and items become due.
  Reconciler(Executor executor, ReconcilerParts parts, ReconcilerOptions options, std::function<void()> on_repaired);

  // Until stop(); both run side by side.
  [[nodiscard]] Task<void> run_rounds();
  [[nodiscard]] Task<void> run_reviews();
  void stop();

  // One round, if this process leads. One after the other, all reviews that are due.
  [[nodiscard]] Task<void> round();
  [[nodiscard]] Task<void> reviews();

 private:
  struct Count {
    Gauge violations;
    Counter found;
    Counter repaired;
    // Of jobs, what was found and is not put right.
    std::map<std::int64_t, std::uint64_t> open;
  };

  [[nodiscard]] Task<Result<void>> check_round();
  [[nodiscard]] Task<Result<void>> check_window();
  // False: not now; the others would not fare better.
  [[nodiscard]] Task<bool> review_or_log(jobs::Review due);
  [[nodiscard]] Task<Result<void>> review(jobs::Review due);
  [[nodiscard]] Task<Result<void>> look_through(jobs::Review due);
  [[nodiscard]] Task<void> look_again();
  void tell(const jobs::Finding& finding, std::int64_t key);
  void clear_job(std::int64_t job_no);
  void show(Count& count);
  void end_of_windows();
  void forget_all();

  ReconcilerParts parts_;
  ReconcilerOptions options_;
  std::function<void()> on_repaired_;
  Wakeup round_wakeup_;
  Wakeup review_wakeup_;
  bool stopping_ = false;
  bool leads_ = false;
  std::int64_t window_after_ = 0;
  std::set<std::int64_t> windows_;  // seen since the first one
  // Jobs in which a review found what it could not put right: somebody else may have, so now and then one is looked
  // through again.
  std::map<std::int64_t, JobId> troubled_;
  std::int64_t looked_again_at_ = 0;  // job number
  std::uint64_t rounds_ = 0;
  std::map<jobs::Invariant, Count> counts_;
  Counter reviewed_;
  Counter swept_;
};

}  // namespace pixmill::worker
