#include "worker/reconciler.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <utility>

#include "base/log.h"

namespace pixmill::worker {

namespace {

constexpr std::uint32_t kReviewsAtOnce = 50;    // asked for; carried out one after the other
constexpr std::size_t kJobsRemembered = 1'000;  // with something open, per invariant
constexpr std::int64_t kWholeStore = 0;         // no job has this number

}  // namespace

Reconciler::Reconciler(Executor executor, ReconcilerParts parts, ReconcilerOptions options,
                       std::function<void()> on_repaired)
    : parts_(parts),
      options_(options),
      on_repaired_(std::move(on_repaired)),
      round_wakeup_(executor),
      review_wakeup_(executor),
      reviewed_(parts.metrics.counter("pixmill_reviewed_jobs_total", "Jobs looked through after their end.")),
      swept_(parts.metrics.counter("pixmill_orphans_removed_total", "Stored files removed that no image names.")) {
  for (const auto& info : jobs::invariants()) {
    const MetricLabels labels = {{"invariant", std::string(info.name)}};
    auto& count = counts_[info.id];
    count.violations = parts_.metrics.gauge("pixmill_invariant_violations",
                                            "What was found wrong when last looked at, and is not put right.", labels);
    count.found = parts_.metrics.counter("pixmill_invariant_violations_found_total", "What was found wrong.", labels);
    count.repaired =
        parts_.metrics.counter("pixmill_invariant_repairs_total", "Repairs that changed something.", labels);
  }
}

void Reconciler::stop() {
  stopping_ = true;
  round_wakeup_.ring();
  review_wakeup_.ring();
}

Task<void> Reconciler::run_rounds() {
  while (!stopping_) {
    co_await round();
    if (!stopping_) co_await round_wakeup_.wait(options_.every);
  }
}

Task<void> Reconciler::run_reviews() {
  while (!stopping_) {
    co_await reviews();
    if (!stopping_) co_await review_wakeup_.wait(options_.every);
  }
}

Task<void> Reconciler::round() {
  const auto leads = co_await parts_.upkeep.lead();
  if (!leads) {
    log::warning("reconcile_failed", {{"code", code_text(leads.error())}, {"detail", leads.error().detail}});
    co_return;
  }
  if (leads_ != *leads) log::info(*leads ? "reconciler_leads" : "reconciler_stands_by");
  leads_ = *leads;
  if (!leads_) {
    forget_all();
    co_return;
  }
  ++rounds_;
  auto done = co_await check_round();
  if (done) done = co_await check_window();
  if (!done) log::warning("reconcile_failed", {{"code", code_text(done.error())}, {"detail", done.error().detail}});
  review_wakeup_.ring();
}

Task<Result<void>> Reconciler::check_round() {
  for (const auto& info : jobs::invariants()) {
    if (info.scope != jobs::CheckScope::kRound) continue;
    if (stopping_) break;
    const jobs::CheckRange everything;
    PIXMILL_CO_TRY(const auto finding, co_await jobs::check_invariant(parts_.upkeep, info.id, everything, true));
    tell(finding, kWholeStore);
  }
  co_return Result<void>();
}

// The same few thousand jobs never come again before all others had their turn.
Task<Result<void>> Reconciler::check_window() {
  PIXMILL_CO_TRY(const auto last, co_await parts_.upkeep.jobs_after(window_after_, options_.jobs_per_round));
  const jobs::CheckRange window{.first_job = window_after_ + 1, .last_job = last};
  window_after_ = last;
  if (last == 0) {
    end_of_windows();
    co_return Result<void>();
  }
  windows_.insert(-window.first_job);
  for (const auto& info : jobs::invariants()) {
    if (info.scope != jobs::CheckScope::kJobs) continue;
    if (stopping_) break;
    PIXMILL_CO_TRY(const auto finding, co_await jobs::check_invariant(parts_.upkeep, info.id, window, true));
    // Negative numbers stand for windows.
    tell(finding, -window.first_job);
  }
  co_return Result<void>();
}

// Jobs that were removed move the windows: what was found in one that is no more is found again in another.
void Reconciler::end_of_windows() {
  for (auto& [invariant, count] : counts_) {
    std::erase_if(count.open, [this](const auto& entry) { return entry.first < 0 && !windows_.contains(entry.first); });
    show(count);
  }
  windows_.clear();
}

Task<void> Reconciler::reviews() {
  bool more = true;
  while (more && leads_ && !stopping_) {
    const auto until = parts_.clock.now() - options_.review_after;
    const auto due = co_await parts_.upkeep.due_reviews(until, kReviewsAtOnce);
    if (!due) {
      log::warning("review_failed", {{"code", code_text(due.error())}, {"detail", due.error().detail}});
      co_return;
    }
    more = !due->empty();
    for (const auto& one : *due) {
      if (stopping_ || !leads_) co_return;
      const bool done = co_await review_or_log(one);
      more = more && done;
    }
  }
  if (leads_ && !stopping_ && rounds_ % options_.rounds_per_second_look == 0) co_await look_again();
}

Task<bool> Reconciler::review_or_log(jobs::Review due) {
  const auto reviewed = co_await review(due);
  if (reviewed) co_return true;
  const auto& error = reviewed.error();
  if (error.code != ErrorCode::kCancelled) {
    log::warning(
        "review_failed",
        {{"job", due.job.text()}, {"code", code_text(error)}, {"message", error.message}, {"detail", error.detail}});
  }
  co_return false;
}

Task<Result<void>> Reconciler::review(jobs::Review due) {
  const auto looked = co_await look_through(due);
  // A job that was removed needs no review.
  if (!looked && looked.error().code != ErrorCode::kNotFound) co_return looked;
  PIXMILL_CO_RETURN_IF_ERROR(co_await parts_.upkeep.end_review(due));
  reviewed_.add();
  co_return Result<void>();
}

Task<Result<void>> Reconciler::look_through(jobs::Review due) {
  const std::function<bool()> is_stopping = [this] { return stopping_; };
  const jobs::CheckOptions options{.repair = true, .is_stopping = is_stopping};
  const auto check = co_await jobs::check_job(parts_.upkeep, due.job, options);
  if (!check && check.error().code != ErrorCode::kNotFound) co_return std::unexpected(check.error());
  clear_job(due.job_no);
  if (!check) co_return std::unexpected(check.error());
  for (const auto& finding : check->findings) {
    // The others are told of by the rounds.
    const auto scope = jobs::info_of(finding.invariant).scope;
    if (scope == jobs::CheckScope::kRound || scope == jobs::CheckScope::kJobs) continue;
    tell(finding, due.job_no);
    if (finding.open && troubled_.size() < kJobsRemembered) troubled_[due.job_no] = due.job;
  }
  const jobs::SweepParts sweeper{.store = parts_.store, .upkeep = parts_.upkeep, .blobs = parts_.blobs};
  const auto swept = co_await jobs::sweep_job(sweeper, due.job, is_stopping);
  if (!swept && swept.error().code == ErrorCode::kNotFound) {
    // Not the job: a bucket behind something that answers 404. Whether the job is gone shows at the next look.
    co_return fail(ErrorCode::kUnavailable, "Its files cannot be listed.", swept.error().detail);
  }
  if (!swept) co_return std::unexpected(swept.error());
  if (swept->removed > 0) {
    swept_.add(static_cast<double>(swept->removed));
    log::info("orphans_removed", {{"job", due.job.text()}, {"files", swept->removed}});
  }
  co_return Result<void>();
}

// One of them, each in its turn.
Task<void> Reconciler::look_again() {
  if (troubled_.empty()) co_return;
  auto next = troubled_.upper_bound(looked_again_at_);
  if (next == troubled_.end()) next = troubled_.begin();
  looked_again_at_ = next->first;
  const jobs::Review again{.job = next->second, .job_no = next->first};
  const auto looked = co_await look_through(again);
  if (!looked) log::warning("review_failed", {{"job", again.job.text()}, {"code", code_text(looked.error())}});
}

// `key`: of a job, of a window of jobs, or of the whole store; what was found there before no longer counts.
void Reconciler::tell(const jobs::Finding& finding, std::int64_t key) {
  const auto& info = jobs::info_of(finding.invariant);
  auto& count = counts_[finding.invariant];
  count.found.add(static_cast<double>(finding.count));
  count.repaired.add(static_cast<double>(finding.repaired));
  count.open.erase(key);
  if (finding.open && count.open.size() < kJobsRemembered) count.open[key] = finding.count;
  show(count);
  if (finding.count == 0) return;
  log::warning("invariant_violated", {{"invariant", info.name},
                                      {"says", info.says},
                                      {"violations", finding.count},
                                      {"repairs", finding.repaired},
                                      {"open", finding.open},
                                      {"examples", fmt::format("{}", fmt::join(finding.examples, "; "))}});
  if (finding.repaired > 0 && on_repaired_) on_repaired_();
}

void Reconciler::show(Count& count) {
  double open = 0;
  for (const auto& [of, violations] : count.open) open += static_cast<double>(violations);
  count.violations.set(open);
}

void Reconciler::clear_job(std::int64_t job_no) {
  troubled_.erase(job_no);
  for (auto& [invariant, count] : counts_) {
    count.open.erase(job_no);
    show(count);
  }
}

// Who leads tells of what is open.
void Reconciler::forget_all() {
  for (auto& [invariant, count] : counts_) {
    count.open.clear();
    show(count);
  }
  troubled_.clear();
  windows_.clear();
}

}  // namespace pixmill::worker
