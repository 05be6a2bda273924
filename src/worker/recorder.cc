#include "worker/recorder.h"

#include <algorithm>
#include <iterator>

#include "base/log.h"

namespace pixmill::worker {

namespace {

constexpr std::size_t kBatchMax = 64;
constexpr milliseconds kBatchWait{50};
constexpr milliseconds kIdleWait{60'000};
constexpr milliseconds kStoreAwayWait{500};

}  // namespace

Recorder::Recorder(Executor executor, jobs::JobStore& store, Metrics& metrics, OnRecorded on_recorded)
    : store_(store),
      on_recorded_(std::move(on_recorded)),
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
  while (!given_up_) {
    auto report = co_await store_.finish(batch);
    if (report) {
      fenced_.add(static_cast<double>(report->fenced.size()));
      on_recorded_(batch, *report);
      co_return;
    }
    retries_.add();
    log::warning("outcomes_not_recorded", {{"outcomes", batch.size()},
                                           {"code", code_text(report.error())},
                                           {"message", report.error().message},
                                           {"detail", report.error().detail}});
    co_await pause_for(kStoreAwayWait);
  }
}

}  // namespace pixmill::worker
