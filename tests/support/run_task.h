// Runs one coroutine to its end on a loop of its own, for tests: `auto value = run_task(io, task());`
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/task.h"

namespace pixmill::testing {

// Runs the loop until `task` is done; other work that is ready meanwhile runs too. T must not be void.
template <class T>
T run_task(asio::io_context& io, Task<T> task) {
  std::optional<T> value;
  std::exception_ptr thrown;
  asio::co_spawn(io, std::move(task), [&](std::exception_ptr error, T result) {
    thrown = error;
    value.emplace(std::move(result));
  });
  io.restart();
  while (!value && !thrown && io.run_one() > 0) {
  }
  if (thrown) std::rethrow_exception(thrown);
  PIXMILL_CHECK(value.has_value());
  return std::move(*value);
}

inline void run_task(asio::io_context& io, Task<void> task) {
  const auto wrap = [](Task<void> inner) -> Task<bool> {
    co_await std::move(inner);
    co_return true;
  };
  static_cast<void>(run_task(io, wrap(std::move(task))));
}

}  // namespace pixmill::testing
