#include "jobs/job_sweep.h"

#include <chrono>
#include <utility>

namespace pixmill::jobs {

namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kPage = 1'000;
constexpr std::size_t kExamplesMax = 5;

class Sweep {
 public:
  Sweep(SweepParts parts, std::function<bool()> is_stopping, bool remove)
      : parts_(parts), is_stopping_(std::move(is_stopping)), remove_(remove) {}

  Task<Result<Swept>> run(JobId job);

 private:
  // The unnamed ones of a page.
  Task<Result<std::vector<std::string>>> unnamed_of(const std::vector<storage::BlobInfo>& page);
  // False when the job has gone on.
  Task<Result<bool>> remove_page(std::vector<std::string> keys);
  // Those for which there was no time.
  Task<Result<std::vector<std::string>>> remove_fenced(std::vector<std::string> keys, Steady::time_point begun);

  SweepParts parts_;
  std::function<bool()> is_stopping_;
  bool remove_;
  JobRecord record_;
  Swept swept_;
};

Task<Result<std::vector<std::string>>> Sweep::unnamed_of(const std::vector<storage::BlobInfo>& page) {
  std::vector<std::string> keys;
  for (const auto& blob : page) keys.push_back(blob.key);
  swept_.files += keys.size();
  auto unnamed = co_await parts_.store.unreferenced(std::move(keys));
  if (!unnamed) co_return unnamed;
  swept_.unnamed += unnamed->size();
  for (const auto& key : *unnamed) {
    if (swept_.examples.size() < kExamplesMax) swept_.examples.push_back(key);
  }
  co_return unnamed;
}

Task<Result<std::vector<std::string>>> Sweep::remove_fenced(std::vector<std::string> keys, Steady::time_point begun) {
  // What the outcomes of the last moment before the fence named is left out now.
  PIXMILL_CO_TRY(auto unnamed, co_await parts_.store.unreferenced(std::move(keys)));
  while (!unnamed.empty() && Steady::now() - begun < kSweepBudget) {
    PIXMILL_CO_RETURN_IF_ERROR(co_await parts_.blobs.remove(unnamed.back()));
    unnamed.pop_back();
    ++swept_.removed;
  }
  co_return unnamed;
}

Task<Result<bool>> Sweep::remove_page(std::vector<std::string> keys) {
  while (!keys.empty()) {
    const auto begun = Steady::now();
    PIXMILL_CO_TRY(const bool fenced, co_await parts_.upkeep.begin_sweep(record_));
    if (!fenced) co_return false;
    auto left = co_await remove_fenced(std::move(keys), begun);
    const auto ended = co_await parts_.upkeep.end_sweep(record_);
    if (!left) co_return std::unexpected(left.error());
    if (!ended) co_return std::unexpected(ended.error());
    keys = std::move(*left);
  }
  co_return true;
}

Task<Result<Swept>> Sweep::run(JobId job) {
  PIXMILL_CO_TRY(record_, co_await parts_.upkeep.record(job));
  if (!has_own_folder(record_.job) || !is_terminal(record_.job.state)) co_return swept_;
  swept_.looked = true;
  std::string after;
  while (true) {
    if (is_stopping_ && is_stopping_()) co_return fail(ErrorCode::kCancelled, "The process is stopping.");
    PIXMILL_CO_TRY(const auto page, co_await parts_.blobs.list(record_.job.blob_prefix, after, kPage));
    if (page.empty()) break;
    PIXMILL_CO_TRY(auto unnamed, co_await unnamed_of(page));
    if (remove_ && !unnamed.empty()) {
      PIXMILL_CO_TRY(const bool goes_on, co_await remove_page(std::move(unnamed)));
      if (!goes_on) break;
    }
    if (page.size() < kPage) break;
    after = page.back().key;
  }
  co_return swept_;
}

Task<Result<Swept>> run_sweep(SweepParts parts, JobId job, std::function<bool()> is_stopping, bool remove) {
  Sweep sweep(parts, std::move(is_stopping), remove);
  co_return co_await sweep.run(job);
}

}  // namespace

bool has_own_folder(const Job& job) { return job.blob_prefix == job.id.text() + "/"; }

Task<Result<Swept>> find_orphans(SweepParts parts, JobId job, std::function<bool()> is_stopping) {
  return run_sweep(parts, job, std::move(is_stopping), false);
}

Task<Result<Swept>> sweep_job(SweepParts parts, JobId job, std::function<bool()> is_stopping) {
  return run_sweep(parts, job, std::move(is_stopping), true);
}

}  // namespace pixmill::jobs
