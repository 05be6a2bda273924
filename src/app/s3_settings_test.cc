#include "app/s3_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/s3_setup.h"
#include "tests/support/manual_clock.h"

namespace pixmill::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

S3Settings loaded(const std::map<std::string, std::string>& values) {
  const auto settings = load_s3_settings(Env::from_map(values));
  EXPECT_TRUE(settings.has_value()) << settings.error().message;
  return settings.value_or(S3Settings());
}

TEST(S3Settings, AreOffUnlessABucketIsNamed) {
  const auto settings = loaded({{"AWS_ACCESS_KEY_ID", "somebody's own"}});
  EXPECT_EQ(settings.bucket, "");
  EXPECT_EQ(settings.source_buckets, std::nullopt);
}

TEST(S3Settings, HaveTheNamesOfTheOriginalAndOfAwsTools) {
  const auto settings = loaded({{"AWS_ACCESS_KEY_ID", "id"},
                                {"AWS_SECRET_ACCESS_KEY", "secret"},
                                {"AWS_SESSION_TOKEN", "token"},
                                {"AWS_STORAGE_BUCKET_NAME", "pictures"},
                                {"AWS_S3_REGION_NAME", "ap-south-1"},
                                {"AWS_ENDPOINT_URL", "http://127.0.0.1:9000"},
                                {"AWS_S3_ADDRESSING_STYLE", "Virtual"},
                                {"AWS_CA_BUNDLE", "/etc/ca.pem"},
                                {"S3_PREFIX", "results/today//"},
                                {"S3_LINKS", "presigned"},
                                {"S3_PUBLIC_URL", "https://cdn.example.com/"},
                                {"S3_LINK_SECONDS", "3600"},
                                {"S3_CACHE_CONTROL", "no-store"},
                                {"S3_TIMEOUT_MS", "1000"},
                                {"S3_CONNECTIONS", "8"},
                                {"S3_SOURCES", "pictures, more.pictures,"}});
  EXPECT_EQ(settings.credentials.access_key_id, "id");
  EXPECT_EQ(settings.credentials.secret_access_key, "secret");
  EXPECT_EQ(settings.credentials.session_token, "token");
  EXPECT_EQ(settings.bucket, "pictures");
  EXPECT_EQ(settings.region, "ap-south-1");
  EXPECT_EQ(settings.endpoint, "http://127.0.0.1:9000");
  EXPECT_EQ(settings.style, storage::S3Style::kVirtualHost);
  EXPECT_EQ(settings.ca_file, "/etc/ca.pem");
  EXPECT_EQ(settings.key_prefix, "results/today/");
  EXPECT_EQ(settings.links, S3Links::kPresigned);
  EXPECT_EQ(settings.public_url, "https://cdn.example.com");
  EXPECT_EQ(settings.link_valid_for, std::chrono::hours(1));
  EXPECT_EQ(settings.cache_control, "no-store");
  EXPECT_EQ(settings.timeout, std::chrono::seconds(1));
  EXPECT_EQ(settings.connections, 8u);
  ASSERT_TRUE(settings.source_buckets.has_value());
  EXPECT_THAT(*settings.source_buckets, ElementsAre("pictures", "more.pictures"));
}

TEST(S3Settings, TakeTheRegionFromTheMostParticularName) {
  EXPECT_EQ(loaded({}).region, "us-east-1");
  EXPECT_EQ(loaded({{"AWS_DEFAULT_REGION", "a"}}).region, "a");
  EXPECT_EQ(loaded({{"AWS_DEFAULT_REGION", "a"}, {"AWS_S3_REGION_NAME", "b"}}).region, "b");
  EXPECT_EQ(loaded({{"AWS_DEFAULT_REGION", "a"}, {"AWS_S3_REGION_NAME", "b"}, {"AWS_REGION", "c"}}).region, "c");
}

TEST(S3Settings, CloseSourcesWhenTheySaySo) {
  const auto settings = loaded({{"S3_SOURCES", "none"}});
  ASSERT_TRUE(settings.source_buckets.has_value());
  EXPECT_TRUE(settings.source_buckets->empty());
}

TEST(S3Settings, NameWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> wrong = {{"AWS_S3_ADDRESSING_STYLE", "dns"},
                                                                  {"S3_LINKS", "private"},
                                                                  {"S3_PREFIX", "/results"},
                                                                  {"S3_PREFIX", "a/../b"},
                                                                  {"S3_LINK_SECONDS", "0"},
                                                                  {"S3_LINK_SECONDS", "604801"},
                                                                  {"S3_TIMEOUT_MS", "x"},
                                                                  {"S3_CONNECTIONS", "0"},
                                                                  {"S3_SOURCES", "a/b"},
                                                                  {"S3_CACHE_CONTROL", "a\nb"}};
  for (const auto& [name, value] : wrong) {
    const auto settings = load_s3_settings(Env::from_map({{name, value}}));
    ASSERT_FALSE(settings.has_value()) << name << "=" << value;
    EXPECT_EQ(settings.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(settings.error().message, HasSubstr(name));
  }
}

class S3LinksTest : public ::testing::Test {
 protected:
  std::string link(S3Settings settings, const std::string& prefix = "") {
    settings.credentials = {.access_key_id = "id", .secret_access_key = "secret"};
    auto bucket = make_s3_bucket(settings, "pictures", clock_).value();
    const auto links = s3_links(settings, std::move(bucket), prefix);
    return links ? links("job/SKU 1.jpg") : "";
  }
  testing::ManualClock clock_;
};

TEST_F(S3LinksTest, AreTheOriginalPlatformsUnlessToldOtherwise) {
  EXPECT_EQ(link(loaded({{"AWS_REGION", "ap-south-1"}})),
            "https://pictures.s3.ap-south-1.amazonaws.com/job/SKU%201.jpg");
  EXPECT_EQ(link(loaded({{"AWS_ENDPOINT_URL", "http://minio:9000"}}), "p/"),
            "http://minio:9000/pictures/p/job/SKU%201.jpg");
  EXPECT_EQ(link(loaded({{"S3_PUBLIC_URL", "https://cdn.example.com/"}}), "p/"),
            "https://cdn.example.com/p/job/SKU%201.jpg");
}

TEST_F(S3LinksTest, CanBeSigned) {
  const auto signed_link = link(loaded({{"S3_LINKS", "presigned"}, {"S3_LINK_SECONDS", "60"}}));
  EXPECT_THAT(signed_link, HasSubstr("https://pictures.s3.us-east-1.amazonaws.com/job/SKU%201.jpg?X-Amz-Algorithm="));
  EXPECT_THAT(signed_link, HasSubstr("&X-Amz-Expires=60&"));
  EXPECT_THAT(signed_link, ::testing::Not(HasSubstr("secret")));
}

TEST_F(S3LinksTest, CanBeTheServersOwn) { EXPECT_EQ(link(loaded({{"S3_LINKS", "server"}})), ""); }

TEST_F(S3LinksTest, NeedCredentials) {
  const auto bucket = make_s3_bucket(loaded({{"AWS_ACCESS_KEY_ID", "id"}}), "pictures", clock_);
  ASSERT_FALSE(bucket.has_value());
  EXPECT_THAT(bucket.error().message, HasSubstr("AWS_SECRET_ACCESS_KEY"));
  auto settings = loaded({{"AWS_ACCESS_KEY_ID", "id"}, {"AWS_SECRET_ACCESS_KEY", "s"}, {"AWS_REGION", "a b"}});
  EXPECT_EQ(make_s3_bucket(settings, "pictures", clock_).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace pixmill::app
