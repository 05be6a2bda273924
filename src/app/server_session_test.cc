#include "app/server_session.h"

#include <gtest/gtest.h>

namespace pixmill::app {
namespace {

TEST(P51, LoopbackNeedsNothing) {
  for (const auto* host : {"127.0.0.1", "127.8.8.8", "::1"}) EXPECT_TRUE(check_listen_address(host, false)) << host;
}

TEST(P51, BeyondThisMachineNeedsAWord) {
  for (const auto* host : {"0.0.0.0", "::", "192.168.1.5"}) {
    const auto refused = check_listen_address(host, false);
    ASSERT_FALSE(refused) << host;
    EXPECT_NE(refused.error().message.find("--no-auth"), std::string::npos);
    EXPECT_TRUE(check_listen_address(host, true)) << host;
  }
}

TEST(P51, HostMustBeALiteralAddress) {
  for (const auto* host : {"localhost", "", "shop.example"}) EXPECT_FALSE(check_listen_address(host, true)) << host;
}

}  // namespace
}  // namespace pixmill::app
