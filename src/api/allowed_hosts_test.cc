#include "api/allowed_hosts.h"

#include <gtest/gtest.h>

namespace pixmill::api {
namespace {

TEST(AllowedHosts, ReadsTheListAsDjangoDoes) {
  EXPECT_TRUE(AllowedHosts({"*"}, "", "").allows("anything:80"));
  const AllowedHosts allowed({"Example.com", ".shop.test", "[::1]", "127.0.0.1"}, "http://own.test", "127.0.0.1");
  for (const std::string host : {"example.com", "EXAMPLE.COM:8000", "example.com.", "shop.test", "a.b.shop.test:443",
                                 "[::1]", "[::1]:8000", "127.0.0.1:8000"}) {
    EXPECT_TRUE(allowed.allows(host)) << host;
  }
  for (const std::string host :
       {"", "www.example.com", "evilshop.test", "example.com.evil.test", "127.0.0.2", "::1", "localhost", "own.test"}) {
    EXPECT_FALSE(allowed.allows(host)) << host;
  }
  EXPECT_FALSE(AllowedHosts({""}, "", "").allows(""));
}

TEST(AllowedHosts, WithoutAListTheyAreThisMachinesOwn) {
  const AllowedHosts allowed({}, "https://Img.Example:8443/base", "192.0.2.7");
  for (const std::string host :
       {"localhost", "LOCALHOST:8000", "localhost.", "shop.localhost:3000", "127.0.0.1", "127.0.0.1:8000",
        "127.9.8.7:1", "[::1]", "[::1]:8000", "192.0.2.7:8000", "img.example", "img.example:8443"}) {
    EXPECT_TRUE(allowed.allows(host)) << host;
  }
  for (const std::string host :
       {"", "evil.test", "evil.test:8000", "localhost.evil.test", "evillocalhost", "127.0.0.1.evil.test", "127.1",
        "0x7f.0.0.1", "128.0.0.1", "0.0.0.0", "[::]", "192.0.2.8", "x.img.example", "[::ffff:127.0.0.1]"}) {
    EXPECT_FALSE(allowed.allows(host)) << host;
  }
  EXPECT_TRUE(AllowedHosts({}, "", "2001:db8::7").allows("[2001:DB8::7]:8000"));
}

}  // namespace
}  // namespace pixmill::api
