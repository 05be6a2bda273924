// What one claimed item goes through: its job's plan, the pipeline, and the translation between the pipeline's words
// and the store's. Lives on the loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <unordered_map>
#include <variant>

#include "base/task.h"
#include "jobs/job_store.h"
#include "jobs/retry_policy.h"
#include "pipeline/process_item.h"

namespace pixmill::worker {

// Not an outcome: the item goes back to the queue without counting an attempt.
struct GiveBack {
  milliseconds ready_in{0};
  // Set when the trouble is this machine's and would meet every other item too.
  std::optional<Error> machine_trouble = std::nullopt;
};

// The store that jobs::Job::since_files names.
using OpenEarlier = std::function<Result<std::shared_ptr<storage::BlobStore>>(const std::string& files)>;

class ItemRunner {
 public:
  // All must outlive it. `open_earlier` may be null where no job has since_files.
  ItemRunner(jobs::JobStore& store, pipeline::Pipeline& pipeline, const Clock& clock, jobs::RetryPolicy retry,
             OpenEarlier open_earlier = nullptr);

  // `may_have_stored` becomes true before the item's first file is written.
  [[nodiscard]] Task<std::variant<jobs::ItemOutcome, GiveBack>> run(jobs::ClaimedItem item,
                                                                    std::shared_ptr<bool> may_have_stored);

  // What the store says of the job has changed: asks it again.
  void forget(const JobId& job) { plans_.erase(job); }

 private:
  using PlanPtr = std::shared_ptr<const pipeline::JobPlan>;
  using RecipePtr = std::shared_ptr<const image::Recipe>;
  [[nodiscard]] Task<Result<PlanPtr>> plan_for(JobId job);
  // Of a row's own recipe; null for "". Errors: kInvalidArgument.
  [[nodiscard]] Result<RecipePtr> recipe_for(const std::string& text);
  void find_earlier(const jobs::Job& job, pipeline::JobPlan& plan) const;
  [[nodiscard]] static jobs::ItemOutcome unusable(const jobs::ClaimedItem& item, const Error& error);
  [[nodiscard]] jobs::ItemFailure failure(const jobs::ClaimedItem& item, const pipeline::Failed& failed);

  jobs::JobStore& store_;
  pipeline::Pipeline& pipeline_;
  const Clock& clock_;
  jobs::RetryPolicy retry_;
  OpenEarlier open_earlier_;
  std::mt19937_64 random_{std::random_device{}()};
  std::unordered_map<JobId, PlanPtr> plans_;
  std::unordered_map<std::string, RecipePtr> recipes_;  // of rows, by their text
};

// The two vocabularies of one thing; tier 3 modules do not know each other.
[[nodiscard]] pipeline::ItemTask to_task(const jobs::ClaimedItem& item, std::shared_ptr<const pipeline::JobPlan> plan,
                                         std::shared_ptr<const image::Recipe> recipe,
                                         std::shared_ptr<bool> may_have_stored);
[[nodiscard]] jobs::ItemSuccess to_success(pipeline::Succeeded succeeded);

}  // namespace pixmill::worker
