#include "base/blocking_thread.h"

#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>
#include <thread>

#include "tests/support/run_task.h"

namespace pixmill {
namespace {

TEST(BlockingThread, RunsElsewhereAndResumesHere) {
  asio::io_context io;
  BlockingThread thread("test");
  const auto here = std::this_thread::get_id();
  const auto body = [&]() -> Task<bool> {
    const auto there = co_await thread.run([] { return std::this_thread::get_id(); });
    co_return there != here&& std::this_thread::get_id() == here;
  };
  EXPECT_TRUE(testing::run_task(io, body()));
}

TEST(BlockingThread, KeepsTheOrderOfCalls) {
  asio::io_context io;
  BlockingThread thread("test");
  std::vector<int> order;
  const auto one = [&](int number) -> Task<void> {
    co_await thread.run([&order, number] {
      order.push_back(number);
      return true;
    });
  };
  for (int i = 0; i < 100; ++i) asio::co_spawn(io, one(i), asio::detached);
  io.run();
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

}  // namespace
}  // namespace pixmill
