// A doorbell between coroutines of one loop: ring() ends the waits under way, or the next one when nobody waits.
// One waiter at a time is what it is for; several all wake. Lives on the loop.
#pragma once

#include "base/task.h"

namespace pixmill {

class Wakeup {
 public:
  explicit Wakeup(Executor executor) : timer_(std::move(executor)) {}

  void ring();
  // Returns when rung (also when rung since the last wait returned), or after `at_most`.
  [[nodiscard]] Task<void> wait(milliseconds at_most);

 private:
  asio::steady_timer timer_;
  bool rung_ = false;
};

}  // namespace pixmill
