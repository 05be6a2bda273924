#include "app/server_session.h"

#include <gtest/gtest.h>

namespace pixmill::app {
namespace {

constexpr const char* kBase = "http://images.example";

TEST(P51, LoopbackNeedsNothing) {
  for (const auto* host : {"127.0.0.1", "127.8.8.8", "::1"}) EXPECT_TRUE(check_listen_address(host, false, "")) << host;
}

TEST(P51, BeyondThisMachineNeedsAWord) {
  for (const auto* host : {"0.0.0.0", "::", "192.168.1.5"}) {
    const auto refused = check_listen_address(host, false, kBase);
    ASSERT_FALSE(refused) << host;
    EXPECT_NE(refused.error().message.find("--no-auth"), std::string::npos);
    EXPECT_TRUE(check_listen_address(host, true, kBase)) << host;
  }
}

TEST(P51, EveryAddressNeedsOneThatLinksBeginWith) {
  for (const auto* host : {"0.0.0.0", "::", "0:0::0"}) {
    const auto refused = check_listen_address(host, true, "");
    ASSERT_FALSE(refused) << host;
    EXPECT_NE(refused.error().message.find("PUBLIC_BASE_URL"), std::string::npos);
  }
  EXPECT_TRUE(check_listen_address("192.168.1.5", true, ""));
}

TEST(P51, HostMustBeALiteralAddress) {
  for (const auto* host : {"localhost", "", "shop.example"})
    EXPECT_FALSE(check_listen_address(host, true, kBase)) << host;
}

}  // namespace
}  // namespace pixmill::app
