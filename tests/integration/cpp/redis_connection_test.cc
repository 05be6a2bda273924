#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>

#include "base/time.h"
#include "redis/connection.h"
#include "redis/script.h"
#include "redis/server_info.h"
#include "tests/support/redis_world.h"

namespace pixmill::redis {
namespace {

using testing::run_task;

class RedisConnection : public ::testing::Test {
 protected:
  // The trouble of a connection that cannot come up.
  ErrorCode trouble_of(Connection& connection) {
    EXPECT_TRUE(world_.run_until([&] { return connection.trouble().has_value(); }));
    EXPECT_FALSE(connection.is_up());
    return connection.trouble()->code;
  }
  std::string key(const std::string& name) { return "{" + world_.prefix + "}" + name; }

  testing::RedisWorld world_;
};

TEST_F(RedisConnection, AnswersInTheOrderOfTheCommands) {
  const auto connection = world_.connect();
  std::vector<std::string> answers(500);
  std::size_t done = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    Command command = {"ECHO", std::to_string(i)};
    asio::co_spawn(world_.io, connection->send(std::move(command)),
                   [&, i](const std::exception_ptr&, const Result<Reply>& reply) {
                     if (reply) answers[i] = reply->text;
                     ++done;
                   });
  }
  ASSERT_TRUE(world_.run_until([&] { return done == answers.size(); }));
  for (std::size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i], std::to_string(i));
}

TEST_F(RedisConnection, GivesRefusalsAsReplies) {
  const auto connection = world_.connect();
  EXPECT_TRUE(world_.ask(*connection, {"NOSUCHCOMMAND"}).is_error());
  EXPECT_EQ(world_.ask(*connection, {"PING"}).text, "PONG") << "and goes on";
}

TEST_F(RedisConnection, FailsAtOnceWhileRedisIsAway) {
  world_.options.endpoint.host = "127.0.0.1";
  world_.options.endpoint.port = 1;
  const auto connection = world_.connect(false);
  EXPECT_EQ(trouble_of(*connection), ErrorCode::kConnect);
  Command command(1, "PING");
  EXPECT_EQ(run_task(world_.io, connection->send(std::move(command))).error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE(run_task(world_.io, connection->wait_until_up(milliseconds(1))));
}

TEST_F(RedisConnection, SaysThatTheLoginIsRefusedAndNothingOfIt) {
  world_.options.endpoint.password = "wrong-secret";
  const auto connection = world_.connect(false);
  EXPECT_EQ(trouble_of(*connection), ErrorCode::kInvalidArgument);
  EXPECT_EQ((connection->trouble()->message + connection->trouble()->detail).find("wrong-secret"), std::string::npos);
}

TEST_F(RedisConnection, UsesTheDatabaseOfItsAddress) {
  const auto first = world_.connect();
  EXPECT_EQ(world_.ask(*first, {"SET", key("x"), "1", "PX", "60000"}).text, "OK");
  world_.options.endpoint.database = 3;
  const auto other = world_.connect();
  EXPECT_EQ(world_.ask(*other, {"GET", key("x")}).kind, Reply::Kind::kNil);
  world_.options.endpoint.database = 60'000;
  EXPECT_EQ(trouble_of(*world_.connect(false)), ErrorCode::kInvalidArgument);
}

TEST_F(RedisConnection, GivesTheConnectionUpWhenAnAnswerIsLateAndConnectsAgain) {
  const auto connection = world_.connect();
  Command blocks = {"BLPOP", key("empty"), "0"};
  const auto late = run_task(world_.io, connection->send(std::move(blocks), milliseconds(50)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kTimeout);
  EXPECT_FALSE(connection->is_up());
  ASSERT_TRUE(run_task(world_.io, connection->wait_until_up(seconds(10))));
  EXPECT_EQ(world_.ask(*connection, {"PING"}).text, "PONG");
}

TEST_F(RedisConnection, ComesBackAfterItsEnd) {
  const auto connection = world_.connect();
  int ups = 0;
  connection->on_up([&] { ++ups; });
  EXPECT_EQ(world_.ask(*connection, {"QUIT"}).text, "OK");
  ASSERT_TRUE(world_.run_until([&] { return ups == 1; }));
  EXPECT_EQ(world_.ask(*connection, {"PING"}).text, "PONG");
}

TEST_F(RedisConnection, BoundsTheCommandsThatWait) {
  world_.options.pending_max = 3;
  const auto connection = world_.connect();
  std::vector<ErrorCode> refused;
  std::size_t done = 0;
  for (int i = 0; i < 5; ++i) {
    Command command(1, "PING");
    asio::co_spawn(world_.io, connection->send(std::move(command)),
                   [&](const std::exception_ptr&, const Result<Reply>& reply) {
                     ++done;
                     if (!reply) refused.push_back(reply.error().code);
                   });
  }
  ASSERT_TRUE(world_.run_until([&] { return done == 5; }));
  EXPECT_EQ(refused, (std::vector<ErrorCode>{ErrorCode::kUnavailable, ErrorCode::kUnavailable}));
}

TEST_F(RedisConnection, BoundsWhatIsNotSentYet) {
  world_.options.unsent_bytes_max = 1;
  const auto connection = world_.connect();
  std::size_t refused = 0;
  std::size_t done = 0;
  for (int i = 0; i < 3; ++i) {
    Command command(1, "PING");
    asio::co_spawn(world_.io, connection->send(std::move(command)),
                   [&](const std::exception_ptr&, const Result<Reply>& reply) {
                     ++done;
                     if (!reply) ++refused;
                   });
  }
  ASSERT_TRUE(world_.run_until([&] { return done == 3; }));
  EXPECT_EQ(refused, 2u);
}

TEST_F(RedisConnection, RefusesAnswersAboveItsLimits) {
  const auto writer = world_.connect();
  EXPECT_EQ(world_.ask(*writer, {"SET", key("large"), std::string(1'000, 'x'), "PX", "60000"}).text, "OK");
  world_.options.replies.bytes_max = 100;
  const auto connection = world_.connect();
  Command command = {"GET", key("large")};
  EXPECT_EQ(run_task(world_.io, connection->send(std::move(command))).error().code, ErrorCode::kProtocol);
  EXPECT_TRUE(run_task(world_.io, connection->wait_until_up(seconds(10)))) << "and connects again";
}

TEST_F(RedisConnection, EndsCommandsWhenStopped) {
  const auto connection = world_.connect();
  std::optional<ErrorCode> code;
  Command blocks = {"BLPOP", key("empty"), "0"};
  asio::co_spawn(world_.io, connection->send(std::move(blocks), seconds(60)),
                 [&](const std::exception_ptr&, const Result<Reply>& reply) { code = reply.error().code; });
  world_.io.restart();
  world_.io.poll();
  connection->stop();
  ASSERT_TRUE(world_.run_until([&] { return code.has_value(); }));
  EXPECT_EQ(code, ErrorCode::kCancelled);
  Command later(1, "PING");
  EXPECT_EQ(run_task(world_.io, connection->send(std::move(later))).error().code, ErrorCode::kCancelled);
}

TEST_F(RedisConnection, RefusesServersThatItCannotTrust) {
  const bool serves_tls = world_.options.endpoint.tls;
  world_.options.endpoint.tls = true;
  world_.options.ca_file.clear();
  world_.options.connect_timeout = seconds(2);
  const auto untrusted = trouble_of(*world_.connect(false));
  if (serves_tls) {
    EXPECT_EQ(untrusted, ErrorCode::kTls) << "the authority is unknown";
    world_.options.ca_file = std::getenv("TEST_REDIS_CA_FILE");
    world_.options.endpoint.host = "another.test";
    EXPECT_EQ(trouble_of(*world_.connect(false)), ErrorCode::kTls) << "the certificate is for another name";
    world_.options.endpoint.host = "127.0.0.1";
    EXPECT_EQ(trouble_of(*world_.connect(false)), ErrorCode::kTls) << "nor for the address";
  } else {
    EXPECT_NE(untrusted, ErrorCode::kInvalidArgument) << "nothing is sent to a server that does not speak TLS";
  }
}

TEST_F(RedisConnection, NamesACaFileThatCannotBeRead) {
  world_.options.endpoint.tls = true;
  world_.options.ca_file = "/nonexistent.pem";
  const auto resolve = [](std::string) -> Task<Result<std::vector<asio::ip::address>>> {
    co_return std::vector<asio::ip::address>();
  };
  const auto refused = Connection::create(world_.io.get_executor(), world_.options, resolve, world_.metrics);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(RedisConnection, RunsScriptsThatTheServerDoesNotKnowYet) {
  const auto connection = world_.connect();
  const Script script("return {KEYS[1], ARGV[1]} -- " + world_.prefix);
  for (int i = 0; i < 2; ++i) {
    std::vector<std::string> keys(1, key("k"));
    std::vector<std::string> arguments(1, "a");
    const auto reply = run_task(world_.io, script.run(*connection, std::move(keys), std::move(arguments)));
    ASSERT_TRUE(reply) << reply.error().message;
    EXPECT_EQ(reply->elements.at(1).text, "a");
  }
  const Script broken("return redis.call('NOSUCHCOMMAND')");
  EXPECT_EQ(run_task(world_.io, broken.run(*connection, {}, {})).error().code, ErrorCode::kInternal);
}

TEST_F(RedisConnection, LearnsWhatTheServerIs) {
  const auto connection = world_.connect();
  const auto info = run_task(world_.io, ask_server_info(*connection));
  ASSERT_TRUE(info) << info.error().detail;
  EXPECT_FALSE(info->version.empty());
  EXPECT_EQ(info->memory_policy, "noeviction");
}

}  // namespace
}  // namespace pixmill::redis
