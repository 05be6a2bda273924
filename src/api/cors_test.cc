#include "api/cors.h"

#include <gtest/gtest.h>

namespace pixmill::api {
namespace {

http::Request request(std::string method, std::string origin, bool preflight = false) {
  http::Request made;
  made.method = std::move(method);
  made.headers.add("Host", "127.0.0.1:8000");
  if (!origin.empty()) made.headers.add("Origin", std::move(origin));
  if (preflight) made.headers.add("Access-Control-Request-Method", "POST");
  return made;
}

std::string allowed_origin(const Cors& cors, const http::Request& made) {
  http::Response response;
  cors.decorate(made, response);
  return std::string(response.headers.get("Access-Control-Allow-Origin").value_or(""));
}

const Cors kCors("http://localhost:3000/app, https://Shop.test", false, "http://127.0.0.1:8000");
const Cors kOpen("", true, "http://127.0.0.1:8000");

TEST(Cors, AllowsTheNamedOrigins) {
  EXPECT_EQ(allowed_origin(kCors, request("GET", "http://localhost:3000")), "http://localhost:3000");
  EXPECT_EQ(allowed_origin(kCors, request("GET", "https://shop.test")), "https://shop.test");
  for (const std::string origin : {"", "http://localhost:3001", "https://localhost:3000",
                                   "http://localhost:3000.evil.test", "null", "http://evil.test"}) {
    EXPECT_EQ(allowed_origin(kCors, request("GET", origin)), "") << origin;
  }
}

TEST(Cors, SaysThatTheAnswerDependsOnTheOrigin) {
  http::Response response;
  kCors.decorate(request("GET", ""), response);
  EXPECT_EQ(response.headers.get("Vary"), "Origin");
}

TEST(Cors, OpensEverythingWhenTold) {
  EXPECT_EQ(allowed_origin(kOpen, request("GET", "http://evil.test")), "*");
  EXPECT_FALSE(kOpen.is_foreign_write(request("POST", "http://evil.test")));
}

TEST(Cors, AnswersPreflights) {
  const auto asked = request("OPTIONS", "http://localhost:3000", true);
  EXPECT_TRUE(Cors::is_preflight(asked));
  EXPECT_FALSE(Cors::is_preflight(request("OPTIONS", "http://localhost:3000")));
  EXPECT_FALSE(Cors::is_preflight(request("POST", "http://localhost:3000", true)));
  const auto response = kCors.preflight_response(asked);
  EXPECT_EQ(response.status, 204);
  EXPECT_NE(response.headers.get("Access-Control-Allow-Methods")->find("POST"), std::string_view::npos);
  EXPECT_NE(response.headers.get("Access-Control-Allow-Headers")->find("content-type"), std::string_view::npos);
  EXPECT_FALSE(kCors.preflight_response(request("OPTIONS", "http://evil.test", true))
                   .headers.get("Access-Control-Allow-Methods"));
}

TEST(Cors, TellsWritesOfForeignPages) {
  for (const std::string origin : {"http://evil.test", "null", "http://127.0.0.1:9000", "https://localhost:3000"}) {
    EXPECT_TRUE(kCors.is_foreign_write(request("POST", origin))) << origin;
    EXPECT_TRUE(kCors.is_foreign_write(request("DELETE", origin))) << origin;
    EXPECT_FALSE(kCors.is_foreign_write(request("GET", origin))) << origin;
    EXPECT_FALSE(kCors.is_foreign_write(request("OPTIONS", origin))) << origin;
  }
  // No browser, an allowed page, our own page, our own page by the name the client used.
  for (const std::string origin : {"", "http://localhost:3000", "http://127.0.0.1:8000", "https://127.0.0.1:8000"}) {
    EXPECT_FALSE(kCors.is_foreign_write(request("POST", origin))) << origin;
  }
}

}  // namespace
}  // namespace pixmill::api
