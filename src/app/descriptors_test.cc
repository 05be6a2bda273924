#include "app/descriptors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace pixmill::app {
namespace {

TEST(Descriptors, RaisesTheLimitAsFarAsItMay) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit lowered{.rlim_cur = 256, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &lowered), 0);
  EXPECT_EQ(raise_descriptor_limit(), before.rlim_max);
  rlimit after{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST(Descriptors, SharesNeverAddUpToMoreThanThereAre) {
  for (const std::uint64_t limit : {256u, 512u, 1'024u, 4'096u, 20'000u, 1'000'000u}) {
    const auto shares = share_descriptors(limit, 4);
    EXPECT_LE(2 * shares.server_connections + shares.client_connections + 100, limit) << limit;
    EXPECT_GE(shares.client_connections, limit / 10 > 512 ? 512 : limit / 10) << limit;
  }
  EXPECT_EQ(share_descriptors(1'000'000, 4).server_connections, 10'000u);
  EXPECT_EQ(share_descriptors(10, 4).server_connections, 16u) << "and yet it tries";
}

}  // namespace
}  // namespace pixmill::app
