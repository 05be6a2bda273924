// An event loop on a thread of its own, for tests that talk to a server through blocking sockets.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <thread>
#include <utility>

#include "base/task.h"

namespace pixmill::testing {

class LoopThread {
 public:
  LoopThread() : guard_(asio::make_work_guard(io_)), thread_([this] { io_.run(); }) {}
  ~LoopThread() { stop(); }
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  // Runs `task` on the loop and waits for its end.
  template <class T>
  T run(Task<T> task) {
    return asio::co_spawn(io_, std::move(task), asio::use_future).get();
  }
  // Calls `fn` on the loop and waits for it. `fn` returns a value.
  template <class Function>
  auto call(Function fn) {
    return run(wrap(std::move(fn)));
  }

  // Ends the loop, finished or not. What lives on the loop may be destroyed afterwards.
  void stop() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] Executor executor() { return io_.get_executor(); }

 private:
  template <class Function>
  static Task<std::invoke_result_t<Function&>> wrap(Function fn) {
    co_return fn();
  }

  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> guard_;
  std::thread thread_;
};

}  // namespace pixmill::testing
