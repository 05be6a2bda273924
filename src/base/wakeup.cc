#include "base/wakeup.h"

#include <boost/asio/redirect_error.hpp>

namespace pixmill {

void Wakeup::ring() {
  rung_ = true;
  timer_.cancel();
}

Task<void> Wakeup::wait(milliseconds at_most) {
  if (!rung_) {
    timer_.expires_after(at_most);
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  rung_ = false;
}

}  // namespace pixmill
