#include "worker/remover.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <exception>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/wakeup.h"

namespace pixmill::worker {

namespace {

constexpr std::size_t kFilesPerPiece = 200;
constexpr milliseconds kStopPatience{5'000};
constexpr std::string_view kJobsHelp = "Jobs removed with their files and rows.";

// A tenth of the time that jobs are kept is soon enough.
milliseconds expire_every(const RemoverOptions& options) {
  const auto soon_enough = options.keep.value_or(options.expire_every) / 10;
  return std::clamp(soon_enough, std::min(options.every, options.expire_every), options.expire_every);
}

void log_failure(const char* event, const Error& error) {
  log::warning(event, {{"code", code_text(error)}, {"message", error.message}, {"detail", error.detail}});
}

}  // namespace

// Shared with the coroutine that start() begins.
struct Remover::Impl : std::enable_shared_from_this<Impl> {
  Impl(Executor loop_executor, RemoverParts given, RemoverOptions chosen)
      : executor(std::move(loop_executor)),
        parts(given),
        options(chosen),
        bell(executor),
        ended(executor),
        jobs_removed(parts.metrics.counter("pixmill_jobs_removed_total", std::string(kJobsHelp))),
        files_removed(parts.metrics.counter("pixmill_files_removed_total", "Files of removed jobs that were removed.")),
        jobs_expired(parts.metrics.counter("pixmill_jobs_expired_total", "Jobs whose time to be kept was over.")),
        marks_removed(parts.metrics.counter("pixmill_watermarks_removed_total",
                                            "Uploaded watermarks that nothing named any more.")) {}

  static Task<void> run(std::shared_ptr<Impl> self) {
    while (!self->stopping) {
      co_await self->round();
      if (!self->stopping) co_await self->bell.wait(self->options.every);
    }
    self->running = false;
    self->ended.ring();
  }

  Task<void> round() {
    co_await expire();
    while (!stopping) {
      auto removal = co_await parts.store.claim_removal(options.lease);
      if (!removal) {
        log_failure("removal_failed", removal.error());
        co_return;
      }
      if (!*removal) break;
      co_await remove(std::move(**removal));
    }
    while (!stopping) {
      if (!co_await remove_mark()) co_return;
    }
  }

  // False when there is none, or it cannot be removed now.
  Task<bool> remove_mark() {
    const auto claimed_at = std::chrono::steady_clock::now();
    const auto digest = co_await parts.store.claim_idle_mark(options.mark_idle, options.lease);
    if (!digest) log_failure("removal_failed", digest.error());
    if (!digest || !*digest) co_return false;
    // Whoever has slept since then must not touch what may have come back meanwhile.
    if (std::chrono::steady_clock::now() - claimed_at > options.lease / 2) co_return false;
    const auto removed = co_await parts.marks.remove(**digest);
    if (!removed) {
      log_failure("removal_waits", removed.error());
      co_return false;
    }
    log::info("watermark_removed", {{"sha256", **digest}});
    marks_removed.add();
    const auto forgotten = co_await parts.store.forget_mark(**digest);
    co_return forgotten.has_value();
  }

  Task<void> expire() {
    const auto now = std::chrono::steady_clock::now();
    if (now < expire_at) co_return;
    bool more = true;
    while (more && !stopping) {
      const auto expired = co_await parts.store.expire_jobs(options.keep);
      if (!expired) {
        log_failure("expiry_failed", expired.error());
        co_return;
      }
      more = *expired > 0;
      if (more) log::info("jobs_expired", {{"jobs", *expired}});
      jobs_expired.add(static_cast<double>(*expired));
    }
    expire_at = now + expire_every(options);
  }

  // What is left at an error or a stop is left to the next who gets the lease.
  Task<void> remove(jobs::Removal removal) {
    const auto begun = std::chrono::steady_clock::now();
    auto files = co_await remove_files(removal);
    if (!files) {
      log_failure("removal_waits", files.error());
      co_return;
    }
    auto step = jobs::RemovalStep::kMore;
    while (!stopping && step == jobs::RemovalStep::kMore) {
      auto removed = co_await parts.store.remove_slice(removal, options.lease);
      if (!removed) {
        log_failure("removal_waits", removed.error());
        co_return;
      }
      step = *removed;
    }
    if (step != jobs::RemovalStep::kDone) co_return;
    jobs_removed.add();
    const auto took = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begun);
    log::info("job_removed", {{"job", removal.job.text()}, {"files", *files}, {"ms", took.count()}});
  }

  Task<Result<std::uint64_t>> remove_files(const jobs::Removal& removal) {
    std::uint64_t files = 0;
    // Of a job of this server. Whatever has another prefix may share it with others.
    if (removal.blob_prefix != removal.job.text() + "/") co_return files;
    while (!stopping) {
      PIXMILL_CO_TRY(const auto removed, co_await parts.blobs.remove_below(removal.blob_prefix, kFilesPerPiece));
      files += removed;
      files_removed.add(static_cast<double>(removed));
      if (removed == 0) co_return files;
      PIXMILL_CO_TRY(const bool held, co_await parts.store.renew_removal(removal, options.lease));
      if (!held) co_return fail(ErrorCode::kConflict, "another process goes on with it");
    }
    co_return fail(ErrorCode::kCancelled, "Pixmill is stopping.");
  }

  Executor executor;
  RemoverParts parts;
  RemoverOptions options;
  Wakeup bell;
  Wakeup ended;
  bool stopping = false;
  bool running = false;
  std::chrono::steady_clock::time_point expire_at;
  Counter jobs_removed;
  Counter files_removed;
  Counter jobs_expired;
  Counter marks_removed;
};

Remover::Remover(Executor executor, RemoverParts parts, RemoverOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), parts, options)) {}
Remover::~Remover() = default;

void Remover::start() {
  impl_->running = true;
  asio::co_spawn(impl_->executor, Impl::run(impl_),
                 [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
}

void Remover::soon() { impl_->bell.ring(); }

Task<void> Remover::stop() {
  const auto impl = impl_;
  impl->stopping = true;
  impl->bell.ring();
  const auto end = std::chrono::steady_clock::now() + kStopPatience;
  while (impl->running && std::chrono::steady_clock::now() < end) {
    co_await impl->ended.wait(std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now()));
  }
}

Task<void> Remover::run_once() { return impl_->round(); }

}  // namespace pixmill::worker
