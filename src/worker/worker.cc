#include "worker/worker.h"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/wakeup.h"
#include "worker/item_runner.h"
#include "worker/recorder.h"
#include "worker/rescuer.h"
#include "worker/sweeper.h"

namespace pixmill::worker {

namespace {

constexpr std::uint32_t kClaimMax = 64;
constexpr milliseconds kStoreAwayWait{500};
constexpr milliseconds kRoomWait{1'000};
constexpr milliseconds kNotNowWait{500};  // until may_claim is asked again
constexpr milliseconds kAbortWait{2'000};
constexpr std::size_t kRemovedAtOnce = 1'000;  // more than one process has under way

using ItemKey = std::pair<std::int64_t, std::uint64_t>;  // job number, item

ItemKey key_of(const jobs::Lease& lease) { return {lease.job_no, lease.item}; }

// What an item's coroutine threw; nullopt when it was only aborted.
std::optional<std::string> bug_in(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& thrown) {
    if (thrown.code() == asio::error::operation_aborted) return std::nullopt;
    return thrown.what();
  } catch (const std::exception& thrown) {
    return thrown.what();
  } catch (...) {
    return "an unknown exception";
  }
}

}  // namespace

struct Worker::Impl : std::enable_shared_from_this<Worker::Impl> {
  // An item between its claim and its record. `abort` ends its coroutine at the next wait.
  struct Held {
    jobs::ClaimedItem item;  // its lease, job and names
    std::shared_ptr<bool> may_have_stored = std::make_shared<bool>(false);
    bool running = true;  // false: done, waiting for the recorder
    // Shared with the coroutine's completion: Asio touches its slot until the very end.
    std::shared_ptr<asio::cancellation_signal> abort = std::make_shared<asio::cancellation_signal>();
  };

  Impl(Executor executor_in, WorkerParts parts_in, WorkerOptions options_in)
      : executor(executor_in),
        parts(parts_in),
        options(std::move(options_in)),
        runner(parts.store, parts.pipeline, parts.clock, options.retry, options.open_earlier),
        recorder(executor, parts.store, parts.metrics,
                 {.on_recorded = [this](const auto& outcomes, const auto& report) { recorded(outcomes, report); },
                  .on_trouble = [this](const Error& error) { meet(error); },
                  .on_broken = options.on_broken_store}),
        rescuer(executor, parts.store, parts.queue, parts.metrics, options.rescue_every,
                [this](const auto& jobs) { announce_finished(jobs); }),
        room(executor),
        heart(executor),
        cancels(executor),
        emptied(executor),
        succeeded(
            parts.metrics.counter("pixmill_items_total", "Recorded attempts by result.", {{"result", "succeeded"}})),
        unchanged(
            parts.metrics.counter("pixmill_items_total", "Recorded attempts by result.", {{"result", "unchanged"}})),
        failed(parts.metrics.counter("pixmill_items_total", "Recorded attempts by result.", {{"result", "failed"}})),
        retried(parts.metrics.counter("pixmill_items_total", "Recorded attempts by result.", {{"result", "retried"}})),
        in_flight_gauge(parts.metrics.gauge("pixmill_items_in_flight", "Items claimed and not yet recorded.")) {}

  Task<void> claim_loop();
  Task<bool> claim_once();
  [[nodiscard]] Result<void> may_claim() const;
  Task<void> heartbeat_loop();
  Task<void> cancel_loop();
  Task<void> run_item(jobs::ClaimedItem item, std::shared_ptr<bool> may_have_stored);
  Task<void> give_back(jobs::Lease lease, milliseconds ready_in);
  void meet(const Error& error);
  Task<void> clear_up(jobs::Lease lease);
  Task<bool> is_ours_alone(jobs::ClaimedItem item);
  static Task<void> clear_after_removal(std::shared_ptr<Impl> self, JobId job);
  Task<void> stop_everything(milliseconds grace);

  void spawn(jobs::ClaimedItem item);
  void broken_off(const jobs::Lease& lease, const std::exception_ptr& error);
  void recorded(const std::vector<jobs::ItemOutcome>& outcomes, const jobs::FinishReport& report);
  void announce_finished(const std::vector<JobId>& jobs) const;
  void forget(const jobs::Lease& lease);
  void abort_items(const std::function<bool(const Held&)>& which);
  [[nodiscard]] std::uint32_t free_room() const;

  Executor executor;
  WorkerParts parts;
  WorkerOptions options;
  ItemRunner runner;
  Recorder recorder;
  Rescuer rescuer;
  Wakeup room;     // an item left
  Wakeup heart;    // stops the heartbeat
  Wakeup cancels;  // stops the look-out for cancelled jobs
  Wakeup emptied;  // nothing is held any more, or a loop ended
  std::map<ItemKey, std::unique_ptr<Held>> held;
  std::function<void(const std::vector<JobId>&)> on_finished;
  std::optional<JobId> only;
  std::optional<Error> trouble;
  std::chrono::steady_clock::time_point disk_full_until;
  bool draining = false;
  bool stopped = false;
  bool found_nothing = false;  // by the last claim, nor will it soon
  int loops = 0;
  Counter succeeded, unchanged, failed, retried;
  Gauge in_flight_gauge;
};

Worker::Worker(Executor executor, WorkerParts parts, WorkerOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), parts, std::move(options))) {}

Worker::~Worker() = default;

void Worker::on_jobs_finished(std::function<void(const std::vector<JobId>&)> callback) {
  impl_->on_finished = std::move(callback);
}

const std::optional<Error>& Worker::trouble() const { return impl_->trouble; }

std::uint32_t Worker::in_flight() const { return static_cast<std::uint32_t>(impl_->held.size()); }

bool Worker::is_idle() const { return impl_->found_nothing && impl_->held.empty(); }

void Worker::claim_only(JobId job) {
  impl_->only = std::move(job);
  impl_->parts.queue.announce(*impl_->only);
}

void Worker::job_changed(const JobId& job) { impl_->runner.forget(job); }

void Worker::cancel_soon() { impl_->rescuer.soon(); }

void Worker::start() {
  const auto launch = [impl = impl_](Task<void> loop) {
    ++impl->loops;
    asio::co_spawn(impl->executor, std::move(loop), [impl](const std::exception_ptr& error) {
      PIXMILL_CHECK(error == nullptr);
      --impl->loops;
      impl->emptied.ring();
    });
  };
  if (impl_->options.claims) launch(impl_->claim_loop());
  launch(impl_->heartbeat_loop());
  launch(impl_->cancel_loop());
  launch(impl_->recorder.run());
  launch(impl_->rescuer.run());
}

Task<void> Worker::drain(milliseconds grace) { co_await impl_->stop_everything(grace); }

std::uint32_t Worker::Impl::free_room() const {
  const auto used = static_cast<std::uint32_t>(held.size());
  return used >= options.items_in_flight ? 0 : options.items_in_flight - used;
}

Task<void> Worker::Impl::claim_loop() {
  // A claim is one transaction, so it waits until a good part of a batch has room.
  const std::uint32_t worth_claiming = std::min(kClaimMax / 4, options.items_in_flight);
  while (!draining) {
    if (free_room() < worth_claiming) {
      co_await room.wait(kRoomWait);
      continue;
    }
    if (const auto allowed = may_claim(); !allowed) {
      meet(allowed.error());
      co_await room.wait(kNotNowWait);
      continue;
    }
    const bool found = co_await claim_once();
    if (!found && draining) break;
  }
}

Result<void> Worker::Impl::may_claim() const {
  if (trouble && std::chrono::steady_clock::now() < disk_full_until) return std::unexpected(*trouble);
  return options.may_claim ? options.may_claim() : Result<void>();
}

// Said once, not at every attempt: people see it in trouble() meanwhile.
void Worker::Impl::meet(const Error& error) {
  if (!trouble || trouble->code != error.code) {
    log::warning("work_waits", {{"code", code_text(error)}, {"message", error.message}, {"detail", error.detail}});
  }
  trouble = error;
}

// Claims a batch and starts it; waits for the doorbell when there is nothing. False when nothing was claimed.
Task<bool> Worker::Impl::claim_once() {
  jobs::ClaimRequest request{
      .worker = options.name, .limit = std::min(kClaimMax, free_room()), .lease = options.lease, .only = only};
  const std::size_t asked_for = request.limit;
  auto claim = co_await parts.store.claim(std::move(request));
  found_nothing = claim && claim->items.empty() && !claim->next_ready_at;
  if (!claim) {
    meet(claim.error());
    co_await pause_for(kStoreAwayWait);
    co_return false;
  }
  if (std::chrono::steady_clock::now() >= disk_full_until) trouble.reset();
  if (!claim->items.empty()) {
    if (claim->items.size() == asked_for && !only) parts.queue.share(claim->items.back().job);
    for (auto& item : claim->items) spawn(std::move(item));
    in_flight_gauge.set(static_cast<double>(held.size()));
    co_return true;
  }
  milliseconds wait = options.idle_poll;
  if (claim->next_ready_at) wait = std::clamp(*claim->next_ready_at - parts.clock.now(), milliseconds(1), wait);
  co_await parts.queue.wait(wait);
  co_return false;
}

void Worker::Impl::spawn(jobs::ClaimedItem item) {
  auto entry = std::make_unique<Held>();
  entry->item.lease = item.lease;
  entry->item.job = item.job;
  entry->item.output_stem = item.output_stem;
  const auto abort = entry->abort;
  const auto may_have_stored = entry->may_have_stored;
  const auto lease = item.lease;
  // A second claim of an item we still hold means that its first lease expired: that first result will be fenced.
  held.insert_or_assign(key_of(lease), std::move(entry));
  asio::co_spawn(executor, run_item(std::move(item), may_have_stored),
                 asio::bind_cancellation_slot(
                     abort->slot(), [self = shared_from_this(), abort, lease](const std::exception_ptr& error) {
                       if (error) self->broken_off(lease, error);
                     }));
}

// Aborted in the middle, an item goes back unfinished. Any other exception is a bug that the item would meet again at
// every attempt, so it is the item's result.
void Worker::Impl::broken_off(const jobs::Lease& lease, const std::exception_ptr& error) {
  const auto what = bug_in(error);
  if (!what) {
    asio::co_spawn(executor, clear_up(lease), asio::detached);
    return;
  }
  log::error("item_threw", {{"job_no", lease.job_no}, {"item", lease.item}, {"what", *what}});
  if (const auto found = held.find(key_of(lease)); found != held.end()) found->second->running = false;
  jobs::ItemFailure failure{.code = std::string(code_name(ErrorCode::kInternal)),
                            .message = "Pixmill failed on this picture; its log says how.",
                            .engine_crash = false,
                            .retry_at = std::nullopt};
  recorder.add({.lease = lease, .result = std::move(failure), .times = {}});
}

Task<void> Worker::Impl::run_item(jobs::ClaimedItem item, std::shared_ptr<bool> may_have_stored) {
  const jobs::Lease lease = item.lease;
  auto result = co_await runner.run(std::move(item), std::move(may_have_stored));
  if (const auto* back = std::get_if<GiveBack>(&result)) {
    if (back->machine_trouble) {
      meet(*back->machine_trouble);
      disk_full_until = std::chrono::steady_clock::now() + options.disk_full_pause;
    }
    co_await give_back(lease, back->ready_in);
    co_return;
  }
  if (const auto found = held.find(key_of(lease)); found != held.end()) found->second->running = false;
  recorder.add(std::get<jobs::ItemOutcome>(std::move(result)));
}

Task<void> Worker::Impl::give_back(jobs::Lease lease, milliseconds ready_in) {
  std::optional<TimePoint> ready_at;
  if (ready_in.count() > 0 && !draining) ready_at = parts.clock.now() + ready_in;
  std::vector<jobs::Lease> leases(1, lease);
  const auto released = co_await parts.store.release(std::move(leases), ready_at);
  // If the store is away the lease runs out by itself.
  if (!released) log::warning("release_failed", {{"code", code_text(released.error())}});
  forget(lease);
}

// An aborted item may have stored a file that no row will ever name.
Task<void> Worker::Impl::clear_up(jobs::Lease lease) {
  const auto found = held.find(key_of(lease));
  const bool is_there = found != held.end() && found->second->item.lease == lease;
  if (is_there && *found->second->may_have_stored) {
    const jobs::ClaimedItem item = found->second->item;
    if (options.sweeps && co_await is_ours_alone(item)) {
      std::vector<jobs::ClaimedItem> aborted(1, item);
      co_await sweep_interrupted(parts.store, parts.blobs, std::move(aborted));
    }
    co_await clear_after_removal(shared_from_this(), item.job);
  }
  co_await give_back(lease, milliseconds(0));
}

// A job may have been removed while its items' lease had passed on: what was stored here came after its folder was
// emptied, and no review will look for it.
Task<void> Worker::Impl::clear_after_removal(std::shared_ptr<Impl> self, JobId job) {
  const auto record = co_await self->parts.store.job(job);
  if (record || record.error().code != ErrorCode::kNotFound) co_return;
  const auto removed = co_await self->parts.blobs.remove_below(job.text() + "/", kRemovedAtOnce);
  if (!removed) {
    log::warning("files_of_removed_job_stay", {{"job", job.text()}, {"message", removed.error().message}});
  }
}

// True when nobody else can be at work on the item, so that what lies under its names is nobody's: its lease is held,
// or its job gives out none any more. Another attempt would write the same names anyway.
Task<bool> Worker::Impl::is_ours_alone(jobs::ClaimedItem item) {
  const auto job = co_await parts.store.job(item.job);
  if (!job) co_return false;
  const bool may_give_it_out = job->state == jobs::JobState::kRunning || job->state == jobs::JobState::kIngesting ||
                               job->state == jobs::JobState::kPaused;
  if (!may_give_it_out) co_return true;
  std::vector<jobs::Lease> leases(1, item.lease);
  const auto lost = co_await parts.store.renew(std::move(leases), options.lease);
  co_return lost && lost->empty();
}

void Worker::Impl::forget(const jobs::Lease& lease) {
  const auto found = held.find(key_of(lease));
  if (found != held.end() && found->second->item.lease == lease) held.erase(found);
  found_nothing = false;  // it may have become claimable again
  in_flight_gauge.set(static_cast<double>(held.size()));
  room.ring();
  if (held.empty()) emptied.ring();
}

void Worker::Impl::recorded(const std::vector<jobs::ItemOutcome>& outcomes, const jobs::FinishReport& report) {
  std::set<JobId> moved, passed_on;
  for (const auto& outcome : outcomes) {
    const bool is_fenced = std::ranges::find(report.fenced, outcome.lease) != report.fenced.end();
    if (const auto found = held.find(key_of(outcome.lease)); found != held.end()) {
      (is_fenced ? passed_on : moved).insert(found->second->item.job);
    }
    forget(outcome.lease);
    if (is_fenced) continue;
    const auto* failure = std::get_if<jobs::ItemFailure>(&outcome.result);
    if (failure == nullptr) {
      (std::get<jobs::ItemSuccess>(outcome.result).unchanged ? unchanged : succeeded).add();
    } else {
      (failure->retry_at ? retried : failed).add();
    }
  }
  for (const auto& lease : report.fenced) {
    log::warning("outcome_fenced", {{"job_no", lease.job_no}, {"item", lease.item}, {"token", lease.token}});
  }
  for (const auto& job : passed_on) {
    asio::co_spawn(executor, clear_after_removal(shared_from_this(), job), asio::detached);
  }
  if (options.on_moved) std::ranges::for_each(moved, options.on_moved);
  announce_finished(report.jobs_finished);
}

void Worker::Impl::announce_finished(const std::vector<JobId>& jobs) const {
  if (options.on_moved) std::ranges::for_each(jobs, options.on_moved);
  if (!jobs.empty() && on_finished) on_finished(jobs);
}

Task<void> Worker::Impl::heartbeat_loop() {
  while (!stopped) {
    co_await heart.wait(options.heartbeat);
    if (held.empty() || stopped) continue;
    std::vector<jobs::Lease> leases;
    leases.reserve(held.size());
    for (const auto& [key, entry] : held) leases.push_back(entry->item.lease);
    const auto lost = co_await parts.store.renew(std::move(leases), options.lease);
    if (!lost) {
      meet(lost.error());
      continue;
    }
    for (const auto& lease : *lost) {
      abort_items([&lease](const Held& entry) { return entry.item.lease == lease; });
    }
  }
}

// A cancelled job's items stop where they are, so that `cancelled` comes soon and nothing of it is fetched afterwards.
Task<void> Worker::Impl::cancel_loop() {
  while (!stopped) {
    co_await cancels.wait(options.cancel_poll);
    if (held.empty() || stopped) continue;
    jobs::JobQuery query{.state = jobs::JobState::kCancelling, .limit = 100, .before = std::nullopt};
    const auto page = co_await parts.store.jobs(std::move(query));
    if (!page) continue;
    for (const auto& job : page->jobs) {
      abort_items([&job](const Held& entry) { return entry.item.job == job.id; });
    }
    if (!page->jobs.empty()) rescuer.soon();
  }
}

void Worker::Impl::abort_items(const std::function<bool(const Held&)>& which) {
  std::vector<ItemKey> keys;  // emit() may end a coroutine at once, which changes `held`
  for (const auto& [key, entry] : held) {
    if (entry->running && which(*entry)) keys.push_back(key);
  }
  for (const auto& key : keys) {
    if (const auto found = held.find(key); found != held.end()) {
      found->second->abort->emit(asio::cancellation_type::terminal);
    }
  }
}

Task<void> Worker::Impl::stop_everything(milliseconds grace) {
  draining = true;
  parts.queue.stop();
  room.ring();
  const auto give_up_at = std::chrono::steady_clock::now() + grace;
  while (!held.empty() && std::chrono::steady_clock::now() < give_up_at) {
    co_await emptied.wait(std::min(grace, milliseconds(100)));
  }
  if (!held.empty()) {
    log::info("drain_released_items", {{"items", held.size()}});
    abort_items([](const Held&) { return true; });
    const auto abort_until = std::chrono::steady_clock::now() + kAbortWait;
    while (!held.empty() && std::chrono::steady_clock::now() < abort_until) co_await emptied.wait(milliseconds(50));
  }
  stopped = true;
  heart.ring();
  cancels.ring();
  rescuer.stop();
  if (held.empty()) {
    recorder.stop();
  } else {
    recorder.give_up();
  }
  while (loops > 0) co_await emptied.wait(milliseconds(100));
}

}  // namespace pixmill::worker
