#include "redis/reply.h"

#include <gtest/gtest.h>

#include "redis/server_info.h"

namespace pixmill::redis {
namespace {

using Kind = Reply::Kind;

TEST(RedisReply, WritesCommandsWithAnyBytes) {
  EXPECT_EQ(encode({"SET", "a b", std::string("\0\r\n", 3)}),
            std::string("*3\r\n$3\r\nSET\r\n$3\r\na b\r\n$3\r\n\0\r\n\r\n", 31));
  EXPECT_EQ(encode({"X", ""}), "*2\r\n$1\r\nX\r\n$0\r\n\r\n");
}

TEST(RedisReply, ReadsEveryKindHoweverItIsCut) {
  const std::string bytes =
      "+OK\r\n:-7\r\n$-1\r\n*-1\r\n$5\r\nhe\r\no\r\n-ERR no\r\n*3\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n*0\r\n";
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    ReplyReader reader;
    std::vector<Reply> replies;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      reader.feed(std::string_view(bytes).substr(at, step));
      while (true) {
        auto next = reader.next();
        ASSERT_TRUE(next) << next.error().detail;
        if (!*next) break;
        replies.push_back(std::move(**next));
      }
    }
    ASSERT_EQ(replies.size(), 7u) << step;
    EXPECT_EQ(replies[0].text, "OK");
    EXPECT_EQ(replies[1].integer, -7);
    EXPECT_EQ(replies[2].kind, Kind::kNil);
    EXPECT_EQ(replies[3].kind, Kind::kNil);
    EXPECT_EQ(replies[4].text, "he\r\no");
    EXPECT_TRUE(replies[5].is_error());
    ASSERT_EQ(replies[6].elements.size(), 3u);
    EXPECT_EQ(replies[6].elements[1].elements[0].text, "a");
    EXPECT_EQ(replies[6].elements[1].elements[1].kind, Kind::kNil);
    EXPECT_EQ(replies[6].elements[2].kind, Kind::kArray);
  }
}

std::optional<ErrorCode> error_of_reading(const std::string& bytes, ReplyLimits limits = {}) {
  ReplyReader reader(limits);
  reader.feed(bytes);
  for (auto next = reader.next();; next = reader.next()) {
    if (!next) return next.error().code;
    if (!*next) return std::nullopt;
  }
}

TEST(RedisReply, RefusesWhatIsNoReply) {
  EXPECT_EQ(error_of_reading("HTTP/1.1 400 Bad Request\r\n\r\n"), ErrorCode::kProtocol);
  EXPECT_EQ(error_of_reading("$x\r\n"), ErrorCode::kProtocol);
  EXPECT_EQ(error_of_reading("*-5\r\n"), ErrorCode::kProtocol);
}

TEST(RedisReply, KeepsWithinItsLimits) {
  const ReplyLimits small{.bytes_max = 100, .elements_max = 10};
  EXPECT_EQ(error_of_reading("$100\r\n" + std::string(100, 'x') + "\r\n", small), std::nullopt);
  EXPECT_EQ(error_of_reading("$101\r\n" + std::string(101, 'x') + "\r\n", small), ErrorCode::kProtocol);
  EXPECT_EQ(error_of_reading("$1000000\r\n" + std::string(200, 'x'), small), ErrorCode::kProtocol)
      << "before it is whole";
  EXPECT_EQ(error_of_reading("*11\r\n", small), ErrorCode::kProtocol);
  EXPECT_EQ(error_of_reading("*2000000000\r\n"), ErrorCode::kProtocol);
  EXPECT_EQ(error_of_reading("*6\r\n*6\r\n", small), ErrorCode::kProtocol) << "nested ones count too";
  EXPECT_EQ(error_of_reading("*1\r\n:1\r\n*10\r\n:1\r\n", small), std::nullopt) << "each reply anew";
  std::string deep;
  for (int i = 0; i < 20; ++i) deep += "*1\r\n";
  EXPECT_EQ(error_of_reading(deep), ErrorCode::kProtocol);
}

TEST(RedisReply, TellsRefusalsByTheirFirstWord) {
  const auto refusal = [](std::string text) { return Reply{.kind = Kind::kError, .text = std::move(text)}; };
  EXPECT_EQ(refusal("NOSCRIPT No matching script").refusal(), Refusal::kNoScript);
  EXPECT_EQ(refusal("NOSCRIPTS").refusal(), Refusal::kOther);
  EXPECT_EQ(refusal("BUSYGROUP exists").refusal(), Refusal::kBusyGroup);
  EXPECT_EQ(error_of(refusal("WRONGPASS invalid")).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of(refusal("NOPERM this user")).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of(refusal("READONLY You can't write")).code, ErrorCode::kUnavailable);
  EXPECT_EQ(error_of(refusal("LOADING Redis is loading")).code, ErrorCode::kUnavailable);
  EXPECT_EQ(error_of(refusal("OOM command not allowed")).code, ErrorCode::kUnavailable);
  EXPECT_EQ(error_of(refusal("ERR wrong number")).code, ErrorCode::kInternal);
}

TEST(RedisServerInfo, SaysWhetherKeysMayBeDropped) {
  const auto bounded =
      parse_server_info("# Memory\r\nredis_version:7.0.15\r\nmaxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\n");
  EXPECT_EQ(bounded.version, "7.0.15");
  EXPECT_TRUE(bounded.may_evict());
  EXPECT_FALSE(parse_server_info("maxmemory:1000\r\nmaxmemory_policy:noeviction\r\n").may_evict());
  EXPECT_FALSE(parse_server_info("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n").may_evict())
      << "without a bound nothing is";
  EXPECT_FALSE(parse_server_info("nothing that is known").may_evict());
}

}  // namespace
}  // namespace pixmill::redis
