// Whether everything about one job is as it should be: its invariants (jobs/job_check.h), the file of every result, and
// files that no result names. `pixmill audit` and POST /v1/jobs/{id}/audit. Lives on the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "jobs/job_check.h"
#include "jobs/job_sweep.h"

namespace pixmill::jobs {

struct AuditOptions {
  bool repair = false;  // puts right what can be, and removes files without a result from a job that has ended
  bool deep = false;    // reads every file and compares its SHA-256
  std::function<bool()> is_stopping = nullptr;
};

// Results whose file is not what they say.
struct FilesCheck {
  std::uint64_t results = 0;  // looked at
  std::uint64_t missing = 0;
  std::uint64_t wrong_size = 0;
  std::uint64_t wrong_bytes = 0;           // of those that were read
  std::vector<std::string> examples = {};  // the first few
};

struct AuditReport {
  JobCheck check;
  FilesCheck files;
  Swept orphans;
  bool deep = false;
  bool repair = false;
};

// What is wrong, in the words of those who run such platforms. What was put right is not counted.
struct AuditCounts {
  std::uint64_t lost = 0;
  std::uint64_t doubled = 0;
  std::uint64_t orphan = 0;
  std::uint64_t dangling = 0;
  std::uint64_t other = 0;  // waits for nothing, or is miscounted
  [[nodiscard]] bool clean() const { return lost + doubled + orphan + dangling + other == 0; }
};
[[nodiscard]] AuditCounts counts_of(const AuditReport& report);

// Errors: kNotFound, kCancelled, those of the stores.
[[nodiscard]] Task<Result<AuditReport>> audit_job(SweepParts parts, JobId job, AuditOptions options);

// JSON.
[[nodiscard]] std::string audit_document(const AuditReport& report);

}  // namespace pixmill::jobs
