#include "storage/open_below.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/ids.h"

namespace pixmill::storage {
namespace {

namespace fs = std::filesystem;

// Both ways of opening obey the same rules.
class OpenBelow : public ::testing::TestWithParam<int (*)(int, const std::string&, int)> {
 protected:
  OpenBelow() : folder_(fs::temp_directory_path() / ("pixmill-open-" + Uuid::random().text())) {
    fs::create_directories(folder_ / "root/real/deep");
    std::ofstream(folder_ / "root/real/deep/file") << "inside";
    std::ofstream(folder_ / "secret") << "outside";
    fs::create_symlink("../secret", folder_ / "root/link");
    fs::create_directory_symlink("..", folder_ / "root/up");
    fs::create_directory_symlink("real", folder_ / "root/alias");
    root_ = Descriptor(::open((folder_ / "root").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~OpenBelow() override { fs::remove_all(folder_); }

  bool opens(const std::string& path, int flags = O_RDONLY) {
    return Descriptor(GetParam()(root_.get(), path, flags)).is_open();
  }

  fs::path folder_;
  Descriptor root_;
};

TEST_P(OpenBelow, OpensWhatLiesInside) {
  EXPECT_TRUE(opens("real/deep/file"));
  EXPECT_TRUE(opens("real/deep", O_RDONLY | O_DIRECTORY));
}

TEST_P(OpenBelow, FollowsNoLinkAnywhere) {
  EXPECT_FALSE(opens("link"));
  EXPECT_FALSE(opens("up/secret"));
  EXPECT_FALSE(opens("alias/deep/file"));
  EXPECT_FALSE(opens("alias", O_RDONLY | O_DIRECTORY));
}

TEST_P(OpenBelow, SaysWhatIsMissing) {
  EXPECT_FALSE(opens("none"));
  EXPECT_EQ(errno, ENOENT);
  EXPECT_FALSE(opens("none/below"));
  EXPECT_EQ(errno, ENOENT);
  EXPECT_FALSE(opens("real/deep/file/below"));
  EXPECT_EQ(errno, ENOTDIR);
}

INSTANTIATE_TEST_SUITE_P(Whole, OpenBelow, ::testing::Values(&open_below));
INSTANTIATE_TEST_SUITE_P(StepByStep, OpenBelow, ::testing::Values(&open_below_step_by_step));

}  // namespace
}  // namespace pixmill::storage
