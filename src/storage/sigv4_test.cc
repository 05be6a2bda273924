#include "storage/sigv4.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/crypto.h"
#include "base/text.h"
#include "tests/support/awkward_keys.h"

namespace pixmill::storage {
namespace {

// The published test suite's: https://docs.aws.amazon.com/general/latest/gr/signature-v4-test-suite.html
const AwsCredentials kSuite{.access_key_id = "AKIDEXAMPLE",
                            .secret_access_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                            .session_token = {}};
const SigningScope kSuiteScope{.region = "us-east-1", .service = "service"};
const TimePoint kSuiteTime = from_unix_ms(1'440'938'160'000);  // 2015-08-30T12:36:00Z

// The S3 reference's examples.
const AwsCredentials kDocumented{.access_key_id = "AKIAIOSFODNN7EXAMPLE",
                                 .secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                 .session_token = {}};
const SigningScope kDocumentedScope{.region = "us-east-1"};
const TimePoint kDocumentedTime = from_unix_ms(1'369'353'600'000);  // 2013-05-24T00:00:00Z

std::string signature_in(const NameValues& headers) {
  const auto found = std::ranges::find(headers, "Authorization", &std::pair<std::string, std::string>::first);
  if (found == headers.end()) return "no Authorization";
  return found->second.substr(found->second.rfind('=') + 1);
}

struct SuiteCase {
  std::string name;
  std::string method;
  std::string path;
  NameValues query;
  NameValues headers;
  std::string signature;
};

TEST(SigV4, SignsTheTestSuite) {
  const std::vector<SuiteCase> cases = {
      {"get-vanilla", "GET", "/", {}, {}, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
      {"post-vanilla", "POST", "/", {}, {}, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
      {"get-space",
       "GET",
       "/example space/",
       {},
       {},
       "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
      {"get-utf8", "GET", "/\xe1\x88\xb4", {}, {}, "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
      {"get-unreserved",
       "GET",
       "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
       {},
       {},
       "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
      {"get-vanilla-query-order-key-case",
       "GET",
       "/",
       {{"Param2", "value2"}, {"Param1", "value1"}},
       {},
       "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
      {"get-vanilla-utf8-query",
       "GET",
       "/",
       {{"\xe1\x88\xb4", "bar"}},
       {},
       "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
      {"post-header-key-sort",
       "POST",
       "/",
       {},
       {{"My-Header1", "value1"}},
       "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
      {"get-header-key-duplicate",
       "GET",
       "/",
       {},
       {{"My-Header1", "value2"}, {"my-header1", "value2"}, {"MY-HEADER1", "value1"}},
       "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
      {"get-header-value-trim",
       "GET",
       "/",
       {},
       {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
       "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
  };
  for (const auto& test : cases) {
    const RequestToSign request{.method = test.method,
                                .host = "example.amazonaws.com",
                                .path = test.path,
                                .query = test.query,
                                .headers = test.headers,
                                .payload = std::string(kEmptyPayload)};
    EXPECT_EQ(signature_in(signed_headers(request, kSuite, kSuiteScope, kSuiteTime)), test.signature) << test.name;
  }
}

TEST(SigV4, SignsTheSessionToken) {
  auto temporary = kSuite;
  temporary.session_token =
      "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwt"
      "hAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVX"
      "AkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/"
      "oLxBA==";
  const RequestToSign request{.method = "POST",
                              .host = "example.amazonaws.com",
                              .path = "/",
                              .query = {},
                              .headers = {},
                              .payload = std::string(kEmptyPayload)};
  EXPECT_EQ(signature_in(signed_headers(request, temporary, kSuiteScope, kSuiteTime)),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead");
}

RequestToSign documented(std::string method, std::string path, NameValues query, NameValues headers,
                         std::string_view body) {
  RequestToSign request{.method = std::move(method),
                        .host = "examplebucket.s3.amazonaws.com",
                        .path = std::move(path),
                        .query = std::move(query),
                        .headers = std::move(headers),
                        .payload = to_hex(sha256(body))};
  request.headers.emplace_back("x-amz-content-sha256", request.payload);
  return request;
}

TEST(SigV4, SignsTheExamplesOfS3) {
  const auto signature_of = [](const RequestToSign& request) {
    return signature_in(signed_headers(request, kDocumented, kDocumentedScope, kDocumentedTime));
  };
  EXPECT_EQ(signature_of(documented("GET", "/test.txt", {}, {{"Range", "bytes=0-9"}}, "")),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(signature_of(
                documented("PUT", "/test$file.text", {},
                           {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                           "Welcome to Amazon S3.")),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  EXPECT_EQ(signature_of(documented("GET", "/", {{"lifecycle", ""}}, {}, "")),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  EXPECT_EQ(signature_of(documented("GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, {}, "")),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(SigV4, PresignsTheExampleOfS3) {
  const RequestToSign request{.method = "GET",
                              .host = "examplebucket.s3.amazonaws.com",
                              .path = "/test.txt",
                              .query = {},
                              .headers = {},
                              .payload = {}};
  EXPECT_EQ(presigned_query(request, kDocumented, kDocumentedScope, std::chrono::hours(24), kDocumentedTime),
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
            "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST(SigV4, HoldsPresignedAddressesToWhatS3Accepts) {
  const RequestToSign request{.method = "GET", .host = "h", .path = "/k", .query = {}, .headers = {}, .payload = {}};
  auto temporary = kDocumented;
  temporary.session_token = "a/b+c=";
  const auto longest = presigned_query(request, temporary, kDocumentedScope, std::chrono::hours(1'000), kSuiteTime);
  EXPECT_NE(longest.find("X-Amz-Expires=604800&"), std::string::npos) << longest;
  EXPECT_NE(longest.find("X-Amz-Security-Token=a%2Fb%2Bc%3D&"), std::string::npos) << longest;
  const auto shortest = presigned_query(request, temporary, kDocumentedScope, std::chrono::seconds(-5), kSuiteTime);
  EXPECT_NE(shortest.find("X-Amz-Expires=1&"), std::string::npos) << shortest;
}

TEST(SigV4, WritesDatesAsTheyAreSigned) {
  EXPECT_EQ(amz_date(kDocumentedTime), "20130524T000000Z");
  EXPECT_EQ(amz_date(kSuiteTime + milliseconds(999)), "20150830T123600Z");
  EXPECT_EQ(amz_date(from_unix_ms(951'782'400'000)), "20000229T000000Z");
}

TEST(SigV4, EncodesQueriesInTheOrderThatIsSigned) {
  EXPECT_EQ(canonical_query({}), "");
  EXPECT_EQ(canonical_query({{"uploads", ""}}), "uploads=");
  // After encoding: '%' of an encoded character comes before letters.
  EXPECT_EQ(canonical_query({{"b", "2"}, {"a/", "+ ~"}, {"b", "1"}, {"A", "&="}, {"aa", ""}}),
            "A=%26%3D&a%2F=%2B%20~&aa=&b=1&b=2");
}

TEST(SigV4, TakesPathsAsTheyAre) {
  const RequestToSign request{.method = "GET",
                              .host = "h",
                              .path = "/b//a/./../%41+ ~*'()!;=&\xc3\xa9",
                              .query = {},
                              .headers = {},
                              .payload = "p"};
  EXPECT_EQ(canonical_request(request),
            "GET\n/b//a/./../%2541%2B%20~%2A%27%28%29%21%3B%3D%26%C3%A9\n\nhost:h\n\nhost\np");
}

TEST(SigV4, GivesEveryAwkwardKeyAPathOfItsOwn) {
  const auto keys = testing::awkward_keys();
  EXPECT_GE(keys.size(), 85u);
  std::set<std::string> lines;
  for (const auto& key : keys) {
    const RequestToSign request{
        .method = "GET", .host = "h", .path = "/" + key, .query = {}, .headers = {}, .payload = "p"};
    const auto text = canonical_request(request);
    const auto line = text.substr(4, text.find('\n', 4) - 4);
    EXPECT_EQ(percent_decode(line), "/" + key);
    EXPECT_TRUE(std::ranges::all_of(line, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             std::string_view("-._~/%").find(c) != std::string_view::npos;
    })) << line;
    EXPECT_TRUE(lines.insert(line).second) << key;
  }
}

}  // namespace
}  // namespace pixmill::storage
