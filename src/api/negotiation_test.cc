#include "api/negotiation.h"

#include <gtest/gtest.h>

#include <string>

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

TEST(EtagListed, ComparesWeakly) {
  EXPECT_TRUE(etag_listed("\"a\"", "\"a\""));
  EXPECT_TRUE(etag_listed("\"x\", W/\"a\"", "\"a\""));
  EXPECT_TRUE(etag_listed("*", "\"a\""));
  EXPECT_FALSE(etag_listed("\"b\"", "\"a\""));
  EXPECT_FALSE(etag_listed("", "\"a\""));
}

}  // namespace
}  // namespace pixmill::api
