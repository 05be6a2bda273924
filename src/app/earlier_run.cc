#include "app/earlier_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "jobs/sqlite_store.h"

namespace pixmill::app {

namespace fs = std::filesystem;

Result<EarlierPlace> find_earlier_place(const std::string& since, const std::string& own_folder) {
  EarlierPlace place{.named = since, .folder = {}, .job = std::nullopt, .jobs = {}};
  std::error_code error;
  const bool is_folder = fs::is_directory(since, error);
  if (const auto id = Uuid::parse(since); id && !is_folder) {
    place.job = JobId{*id};
    return place;
  }
  if (fs::exists(own_folder, error) && fs::equivalent(since, own_folder, error)) return place;
  const auto absolute = fs::canonical(since, error);
  if (error || !is_folder) {
    return fail(ErrorCode::kNotFound, fmt::format("--since {}: there is no such folder", since));
  }
  place.folder = absolute.string();
  auto jobs = jobs::read_jobs(place.folder + "/.pixmill.db");
  if (!jobs && jobs.error().code == ErrorCode::kNotFound) {
    return fail(ErrorCode::kNotFound, fmt::format("--since {}: pixmill run has never written to it", since));
  }
  if (!jobs) return fail(jobs.error().code, fmt::format("--since {}: {}", since, jobs.error().message));
  place.jobs = std::move(*jobs);
  return place;
}

const jobs::Job* choose_earlier(const std::vector<jobs::Job>& newest_first, const std::optional<JobId>& job,
                                const std::string& blob_prefix) {
  const auto has_ended = [](const jobs::Job& one) {
    return one.state == jobs::JobState::kCompleted || one.state == jobs::JobState::kCompletedWithErrors ||
           one.state == jobs::JobState::kFailed;
  };
  const jobs::Job* newest = nullptr;
  for (const auto& one : newest_first) {
    if (!has_ended(one) || (job && one.id != *job)) continue;
    if (job || one.blob_prefix == blob_prefix) return &one;
    if (newest == nullptr) newest = &one;
  }
  return newest;
}

}  // namespace pixmill::app
