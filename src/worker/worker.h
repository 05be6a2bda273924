// Claims items, runs them through the pipeline, records what became of them. Lives on the loop; one per process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/task.h"
#include "jobs/job_store.h"
#include "jobs/queue.h"
#include "jobs/retry_policy.h"
#include "pipeline/process_item.h"
#include "storage/blob_store.h"

namespace pixmill::worker {

struct WorkerOptions {
  std::string name;                     // "host:pid"
  std::uint32_t items_in_flight = 256;  // claimed and not yet recorded
  milliseconds lease{30'000};
  milliseconds heartbeat{10'000};
  milliseconds idle_poll{1'000};  // when no doorbell rings
  milliseconds cancel_poll{500};
  milliseconds rescue_every{2'000};
  bool claims = true;  // false: carries cancellations through and frees expired leases, but does no items itself
  milliseconds disk_full_pause{10'000};  // no claims for so long after an item met a full disk
  jobs::RetryPolicy retry;
  // Removes at once what an item stored that is broken off. Not where other processes work on the same store: one of
  // them may have taken the item over, and stored the same name for a row that it has yet to write.
  bool sweeps = true;
  // Asked before every claim, on the loop; an error keeps the worker from claiming for now, such as a disk that is
  // nearly full.
  std::function<Result<void>()> may_claim = nullptr;
  // A result of this job was recorded, or it came to its end.
  std::function<void(const JobId&)> on_moved = nullptr;
  // Where a job's results lie that another is compared with; null where none is.
  std::function<Result<std::shared_ptr<storage::BlobStore>>(const std::string& files)> open_earlier = nullptr;
  // The store refuses every result for good: the process should say so and end; its leases bring the items back.
  std::function<void(const Error&)> on_broken_store = nullptr;
};

// All must outlive the worker.
struct WorkerParts {
  jobs::JobStore& store;
  jobs::Queue& queue;
  pipeline::Pipeline& pipeline;
  storage::BlobStore& blobs;
  const Clock& clock;
  Metrics& metrics;
};

class Worker {
 public:
  Worker(Executor executor, WorkerParts parts, WorkerOptions options);
  ~Worker();

  void start();
  // Claims items of this job alone from now on. Before start(), or at any time.
  void claim_only(JobId job);
  // The store's record of the job has changed: asks for it again with the next item.
  void job_changed(const JobId& job);
  // Claims no more; items under way end within `grace` or are then released; then returns.
  [[nodiscard]] Task<void> drain(milliseconds grace);
  // Called after every transaction in which jobs reached a terminal state.
  void on_jobs_finished(std::function<void(const std::vector<JobId>&)> callback);
  // A job was cancelled: carry it through now instead of at the next round.
  void cancel_soon();
  [[nodiscard]] std::uint32_t in_flight() const;
  // Nothing is under way here, and the last claim found nothing, not even an item that waits for its next attempt.
  [[nodiscard]] bool is_idle() const;
  // What keeps the work from going on at the moment: a full disk, a store that is away. Gone when work goes on.
  [[nodiscard]] const std::optional<Error>& trouble() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace pixmill::worker
