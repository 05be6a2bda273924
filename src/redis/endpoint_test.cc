#include "redis/endpoint.h"

#include <gtest/gtest.h>

namespace pixmill::redis {
namespace {

TEST(RedisEndpoint, ReadsWhatAnAddressSays) {
  const auto whole = parse_endpoint("rediss://user:p%40ss%2Fword@Cache.Example:6380/12");
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->host, "cache.example");
  EXPECT_EQ(whole->port, 6380);
  EXPECT_EQ(whole->username, "user");
  EXPECT_EQ(whole->password, "p@ss/word");
  EXPECT_EQ(whole->database, 12u);
  EXPECT_TRUE(whole->tls);
}

TEST(RedisEndpoint, FillsInWhatIsLeftOut) {
  const auto shortest = parse_endpoint("redis://h");
  ASSERT_TRUE(shortest);
  EXPECT_EQ(shortest->port, 6379);
  EXPECT_EQ(shortest->database, 0u);
  EXPECT_EQ(shortest->password, "");
  EXPECT_FALSE(shortest->tls);
  const auto secret_only = parse_endpoint("redis://:secret@h:1/");
  ASSERT_TRUE(secret_only);
  EXPECT_EQ(secret_only->username, "");
  EXPECT_EQ(secret_only->password, "secret");
}

TEST(RedisEndpoint, TakesWhatOtherClientsWrite) {
  const auto six = parse_endpoint("redis://[::1]:7000/1?protocol=3#x");
  ASSERT_TRUE(six);
  EXPECT_EQ(six->host, "::1");
  EXPECT_EQ(six->port, 7000);
  EXPECT_EQ(six->database, 1u);
  EXPECT_EQ(six->shown(), "redis://[::1]:7000/1");
  const auto unescaped = parse_endpoint("redis://u:a/b?c@d@h:6379");
  ASSERT_TRUE(unescaped);
  EXPECT_EQ(unescaped->password, "a/b?c@d");
  EXPECT_EQ(unescaped->host, "h");
}

TEST(RedisEndpoint, RefusesTheRestWithoutRepeatingIt) {
  for (const auto* wrong :
       {"", "h:6379", "http://secret", "redis://", "redis://user-without-secret@h", "redis://secret:@h",
        "redis://u:secret%4@h", "redis://h:secret", "redis://h:0", "redis://h:65536", "redis://h/secret",
        "redis://h/-1", "redis://[::1", "redis://[::1]secret", "redis://se cret", "unix:///secret"}) {
    const auto refused = parse_endpoint(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(refused.error().message.find("secret"), std::string::npos) << wrong;
  }
}

TEST(RedisEndpoint, ShowsNoSecret) {
  const auto endpoint = parse_endpoint("redis://user:secret@h/3");
  ASSERT_TRUE(endpoint);
  EXPECT_EQ(endpoint->shown(), "redis://h:6379/3");
}

}  // namespace
}  // namespace pixmill::redis
