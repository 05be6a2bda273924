// Foreign descriptors (curl's, c-ares') watched on the loop, without Asio ever owning one of them: they sit in an epoll
// instance of their own, and Asio watches only that. Level-triggered, so nothing is re-armed per event and nothing is
// closed behind a library's back. Used by client.cc and resolver.cc alone. Lives on the loop.
#pragma once

#include <functional>
#include <memory>

#include "base/error.h"
#include "base/task.h"

namespace pixmill::http {

struct PollEvent {
  int descriptor = -1;
  bool readable = false;  // also at end of file and on errors: reading tells which
  bool writable = false;
};

class PollSet {
 public:
  using OnEvent = std::function<void(const PollEvent&)>;
  using OnBatchEnd = std::function<void()>;

  // `on_event` runs on the loop once per ready descriptor, `on_batch_end` after all that were ready together. Neither
  // is called after destruction, and both may call watch(). Errors: kIo.
  [[nodiscard]] static Result<std::unique_ptr<PollSet>> create(Executor executor, OnEvent on_event,
                                                               OnBatchEnd on_batch_end);
  ~PollSet();
  PollSet(const PollSet&) = delete;
  PollSet& operator=(const PollSet&) = delete;

  // What to wait for on `descriptor` from now on; neither forgets it, and must be said before it is closed. False when
  // the kernel refuses, as it does for a descriptor that is not open.
  bool watch(int descriptor, bool for_read, bool for_write);

 private:
  struct State;
  explicit PollSet(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace pixmill::http
