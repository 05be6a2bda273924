// What `pixmill run --since` names: the ended job that a new one is compared with, and where its results lie. Blocking,
// before the loop runs, but for choose_earlier().
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "jobs/model.h"

namespace pixmill::app {

struct EarlierPlace {
  std::string named;            // as the user did
  std::string folder;           // absolute; "": the folder of the new run itself
  std::optional<JobId> job;     // nullopt: the newest one
  std::vector<jobs::Job> jobs;  // of `folder`, newest first; none for "", whose store is open
};

// `since`: a folder that `run` has written to, or has kept the state of a run to a bucket in, or the id of a job in
// `own_folder`. Errors: kNotFound when there is nothing of the kind, kConflict when another version or program wrote
// it.
[[nodiscard]] Result<EarlierPlace> find_earlier_place(const std::string& since, const std::string& own_folder);

// The job that is meant: the newest that ended and was not given up, before others one whose results lie below
// `blob_prefix` too; null when there is none.
[[nodiscard]] const jobs::Job* choose_earlier(const std::vector<jobs::Job>& newest_first,
                                              const std::optional<JobId>& job, const std::string& blob_prefix);

}  // namespace pixmill::app
