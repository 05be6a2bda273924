#include "storage/s3_fault.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixmill::storage {
namespace {

const S3Asked kAsked{.bucket = "pictures", .region = "eu-west-1"};

http::ClientResponse answer(int status, std::string_view code = {}, std::string_view more = {}) {
  http::ClientResponse response;
  response.status = status;
  if (!code.empty()) response.body = fmt::format("<Error><Code>{}</Code><Message>m</Message>{}</Error>", code, more);
  return response;
}

struct Case {
  int status;
  std::string code;
  S3Fault fault;
  ErrorCode error;
};

TEST(S3Fault, KnowsWhatServersAnswer) {
  const std::vector<Case> cases = {
      {503, "SlowDown", S3Fault::kAgain, ErrorCode::kUnavailable},
      {503, "", S3Fault::kAgain, ErrorCode::kUnavailable},
      {429, "", S3Fault::kAgain, ErrorCode::kUnavailable},
      {502, "", S3Fault::kAgain, ErrorCode::kUnavailable},
      {504, "", S3Fault::kAgain, ErrorCode::kUnavailable},
      {408, "", S3Fault::kAgain, ErrorCode::kUnavailable},
      {307, "TemporaryRedirect", S3Fault::kAgain, ErrorCode::kUnavailable},
      {400, "RequestTimeout", S3Fault::kAgain, ErrorCode::kUnavailable},
      {500, "InternalError", S3Fault::kAgain, ErrorCode::kStoreFailed},
      {500, "", S3Fault::kAgain, ErrorCode::kStoreFailed},
      {302, "", S3Fault::kAgain, ErrorCode::kStoreFailed},
      {400, "BadDigest", S3Fault::kAgain, ErrorCode::kStoreFailed},
      {400, "XAmzContentSHA256Mismatch", S3Fault::kAgain, ErrorCode::kStoreFailed},
      {400, "IncompleteBody", S3Fault::kAgain, ErrorCode::kStoreFailed},
      {409, "OperationAborted", S3Fault::kAgain, ErrorCode::kStoreFailed},
      {403, "RequestTimeTooSkewed", S3Fault::kClockWrong, ErrorCode::kUnavailable},
      {403, "AccessDenied", S3Fault::kRefused, ErrorCode::kUnavailable},
      {403, "", S3Fault::kRefused, ErrorCode::kUnavailable},
      {401, "", S3Fault::kRefused, ErrorCode::kUnavailable},
      {507, "", S3Fault::kRefused, ErrorCode::kUnavailable},
      {404, "NoSuchKey", S3Fault::kNotFound, ErrorCode::kNotFound},
      {404, "", S3Fault::kNotFound, ErrorCode::kNotFound},
      {404, "NoSuchUpload", S3Fault::kNoSuchUpload, ErrorCode::kStoreFailed},
      {501, "NotImplemented", S3Fault::kNotUnderstood, ErrorCode::kStoreFailed},
      {400, "EntityTooLarge", S3Fault::kFailed, ErrorCode::kStoreFailed},
      {400, "", S3Fault::kFailed, ErrorCode::kStoreFailed},
      {403, "SomethingNew", S3Fault::kRefused, ErrorCode::kUnavailable},
  };
  for (const auto& test : cases) {
    const auto failure = failure_of(answer(test.status, test.code), kAsked);
    ASSERT_TRUE(failure.has_value()) << test.status << test.code;
    EXPECT_EQ(failure->fault, test.fault) << test.status << test.code;
    EXPECT_EQ(failure->error.code, test.error) << test.status << test.code;
    EXPECT_FALSE(failure->error.message.empty());
    EXPECT_EQ(failure->error.http_status, 0) << "a picture's failure would be named after the store's status";
  }
}

TEST(S3Fault, SaysWhatTheOperatorCanDo) {
  const auto message = [](int status, std::string_view code, std::string_view more = {}) {
    return failure_of(answer(status, code, more), kAsked)->error.message;
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(message(404, "NoSuchBucket"), HasSubstr("create it, or correct AWS_STORAGE_BUCKET_NAME"));
  EXPECT_THAT(message(403, "InvalidAccessKeyId"), HasSubstr("AWS_ACCESS_KEY_ID"));
  EXPECT_THAT(message(403, "SignatureDoesNotMatch"), HasSubstr("AWS_SECRET_ACCESS_KEY"));
  EXPECT_THAT(message(400, "ExpiredToken"), HasSubstr("AWS_SESSION_TOKEN"));
  EXPECT_THAT(message(400, "AuthorizationHeaderMalformed", "<Region>us-west-2</Region>"),
              HasSubstr("set AWS_REGION=us-west-2"));
  EXPECT_THAT(message(301, "PermanentRedirect"), HasSubstr("correct AWS_REGION"));
  EXPECT_THAT(message(403, "AccessDenied"), HasSubstr("policy"));
  EXPECT_THAT(message(507, ""), HasSubstr("room"));
  EXPECT_THAT(message(403, "RequestTimeTooSkewed"), HasSubstr("clock"));
  // A HEAD has no body; the region comes in a header.
  auto head = answer(301);
  head.headers.add("x-amz-bucket-region", "ap-south-1");
  EXPECT_THAT(failure_of(head, kAsked)->error.message, HasSubstr("set AWS_REGION=ap-south-1"));
}

TEST(S3Fault, LooksIntoAnswersThatMayHoldAnError) {
  S3Asked asked = kAsked;
  EXPECT_FALSE(failure_of(answer(200, "InternalError"), asked)) << "a stored file may look like that";
  asked.has_xml_answer = true;
  const auto failure = failure_of(answer(200, "SlowDown"), asked);
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->fault, S3Fault::kAgain);
  EXPECT_EQ(failure_of(answer(200, "Whatever"), asked)->fault, S3Fault::kAgain);
  auto good = answer(200);
  good.body = "<CopyObjectResult><ETag>x</ETag></CopyObjectResult>";
  EXPECT_FALSE(failure_of(good, asked));
  auto late = answer(200);
  late.body = "  \n \n<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>";
  EXPECT_TRUE(failure_of(late, asked));
}

TEST(S3Fault, TellsTimeAndPatience) {
  auto busy = answer(503, "SlowDown");
  busy.headers.add("Retry-After", "7");
  EXPECT_EQ(failure_of(busy, kAsked)->error.retry_after, std::chrono::seconds(7));
  auto skewed = answer(403, "RequestTimeTooSkewed");
  skewed.headers.add("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(failure_of(skewed, kAsked)->server_time, from_unix_ms(784'111'777'000));
}

TEST(S3Fault, KnowsWhatTheWayToTheServerDoes) {
  const auto of = [](ErrorCode code) { return failure_of(Error{.code = code, .message = "s3: x", .detail = {}}); };
  for (const auto code : {ErrorCode::kConnect, ErrorCode::kTimeout, ErrorCode::kProtocol, ErrorCode::kTruncated,
                          ErrorCode::kDns, ErrorCode::kUnavailable}) {
    EXPECT_EQ(of(code).fault, S3Fault::kAgain);
    EXPECT_EQ(of(code).error.code, ErrorCode::kUnavailable);
  }
  EXPECT_EQ(of(ErrorCode::kDnsNotFound).fault, S3Fault::kRefused);
  EXPECT_EQ(of(ErrorCode::kTls).fault, S3Fault::kRefused);
  EXPECT_EQ(of(ErrorCode::kTls).error.code, ErrorCode::kUnavailable);
  for (const auto code : {ErrorCode::kCancelled, ErrorCode::kTooLarge, ErrorCode::kInvalidArgument}) {
    EXPECT_EQ(of(code).fault, S3Fault::kFailed);
    EXPECT_EQ(of(code).error.code, code);
  }
}

}  // namespace
}  // namespace pixmill::storage
