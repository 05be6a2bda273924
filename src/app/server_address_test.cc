#include "app/server_address.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temp_folder.h"

namespace pixmill::app {
namespace {

TEST(ServerAddress, IsOneOfThisMachine) {
  EXPECT_EQ(local_address("127.0.0.1", 8000, {}),
            (ServerAddress{.ip = "127.0.0.1", .port = 8000, .host = "localhost"}));
  EXPECT_EQ(local_address("0.0.0.0", 80, {}).ip, "127.0.0.1");
  EXPECT_EQ(local_address("::", 80, {}).ip, "::1");
  EXPECT_EQ(local_address("10.0.0.7", 80, {}).ip, "10.0.0.7");
}

TEST(ServerAddress, AsksUnderANameThatIsAnswered) {
  EXPECT_EQ(local_address("127.0.0.1", 80, {"*"}).host, "localhost");
  EXPECT_EQ(local_address("127.0.0.1", 80, {"images.example", "b"}).host, "images.example");
  EXPECT_EQ(local_address("127.0.0.1", 80, {".example.com"}).host, "example.com");
}

TEST(ServerAddress, IsReadAsItWasWritten) {
  const testing::TempFolder folder;
  const ServerAddress address{.ip = "::1", .port = 8123, .host = "images.example"};
  ASSERT_TRUE(write_server_address(folder.path(), address).has_value());
  EXPECT_EQ(read_server_address(folder.path()), address);
  remove_server_address(folder.path());
  EXPECT_EQ(read_server_address(folder.path()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(write_server_address(folder.file("missing"), address).error().code, ErrorCode::kNotFound);
}

TEST(ServerAddress, OtherFilesAreRefused) {
  const testing::TempFolder folder;
  for (const auto* text : {"", "x", "127.0.0.1 0 h", "127.0.0.1 65536 h", "name 80 h", "127.0.0.1 80", "a b c d"}) {
    folder.write("address", text);
    EXPECT_EQ(read_server_address(folder.path()).error().code, ErrorCode::kInvalidArgument) << text;
  }
}

TEST(ServerAddress, NobodyThereIsSaid) {
  // Port 1 of the loopback answers nobody.
  const auto answer = ask_server({.ip = "127.0.0.1", .port = 1, .host = "localhost"}, "GET", "/", "");
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kConnect);
}

}  // namespace
}  // namespace pixmill::app
