#include "jobs/postgres_queue.h"

#include <utility>

#include "db/postgres_listener.h"

namespace pixmill::jobs {

namespace {

constexpr const char* kWorkChannel = "pixmill_work";
constexpr const char* kEventChannel = "pixmill_events";  // told by the transaction that writes the event

db::pg::ConnectOptions named(db::pg::ConnectOptions options) {
  options.application_name += " listen";
  return options;
}

// Its own process is told directly, the others by the database.
class PostgresQueue final : public Queue {
 public:
  PostgresQueue(Executor executor, db::pg::ConnectOptions options, std::function<void()> on_event)
      : local_(make_local_queue(executor)),
        on_event_(std::move(on_event)),
        listener_(std::move(executor), named(std::move(options)), {kWorkChannel, kEventChannel},
                  [this](const std::string& channel) { hear(channel); }) {
    listener_.start();
  }

  void announce(const JobId& job) override {
    local_->announce(job);
    listener_.notify(kWorkChannel);
  }
  Task<void> wait(milliseconds at_most) override { return local_->wait(at_most); }
  void stop() override {
    listener_.stop();
    local_->stop();
  }

 private:
  void hear(const std::string& channel) {
    if (channel == kWorkChannel) local_->announce({});
    if (channel == kEventChannel && on_event_) on_event_();
  }

  std::unique_ptr<Queue> local_;
  std::function<void()> on_event_;
  db::pg::Listener listener_;
};

}  // namespace

std::unique_ptr<Queue> make_postgres_queue(Executor executor, db::pg::ConnectOptions options,
                                           std::function<void()> on_event) {
  return std::make_unique<PostgresQueue>(std::move(executor), std::move(options), std::move(on_event));
}

}  // namespace pixmill::jobs
