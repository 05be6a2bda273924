#include "api/api_docs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "base/crypto.h"
#include "base/version.h"
#include "tests/support/api_server.h"

namespace pixmill::api {
namespace {

using testing::ApiServer;
using ::testing::HasSubstr;
using ::testing::Not;

std::string style_of(const std::string& page) {
  const auto begin = page.find("<style>") + 7;
  return page.substr(begin, page.find("</style>") - begin);
}

TEST(ApiDocs, DescribesItselfAsJson) {
  ApiServer server;
  const auto answer = server.get("/openapi.json");
  ASSERT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("content-type"), "application/json");
  const auto document = boost::json::parse(answer.body);
  EXPECT_EQ(std::string(document.at("info").at("version").as_string()), kVersion);
  EXPECT_TRUE(document.at("paths").at("/openapi.json").as_object().contains("get"));
}

TEST(ApiDocs, IsLedToByTheFrontPage) {
  ApiServer server;
  const auto page = server.get("/");
  EXPECT_THAT(page.body, HasSubstr("href=\"/docs/api\""));
  EXPECT_THAT(page.body, HasSubstr("href=\"/openapi.json\""));
}

TEST(ApiDocs, AllowsThePageItsOwnStyleByItsHash) {
  ApiServer server;
  const auto page = server.get("/docs/api");
  ASSERT_EQ(page.status, 200);
  EXPECT_THAT(page.body, HasSubstr("id=\"createJob\""));
  EXPECT_THAT(page.body, Not(HasSubstr("<script")));
  const auto digest = sha256(style_of(page.body));
  const auto hash = to_base64(std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
  EXPECT_THAT(page.header("content-security-policy"), HasSubstr("style-src 'sha256-" + hash + "';"));
}

TEST(ApiDocs, SendsNothingToAClientThatHasItAlready) {
  ApiServer server;
  for (const std::string path : {"/openapi.json", "/docs/api"}) {
    const auto whole = server.get(path);
    EXPECT_EQ(whole.header("cache-control"), "no-cache");
    const auto again = server.get(path, "If-None-Match: " + whole.header("etag") + "\r\n");
    EXPECT_EQ(again.status, 304) << path;
    EXPECT_EQ(again.body, "");
    EXPECT_EQ(again.header("etag"), whole.header("etag"));
    EXPECT_EQ(server.get(path, "If-None-Match: \"other\"\r\n").body, whole.body);
  }
}

}  // namespace
}  // namespace pixmill::api
