#include "api/ingest_queue.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <exception>

#include "base/log.h"

namespace pixmill::api {

namespace {

// Far above what an ingest takes to notice that it should stop.
constexpr milliseconds kStopPatience{10'000};

}  // namespace

IngestQueue::IngestQueue(Executor executor, jobs::JobStore& store, jobs::Ingest& ingest, UploadReceiver& spool,
                         std::function<void()> on_ended, IngestQueueOptions options)
    : executor_(executor),
      store_(store),
      ingest_(ingest),
      spool_(spool),
      on_ended_(std::move(on_ended)),
      options_(options),
      one_ended_(executor) {}

void IngestQueue::add(JobId job, std::string source_path) {
  waiting_.push_back({std::move(job), std::move(source_path)});
  start_next();
}

Task<Result<std::vector<std::string>>> IngestQueue::resume() {
  PIXMILL_CO_TRY(const auto unfinished, co_await store_.unfinished_ingests());
  std::vector<std::string> paths;
  for (const auto& job : unfinished) {
    log::info("ingest_resumed", {{"job", job.id.text()}, {"rows", job.rows}});
    paths.push_back(job.source_path);
    add(job.id, job.source_path);
  }
  co_return paths;
}

void IngestQueue::start_next() {
  while (!stopping_ && running_ < options_.at_once && !waiting_.empty()) {
    Entry entry = std::move(waiting_.front());
    waiting_.pop_front();
    ++running_;
    auto task = run(shared_from_this(), std::move(entry));
    asio::co_spawn(executor_, std::move(task), [self = shared_from_this()](const std::exception_ptr&) {
      --self->running_;
      self->one_ended_.ring();
      self->start_next();
    });
  }
}

Task<void> IngestQueue::run(std::shared_ptr<IngestQueue> self, Entry entry) {
  const bool done = co_await self->read_in(entry);
  if (!done) co_return;
  co_await self->spool_.remove(entry.source_path);
  if (self->on_ended_) self->on_ended_();
}

// True when the spool file is not needed any more; false when the process stops first.
Task<bool> IngestQueue::read_in(const Entry& entry) {
  while (!stopping_) {
    const auto ingested = co_await ingest_.run(entry.job);
    if (ingested) co_return true;
    const Error& error = ingested.error();
    if (stopping_) break;
    const bool over =
        error.code == ErrorCode::kCancelled || error.code == ErrorCode::kNotFound || error.code == ErrorCode::kConflict;
    log::warning("ingest_stopped", {{"job", entry.job.text()},
                                    {"code", code_text(error)},
                                    {"message", error.message},
                                    {"detail", error.detail},
                                    {"again", !over}});
    if (over) co_return true;
    co_await pause();
  }
  co_return false;
}

// A timer of its own for each, so that one does not end another's pause.
Task<void> IngestQueue::pause() {
  const auto timer = pauses_.emplace(pauses_.end(), executor_, options_.retry_pause);
  boost::system::error_code ignored;
  co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  pauses_.erase(timer);
}

Task<void> IngestQueue::stop() {
  stopping_ = true;
  ingest_.stop();
  for (auto& timer : pauses_) timer.cancel();
  const auto end = std::chrono::steady_clock::now() + kStopPatience;
  while (running_ > 0 && std::chrono::steady_clock::now() < end) {
    co_await one_ended_.wait(std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now()));
  }
}

}  // namespace pixmill::api
