// Removes jobs that somebody deleted or that have outlived their time: their files, then their rows, a bounded piece at
// a time; and uploaded watermarks that nothing names any more. A kill at any point loses nothing but the place: another
// round, here or in another process, goes on. Lives on the loop.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/metrics.h"
#include "base/task.h"
#include "jobs/job_store.h"
#include "storage/blob_store.h"

namespace pixmill::worker {

struct RemoverOptions {
  std::optional<milliseconds> keep;                // of jobs that do not say; unset: for ever
  milliseconds every{2'000};                       // how often it looks
  milliseconds expire_every{60'000};               // at most; more often where jobs are kept for minutes
  milliseconds mark_idle = std::chrono::hours(1);  // then a watermark that nothing names goes
  milliseconds lease{30'000};                      // of one job; far above what the next piece takes
};

// All must outlive the remover and the loop's last turn.
struct RemoverParts {
  jobs::JobStore& store;
  storage::BlobStore& blobs;
  storage::BlobStore& marks;  // uploaded watermarks by their SHA-256
  Metrics& metrics;
};

class Remover {
 public:
  Remover(Executor executor, RemoverParts parts, RemoverOptions options);
  ~Remover();
  Remover(const Remover&) = delete;
  Remover& operator=(const Remover&) = delete;

  void start();
  void soon();  // a job was deleted: do not wait for the next round
  // Ends after the piece under way, which may be waiting for the bucket or the database. Returns then.
  [[nodiscard]] Task<void> stop();

  // One round: whatever is due.
  [[nodiscard]] Task<void> run_once();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace pixmill::worker
