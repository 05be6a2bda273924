#include "storage/local_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/conformance/blob_store_suite.h"
#include "tests/support/temp_folder.h"

namespace pixmill::storage {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void write_file(const fs::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

std::size_t temporary_files(const fs::path& folder) {
  std::size_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(".pixmill-")) ++count;
  }
  return count;
}

BlobStoreFixture make_fixture(Durability durability) {
  auto folder = std::make_shared<testing::TempFolder>();
  auto store = open_local_store(folder->file("out/put"), durability);
  PIXMILL_CHECK(store.has_value());
  return {.keeper = std::move(folder), .store = std::move(*store)};
}

INSTANTIATE_TEST_SUITE_P(Local, BlobStoreSuite, ::testing::Values(BlobStoreFactory([](asio::io_context&) {
                           return make_fixture(Durability::kProcess);
                         })));
INSTANTIATE_TEST_SUITE_P(LocalSynced, BlobStoreSuite, ::testing::Values(BlobStoreFactory([](asio::io_context&) {
                           return make_fixture(Durability::kPower);
                         })));

class LocalStore : public ::testing::Test {
 protected:
  Result<void> put(BlobStore& store, const std::string& key, std::string_view bytes) {
    return testing::run_task(io_, store.put(key, bytes, "image/jpeg"));
  }
  std::unique_ptr<BlobStore> open() {
    auto store = open_local_store(folder_.string(), Durability::kProcess);
    EXPECT_TRUE(store.has_value());
    return std::move(*store);
  }

  testing::TempFolder temporary_;
  const fs::path folder_{temporary_.path()};
  asio::io_context io_;
};

TEST_F(LocalStore, WritesPlainFiles) {
  const auto store = open();
  ASSERT_TRUE(put(*store, "images/SKU 1.jpg", "bytes").has_value());
  EXPECT_EQ(read_file(folder_ / "images/SKU 1.jpg"), "bytes");
  EXPECT_EQ(store->local_path("images/SKU 1.jpg"), (fs::canonical(folder_) / "images/SKU 1.jpg").string());
  EXPECT_EQ(temporary_files(folder_), 0u);
  ASSERT_TRUE(testing::run_task(io_, store->copy("images/SKU 1.jpg", "b/c.jpg")).has_value());
  EXPECT_EQ(read_file(folder_ / "b/c.jpg"), "bytes");
}

TEST_F(LocalStore, MakesFoldersAgainWhenSomebodyRemovedThem) {
  const auto store = open();
  ASSERT_TRUE(put(*store, "a/b/1", "x").has_value());
  fs::remove_all(folder_ / "a");
  ASSERT_TRUE(put(*store, "a/b/2", "y").has_value());
  EXPECT_EQ(read_file(folder_ / "a/b/2"), "y");
}

TEST_F(LocalStore, RemovesWhatAKillLeftBehindAndNothingElse) {
  fs::create_directories(folder_ / "a/b");
  fs::create_directories(folder_ / ".hidden");
  write_file(folder_ / ".hidden/.pixmill-3.tmp", "no key leads here");
  write_file(folder_ / ".pixmill-1.tmp", "left");
  write_file(folder_ / "a/b/.pixmill-2.tmp", "left");
  write_file(folder_ / "a/b/.pixmill-held.tmp", "another process is writing");
  write_file(folder_ / ".pixmill.db", "not ours to remove");
  write_file(folder_ / "a/picture.tmp", "neither");
  const int held = ::open((folder_ / "a/b/.pixmill-held.tmp").c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  const auto store = open();
  EXPECT_FALSE(fs::exists(folder_ / ".pixmill-1.tmp"));
  EXPECT_FALSE(fs::exists(folder_ / "a/b/.pixmill-2.tmp"));
  EXPECT_TRUE(fs::exists(folder_ / "a/b/.pixmill-held.tmp"));
  EXPECT_TRUE(fs::exists(folder_ / ".hidden/.pixmill-3.tmp"));
  EXPECT_TRUE(fs::exists(folder_ / ".pixmill.db"));
  EXPECT_TRUE(fs::exists(folder_ / "a/picture.tmp"));
  const auto listed = testing::run_task(io_, store->list("a/b/", "", 10));
  ASSERT_TRUE(listed.has_value());
  EXPECT_TRUE(listed->empty()) << "a temporary file is no result";
  ::close(held);
}

TEST_F(LocalStore, RefusesNamesOfTemporaryFiles) {
  const auto store = open();
  EXPECT_EQ(put(*store, "a/.pixmill-x.tmp", "x").error().code, ErrorCode::kInvalidArgument);
}

TEST_F(LocalStore, FollowsNoLinkOutOfItsFolder) {
  const testing::TempFolder outside_folder;
  const fs::path outside(outside_folder.path());
  write_file(outside / "secret", "secret");
  fs::create_directory_symlink(outside, folder_ / "out");
  fs::create_symlink(outside / "secret", folder_ / "link");
  const auto store = open();

  const auto written = put(*store, "out/new.jpg", "x");
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kStoreFailed);
  EXPECT_NE(written.error().message.find("symbolic link"), std::string::npos);
  EXPECT_EQ(put(*store, "out/deeper/new.jpg", "x").error().code, ErrorCode::kStoreFailed);
  EXPECT_FALSE(fs::exists(outside / "new.jpg"));
  EXPECT_FALSE(fs::exists(outside / "deeper"));

  EXPECT_EQ(testing::run_task(io_, store->copy("link", "copy")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(testing::run_task(io_, store->head("link")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(testing::run_task(io_, store->head("out/secret")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store->local_path("link"), std::nullopt);
  EXPECT_EQ(store->local_path("out/secret"), std::nullopt);
  EXPECT_FALSE(testing::run_task(io_, store->remove("out/secret")).has_value());
  EXPECT_TRUE(fs::exists(outside / "secret"));
  const auto listed = testing::run_task(io_, store->list("", "", 10));
  ASSERT_TRUE(listed.has_value());
  EXPECT_TRUE(listed->empty());

  // Putting over a link replaces the link, not what it points to.
  ASSERT_TRUE(put(*store, "link", "mine").has_value());
  EXPECT_EQ(read_file(outside / "secret"), "secret");
}

TEST_F(LocalStore, IsNotHungByAPipe) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  const auto store = open();
  EXPECT_EQ(testing::run_task(io_, store->copy("pipe", "b")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store->local_path("pipe"), std::nullopt);
}

TEST_F(LocalStore, SaysWhenAFileIsInTheWayOfAFolder) {
  write_file(folder_ / "a", "x");
  fs::create_directories(folder_ / "folder/below");
  const auto store = open();
  EXPECT_EQ(put(*store, "a/b", "x").error().code, ErrorCode::kStoreFailed);
  EXPECT_EQ(put(*store, "a/b/c", "x").error().code, ErrorCode::kStoreFailed);
  const auto over_folder = put(*store, "folder", "x");
  EXPECT_EQ(over_folder.error().code, ErrorCode::kStoreFailed);
  EXPECT_EQ(temporary_files(folder_), 0u);
  EXPECT_EQ(testing::run_task(io_, store->head("folder")).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(testing::run_task(io_, store->remove("folder")).has_value());
}

TEST_F(LocalStore, FailsClearlyWhenItsFolderIsGone) {
  const auto store = open();
  fs::remove_all(folder_);
  EXPECT_EQ(put(*store, "a/b", "x").error().code, ErrorCode::kStoreFailed);
  EXPECT_EQ(put(*store, "b", "x").error().code, ErrorCode::kStoreFailed);
  fs::create_directory(folder_);
}

// Runs `check` in a child process, so that what it mounts, gives up or limits stays there. The child's exit code is the
// answer: 0 when `check` returned an empty text, else it prints the text.
void expect_in_child(const std::function<std::string()>& check) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const std::string problem = check();
    if (!problem.empty()) std::fprintf(stderr, "in the child: %s\n", problem.c_str());
    ::_exit(problem.empty() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(LocalStore, SaysUnwritableWhenItsFolderIs) {
  fs::create_directory(folder_ / "locked");
  fs::permissions(folder_, fs::perms(0755));
  fs::permissions(folder_ / "locked", fs::perms(0555));
  const std::string locked = (folder_ / "locked").string();
  expect_in_child([&]() -> std::string {
    if (::geteuid() == 0 && ::setresuid(65'534, 65'534, 65'534) != 0) return "setresuid";
    const auto here = open_local_store(locked, Durability::kProcess);
    if (here || here.error().code != ErrorCode::kIo) return "opened an unwritable folder";
    if (here.error().message != "The output folder cannot be written: Permission denied") return here.error().message;
    const auto below = open_local_store(locked + "/new/deeper", Durability::kProcess);
    return below || below.error().code != ErrorCode::kIo ? "made a folder in an unwritable one" : "";
  });
  write_file(folder_ / "file", "x");
  const auto under_file = open_local_store((folder_ / "file/below").string(), Durability::kProcess);
  ASSERT_FALSE(under_file.has_value());
  EXPECT_EQ(under_file.error().code, ErrorCode::kIo);
  EXPECT_EQ(open_local_store("", Durability::kProcess).error().code, ErrorCode::kIo);
}

TEST_F(LocalStore, SaysUnwritableWhenAFolderBecomesSo) {
  const std::string root = (folder_ / "root").string();
  fs::permissions(folder_, fs::perms(0777));
  expect_in_child([&]() -> std::string {
    if (::geteuid() == 0 && ::setresuid(65'534, 65'534, 65'534) != 0) return "setresuid";
    asio::io_context io;
    const auto store = open_local_store(root, Durability::kProcess);
    if (!store) return store.error().message;
    fs::create_directory(root + "/a");
    fs::permissions(root + "/a", fs::perms(0555));
    const auto written = testing::run_task(io, (*store)->put("a/b", "x", "image/png"));
    if (written) return "wrote into an unwritable folder";
    if (written.error().code != ErrorCode::kStoreFailed) return written.error().message;
    return written.error().message == "Creating an output file: Permission denied" ? "" : written.error().message;
  });
}

// A file system of one megabyte, in a mount namespace of the child's own.
std::string mount_small_disk(const std::string& at) {
  if (::unshare(::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) return "unshare";
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return "making mounts private";
  if (::mount("tmpfs", at.c_str(), "tmpfs", 0, "size=1m") != 0) return "mounting tmpfs";
  return "";
}

TEST_F(LocalStore, SaysDiskFullAndLeavesNothingBehind) {
  const std::string root = folder_.string();
  expect_in_child([&]() -> std::string {
    if (auto problem = mount_small_disk(root); !problem.empty()) return problem;
    asio::io_context io;
    const auto store = open_local_store(root, Durability::kProcess);
    if (!store) return store.error().message;
    const std::string large(4u << 20, 'x');
    const auto too_much = testing::run_task(io, (*store)->put("a/b.jpg", large, "image/jpeg"));
    if (too_much || too_much.error().code != ErrorCode::kDiskFull) return "four megabytes fitted into one";
    if (fs::exists(root + "/a/b.jpg")) return "a partial object is visible";
    if (temporary_files(root) != 0) return "a temporary file was left";
    const std::string small(1'000, 'y');
    if (!testing::run_task(io, (*store)->put("a/b.jpg", small, "image/jpeg"))) return "a small file does not fit";
    const auto over = testing::run_task(io, (*store)->put("a/b.jpg", large, "image/jpeg"));
    if (over || read_file(root + "/a/b.jpg") != small) return "a failed put touched what was there";

    const std::string fill(700u << 10, 'z');
    if (!testing::run_task(io, (*store)->put("fill", fill, "image/jpeg"))) return "filling";
    const auto copied = testing::run_task(io, (*store)->copy("fill", "fill2"));
    if (copied || copied.error().code != ErrorCode::kDiskFull) return "the copy fitted";
    return temporary_files(root) == 0 ? "" : "the copy left a temporary file";
  });
}

TEST_F(LocalStore, SaysDiskFullAtCreation) {
  const std::string root = folder_.string();
  expect_in_child([&]() -> std::string {
    if (::unshare(::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) return "unshare";
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return "making mounts private";
    // Room for the root's inode and no other.
    if (::mount("tmpfs", root.c_str(), "tmpfs", 0, "size=1m,nr_inodes=1") != 0) return "mounting tmpfs";
    const auto store = open_local_store(root + "/new", Durability::kProcess);
    return store || store.error().code != ErrorCode::kDiskFull ? "a full disk was opened" : "";
  });
}

TEST(FreeBytes, ReadsTheFileSystem) {
  const auto free = free_bytes(fs::temp_directory_path().string());
  ASSERT_TRUE(free.has_value());
  EXPECT_GT(*free, 0u);
  EXPECT_EQ(free_bytes("/does/not/exist").error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace pixmill::storage
