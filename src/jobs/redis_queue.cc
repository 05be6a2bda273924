#include "jobs/redis_queue.h"

#include <boost/asio/co_spawn.hpp>
#include <deque>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/wakeup.h"
#include "redis/stream.h"

namespace pixmill::jobs {

namespace {

constexpr std::size_t kUnsentMax = 4'096;   // jobs to announce; beyond them the database's republishing has to do
constexpr std::size_t kSettledMax = 1'024;  // notes to settle; beyond them their adopters do it
constexpr std::size_t kAdoptMax = 16;
constexpr milliseconds kUntilRung = std::chrono::hours(1);
constexpr milliseconds kAfterError{500};

// Shared with the coroutines, so that the queue may be destroyed before they have ended.
struct State {
  State(Executor executor, redis::Stream notes, std::shared_ptr<redis::Connection> commands_in,
        std::shared_ptr<redis::Connection> blocking_in, RedisQueueOptions chosen)
      : stream(std::move(notes)),
        commands(std::move(commands_in)),
        blocking(std::move(blocking_in)),
        options(std::move(chosen)),
        bell(executor),
        errands(executor),
        listen(executor),
        look_around(executor) {}

  redis::Stream stream;
  std::shared_ptr<redis::Connection> commands;
  std::shared_ptr<redis::Connection> blocking;
  RedisQueueOptions options;
  Wakeup bell;         // for the workers
  Wakeup errands;      // something to send or to settle
  Wakeup listen;       // somebody waits
  Wakeup look_around;  // time for the upkeep
  std::set<JobId> unsent;
  std::vector<redis::Note> held;     // read, and the worker looks what there is
  std::deque<redis::Note> finished;  // to be settled
  int waiters = 0;
  bool stopped = false;

  void announce(const JobId& job) {
    if (stopped) return;
    if (unsent.size() < kUnsentMax) unsent.insert(job);
    errands.ring();
  }
  // The worker has looked: what woke it has done its work.
  void let_go_of_held() {
    for (auto& note : held) {
      if (finished.size() < kSettledMax) finished.push_back(std::move(note));
    }
    if (!held.empty()) errands.ring();
    held.clear();
  }
  // Our own note says nothing new, for we heard the announcement ourselves. With nobody idle here it is for others.
  void hear(redis::Note note) {
    if (!note.is_own && waiters > 0) {
      held.push_back(std::move(note));
      bell.ring();
      return;
    }
    if (!note.is_own) {
      if (const auto job = Uuid::parse(note.subject)) announce(JobId{*job});
    }
    if (finished.size() < kSettledMax) finished.push_back(std::move(note));
    errands.ring();
  }
};
using StatePtr = std::shared_ptr<State>;

Task<Result<void>> send_one(StatePtr state) {
  if (!state->unsent.empty()) {
    const JobId job = *state->unsent.begin();
    // Taken out before it is sent: what is announced meanwhile is another announcement.
    state->unsent.erase(state->unsent.begin());
    auto added = co_await state->stream.add(job.text());
    if (!added && state->unsent.size() < kUnsentMax) state->unsent.insert(job);
    co_return added;
  }
  redis::Note note = std::move(state->finished.front());
  state->finished.pop_front();
  // A note that cannot be settled is adopted by somebody later.
  co_return co_await state->stream.settle(std::move(note));
}

Task<void> run_errands(StatePtr state) {
  while (!state->stopped) {
    if (state->unsent.empty() && state->finished.empty()) {
      co_await state->errands.wait(kUntilRung);
      continue;
    }
    if (!co_await state->commands->wait_until_up(kUntilRung)) continue;
    const auto sent = co_await send_one(state);
    if (sent || state->stopped) continue;
    log::debug("hint_not_sent", {{"code", code_text(sent.error())}, {"detail", sent.error().detail}});
    co_await pause_for(kAfterError);
  }
}

// Reads only while a worker is idle here: a note is for whoever has time.
Task<void> read_notes(StatePtr state) {
  while (!state->stopped) {
    if (state->waiters == 0) {
      co_await state->listen.wait(kUntilRung);
      continue;
    }
    auto note = co_await state->stream.next(state->options.read_block);
    if (state->stopped) break;
    if (!note) {
      log::debug("hints_not_read", {{"code", code_text(note.error())}, {"detail", note.error().detail}});
      co_await state->listen.wait(kAfterError);
      continue;
    }
    if (*note) state->hear(std::move(**note));
  }
}

Task<Result<void>> look_around_once(StatePtr state) {
  PIXMILL_CO_TRY(auto adopted, co_await state->stream.adopt(state->options.adopt_after, kAdoptMax));
  for (auto& note : adopted) state->hear(std::move(note));
  PIXMILL_CO_RETURN_IF_ERROR(co_await state->stream.forget_members(state->options.forget_after));
  if (!state->options.unfinished) co_return Result<void>();
  PIXMILL_CO_TRY(const auto jobs, co_await state->options.unfinished());
  for (const auto& job : jobs) state->announce(job);
  co_return Result<void>();
}

Task<void> keep_up(StatePtr state) {
  while (!state->stopped) {
    co_await state->look_around.wait(state->options.upkeep_every);
    if (state->stopped || !state->commands->is_up()) continue;
    const auto looked = co_await look_around_once(state);
    if (!looked) log::debug("hints_upkeep_failed", {{"code", code_text(looked.error())}});
  }
}

// What this process has read and not settled goes to the others.
Task<void> leave(StatePtr state) {
  // The question that is still open must not get the answer; by the time of this one Redis has seen that it is gone.
  redis::Command ping(1, "PING");
  if (const auto seen = co_await state->commands->send(std::move(ping)); !seen) co_return;
  for (const auto& note : state->held) {
    if (const auto added = co_await state->stream.add(note.subject); !added) co_return;
  }
  const auto left = co_await state->stream.leave();
  if (!left) log::debug("hints_not_left", {{"code", code_text(left.error())}});
}

class RedisQueue final : public Queue {
 public:
  RedisQueue(Executor executor, StatePtr state) : executor_(std::move(executor)), state_(std::move(state)) {
    launch(run_errands(state_));
    launch(read_notes(state_));
    launch(keep_up(state_));
    state_->commands->on_up([weak = std::weak_ptr<State>(state_)] {
      if (const auto alive = weak.lock()) alive->look_around.ring();
    });
  }
  ~RedisQueue() override { stop_all(); }
  RedisQueue(const RedisQueue&) = delete;
  RedisQueue& operator=(const RedisQueue&) = delete;

  void announce(const JobId& job) override {
    state_->bell.ring();
    state_->announce(job);
  }
  void share(const JobId& job) override {
    state_->let_go_of_held();
    state_->announce(job);
  }
  Task<void> wait(milliseconds at_most) override { return wait_for(state_, at_most); }
  void stop() override { stop_all(); }

 private:
  void launch(Task<void> task) {
    asio::co_spawn(executor_, std::move(task),
                   [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
  }

  void stop_all() {
    if (std::exchange(state_->stopped, true)) return;
    state_->bell.ring();
    state_->errands.ring();
    state_->listen.ring();
    state_->look_around.ring();
    state_->blocking->stop();
    if (state_->commands->is_up()) launch(leave(state_));
  }

  static Task<void> wait_for(StatePtr state, milliseconds at_most) {
    if (state->stopped) co_return;
    state->let_go_of_held();
    ++state->waiters;
    state->listen.ring();
    co_await state->bell.wait(at_most);
    --state->waiters;
  }

  Executor executor_;
  StatePtr state_;
};

}  // namespace

std::unique_ptr<Queue> make_redis_queue(Executor executor, std::shared_ptr<redis::Connection> commands,
                                        std::shared_ptr<redis::Connection> blocking, RedisQueueOptions options) {
  redis::StreamOptions notes{.key_prefix = options.key_prefix, .group = "workers", .member = options.member};
  redis::Stream stream(commands, blocking, std::move(notes));
  auto state = std::make_shared<State>(executor, std::move(stream), std::move(commands), std::move(blocking),
                                       std::move(options));
  return std::make_unique<RedisQueue>(std::move(executor), std::move(state));
}

}  // namespace pixmill::jobs
