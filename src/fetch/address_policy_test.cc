#include "fetch/address_policy.h"

#include <gtest/gtest.h>

#include "tests/support/forbidden_addresses.h"

namespace pixmill::fetch {
namespace {

IpAddress address(const std::string& text) { return boost::asio::ip::make_address(text); }

AddressPolicy policy(std::string_view allow = {}) { return AddressPolicy::create(allow).value(); }

TEST(AddressPolicy, RefusesEveryNetworkThatIsNotPublic) {
  const AddressPolicy nothing_opened = policy();
  for (const auto& [text, why] : kForbiddenAddresses) {
    const auto checked = nothing_opened.check(address(std::string(text)), 80);
    ASSERT_FALSE(checked) << text;
    EXPECT_EQ(checked.error().code, ErrorCode::kBlockedAddress) << text;
    EXPECT_NE(checked.error().message.find(why), std::string::npos) << checked.error().message;
  }
}

TEST(AddressPolicy, AllowsTheNeighboursOfEveryNetwork) {
  const AddressPolicy nothing_opened = policy();
  for (const std::string_view text : kPublicAddresses) {
    EXPECT_TRUE(nothing_opened.check(address(std::string(text)), 443)) << text;
  }
}

TEST(AddressPolicy, RefusesPortsThatServeNoPictures) {
  const AddressPolicy nothing_opened = policy();
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{
           0,   1,   7,   21,  22,   23,   25,   53,   79,   81,   110,  143,   442,
           444, 465, 587, 993, 1023, 2375, 2379, 3306, 5432, 6379, 9200, 11211, 27017}) {
    EXPECT_FALSE(nothing_opened.allows(address("8.8.8.8"), port)) << port;
    EXPECT_FALSE(nothing_opened.allows(address("2606:4700::1"), port)) << port;
  }
  for (const std::uint16_t port :
       std::initializer_list<std::uint16_t>{80, 443, 1024, 2376, 3000, 5433, 8000, 8080, 8443, 9000, 27018, 65535}) {
    EXPECT_TRUE(nothing_opened.allows(address("8.8.8.8"), port)) << port;
  }
}

TEST(AddressPolicy, OpensNetworksOnAnyPort) {
  const AddressPolicy opened = policy(" 127.0.0.0/8, 10.1.2.3 ,fd00::/8,::1,,192.168.1.128/25");
  for (const std::string text : {"127.0.0.1", "127.255.255.255", "10.1.2.3", "fd12::1", "::1", "192.168.1.128",
                                 "192.168.1.255", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(opened.allows(address(text), 22)) << text;
    EXPECT_TRUE(opened.allows(address(text), 80)) << text;
  }
  for (const std::string text : {"126.255.255.255", "128.0.0.0", "10.1.2.2", "10.1.2.4", "fc00::1", "::2",
                                 "192.168.1.127", "192.168.2.128", "::ffff:10.1.2.4"}) {
    EXPECT_FALSE(opened.allows(address(text), 22)) << text;
  }
}

TEST(AddressPolicy, OpensEverythingWhenTold) {
  const AddressPolicy opened = policy("0.0.0.0/0,::/0");
  EXPECT_TRUE(opened.allows(address("169.254.169.254"), 80));
  EXPECT_TRUE(opened.allows(address("fe80::1"), 6379));
}

OwnEndpoints own_endpoints() {
  return {.ports = {8000}, .published = std::nullopt, .read = [] {
            return Result<std::vector<IpAddress>>({address("8.8.8.8"), address("2606:4700::1")});
          }};
}

TEST(AddressPolicy, RefusesItsOwnPortsOnItsOwnAddresses) {
  const auto created = AddressPolicy::create("", own_endpoints());
  ASSERT_TRUE(created);
  EXPECT_FALSE(created->allows(address("8.8.8.8"), 8000));
  EXPECT_FALSE(created->allows(address("2606:4700::1"), 8000));
  EXPECT_TRUE(created->allows(address("8.8.8.8"), 8001));
  EXPECT_TRUE(created->allows(address("8.8.4.4"), 8000));
}

TEST(AddressPolicy, RefusesWhereItIsReachedFromOutside) {
  OwnEndpoints own = own_endpoints();
  own.published = OwnEndpoints::Published{.address = address("9.9.9.9"), .port = 443};
  const auto created = AddressPolicy::create("", own);
  EXPECT_FALSE(created->allows(address("9.9.9.9"), 443));
  EXPECT_FALSE(created->allows(address("9.9.9.9"), 8000));
  EXPECT_TRUE(created->allows(address("9.9.9.9"), 80));
  EXPECT_TRUE(created->allows(address("9.9.9.8"), 443));
}

TEST(AddressPolicy, LearnsOfAddressesThatComeLater) {
  std::vector<IpAddress> addresses;
  int readings = 0;
  bool readable = true;
  OwnEndpoints own = own_endpoints();
  own.read = [&]() -> Result<std::vector<IpAddress>> {
    ++readings;
    if (!readable) return fail(ErrorCode::kIo, "not now");
    return addresses;
  };
  own.read_every = std::chrono::milliseconds(0);
  const auto fresh = AddressPolicy::create("", own);
  own.read_every = std::chrono::hours(1);
  const auto stale = AddressPolicy::create("", own);
  ASSERT_TRUE(fresh && stale);
  addresses = {address("8.8.8.8")};
  EXPECT_FALSE(fresh->allows(address("8.8.8.8"), 8000));
  readable = false;
  EXPECT_FALSE(fresh->allows(address("8.8.8.8"), 8000)) << "what cannot be read is as it was";
  const int before = readings;
  EXPECT_TRUE(stale->allows(address("8.8.8.8"), 8000)) << "not yet";
  EXPECT_TRUE(fresh->allows(address("8.8.8.8"), 8001));
  EXPECT_EQ(readings, before) << "only for our own ports";
}

TEST(AddressPolicy, DoesNotStartWithoutKnowingItsAddresses) {
  OwnEndpoints own = own_endpoints();
  own.read = [] { return Result<std::vector<IpAddress>>(fail(ErrorCode::kIo, "no")); };
  EXPECT_EQ(AddressPolicy::create("", own).error().code, ErrorCode::kIo);
}

TEST(AddressPolicy, RefusesNetworksItCannotRead) {
  for (const std::string_view allow : {"x", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0/8", "::/129",
                                       "fe80::1%lo", "10.0.0.0/8/8", "example.com", "127.0.0.1,nonsense", "0x7f.1"}) {
    const auto created = AddressPolicy::create(allow);
    ASSERT_FALSE(created) << allow;
    EXPECT_EQ(created.error().code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace pixmill::fetch
