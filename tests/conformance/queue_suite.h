// The conformance suite of Queue:  PIXMILL_INSTANTIATE_QUEUE_SUITE(Local, factory)
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>
#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "jobs/queue.h"
#include "tests/support/run_task.h"

namespace pixmill::conformance {

struct QueueFactory {
  std::string name;
  std::function<std::unique_ptr<jobs::Queue>(asio::io_context&)> make;
};

inline void PrintTo(const QueueFactory& factory, std::ostream* out) { *out << factory.name; }
inline std::string queue_factory_name(const ::testing::TestParamInfo<QueueFactory>& info) { return info.param.name; }

class QueueSuite : public ::testing::TestWithParam<QueueFactory> {
 protected:
  void SetUp() override { queue_ = GetParam().make(io_); }

  // Starts a wait that would last longer than any test; the flag says that it returned.
  std::shared_ptr<bool> start_wait() {
    auto returned = std::make_shared<bool>(false);
    asio::co_spawn(io_, wait_and_note(*queue_, returned), asio::detached);
    run_what_is_ready();
    return returned;
  }
  void run_what_is_ready() {
    io_.restart();
    io_.poll();
  }

  static constexpr milliseconds kLong = std::chrono::hours(1);
  const JobId job_{Uuid::random()};
  asio::io_context io_;
  std::unique_ptr<jobs::Queue> queue_;

 private:
  static Task<void> wait_and_note(jobs::Queue& queue, std::shared_ptr<bool> returned) {
    co_await queue.wait(kLong);
    *returned = true;
  }
};

TEST_P(QueueSuite, AnAnnouncementEndsAWait) {
  const auto returned = start_wait();
  EXPECT_FALSE(*returned);
  queue_->announce(job_);
  run_what_is_ready();
  EXPECT_TRUE(*returned);
}

TEST_P(QueueSuite, AnAnnouncementBeforeTheWaitIsNotLost) {
  queue_->announce(job_);
  queue_->announce(job_);
  EXPECT_TRUE(*start_wait());
  EXPECT_FALSE(*start_wait()) << "several announcements are one";
  queue_->stop();
  run_what_is_ready();
}

TEST_P(QueueSuite, AWaitEndsByItself) { testing::run_task(io_, queue_->wait(milliseconds(1))); }

TEST_P(QueueSuite, EveryWaiterHears) {
  const auto first = start_wait();
  const auto second = start_wait();
  queue_->announce(job_);
  run_what_is_ready();
  EXPECT_TRUE(*first);
  EXPECT_TRUE(*second);
}

TEST_P(QueueSuite, StopEndsEveryWaitNowAndLater) {
  const auto before = start_wait();
  EXPECT_FALSE(*before);
  queue_->stop();
  run_what_is_ready();
  EXPECT_TRUE(*before);
  EXPECT_TRUE(*start_wait());
  EXPECT_TRUE(*start_wait());
}

TEST_P(QueueSuite, MayBeDestroyedWhileOneWaits) {
  const auto returned = start_wait();
  queue_.reset();
  run_what_is_ready();
  EXPECT_TRUE(*returned);
}

}  // namespace pixmill::conformance

#define PIXMILL_INSTANTIATE_QUEUE_SUITE(suite, factory)                                        \
  namespace pixmill::conformance {                                                             \
  INSTANTIATE_TEST_SUITE_P(suite, QueueSuite, ::testing::Values(factory), queue_factory_name); \
  }
