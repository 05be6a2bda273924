#include "http/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "tests/support/run_task.h"

namespace pixmill::http {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class Pieces final : public BodyReader {
 public:
  explicit Pieces(std::deque<Result<std::string>> pieces) : pieces_(std::move(pieces)) {}
  Task<Result<std::string_view>> next() override {
    if (pieces_.empty()) co_return std::string_view();
    current_ = std::move(pieces_.front());
    pieces_.pop_front();
    if (!current_) co_return std::unexpected(current_.error());
    co_return std::string_view(*current_);
  }

 private:
  std::deque<Result<std::string>> pieces_;
  Result<std::string> current_;
};

TEST(Headers, CompareNamesWithoutCaseAndKeepOrder) {
  Headers headers;
  headers.add("Accept", "a");
  headers.add("X-One", "1");
  headers.add("accept", "b");
  EXPECT_EQ(headers.get("ACCEPT"), "a");
  EXPECT_EQ(headers.get("Missing"), std::nullopt);
  headers.set("aCCept", "c");
  EXPECT_THAT(headers.all(), ElementsAre(Pair("X-One", "1"), Pair("aCCept", "c")));
}

TEST(Request, GivesTheFirstQueryValue) {
  Request request;
  request.query = {{"a", "1"}, {"a", "2"}, {"b", ""}};
  EXPECT_EQ(request.query_value("a"), "1");
  EXPECT_EQ(request.query_value("b"), "");
  EXPECT_EQ(request.query_value("c"), std::nullopt);
}

TEST(ReadAll, JoinsPiecesUpToItsLimit) {
  asio::io_context io;
  Pieces body({"ab", "cde"});
  EXPECT_EQ(testing::run_task(io, read_all(body, 5)), "abcde");
  Pieces longer({"ab", "cdef"});
  EXPECT_EQ(testing::run_task(io, read_all(longer, 5)).error().code, ErrorCode::kTooLarge);
}

TEST(ReadAll, PassesTheReadersErrorOn) {
  asio::io_context io;
  Pieces body({"ab", fail(ErrorCode::kTruncated, "gone")});
  EXPECT_EQ(testing::run_task(io, read_all(body, 5)).error().code, ErrorCode::kTruncated);
}

TEST(Responses, CarryTheirMediaType) {
  EXPECT_EQ(text_response(200, "x").headers.get("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(html_response(404, "x").headers.get("Content-Type"), "text/html; charset=utf-8");
  const auto json = json_response(201, "{}");
  EXPECT_EQ(json.headers.get("Content-Type"), "application/json");
  EXPECT_EQ(json.status, 201);
  EXPECT_EQ(std::get<std::string>(json.body), "{}");
}

}  // namespace
}  // namespace pixmill::http
