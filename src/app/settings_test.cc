#include "app/settings.h"

#include <gtest/gtest.h>

namespace pixmill::app {
namespace {

Result<Settings> load(std::map<std::string, std::string> values) {
  return load_settings(Env::from_map(std::move(values)));
}

TEST(Settings, DefaultsAreThePromisedOnes) {
  const auto settings = load({});
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->host, "127.0.0.1");
  EXPECT_EQ(settings->port, 8000);
  EXPECT_EQ(settings->worker.lease, seconds(30));
  EXPECT_EQ(settings->worker.heartbeat, seconds(10));
  EXPECT_EQ(settings->engines.picture_deadline, seconds(20));
  EXPECT_EQ(settings->engines.memory_bytes_max, 512ULL << 20);
  EXPECT_EQ(settings->fetch.body_bytes_max, 50ULL << 20);
  EXPECT_EQ(settings->engines.limits.pixels_max, 100'000'000u);
  EXPECT_EQ(settings->hosts.per_host, 16u);
  EXPECT_EQ(settings->allow, "");
}

TEST(Settings, EnvironmentIsRead) {
  const auto settings = load({{"TMP_OUTPUT_PATH", "/srv/x"},
                              {"PIXMILL_LEASE_MS", "2000"},
                              {"PIXMILL_HEARTBEAT_MS", "500"},
                              {"FETCH_HOST_RATE", "2.5"},
                              {"ALLOWED_HOSTS", "Shop.example, .example.org"},
                              {"PUBLIC_BASE_URL", "https://img.example/"},
                              {"CORS_ALLOW_ALL", "True"},
                              {"PIXMILL_WEBHOOK_SCHEDULE_MS", "0, 10,20"},
                              {"LOG_FORMAT", "json"}});
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->data_folder, "/srv/x");
  EXPECT_EQ(settings->worker.lease, seconds(2));
  EXPECT_EQ(settings->hosts.requests_per_second, 2.5);
  EXPECT_EQ(settings->allowed_hosts, (std::vector<std::string>{"shop.example", ".example.org"}));
  EXPECT_EQ(settings->public_base_url, "https://img.example");
  EXPECT_TRUE(settings->cors_allow_all);
  EXPECT_EQ(settings->webhooks.schedule,
            (std::vector<milliseconds>{milliseconds(0), milliseconds(10), milliseconds(20)}));
  EXPECT_EQ(settings->log_format, log::Format::kJson);
}

TEST(Settings, EnginesTakeWhateverMayBeFetched) {
  const auto usual = load({});
  ASSERT_TRUE(usual);
  EXPECT_GE(usual->engines.source_bytes_max, usual->fetch.body_bytes_max);
  EXPECT_EQ(load({{"FETCH_MAX_BYTES", "1000"}})->engines.source_bytes_max, usual->engines.source_bytes_max);
  EXPECT_EQ(load({{"FETCH_MAX_BYTES", "1073741824"}})->engines.source_bytes_max, 1u << 30);
}

TEST(Settings, TheDefaultRecipeMayBeANameThatIsLookedUpLater) {
  EXPECT_EQ(load({{"DEFAULT_RECIPE", "shop@2"}})->default_recipe, "shop@2");
}

TEST(Settings, WrongValuesNameTheVariable) {
  const std::map<std::string, std::string> wrong = {
      {"FETCH_TIMEOUT_MS", "soon"},
      {"FETCH_PER_HOST", "257"},
      {"FETCH_HOST_RATE", "-1"},
      {"PIXMILL_ENGINES", "1000"},
      {"CORS_ALLOW_ALL", "perhaps"},
      {"DEFAULT_RECIPE", "format=bmp"},
      {"LOG_LEVEL", "loud"},
      {"LOG_FORMAT", "xml"},
      {"PIXMILL_WEBHOOK_SCHEDULE_MS", "1,x"},
      {"PIXMILL_HEARTBEAT_MS", "20000"},
      {"IMAGE_MAX_PIXELS", "0"},
      {"PIXMILL_ATTEMPTS", "0"},
      {"REDIS_URL", "http://localhost"},
      {"REDIS_HOST", "redis://localhost"},
      {"REDIS_PASSWORD", "without a host"},
      {"REDIS_KEY_PREFIX", "{x}"},
  };
  for (const auto& [name, value] : wrong) {
    const auto settings = load({{name, value}});
    ASSERT_FALSE(settings) << name;
    EXPECT_EQ(settings.error().code, ErrorCode::kInvalidArgument) << name;
    EXPECT_NE(settings.error().message.find(name), std::string::npos) << settings.error().message;
  }
}

TEST(Settings, TheDatabaseIsPostgresOrNone) {
  EXPECT_EQ(load({})->database_url, "");
  for (const std::string url : {"postgres://pixmill:s3cret@db.example/pixmill", "postgresql://db.example/pixmill"}) {
    EXPECT_EQ(load({{"DATABASE_URL", url}})->database_url, url);
  }
  const auto refused = load({{"DATABASE_URL", "mysql://pixmill:s3cret@db.example/pixmill"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("postgres://"), std::string::npos);
  EXPECT_EQ((refused.error().message + refused.error().detail).find("s3cret"), std::string::npos);
}

TEST(Settings, RedisIsNamedByItsAddressOrByItsParts) {
  EXPECT_FALSE(load({})->redis);
  const auto by_url = load({{"REDIS_URL", "rediss://user:p%40ss@cache.example:6380/3"}, {"REDIS_CA_FILE", "/ca.pem"}});
  ASSERT_TRUE(by_url && by_url->redis);
  EXPECT_EQ(by_url->redis->shown(), "rediss://cache.example:6380/3");
  EXPECT_EQ(by_url->redis->password, "p@ss");
  EXPECT_EQ(by_url->redis_ca_file, "/ca.pem");
  const auto by_parts = load({{"REDIS_HOST", "cache.example"},
                              {"REDIS_PORT", "7000"},
                              {"REDIS_USERNAME", "default"},
                              {"REDIS_PASSWORD", "secret"}});
  ASSERT_TRUE(by_parts && by_parts->redis);
  EXPECT_EQ(by_parts->redis->shown(), "redis://cache.example:7000/0");
  EXPECT_EQ(by_parts->redis->username, "default");
  EXPECT_EQ(by_parts->redis->password, "secret");
}

TEST(Settings, NeverShowsTheSecretOfAWrongRedisAddress) {
  const auto settings = load({{"REDIS_URL", "redis://user:topsecret@host:port"}});
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().message.find("topsecret"), std::string::npos);
  EXPECT_EQ(settings.error().detail.find("topsecret"), std::string::npos);
}

}  // namespace
}  // namespace pixmill::app
