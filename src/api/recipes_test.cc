#include "api/recipes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "tests/support/api_server.h"

namespace pixmill::api {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using testing::ApiServer;
using ::testing::HasSubstr;
using testing::RawResponse;

json::object parsed(const RawResponse& response) { return json::parse(response.body).as_object(); }

std::string text_of(const json::object& object, std::string_view key) {
  return std::string(object.at(key).as_string());
}

RawResponse put(const ApiServer& server, const std::string& name, const std::string& body) {
  return server.request("PUT", "/v1/recipes/" + name, "Content-Type: application/json\r\n", body);
}

json::object save(const ApiServer& server, const std::string& name, const std::string& recipe, int status = 201) {
  const auto response = put(server, name, R"({"recipe":")" + recipe + R"("})");
  EXPECT_EQ(response.status, status) << response.body;
  return parsed(response);
}

json::object problem(const RawResponse& response, int status, const std::string& code) {
  EXPECT_EQ(response.status, status) << response.body;
  EXPECT_EQ(response.header("content-type"), "application/problem+json");
  auto body = parsed(response);
  EXPECT_EQ(text_of(body, "code"), code);
  return body;
}

constexpr std::string_view kTable = "url\r\nhttps://a.test/1.jpg\r\n";

TEST(RecipesApi, ListsBuiltInOnesAndOwn) {
  ApiServer server;
  const auto before = parsed(server.get("/v1/recipes")).at("recipes").as_array();
  ASSERT_EQ(before.size(), 5U);
  EXPECT_EQ(before[0].at("id").as_string(), "compress@1");
  EXPECT_EQ(before[0].at("recipe").as_string(), "format=jpeg quality=50");
  save(server, "shop", "format=webp");
  save(server, "shop", "format=avif");
  const auto after = parsed(server.get("/v1/recipes/")).at("recipes").as_array();
  ASSERT_EQ(after.size(), 6U);
  EXPECT_EQ(after[5].at("id").as_string(), "shop@2");
}

TEST(RecipesApi, SavesVersions) {
  ApiServer server;
  const auto first = put(server, "shop", R"({"recipe": "quality=80 format=jpg"})");
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(first.header("location"), "http://pixmill.test/v1/recipes/shop?version=1");
  EXPECT_EQ(text_of(parsed(first), "recipe"), "format=jpeg quality=80");
  EXPECT_EQ(save(server, "shop", "format=jpeg quality=80", 200).at("version"), 1) << "it says that already";
  const auto second = server.post("/v1/recipes", "", R"({"name": "shop", "recipe": {"format": "webp"}})");
  EXPECT_EQ(second.status, 201) << second.body;
  EXPECT_EQ(parsed(second).at("version"), 2);
  EXPECT_EQ(save(server, "shop", "shop@1").at("version"), 3) << "back to what it was";

  EXPECT_EQ(parsed(server.get("/v1/recipes/shop")).at("version"), 3);
  EXPECT_EQ(parsed(server.get("/v1/recipes/shop")).at("versions").as_array().size(), 3U);
  EXPECT_EQ(text_of(parsed(server.get("/v1/recipes/shop?version=2")), "recipe"), "format=webp");
  EXPECT_EQ(text_of(parsed(server.get("/v1/recipes/shop@2")), "recipe"), "format=webp");
  EXPECT_EQ(parsed(server.get("/v1/recipes/web")).at("built_in"), true);
}

TEST(RecipesApi, RemovesANameAndKeepsItsVersions) {
  ApiServer server;
  save(server, "shop", "format=webp");
  EXPECT_EQ(server.request("DELETE", "/v1/recipes/shop").status, 204);
  problem(server.get("/v1/recipes/shop"), 404, "not_found");
  EXPECT_EQ(parsed(server.get("/v1/recipes/shop?version=1")).at("removed"), true);
  problem(server.request("DELETE", "/v1/recipes/shop"), 404, "not_found");
  EXPECT_EQ(save(server, "shop", "format=webp").at("version"), 2);
}

TEST(RecipesApi, SaysWhichFieldIsWrong) {
  ApiServer server;
  const auto refused = [](const RawResponse& response, std::string_view name, std::string_view value,
                          std::string_view allowed) {
    const auto body = problem(response, 400, "invalid_parameter");
    EXPECT_EQ(text_of(body, "parameter"), name);
    EXPECT_EQ(text_of(body, "value"), value);
    EXPECT_THAT(text_of(body, "allowed"), HasSubstr(std::string(allowed)));
    return text_of(body, "detail");
  };
  EXPECT_THAT(refused(put(server, "shop", R"({"recipe":"quality=0"})"), "recipe", "quality=0", "compact form"),
              AllOf(HasSubstr("\"quality\""), HasSubstr("1 to 100")));
  refused(put(server, "shop", "{}"), "recipe", "", "compact form");
  EXPECT_THAT(refused(put(server, "web", R"({"recipe":"format=png"})"), "name", "web", "not a built-in name"),
              HasSubstr("built in"));
  refused(put(server, "Shop", R"({"recipe":"format=png"})"), "name", "Shop", "lower-case");
  refused(server.post("/v1/recipes", "", R"({"recipe":"format=png"})"), "name", "", "lower-case");
  refused(put(server, "shop", R"({"name":"other","recipe":"format=png"})"), "name", "other", "shop");
  refused(put(server, "shop", R"({"receipt":"format=png"})"), "receipt", "\"format=png\"", "recipe");
  refused(put(server, "shop", "format=png"), "body", "format=png", "JSON object");
  refused(server.request("DELETE", "/v1/recipes/web"), "name", "web", "not a built-in name");
  refused(server.get("/v1/recipes/web?version=x"), "version", "x", "1");
  problem(server.get("/v1/recipes/No%20Name"), 404, "not_found");
  problem(server.get("/v1/recipes/web?version=2"), 404, "not_found");
  problem(server.request("DELETE", "/v1/recipes/No%20Name"), 404, "not_found");
  EXPECT_EQ(put(server, "shop", std::string(70'000, ' ')).status, 413);
  EXPECT_EQ(parsed(server.get("/v1/recipes")).at("recipes").as_array().size(), 5U) << "nothing was saved";
}

TEST(RecipesApi, JobsKeepTheVersionTheyCameInWith) {
  ApiServer server;
  save(server, "shop", "format=webp");
  const auto submit = [&](const std::string& recipe, const std::string& path) {
    const std::string table =
        path == "/v1/jobs" ? std::string(kTable) : testing::original_table({"https://a.test/1.jpg"});
    const auto response = server.post_form(path, {{"file", table, "a.csv"}, {"recipe", recipe}});
    EXPECT_EQ(response.status, 201) << response.body;
    return text_of(parsed(response), path == "/v1/jobs" ? "id" : "request_id");
  };
  const auto first = submit("shop", "/v1/jobs");
  save(server, "shop", "format=avif");
  const auto second = submit("shop", "/imgproc/upload");
  const auto again = submit("shop@1", "/v1/jobs");
  EXPECT_EQ(server.request("DELETE", "/v1/recipes/shop").status, 204);
  EXPECT_EQ(server.ingested(first).recipe_name, "shop@1");
  EXPECT_EQ(server.job(first).recipe, "format=webp");
  EXPECT_EQ(server.ingested(second).recipe_name, "shop@2");
  EXPECT_EQ(server.job(second).recipe, "format=avif");
  EXPECT_EQ(server.ingested(again).recipe, "format=webp");
  EXPECT_EQ(text_of(parsed(server.get("/v1/jobs/" + first)), "recipe_name"), "shop@1");
  problem(server.post_form("/v1/jobs", {{"file", std::string(kTable), "a.csv"}, {"recipe", "shop"}}), 400,
          "invalid_parameter");
}

TEST(RecipesApi, RowsMayNameOwnOnes) {
  ApiServer server;
  save(server, "shop", "format=webp");
  const auto response = server.post_form(
      "/v1/jobs", {{"file", "url,recipe\r\nhttps://a.test/1.jpg,shop\r\nhttps://a.test/2.jpg,\r\n", "a.csv"}});
  ASSERT_EQ(response.status, 201) << response.body;
  const auto id = text_of(parsed(response), "id");
  server.ingested(id);
  const auto items = parsed(server.get("/v1/jobs/" + id + "/items")).at("items").as_array();
  EXPECT_EQ(items[0].at("recipe_name").as_string(), "shop@1");
  const auto bad =
      problem(server.post_form("/v1/jobs", {{"file", "url,recipe\r\nhttps://a.test/1.jpg,shoop\r\n", "a.csv"}}), 422,
              "invalid_rows");
  EXPECT_THAT(std::string(bad.at("errors").at(0).at("message").as_string()),
              AllOf(HasSubstr("row 1: shoop"), HasSubstr("lossless, shop")));
}

TEST(RecipesApi, TheDefaultMayBeAnOwnOne) {
  ApiOptions options;
  options.default_recipe = "shop";
  ApiServer server(options);
  save(server, "shop", "format=webp");
  const auto response = server.post_form("/v1/jobs", {{"file", std::string(kTable), "a.csv"}});
  EXPECT_EQ(server.ingested(text_of(parsed(response), "id")).recipe_name, "shop@1");
}

TEST(RecipesApi, APreviewMayNameAnOwnOne) {
  ApiServer server;
  save(server, "shop", "format=webp quality=7");
  std::string asked;
  server.engines.answer = [&asked](std::string_view, const image::Recipe& recipe) -> Result<image::Rendered> {
    asked = image::canonical_text(recipe);
    return fail(ErrorCode::kNotAnImage, "pretended");
  };
  EXPECT_EQ(server.post("/v1/preview?recipe=shop", "", "the picture").status, 422);
  EXPECT_EQ(asked, "format=webp quality=7");
  problem(server.post("/v1/preview?recipe=shoop", "", "the picture"), 400, "invalid_parameter");
}

}  // namespace
}  // namespace pixmill::api
