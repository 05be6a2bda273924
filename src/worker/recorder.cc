#include "worker/recorder.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "base/log.h"

namespace pixmill::worker {

namespace {

constexpr std::size_t kBatchMax = 64;
constexpr milliseconds kBatchWait{50};
constexpr milliseconds kIdleWait{60'000};
constexpr milliseconds kStoreAwayWait{500};
constexpr int kIoTriesMax = 20;  // ten seconds

}  // namespace

Recorder::Recorder(Executor executor, jobs::JobStore& store, Metrics& metrics, Callbacks callbacks)
    : store_(store),
      callbacks_(std::move(callbacks)),
      wakeup_(executor),
      fenced_(metrics.counter("pixmill_fenced_writes_total", "Outcomes dropped because their lease had passed on.")),
      retries_(
          metrics.counter("pixmill_record_retries_total", "Batches of outcomes the store could not take at once.")) {}

void Recorder::add(jobs::ItemOutcome outcome) {
  pending_.push_back(std::move(outcome));
  if (pending_.size() == 1 || pending_.size() >= kBatchMax) wakeup_.ring();
}

void Recorder::stop() {
  stopping_ = true;
  wakeup_.ring();
}

void Recorder::give_up() {
  given_up_ = true;
  stop();
}

Task<void> Recorder::run() {
  while (!given_up_ && !(stopping_ && pending_.empty())) {
    if (pending_.empty()) {
      co_await wakeup_.wait(kIdleWait);
      continue;
    }
    if (pending_.size() < kBatchMax && !stopping_) co_await wakeup_.wait(kBatchWait);
    const auto end = pending_.begin() + static_cast<std::ptrdiff_t>(std::min(kBatchMax, pending_.size()));
    std::vector<jobs::ItemOutcome> batch(std::make_move_iterator(pending_.begin()), std::make_move_iterator(end));
    pending_.erase(pending_.begin(), end);
    co_await write(std::move(batch));
  }
}

Task<void> Recorder::write(std::vector<jobs::ItemOutcome> batch) {
  auto written = co_await try_to_write(batch);
  if (!written && !given_up_) written = co_await write_one_by_one(std::move(batch));
  if (written || given_up_) co_return;
  log::error(
      "store_broken",
      {{"code", code_text(written.error())}, {"message", written.error().message}, {"detail", written.error().detail}});
  give_up();
  if (callbacks_.on_broken) callbacks_.on_broken(written.error());
}

Task<Result<void>> Recorder::try_to_write(std::vector<jobs::ItemOutcome> batch) {
  for (int failed = 0; !given_up_;) {
    auto report = co_await store_.finish(batch);
    if (report) {
      fenced_.add(static_cast<double>(report->fenced.size()));
      callbacks_.on_recorded(batch, *report);
      co_return Result<void>{};
    }
    const Error& error = report.error();
    retries_.add();
    log::warning(
        "outcomes_not_recorded",
        {{"outcomes", batch.size()}, {"code", code_text(error)}, {"message", error.message}, {"detail", error.detail}});
    // A disk's error may pass, but not for ever; what else is not transient will be said again.
    const bool may_pass = is_transient(error.code) || (error.code == ErrorCode::kIo && ++failed < kIoTriesMax);
    if (!may_pass) co_return std::unexpected(error);
    if (callbacks_.on_trouble) callbacks_.on_trouble(error);
    co_await pause_for(kStoreAwayWait);
  }
  co_return fail(ErrorCode::kCancelled, "the process is stopping");
}

Task<Result<void>> Recorder::write_one_by_one(std::vector<jobs::ItemOutcome> batch) {
  for (auto& outcome : batch) {
    const auto lease = outcome.lease;
    std::vector<jobs::ItemOutcome> one(1, std::move(outcome));
    const auto written = co_await try_to_write(std::move(one));
    if (written) continue;
    log::error("outcome_refused", {{"job_no", lease.job_no}, {"item", lease.item}, {"detail", written.error().detail}});
    jobs::ItemFailure instead{.code = std::string(code_name(ErrorCode::kInternal)),
                              .message = "The result could not be recorded; Pixmill's log says why.",
                              .engine_crash = false,
                              .retry_at = std::nullopt};
    std::vector<jobs::ItemOutcome> failure(
        1, jobs::ItemOutcome{.lease = lease, .result = std::move(instead), .times = {}});
    PIXMILL_CO_RETURN_IF_ERROR(co_await try_to_write(std::move(failure)));
  }
  co_return Result<void>{};
}

}  // namespace pixmill::worker
