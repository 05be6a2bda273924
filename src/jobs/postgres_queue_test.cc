// Against a real PostgreSQL at TEST_DATABASE_URL.
#include "jobs/postgres_queue.h"

#include <gtest/gtest.h>

#include "tests/conformance/queue_suite.h"
#include "tests/support/postgres_for_tests.h"

namespace pixmill::jobs {
namespace {

const conformance::QueueFactory kQueue = {.name = "Postgres", .make = [](asio::io_context& io) {
                                            return make_postgres_queue(io.get_executor(), testing::connect_options(),
                                                                       {});
                                          }};

// Both of them listen when their first wait has returned: that the connection is there is told as an announcement.
TEST(PostgresQueue, AnotherProcessHearsWithinMilliseconds) {
  asio::io_context io;
  int events = 0;
  const auto here = make_postgres_queue(io.get_executor(), testing::connect_options(), {});
  const auto there = make_postgres_queue(io.get_executor(), testing::connect_options(), [&events] { ++events; });
  testing::run_task(io, here->wait(std::chrono::hours(1)));
  testing::run_task(io, there->wait(std::chrono::hours(1)));
  for (int i = 0; i < 10; ++i) {
    here->announce(JobId{Uuid::random()});
    testing::run_task(io, there->wait(std::chrono::hours(1)));
  }
  events = 0;
  testing::execute_sql("NOTIFY pixmill_events");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  io.restart();
  while (events == 0 && std::chrono::steady_clock::now() < end) io.run_one_for(milliseconds(20));
  EXPECT_EQ(events, 1);
}

}  // namespace
}  // namespace pixmill::jobs

PIXMILL_INSTANTIATE_QUEUE_SUITE(Postgres, pixmill::jobs::kQueue)
