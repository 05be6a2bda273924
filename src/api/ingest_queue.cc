#include "api/ingest_queue.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <exception>

#include "base/log.h"

namespace pixmill::api {

namespace {

// Far above what an ingest takes to notice that it should stop.
constexpr milliseconds kStopPatience{10'000};

void log_stop(const char* event, const JobId& job, const Error& error, bool again) {
  log::warning(event, {{"job", job.text()},
                       {"code", code_text(error)},
                       {"message", error.message},
                       {"detail", error.detail},
                       {"again", again}});
}

// The job is not ours to read any more, or not to be read at all.
bool is_over(ErrorCode code) {
  return code == ErrorCode::kCancelled || code == ErrorCode::kNotFound || code == ErrorCode::kConflict;
}

}  // namespace

IngestQueue::IngestQueue(Executor executor, IngestQueueParts parts, IngestQueueOptions options)
    : executor_(executor), parts_(std::move(parts)), options_(options), one_ended_(executor), look_(executor) {}

void IngestQueue::add(JobId job, std::string source_path, std::string path) {
  enqueue({.lease = job, .source_path = std::move(source_path), .path = std::move(path)});
}

void IngestQueue::enqueue(Entry entry) {
  waiting_.push_back(std::make_shared<Entry>(std::move(entry)));
  start_next();
}

Task<Result<std::vector<std::string>>> IngestQueue::spooled() {
  PIXMILL_CO_TRY(const auto unfinished, co_await parts_.store.unfinished_ingests());
  std::vector<std::string> paths;
  for (const auto& job : unfinished) {
    if (!jobs::is_shared_table(job.source_path)) paths.push_back(job.source_path);
  }
  co_return paths;
}

void IngestQueue::start() {
  tending_ = true;
  asio::co_spawn(executor_, tend(shared_from_this()),
                 [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
}

Task<void> IngestQueue::tend(std::shared_ptr<IngestQueue> self) {
  while (!self->stopping_) {
    co_await self->renew();
    co_await self->take_over();
    co_await self->sweep();
    if (!self->stopping_) co_await self->look_.wait(self->options_.look_every);
  }
  self->tending_ = false;
  self->one_ended_.ring();
}

// A reader that has lost its lease finds out by its next chunk; what waits is let go here.
Task<void> IngestQueue::renew() {
  std::vector<EntryPtr> held(waiting_.begin(), waiting_.end());
  held.insert(held.end(), running_.begin(), running_.end());
  if (held.empty()) co_return;
  std::vector<jobs::IngestLease> leases;
  for (const auto& entry : held) leases.push_back(entry->lease);
  const auto lost = co_await parts_.store.renew_ingests(std::move(leases), options_.lease);
  if (!lost) co_return;
  for (const auto& entry : held) {
    if (std::ranges::find(*lost, entry->lease) != lost->end()) entry->is_lost = true;
  }
}

Task<void> IngestQueue::take_over() {
  const auto busy = running_.size() + waiting_.size();
  if (stopping_ || busy >= options_.at_once) co_return;
  const auto room = static_cast<std::uint32_t>(options_.at_once - busy);
  const auto claimed = co_await parts_.store.claim_ingests(room, options_.lease);
  if (!claimed || stopping_) co_return;  // the lease of those that are not begun runs out
  for (const auto& [job, lease] : *claimed) {
    log::info("ingest_resumed", {{"job", job.id.text()}, {"rows", job.rows}});
    const bool is_shared = jobs::is_shared_table(job.source_path);
    enqueue({.lease = lease, .source_path = job.source_path, .path = is_shared ? "" : job.source_path});
  }
}

Task<void> IngestQueue::sweep() {
  const auto now = std::chrono::steady_clock::now();
  if (parts_.depot == nullptr || stopping_ || now < sweep_at_) co_return;
  sweep_at_ = now + options_.sweep_every;
  co_await parts_.depot->sweep(parts_.store, options_.table_grace);
}

void IngestQueue::start_next() {
  while (!stopping_ && running_.size() < options_.at_once && !waiting_.empty()) {
    const EntryPtr entry = std::move(waiting_.front());
    waiting_.pop_front();
    running_.push_back(entry);
    asio::co_spawn(executor_, run(shared_from_this(), entry),
                   [self = shared_from_this(), entry](const std::exception_ptr&) {
                     self->running_.remove(entry);
                     self->one_ended_.ring();
                     self->start_next();
                     self->look_.ring();
                   });
  }
}

Task<void> IngestQueue::run(std::shared_ptr<IngestQueue> self, EntryPtr entry) {
  const End end = co_await self->read_in(entry);
  co_await self->clean_up(entry, end);
  if (end == End::kOver && self->parts_.on_ended) self->parts_.on_ended();
}

Task<IngestQueue::End> IngestQueue::read_in(EntryPtr entry) {
  while (!stopping_ && !entry->is_lost) {
    if (!co_await bring(entry)) co_return End::kLeft;
    const auto ingested = co_await parts_.ingest.run(entry->lease, entry->path, entry->source_path);
    if (ingested) co_return End::kOver;
    if (stopping_) break;
    const bool over = is_over(ingested.error().code);
    log_stop("ingest_stopped", entry->lease.job, ingested.error(), !over);
    if (over) co_return End::kOver;
    co_await pause();
  }
  co_return stopping_ ? End::kStopped : End::kLeft;
}

// False when the table cannot be had here, now: once the lease has run out, another server may try.
Task<bool> IngestQueue::bring(EntryPtr entry) {
  if (!entry->path.empty()) co_return true;
  if (parts_.depot == nullptr) co_return false;
  auto path = co_await parts_.depot->fetch(entry->source_path, entry->lease.token);
  if (!path) log_stop("table_not_had", entry->lease.job, path.error(), true);
  if (path) entry->path = std::move(*path);
  co_return path.has_value();
}

Task<void> IngestQueue::clean_up(EntryPtr entry, End end) {
  const bool is_shared = jobs::is_shared_table(entry->source_path);
  bool is_needed = end != End::kOver;
  if (!is_needed) {
    // Another server may read it by now.
    const auto job = co_await parts_.store.job(entry->lease.job);
    is_needed =
        job ? job->is_being_read && job->source_path == entry->source_path : job.error().code != ErrorCode::kNotFound;
  }
  if (!entry->path.empty() && (is_shared || !is_needed)) co_await parts_.spool.remove(entry->path);
  if (is_shared && !is_needed && parts_.depot != nullptr) co_await parts_.depot->remove(entry->source_path);
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
  parts_.ingest.stop();
  look_.ring();
  for (auto& timer : pauses_) timer.cancel();
  const auto end = std::chrono::steady_clock::now() + kStopPatience;
  while ((!running_.empty() || tending_) && std::chrono::steady_clock::now() < end) {
    co_await one_ended_.wait(std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now()));
  }
}

}  // namespace pixmill::api
