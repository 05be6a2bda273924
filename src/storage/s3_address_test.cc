#include "storage/s3_address.h"

#include <gtest/gtest.h>

namespace pixmill::storage {
namespace {

std::string url_of(const S3AddressOptions& options, std::string_view key = "a b/c+d.jpg") {
  const auto address = S3Address::create(options);
  return address ? address->url(key) : address.error().message;
}

TEST(S3Address, IsTheOriginalPlatformsOnAws) {
  EXPECT_EQ(url_of({.bucket = "my-bucket", .region = "ap-south-1"}),
            "https://my-bucket.s3.ap-south-1.amazonaws.com/a%20b/c%2Bd.jpg");
  EXPECT_EQ(url_of({.bucket = "b", .region = "cn-north-1"}, "k"), "https://b.s3.cn-north-1.amazonaws.com.cn/k");
}

TEST(S3Address, UsesThePathWhereNoCertificateCoversTheHost) {
  EXPECT_EQ(url_of({.bucket = "my.bucket"}, "k"), "https://s3.us-east-1.amazonaws.com/my.bucket/k");
  EXPECT_EQ(url_of({.bucket = "Old_Bucket"}, "k"), "https://s3.us-east-1.amazonaws.com/Old_Bucket/k");
}

TEST(S3Address, TakesAnyEndpoint) {
  EXPECT_EQ(url_of({.bucket = "b", .endpoint = "http://127.0.0.1:9000"}, "k"), "http://127.0.0.1:9000/b/k");
  EXPECT_EQ(url_of({.bucket = "b", .endpoint = "http://[::1]:9000/"}, "k"), "http://[::1]:9000/b/k");
  EXPECT_EQ(url_of({.bucket = "b", .endpoint = "https://S3.Example.com:443"}, "k"), "https://s3.example.com/b/k");
  EXPECT_EQ(url_of({.bucket = "b", .endpoint = "http://minio", .style = S3Style::kVirtualHost}, "k"),
            "http://b.minio/k");
  EXPECT_EQ(url_of({.bucket = "b", .style = S3Style::kPath}, "k"), "https://s3.us-east-1.amazonaws.com/b/k");
  const auto address = S3Address::create({.bucket = "b", .endpoint = "http://h:81"});
  ASSERT_TRUE(address.has_value());
  EXPECT_EQ(address->path(""), "/b");
  EXPECT_EQ(address->host_header(), "h:81");
}

TEST(S3Address, RefusesWhatCannotBe) {
  for (const S3AddressOptions& options : std::vector<S3AddressOptions>{
           {.bucket = ""},
           {.bucket = "a/b"},
           {.bucket = "-a"},
           {.bucket = "a@evil.example"},
           {.bucket = "a..b"},
           {.bucket = "b", .region = ""},
           {.bucket = "b", .region = "eu.evil.example/"},
           {.bucket = "b", .endpoint = "localhost:9000"},
           {.bucket = "b", .endpoint = "ftp://h"},
           {.bucket = "b", .endpoint = "http://h/path"},
           {.bucket = "b", .endpoint = "http://user@h"},
           {.bucket = "b", .endpoint = "http://h:0"},
           {.bucket = "b", .endpoint = "http://h:99999"},
           {.bucket = "b", .endpoint = "http://"},
           {.bucket = "b", .endpoint = "http://[zz]"},
           {.bucket = "Big", .style = S3Style::kVirtualHost},
           {.bucket = "b", .endpoint = "http://127.0.0.1", .style = S3Style::kVirtualHost},
       }) {
    const auto address = S3Address::create(options);
    ASSERT_FALSE(address.has_value()) << options.bucket << " " << options.region << " " << options.endpoint;
    EXPECT_EQ(address.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(S3Location, IsBucketAndKey) {
  const auto location = parse_s3_location("s3://my.bucket/a b/100%25+\xc3\xa9.jpg");
  ASSERT_TRUE(location.has_value());
  EXPECT_EQ(location->bucket, "my.bucket");
  EXPECT_EQ(location->key, "a b/100%25+\xc3\xa9.jpg");
  EXPECT_EQ(parse_s3_location("s3://b")->key, "");
  EXPECT_EQ(parse_s3_location("s3://b/")->key, "");
  EXPECT_EQ(parse_s3_location("s3://b//a")->key, "/a");
  for (const auto& text :
       std::vector<std::string>{"", "http://b/k", "S3://b/k", "s3:///k", "s3://a:b@c/k", "s3://b/\xff",
                                "s3://b/" + std::string(1'025, 'k'), std::string("s3://b/\0", 8)}) {
    const auto wrong = parse_s3_location(text);
    ASSERT_FALSE(wrong.has_value()) << text;
    EXPECT_EQ(wrong.error().code, ErrorCode::kInvalidUrl);
  }
}

}  // namespace
}  // namespace pixmill::storage
