#include "api/errors.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace pixmill::api {
namespace {

namespace json = boost::json;

http::Request request(std::string path = "/v1/jobs") {
  http::Request made;
  made.method = "GET";
  made.path = std::move(path);
  made.request_id = "the-id";
  return made;
}

json::object body_of(const http::Response& response) {
  return json::parse(std::get<std::string>(response.body)).as_object();
}

TEST(Errors, HaveOneStatusEach) {
  EXPECT_EQ(http_status(ErrorCode::kInvalidArgument), 400);
  EXPECT_EQ(http_status(ErrorCode::kBlockedAddress), 400);
  EXPECT_EQ(http_status(ErrorCode::kTruncated), 400);
  EXPECT_EQ(http_status(ErrorCode::kNotFound), 404);
  EXPECT_EQ(http_status(ErrorCode::kTimeout), 408);
  EXPECT_EQ(http_status(ErrorCode::kConflict), 409);
  EXPECT_EQ(http_status(ErrorCode::kTooLarge), 413);
  EXPECT_EQ(http_status(ErrorCode::kUnavailable), 503);
  EXPECT_EQ(http_status(ErrorCode::kDiskFull), 507);
  EXPECT_EQ(http_status(ErrorCode::kIo), 500);
  EXPECT_EQ(http_status(ErrorCode::kInternal), 500);
}

TEST(P45, AProblemSaysTypeTitleStatusDetailCodeHintAndRequest) {
  const Error error{.code = ErrorCode::kDiskFull, .message = "no space", .detail = "/var/lib/secret: SELECT"};
  const auto response = problem_response(problem_of(error), request());
  EXPECT_EQ(response.status, 507);
  EXPECT_EQ(response.headers.get("Content-Type"), "application/problem+json");
  EXPECT_EQ(response.headers.get("Retry-After"), "60");
  const auto body = body_of(response);
  EXPECT_EQ(body.at("type"), "urn:pixmill:error:disk_full");
  EXPECT_EQ(body.at("title"), "Insufficient storage");
  EXPECT_EQ(body.at("status"), 507);
  EXPECT_EQ(body.at("detail"), "no space");
  EXPECT_EQ(body.at("code"), "disk_full");
  EXPECT_EQ(body.at("request_id"), "the-id");
  EXPECT_TRUE(body.contains("hint"));
  EXPECT_EQ(std::get<std::string>(response.body).find("secret"), std::string::npos);
}

// The same codes stand for pictures, where the advice is about the picture.
TEST(Errors, OfRequestsCarryNoAdviceAboutPictures) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kStoreFailed); ++i) {
    const Error error{.code = static_cast<ErrorCode>(i), .message = "x", .detail = {}};
    const auto body = body_of(problem_response(problem_of(error), request()));
    const auto* hint = body.if_contains("hint");
    EXPECT_TRUE(hint == nullptr || hint->as_string() != advice(code_text(error))) << code_text(error);
  }
}

TEST(Errors, NameTheWrongParameter) {
  const auto response = problem_response(wrong_parameter("limit", "many", "1 to 5"), request());
  const auto body = body_of(response);
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(body.at("code"), "invalid_parameter");
  EXPECT_EQ(body.at("parameter"), "limit");
  EXPECT_EQ(body.at("value"), "many");
  EXPECT_EQ(body.at("allowed"), "1 to 5");
  // Whatever came is shown as text that any JSON reader takes, and not at any length.
  const auto odd = wrong_parameter("state", std::string(1'000, '\xff'), "x");
  EXPECT_LE(odd.parameter->value.size(), 600U);
  EXPECT_EQ(body_of(problem_response(odd, request())).at("parameter"), "state");
}

TEST(Errors, AreUtf8WhateverTheyRepeat) {
  Problem odd = wrong_parameter("name", "x", "the one of the address, \xff");
  odd.detail = "there is no \xff";
  odd.row_problems.push_back({.row = 1, .column = "\xff", .message = "it holds \xff"});
  const auto body = body_of(problem_response(odd, request()));
  EXPECT_EQ(body.at("detail"), "there is no \xEF\xBF\xBD");
  EXPECT_EQ(body.at("allowed"), "the one of the address, \xEF\xBF\xBD");
  EXPECT_EQ(body.at("errors").as_array()[0].at("column"), "\xEF\xBF\xBD");
  EXPECT_EQ(body.at("errors").as_array()[0].at("message"), "it holds \xEF\xBF\xBD");
  EXPECT_EQ(body_of(legacy_error_response(odd, request("/imgproc/upload"))).at("error"), "there is no \xEF\xBF\xBD");
}

TEST(Errors, ListBadRows) {
  jobs::TableReport report{.rows = 3'000, .images = 1, .bad_rows = 2'999, .problems = {}};
  for (std::uint64_t row = 1; row < 3'000; ++row) report.problems.push_back({row, "url", "Invalid URL"});
  const auto response = problem_response(bad_rows(report), request());
  const auto body = body_of(response);
  EXPECT_EQ(response.status, 422);
  EXPECT_EQ(body.at("code"), "invalid_rows");
  EXPECT_EQ(body.at("rows"), 3'000);
  EXPECT_EQ(body.at("bad_rows"), 2'999);
  EXPECT_EQ(body.at("errors").as_array().size(), 1'000U);
  EXPECT_EQ(body.at("errors").as_array()[1].at("row"), 2);
  EXPECT_EQ(body.at("errors").as_array()[1].at("column"), "url");
  EXPECT_EQ(body.at("errors").as_array()[1].at("message"), "Invalid URL");
}

TEST(Errors, HaveTheOriginalsShapeUnderImgproc) {
  EXPECT_EQ(std::get<std::string>(error_response(not_found("No such job"), request("/imgproc/status/1")).body),
            R"({"error":"No such job"})");
  const Problem wrong_method{.status = 405, .code = "method_not_allowed", .allowed_methods = {"POST"}};
  const auto response = error_response(wrong_method, request("/imgproc/upload"));
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(std::get<std::string>(response.body), R"({"detail":"Method \"GET\" not allowed."})");
  EXPECT_EQ(response.headers.get("Allow"), "POST");
  EXPECT_EQ(error_response(not_found("x"), request("/imgprocx")).headers.get("Content-Type"),
            "application/problem+json");
}

}  // namespace
}  // namespace pixmill::api
