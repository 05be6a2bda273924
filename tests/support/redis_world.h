// Connections to the Redis that tests/support/with_servers.py started, for one test: keys of its own, and a loop that
// runs until something is so.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/metrics.h"
#include "redis/connection.h"
#include "tests/support/run_task.h"

namespace pixmill::testing {

class RedisWorld {
 public:
  RedisWorld() {
    const char* url = std::getenv("TEST_REDIS_URL");
    PIXMILL_CHECK(url != nullptr);  // without a server there is nothing to test
    options.endpoint = redis::parse_endpoint(url).value();
    if (const char* file = std::getenv("TEST_REDIS_CA_FILE")) options.ca_file = file;
    options.backoff_max = milliseconds(50);
  }
  ~RedisWorld() {
    for (const auto& connection : connections_) connection->stop();
    io.restart();
    io.poll();
  }

  // With `options`, started; up unless `wait` is false.
  std::shared_ptr<redis::Connection> connect(bool wait = true) {
    auto connection = not_started();
    connection->start();
    if (wait) {
      EXPECT_TRUE(run_task(io, connection->wait_until_up(std::chrono::seconds(10)))) << "Redis is not there";
    }
    return connection;
  }
  std::shared_ptr<redis::Connection> not_started() {
    const auto resolve = [](std::string) -> Task<Result<std::vector<asio::ip::address>>> {
      co_return std::vector<asio::ip::address>(1, asio::ip::make_address("127.0.0.1"));
    };
    connections_.push_back(redis::Connection::create(io.get_executor(), options, resolve, metrics).value());
    return connections_.back();
  }

  redis::Reply ask(redis::Connection& connection, redis::Command command) {
    return run_task(io, connection.send(std::move(command))).value();
  }

  // Runs the loop until `is_so`; false after ten seconds.
  bool run_until(const std::function<bool()>& is_so) {
    const auto give_up_at = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!is_so()) {
      if (std::chrono::steady_clock::now() > give_up_at) return false;
      io.restart();
      io.run_one_for(milliseconds(20));
    }
    return true;
  }

  asio::io_context io;
  Metrics metrics;
  redis::ConnectionOptions options;
  const std::string prefix = "pixmill:" + Uuid::random().text();  // that the keys of this test begin with, in a brace

 private:
  std::vector<std::shared_ptr<redis::Connection>> connections_;
};

}  // namespace pixmill::testing
