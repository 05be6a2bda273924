// The doorbell: hints that work may be there. The database decides; losing every hint costs milliseconds. A seam:
// in-process here, between processes in jobs/redis_queue.h. Lives on the loop. Every implementation passes
// tests/conformance/queue_suite.h.
#pragma once

#include <memory>

#include "base/ids.h"
#include "base/task.h"

namespace pixmill::jobs {

class Queue {
 public:
  virtual ~Queue() = default;
  // Items of `job` may be claimable now. Never blocks, never fails.
  virtual void announce(const JobId& job) = 0;
  // A claim took all that it asked for, so workers of other processes may find items of `job` too. In-process there is
  // nobody to tell.
  virtual void share(const JobId& /*job*/) {}
  // Returns at the next announcement, or at once when one came since the last return, or after `at_most`.
  [[nodiscard]] virtual Task<void> wait(milliseconds at_most) = 0;
  // Every wait returns, now and later: the process is stopping.
  virtual void stop() = 0;
};

[[nodiscard]] std::unique_ptr<Queue> make_local_queue(Executor executor);

}  // namespace pixmill::jobs
