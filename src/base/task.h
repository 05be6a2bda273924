// Coroutines on the event loop. A Task starts when it is awaited and runs on its awaiter's executor; the product has
// one loop thread per process, so what a Task touches needs no lock.
//
// g++ 12 destroys braced temporaries inside a co_await expression twice: name options before the call, never write
// `co_await f({...})`. A CTest greps for it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/time.h"

namespace pixmill {

namespace asio = boost::asio;

template <class T = void>
using Task = asio::awaitable<T>;

using Executor = asio::any_io_executor;

// Waits on the loop's steady clock. Ends early, without an error, when the timer's owner is destroyed or the task
// cancelled.
[[nodiscard]] Task<void> pause_for(milliseconds duration);

}  // namespace pixmill
