#include "base/task.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>

namespace pixmill {

Task<void> pause_for(milliseconds duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(duration);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

}  // namespace pixmill
