// What a server does wrong, scripted; what it does right is shown against a real one in swift_store_test.cc.
#include "storage/s3_store.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/crypto.h"
#include "storage/take_over.h"
#include "tests/support/manual_clock.h"
#include "tests/support/origin_server.h"
#include "tests/support/run_task.h"

namespace pixmill::storage {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::OriginAnswer;
using testing::OriginRequest;
using testing::OriginServer;

OriginAnswer status(int code, std::string body = {}) {
  OriginAnswer answer;
  answer.status = code;
  answer.body = std::move(body);
  return answer;
}

OriginAnswer error(int code, std::string_view name, std::string_view more = {}) {
  return status(code, fmt::format("<Error><Code>{}</Code><Message>m</Message>{}</Error>", name, more));
}

OriginAnswer stored(std::string etag = "\"e\"") {
  OriginAnswer answer;
  answer.headers.emplace_back("ETag", std::move(etag));
  return answer;
}

// "PUT", "POST ?uploads=" …
std::string line_of(const OriginRequest& request) {
  return request.method +
         (request.target.size() > request.path.size() ? " " + request.target.substr(request.path.size()) : "");
}

class S3Store : public ::testing::Test {
 protected:
  S3Store() {
    patience_ = {.attempt = std::chrono::milliseconds(800),
                 .deadline = std::chrono::milliseconds(2'400),
                 .connect = std::chrono::milliseconds(800),
                 .backoff_base = std::chrono::milliseconds(1),
                 .backoff_ceiling = std::chrono::milliseconds(5)};
    client_ = http::Client::create(io_.get_executor(), {}).value();
    resolver_ = http::Resolver::create(io_.get_executor(), {}).value();
  }

  BlobStore& store() {
    if (store_) return *store_;
    const S3AddressOptions address{.bucket = "b", .endpoint = endpoint_.empty() ? origin_.url("") : endpoint_};
    AwsCredentials credentials{.access_key_id = "key-id", .secret_access_key = "top secret"};
    bucket_ = S3Bucket::create(address, std::move(credentials), clock_).value();
    options_.patience = patience_;
    const S3Parts parts{.client = *client_, .resolver = *resolver_, .metrics = metrics_};
    store_ = make_s3_store(parts, bucket_, options_);
    return *store_;
  }

  // The answers of one path, in order; the last one is repeated.
  void answers(const std::string& path, std::vector<OriginAnswer> list) {
    auto next = std::make_shared<std::size_t>(0);
    origin_.route(path, [this, list = std::move(list), next](const OriginRequest& request) {
      const std::lock_guard lock(mutex_);
      lines_.push_back(line_of(request));
      requests_.push_back(request);
      const std::size_t index = std::min(*next, list.size() - 1);
      ++*next;
      return list[index];
    });
  }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  OriginRequest request(std::size_t index) {
    const std::lock_guard lock(mutex_);
    return requests_.at(index);
  }

  Result<void> put(std::string_view bytes = "abc", const std::string& media_type = "image/jpeg") {
    return testing::run_task(io_, store().put("k", bytes, media_type));
  }
  Error put_error() {
    const auto done = put();
    return done ? Error{.code = ErrorCode::kInternal, .message = "it was stored", .detail = {}} : done.error();
  }
  double counted(const std::string& operation, const std::string& result) {
    return metrics_
        .counter("pixmill_s3_requests_total", "Requests to the S3 server",
                 {{"operation", operation}, {"result", result}})
        .value();
  }

  asio::io_context io_;
  testing::ManualClock clock_;
  Metrics metrics_;
  std::string endpoint_;
  S3Patience patience_;
  S3StoreOptions options_;
  std::unique_ptr<http::Client> client_;
  std::unique_ptr<http::Resolver> resolver_;
  std::shared_ptr<S3Bucket> bucket_;
  std::unique_ptr<BlobStore> store_;
  std::mutex mutex_;
  std::vector<std::string> lines_;
  std::vector<OriginRequest> requests_;
  OriginServer origin_;  // ends first: its threads write into what stands above
};

TEST_F(S3Store, SendsWhatAPictureNeeds) {
  options_.cache_control = "max-age=86400";
  answers("/b/k", {stored()});
  ASSERT_TRUE(put());
  const auto sent = request(0);
  EXPECT_EQ(sent.body, "abc");
  EXPECT_EQ(sent.header("Content-Type"), "image/jpeg");
  EXPECT_EQ(sent.header("Cache-Control"), "max-age=86400");
  EXPECT_EQ(sent.header("Content-Disposition"), std::nullopt);
  EXPECT_EQ(sent.header("x-amz-content-sha256"), to_hex(sha256("abc")));
  EXPECT_EQ(sent.header("x-amz-checksum-sha256"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
  EXPECT_THAT(sent.header("Authorization").value_or(""), HasSubstr("Credential=key-id/"));
  EXPECT_EQ(counted("put", "ok"), 1);
}

TEST_F(S3Store, KeepsOtherFilesFromBeingShown) {
  answers("/b/k", {stored()});
  ASSERT_TRUE(put("a,b\n", "text/csv"));
  EXPECT_EQ(request(0).header("Content-Disposition"), "attachment");
  EXPECT_EQ(request(0).header("Cache-Control"), std::nullopt);
}

TEST_F(S3Store, TriesAgainWhatMayPass) {
  auto reset = stored();
  reset.body = std::string(1'000, 'x');
  reset.reset_after_bytes = 10;
  auto never = stored();
  never.never = true;
  answers("/b/k", {error(503, "SlowDown"), status(429), error(500, "InternalError"), error(400, "BadDigest"), reset,
                   never, stored()});
  EXPECT_TRUE(put());
  EXPECT_EQ(lines().size(), 7u);
  EXPECT_EQ(counted("put", "again"), 6);
  EXPECT_EQ(counted("put", "ok"), 1);
}

TEST_F(S3Store, WaitsWhileTheServerIsAway) {
  answers("/b/k", {error(503, "SlowDown")});
  const auto away = put_error();
  EXPECT_EQ(away.code, ErrorCode::kUnavailable);
  EXPECT_THAT(away.message, HasSubstr("SlowDown"));
  EXPECT_GT(lines().size(), 1u);
}

TEST_F(S3Store, DoesNotWaitLongerThanItHasTime) {
  auto later = error(503, "SlowDown");
  later.headers.emplace_back("Retry-After", "30");
  answers("/b/k", {later});
  const auto away = put_error();
  EXPECT_EQ(away.code, ErrorCode::kUnavailable);
  EXPECT_EQ(away.retry_after, std::chrono::seconds(30));
  EXPECT_EQ(lines().size(), 1u);
}

TEST_F(S3Store, SaysWhenNobodyIsThere) {
  endpoint_ = "http://127.0.0.1:1";
  patience_.deadline = std::chrono::milliseconds(50);
  const auto away = put_error();
  EXPECT_EQ(away.code, ErrorCode::kUnavailable);
  EXPECT_THAT(away.message, HasSubstr("cannot be reached"));
}

TEST_F(S3Store, GivesUpOnAnObjectThatAlwaysFails) {
  answers("/b/k", {error(500, "InternalError")});
  EXPECT_EQ(put_error().code, ErrorCode::kStoreFailed);
}

TEST_F(S3Store, SaysWhatIsWrongWithItsSettingsAtOnce) {
  answers("/b/k", {error(403, "SignatureDoesNotMatch")});
  const auto refused = put_error();
  EXPECT_EQ(refused.code, ErrorCode::kUnavailable);
  EXPECT_THAT(refused.message, HasSubstr("AWS_SECRET_ACCESS_KEY"));
  EXPECT_EQ(lines().size(), 1u);
  EXPECT_THAT(refused.message + refused.detail, Not(HasSubstr("top secret")));
}

TEST_F(S3Store, SignsWithTheServersTimeOnceItIsTold) {
  auto skewed = error(403, "RequestTimeTooSkewed");
  skewed.headers.emplace_back("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
  answers("/b/k", {skewed, stored(), stored()});
  EXPECT_TRUE(put());
  EXPECT_TRUE(put());
  EXPECT_EQ(request(1).header("x-amz-date"), "19941106T084937Z");
  EXPECT_EQ(request(2).header("x-amz-date"), "19941106T084937Z");
  EXPECT_EQ(lines().size(), 3u);
  EXPECT_THAT(bucket_->presigned_url("k", std::chrono::hours(1)), HasSubstr("X-Amz-Date=19941106T084937Z"));
}

TEST_F(S3Store, SaysThatTheClockIsWrongWhenTheServersTimeDoesNotHelp) {
  auto skewed = error(403, "RequestTimeTooSkewed");
  answers("/b/k", {skewed});
  const auto without_date = put_error();
  EXPECT_EQ(without_date.code, ErrorCode::kUnavailable);
  EXPECT_THAT(without_date.message, HasSubstr("clock"));
  EXPECT_EQ(lines().size(), 1u);
  skewed.headers.emplace_back("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
  answers("/b/k", {skewed});
  EXPECT_THAT(put_error().message, HasSubstr("clock"));
  EXPECT_EQ(lines().size(), 3u);
}

TEST_F(S3Store, LooksAgainWhenAnAnswerConfirmsNothing) {
  auto there = OriginAnswer();
  there.headers.emplace_back("ETag", "\"e\"");
  there.body = "abc";
  answers("/b/k", {status(200), there});
  EXPECT_TRUE(put());
  EXPECT_EQ(lines(), (std::vector<std::string>{"PUT", "HEAD"}));
}

TEST_F(S3Store, CountsNothingAsStoredThatIsNotThere) {
  answers("/b/k",
          {status(200), status(404), status(200), status(404), status(200), status(404), status(200), status(404)});
  EXPECT_EQ(put_error().code, ErrorCode::kStoreFailed);
  auto shorter = stored();
  shorter.body = "ab";
  answers("/b/k", {status(202), shorter, status(202), shorter, status(202), shorter, status(202), shorter});
  EXPECT_EQ(put_error().code, ErrorCode::kStoreFailed);
  auto other = stored();
  other.headers.emplace_back("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
  answers("/b/k", {other});
  EXPECT_EQ(put_error().code, ErrorCode::kStoreFailed);
}

TEST_F(S3Store, PutsAgainWhatWasNotConfirmed) {
  auto other = stored();
  other.headers.emplace_back("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
  answers("/b/k", {status(202), status(404), other, stored()});
  EXPECT_TRUE(put());
  EXPECT_EQ(lines(), (std::vector<std::string>{"PUT", "HEAD", "PUT", "PUT"}));
}

TEST_F(S3Store, DoesWithoutChecksumsWhereTheyAreNotKnown) {
  answers("/b/k", {error(501, "NotImplemented"), stored(), stored()});
  EXPECT_TRUE(put());
  EXPECT_TRUE(put());
  EXPECT_TRUE(request(0).header("x-amz-checksum-sha256").has_value());
  EXPECT_FALSE(request(1).header("x-amz-checksum-sha256").has_value());
  EXPECT_FALSE(request(2).header("x-amz-checksum-sha256").has_value());
}

TEST_F(S3Store, FailsWhatTheServerDoesNotTakeEitherWay) {
  answers("/b/k", {error(400, "EntityTooLarge"), error(400, "EntityTooLarge"), stored()});
  EXPECT_EQ(put_error().code, ErrorCode::kStoreFailed);
  ASSERT_TRUE(put());
  EXPECT_TRUE(request(2).header("x-amz-checksum-sha256").has_value());
}

TEST_F(S3Store, FindsErrorsInGoodAnswersToCopies) {
  auto done = status(200, "<CopyObjectResult><ETag>\"e\"</ETag></CopyObjectResult>");
  answers("/b/k", {error(200, "InternalError"), error(200, "SlowDown"), done});
  EXPECT_TRUE(testing::run_task(io_, store().copy("from/\xc3\xa9 +", "k")));
  EXPECT_EQ(lines().size(), 3u);
  EXPECT_EQ(request(0).header("x-amz-copy-source"), "/b/from/%C3%A9%20%2B");
}

TEST_F(S3Store, LooksAgainWhenACopysAnswerIsEmpty) {
  auto there = stored();
  there.body = "abc";
  answers("/b/k", {status(200), there});
  answers("/b/from", {there});
  EXPECT_TRUE(testing::run_task(io_, store().copy("from", "k")));
  answers("/b/k", {status(200), status(404)});
  EXPECT_EQ(testing::run_task(io_, store().copy("from", "k")).error().code, ErrorCode::kStoreFailed);
}

TEST_F(S3Store, ChecksWhatItReads) {
  auto good = status(200, "abc");
  good.headers.emplace_back("x-amz-checksum-sha256", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
  auto bad = good;
  bad.body = "abd";
  auto parts = bad;
  parts.headers.front().second += "-2";
  answers("/b/k", {good, bad, parts});
  EXPECT_EQ(testing::run_task(io_, store().get("k", 3)), "abc");
  EXPECT_EQ(testing::run_task(io_, store().get("k", 3)).error().code, ErrorCode::kStoreFailed);
  EXPECT_EQ(testing::run_task(io_, store().get("k", 3)), "abd");
}

std::string page(std::string_view keys, std::string_view token = {}) {
  std::string text = "<ListBucketResult><EncodingType>url</EncodingType>";
  for (const char key : keys) text += fmt::format("<Contents><Key>p%2F{}</Key><Size>1</Size></Contents>", key);
  if (!token.empty()) {
    text += fmt::format("<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>", token);
  }
  return text + "</ListBucketResult>";
}

TEST_F(S3Store, FollowsAListingToItsEnd) {
  options_.key_prefix = "p/";
  answers("/b", {status(200, page("ab", "t+/=")), error(503, "SlowDown"), status(200, page("", "u")),
                 status(200, page("c"))});
  const auto found = testing::run_task(io_, store().list("", "", 10));
  ASSERT_TRUE(found.has_value());
  ASSERT_EQ(found->size(), 3u);
  EXPECT_EQ(found->at(2).key, "c");
  EXPECT_EQ(lines(), (std::vector<std::string>{
                         "GET ?encoding-type=url&list-type=2&max-keys=10&prefix=p%2F",
                         "GET ?continuation-token=t%2B%2F%3D&encoding-type=url&list-type=2&max-keys=8&prefix=p%2F",
                         "GET ?continuation-token=t%2B%2F%3D&encoding-type=url&list-type=2&max-keys=8&prefix=p%2F",
                         "GET ?continuation-token=u&encoding-type=url&list-type=2&max-keys=8&prefix=p%2F"}));
}

TEST_F(S3Store, IsNotHeldByAListingWithoutEnd) {
  options_.key_prefix = "p/";
  answers("/b", {status(200, page("", "again"))});
  const auto found = testing::run_task(io_, store().list("", "", 10));
  EXPECT_TRUE(found && found->empty());
  answers("/b", {status(200, "<html>welcome to our hotel</html>")});
  EXPECT_EQ(testing::run_task(io_, store().list("", "", 10)).error().code, ErrorCode::kStoreFailed);
}

TEST_F(S3Store, TakesNoKeysThatWereNotAskedFor) {
  options_.key_prefix = "q/";
  answers("/b", {status(200, page("a"))});
  EXPECT_EQ(testing::run_task(io_, store().list("", "", 10)).error().code, ErrorCode::kStoreFailed);
  store_.reset();
  options_.key_prefix = "p/";
  answers("/b", {status(200, page("abcz"))});
  const auto found = testing::run_task(io_, store().list("", "b", 1));
  ASSERT_TRUE(found && found->size() == 1);
  EXPECT_EQ(found->front().key, "c");
}

class S3Upload : public S3Store {
 protected:
  S3Upload() {
    options_.multipart_above_bytes = 10;
    options_.part_bytes = 8;
  }
  const OriginAnswer begun_ = status(200,
                                     "<InitiateMultipartUploadResult><UploadId>u+1</UploadId>"
                                     "</InitiateMultipartUploadResult>");
  const OriginAnswer completed_ =
      status(200, "<CompleteMultipartUploadResult><ETag>\"e-2\"</ETag></CompleteMultipartUploadResult>");
  OriginAnswer there() {
    auto answer = stored();
    answer.body = std::string(12, 'x');
    return answer;
  }
};

TEST_F(S3Upload, GoesInParts) {
  answers("/b/k", {begun_, stored("\"1\""), stored("\"2\""), completed_, there()});
  ASSERT_TRUE(put(std::string(8, 'x') + "yyyy"));
  EXPECT_EQ(lines(), (std::vector<std::string>{"POST ?uploads=", "PUT ?partNumber=1&uploadId=u%2B1",
                                               "PUT ?partNumber=2&uploadId=u%2B1", "POST ?uploadId=u%2B1", "HEAD"}));
  EXPECT_EQ(request(0).header("Content-Type"), "image/jpeg");
  EXPECT_EQ(request(1).body, "xxxxxxxx");
  EXPECT_EQ(request(2).body, "yyyy");
  EXPECT_THAT(request(3).body, HasSubstr("<PartNumber>2</PartNumber><ETag>&quot;2&quot;</ETag>"));
}

TEST_F(S3Upload, IsGivenUpWhenAPartFails) {
  answers("/b/k", {begun_, stored(), error(403, "AccessDenied"), status(204)});
  EXPECT_EQ(put(std::string(12, 'x')).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(lines().back(), "DELETE ?uploadId=u%2B1");
}

TEST_F(S3Upload, IsGivenUpWhenAPartIsNotConfirmed) {
  answers("/b/k", {begun_, status(200), status(204)});
  EXPECT_EQ(put(std::string(12, 'x')).error().code, ErrorCode::kStoreFailed);
  EXPECT_EQ(lines().back(), "DELETE ?uploadId=u%2B1");
}

TEST_F(S3Upload, IsNotDoneWhileAGoodAnswerHoldsAnError) {
  answers("/b/k", {begun_, stored(), stored(), error(200, "InternalError"), completed_, there()});
  EXPECT_TRUE(put(std::string(12, 'x')));
  EXPECT_EQ(lines().size(), 6u);
}

TEST_F(S3Upload, BeginsAnewWhenItIsNotThereAnyMore) {
  answers("/b/k", {begun_, stored(), stored(), error(404, "NoSuchUpload"), error(404, "NoSuchUpload"), begun_, stored(),
                   stored(), completed_, there()});
  EXPECT_TRUE(put(std::string(12, 'x')));
  answers("/b/k", {begun_, error(404, "NoSuchUpload"), status(204), begun_, error(404, "NoSuchUpload"), status(204),
                   begun_, error(404, "NoSuchUpload"), status(204)});
  EXPECT_EQ(put(std::string(12, 'x')).error().code, ErrorCode::kStoreFailed);
}

TEST_F(S3Upload, IsNotStoredUnlessItIsThereAndWhole) {
  auto shorter = stored();
  shorter.body = "x";
  answers("/b/k", {begun_, stored(), stored(), completed_, shorter});
  EXPECT_EQ(put(std::string(12, 'x')).error().code, ErrorCode::kStoreFailed);
  answers("/b/k", {status(200, "<html/>")});
  EXPECT_EQ(put(std::string(12, 'x')).error().code, ErrorCode::kStoreFailed);
  answers("/b/k", {begun_, stored(), stored(), status(200), status(204)});
  EXPECT_EQ(put(std::string(12, 'x')).error().code, ErrorCode::kStoreFailed);
}

class S3TakeOver : public S3Store {
 protected:
  static constexpr std::string_view kChecksum = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";  // of "abc"

  Result<void> take(std::string_view bytes = "abc") {
    const BlobPlace from{.store = store(), .key = "old/k"};
    const BlobPlace to{.store = store(), .key = "k"};
    const BlobContent content{.bytes = bytes.size(), .sha256 = sha256(bytes), .media_type = "image/jpeg"};
    return testing::run_task(io_, take_over(from, to, content));
  }
  static OriginAnswer object(std::string_view checksum = {}) {
    auto answer = stored("\"e7\"");
    answer.body = "abc";
    if (!checksum.empty()) answer.headers.emplace_back("x-amz-checksum-sha256", checksum);
    return answer;
  }
  static OriginAnswer copied() { return status(200, "<CopyObjectResult><ETag>\"e7\"</ETag></CopyObjectResult>"); }
};

TEST_F(S3TakeOver, TrustsTheServersOwnChecksumAndBindsTheCopyToIt) {
  answers("/b/old/k", {object(kChecksum)});
  answers("/b/k", {copied()});
  const auto taken = take();
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_EQ(lines(), (std::vector<std::string>{"HEAD", "PUT"}));
  EXPECT_EQ(request(0).header("x-amz-checksum-mode"), "ENABLED");
  EXPECT_EQ(request(1).header("x-amz-copy-source"), "/b/old/k");
  EXPECT_EQ(request(1).header("x-amz-copy-source-if-match"), "\"e7\"");
}

TEST_F(S3TakeOver, LooksAtTheBytesWhereThereIsNoChecksum) {
  answers("/b/old/k", {object()});
  answers("/b/k", {copied()});
  ASSERT_TRUE(take());
  EXPECT_EQ(lines(), (std::vector<std::string>{"HEAD", "GET", "PUT"}));
  answers("/b/old/k", {object("c29tZXRoaW5n-3")});
  ASSERT_TRUE(take()) << "a checksum of parts says nothing of the whole";
}

TEST_F(S3TakeOver, CopiesNothingElse) {
  answers("/b/k", {copied()});
  answers("/b/old/k", {object(to_base64(std::string(32, 'x')))});
  EXPECT_EQ(take().error().code, ErrorCode::kNotFound);
  answers("/b/old/k", {object()});
  EXPECT_EQ(take("abd").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(take("ab").error().code, ErrorCode::kNotFound);
  answers("/b/old/k", {error(404, "NoSuchKey")});
  EXPECT_EQ(take().error().code, ErrorCode::kNotFound);
  EXPECT_THAT(lines(), ::testing::Each(::testing::AnyOf("HEAD", "GET")));
}

TEST_F(S3TakeOver, AnObjectThatChangesMeanwhileIsNotCopied) {
  answers("/b/old/k", {object(kChecksum)});
  answers("/b/k", {error(412, "PreconditionFailed")});
  EXPECT_EQ(take().error().code, ErrorCode::kStoreFailed);
}

TEST_F(S3TakeOver, ACopyThatIsNotConfirmedIsLookedAt) {
  answers("/b/old/k", {object(kChecksum)});
  auto there = stored();
  there.body = "abc";
  answers("/b/k", {status(200), there});
  ASSERT_TRUE(take());
  EXPECT_EQ(lines(), (std::vector<std::string>{"HEAD", "PUT", "HEAD"}));
}

}  // namespace
}  // namespace pixmill::storage
