#include "worker/rescuer.h"

#include "base/log.h"

namespace pixmill::worker {

Rescuer::Rescuer(Executor executor, jobs::JobStore& store, jobs::Queue& queue, Metrics& metrics, milliseconds every,
                 OnJobsFinished on_jobs_finished)
    : store_(store),
      queue_(queue),
      every_(every),
      on_jobs_finished_(std::move(on_jobs_finished)),
      wakeup_(executor),
      rescued_(metrics.counter("pixmill_rescued_items_total", "Items whose lease expired and that run again.")) {}

void Rescuer::stop() {
  stopping_ = true;
  wakeup_.ring();
}

void Rescuer::soon() { wakeup_.ring(); }

Task<void> Rescuer::run() {
  while (!stopping_) {
    co_await run_once();
    if (!stopping_) co_await wakeup_.wait(every_);
  }
}

Task<void> Rescuer::run_once() {
  bool more = true;
  while (more && !stopping_) {
    auto report = co_await store_.rescue();
    if (!report) {
      log::warning("rescue_failed", {{"code", code_text(report.error())}, {"detail", report.error().detail}});
      co_return;
    }
    more = report->more;
    if (report->rescued > 0) {
      rescued_.add(static_cast<double>(report->rescued));
      log::info("items_rescued", {{"items", report->rescued}});
      queue_.announce({});
    }
    if (!report->jobs_finished.empty()) on_jobs_finished_(report->jobs_finished);
  }
}

}  // namespace pixmill::worker
