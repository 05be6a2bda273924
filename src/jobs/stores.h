// What every database gives the rest of the program, and what each wants to know when it is opened.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "jobs/job_store.h"
#include "jobs/outbox.h"
#include "jobs/recipe_store.h"
#include "jobs/upkeep.h"

namespace pixmill::jobs {

// What the terminal event says, made inside the transaction that ends the job, and then frozen. `job` has its final
// state; `first_rows` (at most 200, with items and outputs) only for legacy uploads. Runs on threads of the store,
// several at once.
using EventBody =
    std::function<std::string(const std::string& event_type, const Job& job, const std::vector<Row>& first_rows)>;

struct Stores {
  std::unique_ptr<JobStore> jobs;
  Outbox* outbox = nullptr;        // the same object
  RecipeStore* recipes = nullptr;  // likewise
  Upkeep* upkeep = nullptr;        // likewise
  // Items that were leased when the previous process on this data folder died. Holding the folder's lock proves that it
  // no longer lives, so their leases were released at opening; their blobs may lie in the store without a row.
  std::vector<ClaimedItem> interrupted;
};

}  // namespace pixmill::jobs
