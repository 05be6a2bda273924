// Brings items back whose worker died, and carries cancellations through: JobStore::rescue, every couple of seconds.
// Lives on the loop.
#pragma once

#include <functional>
#include <vector>

#include "base/metrics.h"
#include "base/task.h"
#include "base/wakeup.h"
#include "jobs/job_store.h"
#include "jobs/queue.h"

namespace pixmill::worker {

class Rescuer {
 public:
  using OnJobsFinished = std::function<void(const std::vector<JobId>&)>;

  // store, queue and metrics must outlive it.
  Rescuer(Executor executor, jobs::JobStore& store, jobs::Queue& queue, Metrics& metrics, milliseconds every,
          OnJobsFinished on_jobs_finished);

  // Until stop().
  [[nodiscard]] Task<void> run();
  void stop();
  void soon();  // a job was cancelled: do not wait for the next round

  // One round: all that has expired, in the store's chunks.
  [[nodiscard]] Task<void> run_once();

 private:
  jobs::JobStore& store_;
  jobs::Queue& queue_;
  milliseconds every_;
  OnJobsFinished on_jobs_finished_;
  Wakeup wakeup_;
  bool stopping_ = false;
  Counter rescued_;
};

}  // namespace pixmill::worker
