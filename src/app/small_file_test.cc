#include "app/small_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/temp_folder.h"

namespace pixmill::app {
namespace {

TEST(SmallFile, ReadsWhatWasWritten) {
  const testing::TempFolder folder;
  const auto path = folder.file("key");
  ASSERT_TRUE(write_file(path, "secret", 0600));
  EXPECT_EQ(read_file(path, 100).value(), "secret");
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(SmallFile, ErrorsAreTold) {
  const testing::TempFolder folder;
  EXPECT_EQ(read_file(folder.file("nothing"), 100).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(read_file(folder.path(), 100).error().code, ErrorCode::kIo);
  EXPECT_EQ(read_file(folder.write("long", "123456"), 5).error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(write_file(folder.file("no/such/folder/x"), "x", 0600).error().code, ErrorCode::kNotFound);
}

TEST(SmallFile, PlantedLinkIsNotFollowed) {
  const testing::TempFolder folder;
  ASSERT_EQ(::symlink("/dev/full", folder.file("x.tmp").c_str()), 0);
  EXPECT_FALSE(FileWriter::create(folder.file("x"), 0644).has_value()) << "a planted link must not be followed";
}

TEST(SmallFile, NothingIsVisibleBeforeCommit) {
  const testing::TempFolder folder;
  {
    auto writer = FileWriter::create(folder.file("result.csv"), 0644);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->write("half"));
    EXPECT_FALSE(read_file(folder.file("result.csv"), 100).has_value());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace pixmill::app
