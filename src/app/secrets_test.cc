#include "app/secrets.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/crypto.h"
#include "tests/support/temp_folder.h"

namespace pixmill::app {
namespace {

TEST(MasterKey, IsMadeOnceForItsOwnerAlone) {
  const testing::TempFolder folder;
  const auto first = load_master_key(folder.path(), "");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->size(), 32u);
  EXPECT_EQ(load_master_key(folder.path(), "").value(), *first);
  struct stat status {};
  ASSERT_EQ(::stat(folder.file("master.key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(MasterKey, EnvironmentWinsAndLeavesNoFile) {
  const testing::TempFolder folder;
  const std::string key(32, 'k');
  EXPECT_EQ(load_master_key(folder.path(), to_base64(key)).value(), key);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(MasterKey, MalformedOnesAreRefused) {
  const testing::TempFolder folder;
  EXPECT_EQ(load_master_key(folder.path(), "short").error().code, ErrorCode::kInvalidArgument);
  folder.write("master.key", "not base64!");
  EXPECT_EQ(load_master_key(folder.path(), "").error().code, ErrorCode::kInvalidArgument);
}

TEST(WebhookSecretFile, IsMadeKeptAndSealed) {
  const testing::TempFolder folder;
  const std::string key(32, 'k');
  EXPECT_FALSE(has_webhook_secret(folder.path()));
  EXPECT_EQ(read_webhook_secret(folder.path(), key).error().code, ErrorCode::kNotFound);
  const auto secret = load_webhook_secret(folder.path(), key, "");
  ASSERT_TRUE(secret);
  EXPECT_TRUE(has_webhook_secret(folder.path()));
  EXPECT_EQ(load_webhook_secret(folder.path(), key, "")->text(), secret->text());
  EXPECT_EQ(read_webhook_secret(folder.path(), key)->text(), secret->text());
  EXPECT_EQ(folder.read("webhook.secret").find("whsec_"), std::string::npos);
}

TEST(WebhookSecretFile, GivenOneReplacesTheStored) {
  const testing::TempFolder folder;
  const std::string key(32, 'k');
  ASSERT_TRUE(load_webhook_secret(folder.path(), key, ""));
  const std::string mine = "whsec_" + to_base64(std::string(32, 'm'));
  EXPECT_EQ(load_webhook_secret(folder.path(), key, mine)->text(), mine);
  EXPECT_EQ(load_webhook_secret(folder.path(), key, "")->text(), mine);
  EXPECT_EQ(load_webhook_secret(folder.path(), key, "whsec_x").error().code, ErrorCode::kInvalidArgument);
}

TEST(WebhookSecretFile, AnotherMasterKeyIsSaid) {
  const testing::TempFolder folder;
  ASSERT_TRUE(load_webhook_secret(folder.path(), std::string(32, 'k'), ""));
  const auto other = load_webhook_secret(folder.path(), std::string(32, 'o'), "");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(other.error().message.find("another master key"), std::string::npos);
}

}  // namespace
}  // namespace pixmill::app
