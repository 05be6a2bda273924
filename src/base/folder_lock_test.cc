#include "base/folder_lock.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <optional>

#include "tests/support/temp_folder.h"

namespace pixmill {
namespace {

using ::testing::HasSubstr;

TEST(FolderLock, CreatesTheFolderAndHoldsIt) {
  const testing::TempFolder folder;
  const std::string data = folder.path() + "/a/b";
  std::optional<FolderLock> lock;
  {
    auto taken = FolderLock::take(data);
    ASSERT_TRUE(taken) << taken.error().message;
    lock = std::move(*taken);
  }
  const auto second = FolderLock::take(data);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kConflict);
  EXPECT_THAT(second.error().message, HasSubstr(fmt::format("pid {}", ::getpid())));
  EXPECT_THAT(second.error().message, HasSubstr("PostgreSQL"));
  EXPECT_TRUE(FolderLock::take(data, "other-lock"));
  lock.reset();
  EXPECT_TRUE(FolderLock::take(data));
}

TEST(FolderLock, TheKernelLetsGoOfAKilledHolder) {
  const testing::TempFolder folder;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = FolderLock::take(folder.path());
    const char answer = lock ? 'y' : 'n';
    static_cast<void>(::write(ready[1], &answer, 1) == 1);
    while (true) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  const auto refused = FolderLock::take(folder.path());
  EXPECT_FALSE(refused);
  EXPECT_THAT(refused ? "" : refused.error().message, HasSubstr(fmt::format("pid {}", child)));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(FolderLock::take(folder.path()));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(FolderLock, AFolderThatCannotBeIsAnIoError) {
  const testing::TempFolder folder;
  std::ofstream(folder.path() + "/file") << "x";
  EXPECT_EQ(FolderLock::take(folder.path() + "/file/data").error().code, ErrorCode::kIo);
  EXPECT_EQ(FolderLock::take(folder.path(), "no/such/lock").error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace pixmill
