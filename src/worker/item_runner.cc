#include "worker/item_runner.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "fetch/fetcher.h"
#include "image/format.h"

namespace pixmill::worker {

namespace {

constexpr std::size_t kPlansMax = 256;      // jobs whose plan is kept at hand
constexpr std::size_t kRecipesMax = 1'024;  // of rows, likewise
constexpr std::string_view kUnusableJob = "job_unusable";
constexpr milliseconds kTryAgainIn{1'000};  // after a full host queue or a store that was away, at the earliest

pipeline::StoredOutput to_stored(const jobs::Output& output) {
  return {.rendition = output.rendition,
          .key = output.key,
          .bytes = output.bytes,
          .width_px = output.width_px,
          .height_px = output.height_px,
          .format = image::parse_format(output.format).value_or(image::Format::kJpeg),
          .quality = output.quality,
          .sha256 = output.sha256,
          .note = output.note};
}

jobs::Output to_output(pipeline::StoredOutput stored) {
  return {.rendition = std::move(stored.rendition),
          .key = std::move(stored.key),
          .bytes = stored.bytes,
          .width_px = stored.width_px,
          .height_px = stored.height_px,
          .format = std::string(image::format_name(stored.format)),
          .quality = stored.quality,
          .sha256 = std::move(stored.sha256),
          .note = std::move(stored.note)};
}

pipeline::SourceFacts to_facts(const jobs::SourceFacts& facts) {
  return {.version = {.validator = facts.validator, .url = facts.version_url},
          .sha256 = facts.sha256,
          .made_with = facts.made_with};
}

jobs::SourceFacts to_facts(pipeline::SourceFacts facts) {
  return {.validator = std::move(facts.version.validator),
          .version_url = std::move(facts.version.url),
          .sha256 = std::move(facts.sha256),
          .made_with = std::move(facts.made_with)};
}

pipeline::EarlierResult to_earlier(const jobs::EarlierItem& item) {
  pipeline::EarlierResult earlier{.source = to_facts(item.source), .bytes_in = item.bytes_in, .outputs = {}};
  for (const auto& output : item.outputs) earlier.outputs.push_back(to_stored(output));
  return earlier;
}

// The item was not at fault and nothing was learnt about it.
bool should_give_back(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kCancelled;
}

}  // namespace

pipeline::ItemTask to_task(const jobs::ClaimedItem& item, std::shared_ptr<const pipeline::JobPlan> plan,
                           std::shared_ptr<const image::Recipe> recipe, std::shared_ptr<bool> may_have_stored) {
  pipeline::ItemTask task{.plan = std::move(plan),
                          .row = item.row,
                          .index = item.index,
                          .url = item.url,
                          .output_stem = item.output_stem,
                          .same_as = {},
                          .same_as_bytes_in = item.same_as_bytes_in,
                          .may_have_stored = std::move(may_have_stored),
                          .recipe = std::move(recipe)};
  for (const auto& output : item.same_as_outputs) task.same_as.push_back(to_stored(output));
  if (item.earlier && !task.plan->earlier_is_away) task.earlier = to_earlier(*item.earlier);
  return task;
}

jobs::ItemSuccess to_success(pipeline::Succeeded succeeded) {
  jobs::ItemSuccess success{.bytes_in = succeeded.bytes_in,
                            .outputs = {},
                            .source = to_facts(std::move(succeeded.source)),
                            .unchanged = succeeded.unchanged};
  for (auto& output : succeeded.outputs) success.outputs.push_back(to_output(std::move(output)));
  return success;
}

ItemRunner::ItemRunner(jobs::JobStore& store, pipeline::Pipeline& pipeline, const Clock& clock, jobs::RetryPolicy retry,
                       OpenEarlier open_earlier)
    : store_(store), pipeline_(pipeline), clock_(clock), retry_(retry), open_earlier_(std::move(open_earlier)) {}

void ItemRunner::find_earlier(const jobs::Job& job, pipeline::JobPlan& plan) const {
  if (job.since_files.empty()) return;
  auto blobs = open_earlier_ ? open_earlier_(job.since_files) : fail(ErrorCode::kUnavailable, "nobody opens it");
  if (blobs) {
    plan.earlier_blobs = std::move(*blobs);
    return;
  }
  plan.earlier_is_away = true;
  log::warning("earlier_results_away", {{"job", job.id.text()}, {"message", blobs.error().message}});
}

Task<Result<ItemRunner::PlanPtr>> ItemRunner::plan_for(JobId job) {
  if (const auto found = plans_.find(job); found != plans_.end()) co_return found->second;
  PIXMILL_CO_TRY(auto record, co_await store_.job(job));
  PIXMILL_CO_TRY(auto recipe, image::parse_recipe(record.recipe));
  auto plan = std::make_shared<pipeline::JobPlan>();
  plan->job_id = job.text();
  plan->recipe = std::move(recipe);
  plan->blob_prefix = record.blob_prefix;
  find_earlier(record, *plan);
  PIXMILL_CO_TRY(auto headers, co_await store_.headers(job));
  for (auto& header : headers) {
    plan->headers.push_back({std::move(header.host), std::move(header.name), std::move(header.value)});
  }
  if (plans_.size() >= kPlansMax) plans_.clear();
  plans_.insert_or_assign(job, plan);
  co_return plan;
}

Result<ItemRunner::RecipePtr> ItemRunner::recipe_for(const std::string& text) {
  if (text.empty()) return nullptr;
  if (const auto found = recipes_.find(text); found != recipes_.end()) return found->second;
  PIXMILL_TRY(auto parsed, image::parse_recipe(text));
  auto recipe = std::make_shared<const image::Recipe>(std::move(parsed));
  if (recipes_.size() >= kRecipesMax) recipes_.clear();
  recipes_.insert_or_assign(text, recipe);
  return recipe;
}

jobs::ItemOutcome ItemRunner::unusable(const jobs::ClaimedItem& item, const Error& error) {
  jobs::ItemFailure failure{
      .code = std::string(kUnusableJob), .message = error.message, .engine_crash = false, .retry_at = std::nullopt};
  return {.lease = item.lease, .result = std::move(failure), .times = {}};
}

Task<std::variant<jobs::ItemOutcome, GiveBack>> ItemRunner::run(jobs::ClaimedItem item,
                                                                std::shared_ptr<bool> may_have_stored) {
  if (!item.same_as_error_code.empty()) {
    jobs::ItemFailure same{.code = item.same_as_error_code,
                           .message = item.same_as_error_message,
                           .engine_crash = false,
                           .retry_at = std::nullopt};
    co_return jobs::ItemOutcome{.lease = item.lease, .result = std::move(same), .times = {}};
  }
  auto plan = co_await plan_for(item.job);
  if (!plan) {
    const bool is_lasting = plan.error().code == ErrorCode::kInvalidArgument;
    log::error("job_unreadable", {{"job", item.job.text()}, {"message", plan.error().message}});
    if (!is_lasting) co_return GiveBack{.ready_in = kTryAgainIn};
    // Nothing but its owner can mend such a job; the others must not wait for it.
    co_return unusable(item, plan.error());
  }
  auto recipe = recipe_for(item.recipe);
  if (!recipe) co_return unusable(item, recipe.error());
  auto task = to_task(item, *plan, std::move(*recipe), std::move(may_have_stored));
  auto outcome = co_await pipeline_.process(std::move(task));
  jobs::ItemOutcome recorded{.lease = item.lease,
                             .result = jobs::ItemSuccess{},
                             .times = {.fetch_ms = outcome.times.fetch.count(),
                                       .transform_ms = outcome.times.transform.count(),
                                       .store_ms = outcome.times.store.count()}};
  if (auto* failed = std::get_if<pipeline::Failed>(&outcome.result)) {
    // A store that takes nothing is not this picture's fault: nobody's work is worth doing until it is mended.
    const bool store_is_away =
        failed->stage == pipeline::Stage::kStore && failed->error.code == ErrorCode::kUnavailable;
    if (failed->error.code == ErrorCode::kDiskFull || store_is_away) {
      co_return GiveBack{.ready_in = kTryAgainIn, .machine_trouble = std::move(failed->error)};
    }
    if (should_give_back(failed->error)) {
      const milliseconds asked = failed->error.retry_after.value_or(std::chrono::seconds(0));
      co_return GiveBack{.ready_in = std::max(kTryAgainIn, asked)};
    }
    recorded.result = failure(item, *failed);
  } else {
    auto success = to_success(std::get<pipeline::Succeeded>(std::move(outcome.result)));
    // A duplicate is what its original is, when it was copied from that.
    const bool is_copy = !item.same_as_outputs.empty() && success.source.sha256.empty();
    success.unchanged = success.unchanged || (is_copy && item.same_as_unchanged);
    recorded.result = std::move(success);
  }
  co_return recorded;
}

jobs::ItemFailure ItemRunner::failure(const jobs::ClaimedItem& item, const pipeline::Failed& failed) {
  const Error& error = failed.error;
  const bool crash = error.code == ErrorCode::kEngineCrash;
  const jobs::FailedAttempt attempt{.attempt = item.attempt,
                                    .engine_crashes = item.engine_crashes + (crash ? 1 : 0),
                                    .jitter = std::uniform_real_distribution<double>(0, 1)(random_)};
  // A transfer that broke off may succeed next time; a file that came whole and ends too early will end there again.
  const bool damaged = failed.stage == pipeline::Stage::kTransform && error.code == ErrorCode::kTruncated;
  auto retry_at = damaged ? std::nullopt : jobs::next_attempt_at(retry_, error, attempt, clock_.now());
  log::debug("item_failed", {{"job", item.job.text()},
                             {"item", item.lease.item},
                             {"code", code_text(error)},
                             {"attempt", item.attempt},
                             {"final", !retry_at.has_value()},
                             {"detail", error.detail}});
  return {.code = code_text(error), .message = error.message, .engine_crash = crash, .retry_at = retry_at};
}

}  // namespace pixmill::worker
