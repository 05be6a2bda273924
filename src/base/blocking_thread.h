// One thread for calls that block (SQL, file system), awaited from the loop.
//
// `co_await thread.run(fn)` runs fn on the thread, in the order of the calls, and resumes the caller on its own
// executor with fn's value. fn must not throw. The queue holds at most as many entries as there are waiting coroutines,
// so it is bounded by them. The destructor finishes what is queued and joins; the callers' loops must outlive it.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/task.h"

namespace pixmill {

class BlockingThread {
 public:
  // `name` shows in ps and gdb; at most 15 characters are kept.
  explicit BlockingThread(const std::string& name);
  ~BlockingThread();
  BlockingThread(const BlockingThread&) = delete;
  BlockingThread& operator=(const BlockingThread&) = delete;

  // fn: () -> T with T movable and not void. The callable lives until it has run, whatever happens to the awaiter.
  template <class Function>
  [[nodiscard]] Task<std::invoke_result_t<Function&>> run(Function fn) {
    using Value = std::invoke_result_t<Function&>;
    const auto initiate = [this]<class Handler>(Handler handler, Function function) {
      auto executor = asio::get_associated_executor(handler);
      auto work = asio::make_work_guard(executor);
      asio::post(pool_, [handler = std::move(handler), function = std::move(function), executor,
                         work = std::move(work)]() mutable {
        // The value travels in an optional because awaitable results must be default constructible.
        std::optional<Value> value(function());
        // The work goes with the handler: once the loop has run it, this thread must not touch the loop any more.
        asio::post(executor, [handler = std::move(handler), value = std::move(value),
                              work = std::move(work)]() mutable { std::move(handler)(std::move(value)); });
      });
    };
    auto value = co_await asio::async_initiate<const asio::use_awaitable_t<>, void(std::optional<Value>)>(
        initiate, asio::use_awaitable, std::move(fn));
    co_return std::move(*value);
  }

 private:
  asio::thread_pool pool_;
};

}  // namespace pixmill
