#include "api/negotiation.h"

#include <gtest/gtest.h>

namespace pixmill::api {
namespace {

TEST(PrefersHtml, WhenHtmlComesFirstOrWeighsMore) {
  for (const std::string accept :
       {"text/html", "text/html, application/json", "TEXT/HTML,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "application/json;q=0.5, text/html", "application/json; q=0.5 , text/html;level=1;q=0.6", "text/*",
        "text/html, */*", "text/html;q=0.4, application/*;q=0.3"}) {
    EXPECT_TRUE(prefers_html(accept)) << accept;
  }
}

TEST(PrefersHtml, NotOtherwise) {
  for (const std::string accept :
       {"", "*/*", "application/json, text/html", "application/json", "application/json, */*", "text/html;q=0",
        "text/html;q=0.5, application/json;q=0.6", "text/csv", "application/*, text/html;q=0.9", "text/htmlx",
        "text/html;q=0.5, */*"}) {
    EXPECT_FALSE(prefers_html(accept)) << accept;
  }
}

TEST(HostAllowed, ReadsTheListAsDjangoDoes) {
  EXPECT_TRUE(host_allowed({}, "anything"));
  EXPECT_TRUE(host_allowed({"*"}, "anything:80"));
  const std::vector<std::string> allowed = {"Example.com", ".shop.test", "[::1]", "127.0.0.1"};
  for (const std::string host : {"example.com", "EXAMPLE.COM:8000", "example.com.", "shop.test", "a.b.shop.test:443",
                                 "[::1]", "[::1]:8000", "127.0.0.1:8000"}) {
    EXPECT_TRUE(host_allowed(allowed, host)) << host;
  }
  for (const std::string host : {"", "www.example.com", "evilshop.test", "example.com.evil.test", "127.0.0.2", "::1"}) {
    EXPECT_FALSE(host_allowed(allowed, host)) << host;
  }
  EXPECT_FALSE(host_allowed({""}, ""));
}

TEST(EtagListed, ComparesWeakly) {
  EXPECT_TRUE(etag_listed("\"a\"", "\"a\""));
  EXPECT_TRUE(etag_listed("\"x\", W/\"a\"", "\"a\""));
  EXPECT_TRUE(etag_listed("*", "\"a\""));
  EXPECT_FALSE(etag_listed("\"b\"", "\"a\""));
  EXPECT_FALSE(etag_listed("", "\"a\""));
}

}  // namespace
}  // namespace pixmill::api
