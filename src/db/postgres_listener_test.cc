// Against a real PostgreSQL at TEST_DATABASE_URL.
#include "db/postgres_listener.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/support/postgres_for_tests.h"

namespace pixmill::db::pg {
namespace {

class PostgresListener : public ::testing::Test {
 protected:
  struct Ear {
    std::unique_ptr<Listener> listener;
    std::vector<std::string> heard;
  };
  std::unique_ptr<Ear> listen() {
    auto ear = std::make_unique<Ear>();
    auto* heard = &ear->heard;
    ear->listener = std::make_unique<Listener>(io_.get_executor(), pixmill::testing::connect_options(),
                                               std::vector<std::string>{"pixmill_a", "pixmill_b"},
                                               [heard](const std::string& channel) { heard->push_back(channel); });
    ear->listener->start();
    EXPECT_TRUE(run_until([&] { return ear->listener->connected() && heard->size() == 2; }))
        << "coming is told as well";
    heard->clear();
    return ear;
  }
  template <class Condition>
  bool run_until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    io_.restart();
    while (!condition() && std::chrono::steady_clock::now() < end) io_.run_one_for(std::chrono::milliseconds(20));
    return condition();
  }
  asio::io_context io_;
};

TEST_F(PostgresListener, OthersHearAndItselfDoesNot) {
  const auto speaker = listen();
  const auto hearer = listen();
  for (int i = 0; i < 20; ++i) {
    speaker->listener->notify("pixmill_a");
    speaker->listener->notify("pixmill_b");
    ASSERT_TRUE(run_until([&] { return hearer->heard.size() == 2; }));
    hearer->heard.clear();
  }
  EXPECT_TRUE(speaker->heard.empty());
}

TEST_F(PostgresListener, ComesBackWhenItsConnectionIsLost) {
  const auto ear = listen();
  pixmill::testing::execute_sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
      "current_database()");
  ASSERT_TRUE(run_until([&] { return ear->heard.size() == 2 && ear->listener->connected(); }));
  ear->heard.clear();
  pixmill::testing::execute_sql("NOTIFY pixmill_b");
  EXPECT_TRUE(run_until([&] { return ear->heard == std::vector<std::string>{"pixmill_b"}; }));
}

TEST_F(PostgresListener, WithoutAServerItKeepsTryingAndCanBeStopped) {
  auto options = pixmill::testing::connect_options();
  options.url = "postgres://pixmill@127.0.0.1:1/pixmill";
  Listener listener(io_.get_executor(), options, {"pixmill_a"}, [](const std::string&) { FAIL(); });
  listener.start();
  listener.notify("pixmill_a");
  int turns = 0;
  run_until([&] { return ++turns > 5; });
  EXPECT_FALSE(listener.connected());
  listener.stop();
  io_.restart();
  io_.run();
}

}  // namespace
}  // namespace pixmill::db::pg
