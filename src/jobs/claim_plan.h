// Which items a claim takes, from which jobs: shared fairly between those of one priority. A template over the
// database's questions. Private to src/jobs/{sqlite,postgres}_claims.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"

namespace pixmill::jobs {

// Items of one job that a claim will lease.
struct Pick {
  std::int64_t job_no = 0;
  std::vector<std::uint64_t> items;
};

struct RunnableJob {
  std::int64_t job_no = 0;
  std::int64_t priority = 0;
};

// Shares `limit` items between jobs of one priority: first evenly, then what some did not need.
template <class ReadyItems>
Result<void> pick_band(const std::vector<std::int64_t>& jobs, std::size_t limit, ReadyItems& ready_items,
                       std::vector<Pick>& picks) {
  std::vector<Pick> band;
  std::size_t left = limit;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const auto sharers = jobs.size() - i;
    PIXMILL_TRY(auto items, ready_items(jobs[i], (left + sharers - 1) / sharers));
    left -= items.size();
    band.push_back({.job_no = jobs[i], .items = std::move(items)});
  }
  if (band.size() > 1) {
    for (auto& pick : band) {
      if (left == 0) break;
      const auto had = pick.items.size();
      PIXMILL_TRY(pick.items, ready_items(pick.job_no, had + left));
      left -= std::min(left, pick.items.size() - std::min(had, pick.items.size()));
    }
  }
  std::erase_if(band, [](const Pick& pick) { return pick.items.empty(); });
  std::ranges::move(band, std::back_inserter(picks));
  return {};
}

// `next_job`: () -> Result<std::optional<RunnableJob>>, the jobs that have something ready, by priority and then by how
// long ago they were served. `ready_items`: (job number, limit) -> Result<std::vector<std::uint64_t>>.
template <class NextJob, class ReadyItems>
Result<std::vector<Pick>> plan_claim(std::size_t limit, NextJob next_job, ReadyItems ready_items) {
  std::vector<Pick> picks;
  std::vector<std::int64_t> band;
  std::int64_t band_priority = 0;
  std::size_t left = limit;
  const auto use_band = [&]() -> Result<void> {
    PIXMILL_RETURN_IF_ERROR(pick_band(band, left, ready_items, picks));
    band.clear();
    left = limit;
    for (const auto& pick : picks) left -= pick.items.size();
    return {};
  };
  while (left > 0) {
    PIXMILL_TRY(const std::optional<RunnableJob> job, next_job());
    if (!job) break;
    if (!band.empty() && job->priority != band_priority) PIXMILL_RETURN_IF_ERROR(use_band());
    if (left == 0) break;
    band_priority = job->priority;
    band.push_back(job->job_no);
    if (band.size() == left) PIXMILL_RETURN_IF_ERROR(use_band());
  }
  if (!band.empty()) PIXMILL_RETURN_IF_ERROR(use_band());
  return picks;
}

}  // namespace pixmill::jobs
