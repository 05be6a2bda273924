// Removes what lies in a job's folder of the store without a row that names it: files of attempts that died, or that
// lost their lease to another. Lives on the loop.
//
// When it is safe: a file may be named by a row only through the outcome of a lease that is held, and a job that has
// ended has none; the only way back is a retry. So files are removed only from jobs that have ended, page by page:
// unnamed ones are looked for first, then retries of the job are kept waiting (Upkeep::begin_sweep), it is asked once
// more which are unnamed, they are removed within kSweepBudget, and retries may begin again. A process that dies in
// between leaves a fence that ends by itself. What an attempt that lost its lease stores after the sweep is removed by
// the next: its outcome is fenced, which notes the job for review anew.
//
// Only jobs whose keys begin with their own id are swept: a folder that `pixmill run` writes into may have others'
// files.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "jobs/job_store.h"
#include "jobs/upkeep.h"
#include "storage/blob_store.h"

namespace pixmill::jobs {

struct SweepParts {
  JobStore& store;
  Upkeep& upkeep;
  storage::BlobStore& blobs;
};

struct Swept {
  std::uint64_t files = 0;    // listed
  std::uint64_t unnamed = 0;  // of them
  std::uint64_t removed = 0;
  std::vector<std::string> examples = {};  // the first few unnamed keys
  bool looked = false;                     // false: the folder is not the job's own, or the job goes on
};

// Whether everything below the job's prefix is its own.
[[nodiscard]] bool has_own_folder(const Job& job);

// Lists and counts without removing. Errors: kNotFound, kCancelled when `is_stopping` said so, those of the stores.
[[nodiscard]] Task<Result<Swept>> find_orphans(SweepParts parts, JobId job, std::function<bool()> is_stopping);
// And removes. A job that has not ended, or is retried meanwhile, is left alone: its next end notes it again.
[[nodiscard]] Task<Result<Swept>> sweep_job(SweepParts parts, JobId job, std::function<bool()> is_stopping);

}  // namespace pixmill::jobs
