// Turns a spooled table into rows and items of a job, chunk by chunk, resumable after a kill. Parsing runs on a thread of its own.
#pragma once

#include <memory>

#include "base/error.h"
#include "base/task.h"
#include "jobs/job_store.h"
#include "jobs/queue.h"
#include "jobs/table_reader.h"

namespace pixmill::jobs {

class Ingest {
 public:
  // store and queue must outlive it.
  Ingest(Executor executor, JobStore& store, Queue& queue);
  ~Ingest();

  // Reads `path` on the ingest thread. Errors: as check_table.
  [[nodiscard]] Task<Result<TableReport>> check(std::string path, TableOptions options);

  // Reads the job's source_path and appends what is not in yet, then finish_ingest. An unreadable table rejects the job.
  // With InvalidRows::kSkip bad rows are kept with their problem and without items. Stops between chunks after stop().
  // Errors: the store's, kCancelled.
  [[nodiscard]] Task<Result<void>> run(JobId job);

  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pixmill::jobs
