// Removes what a killed process stored without a row: files whose names the interrupted items may have made and that no
// succeeded item names. Lives on the loop.
#pragma once

#include <cstdint>
#include <vector>

#include "base/task.h"
#include "jobs/job_store.h"
#include "storage/blob_store.h"

namespace pixmill::worker {

// Returns how many were removed. Errors are logged: a file that stays costs space and nothing else.
[[nodiscard]] Task<std::uint64_t> sweep_interrupted(jobs::JobStore& store, storage::BlobStore& blobs,
                                                    std::vector<jobs::ClaimedItem> interrupted);

}  // namespace pixmill::worker
