#include "jobs/progress_news.h"

#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <exception>
#include <set>
#include <utility>

#include "base/text.h"
#include "base/wakeup.h"

namespace pixmill::jobs {

namespace {

constexpr std::size_t kUntoldMax = 4'096;  // jobs; beyond them listeners find out by themselves
constexpr std::size_t kJobsPerMessage = 100;
constexpr milliseconds kUntilRung = std::chrono::hours(1);

class LocalProgressNews final : public ProgressNews {
 public:
  void tell(const JobId& job) override {
    if (listener_) listener_(job);
  }
  void listen(Listener listener) override { listener_ = std::move(listener); }
  void stop() override { listener_ = nullptr; }

 private:
  Listener listener_;
};

// Shared with the coroutine that publishes, so that the news may be destroyed before it has ended.
struct State {
  State(const Executor& executor, std::shared_ptr<redis::Connection> commands_in, RedisProgressOptions chosen)
      : commands(std::move(commands_in)), options(std::move(chosen)), errand(executor) {}
  std::shared_ptr<redis::Connection> commands;
  RedisProgressOptions options;
  Wakeup errand;
  std::set<JobId> untold;
  ProgressNews::Listener listener;
  bool stopped = false;
};

// "<member> <job> <job> …"
std::string take_message(State& state) {
  std::string message = state.options.member;
  for (std::size_t i = 0; i < kJobsPerMessage && !state.untold.empty(); ++i) {
    message += ' ';
    message += state.untold.begin()->text();
    state.untold.erase(state.untold.begin());
  }
  return message;
}

Task<void> publish(std::shared_ptr<State> state) {
  while (!state->stopped) {
    if (state->untold.empty()) {
      co_await state->errand.wait(kUntilRung);
      continue;
    }
    redis::Command command{"PUBLISH", state->options.channel, take_message(*state)};
    // Without Redis others look at the database by themselves.
    if (state->commands->is_up()) static_cast<void>(co_await state->commands->send(std::move(command)));
    co_await pause_for(ProgressNews::kTellEvery);
  }
}

class PublishedProgressNews final : public RedisProgressNews {
 public:
  PublishedProgressNews(const Executor& executor, std::shared_ptr<redis::Connection> commands,
                        RedisProgressOptions options)
      : state_(std::make_shared<State>(executor, std::move(commands), std::move(options))) {
    asio::co_spawn(executor, publish(state_), [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
  }
  ~PublishedProgressNews() override { PublishedProgressNews::stop(); }
  PublishedProgressNews(const PublishedProgressNews&) = delete;
  PublishedProgressNews& operator=(const PublishedProgressNews&) = delete;

  void tell(const JobId& job) override {
    if (state_->stopped) return;
    if (state_->listener) state_->listener(job);
    if (state_->untold.size() < kUntoldMax) state_->untold.insert(job);
    state_->errand.ring();
  }
  void listen(Listener listener) override { state_->listener = std::move(listener); }
  void stop() override {
    state_->stopped = true;
    state_->listener = nullptr;
    state_->errand.ring();
  }
  void hear(const std::string& message) override {
    const auto words = split(message, ' ');
    if (words.front() == state_->options.member) return;
    for (std::size_t i = 1; i < words.size() && i <= kJobsPerMessage && state_->listener; ++i) {
      if (const auto job = Uuid::parse(words[i])) state_->listener(JobId{*job});
    }
  }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace

std::unique_ptr<ProgressNews> make_local_progress_news() { return std::make_unique<LocalProgressNews>(); }

std::unique_ptr<RedisProgressNews> make_redis_progress_news(Executor executor,
                                                            std::shared_ptr<redis::Connection> commands,
                                                            RedisProgressOptions options) {
  return std::make_unique<PublishedProgressNews>(executor, std::move(commands), std::move(options));
}

}  // namespace pixmill::jobs
