#include "base/wakeup.h"

#include <gtest/gtest.h>

#include "tests/support/run_task.h"

namespace pixmill {
namespace {

constexpr milliseconds kLong = std::chrono::hours(1);

TEST(Wakeup, RemembersARingUntilTheNextWait) {
  asio::io_context io;
  Wakeup wakeup(io.get_executor());
  wakeup.ring();
  wakeup.ring();
  testing::run_task(io, wakeup.wait(kLong));
}

TEST(Wakeup, RingEndsAWaitUnderWay) {
  asio::io_context io;
  Wakeup wakeup(io.get_executor());
  asio::post(io, [&] { asio::post(io, [&] { wakeup.ring(); }); });
  testing::run_task(io, wakeup.wait(kLong));
}

TEST(Wakeup, WaitEndsByItself) {
  asio::io_context io;
  Wakeup wakeup(io.get_executor());
  testing::run_task(io, wakeup.wait(milliseconds(1)));
}

}  // namespace
}  // namespace pixmill
