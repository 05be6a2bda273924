#include "base/wakeup.h"
#include "jobs/queue.h"

namespace pixmill::jobs {

namespace {

// Shared with the waits under way, so that the queue may be destroyed before they have resumed.
struct Bell {
  explicit Bell(Executor executor) : wakeup(std::move(executor)) {}
  Wakeup wakeup;
  bool stopped = false;
};

class LocalQueue final : public Queue {
 public:
  explicit LocalQueue(Executor executor) : bell_(std::make_shared<Bell>(std::move(executor))) {}
  ~LocalQueue() override { stop_bell(); }
  LocalQueue(const LocalQueue&) = delete;
  LocalQueue& operator=(const LocalQueue&) = delete;

  void announce(const JobId&) override { bell_->wakeup.ring(); }
  Task<void> wait(milliseconds at_most) override { return wait_for(bell_, at_most); }
  void stop() override { stop_bell(); }

 private:
  void stop_bell() {
    bell_->stopped = true;
    bell_->wakeup.ring();
  }

  static Task<void> wait_for(std::shared_ptr<Bell> bell, milliseconds at_most) {
    if (!bell->stopped) co_await bell->wakeup.wait(at_most);
  }

  std::shared_ptr<Bell> bell_;
};

}  // namespace

std::unique_ptr<Queue> make_local_queue(Executor executor) { return std::make_unique<LocalQueue>(std::move(executor)); }

}  // namespace pixmill::jobs
