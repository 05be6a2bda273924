#include "storage/take_over.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "storage/local_store.h"
#include "tests/support/run_task.h"
#include "tests/support/temp_folder.h"

namespace pixmill::storage {
namespace {

namespace fs = std::filesystem;

BlobContent content_of(std::string_view bytes) {
  return {.bytes = bytes.size(), .sha256 = sha256(bytes), .media_type = "image/jpeg"};
}

// A store without a way of its own.
class MemoryStore final : public BlobStore {
 public:
  std::map<std::string, std::string> blobs;
  std::optional<Error> put_error;

  Task<Result<void>> put(std::string key, std::string_view bytes, std::string) override {
    if (put_error) co_return std::unexpected(*put_error);
    blobs[key] = bytes;
    co_return Result<void>();
  }
  Task<Result<std::string>> get(std::string key, std::uint64_t bytes_max) override {
    if (!blobs.contains(key)) co_return fail(ErrorCode::kNotFound, "no such blob");
    if (blobs[key].size() > bytes_max) co_return fail(ErrorCode::kTooLarge, "too large");
    co_return blobs[key];
  }
  Task<Result<void>> copy(std::string, std::string) override { co_return unused(); }
  Task<Result<BlobInfo>> head(std::string) override { co_return unused(); }
  Task<Result<void>> remove(std::string) override { co_return unused(); }
  Task<Result<std::vector<BlobInfo>>> list(std::string, std::string, std::size_t) override { co_return unused(); }
  [[nodiscard]] std::optional<std::string> local_path(std::string_view) const override { return std::nullopt; }

 private:
  static std::unexpected<Error> unused() { return fail(ErrorCode::kInternal, "not asked for"); }
};

class TakeOver : public ::testing::Test {
 protected:
  TakeOver()
      : old_(open_local_store(folder_.path() + "/old", Durability::kProcess).value()),
        new_(open_local_store(folder_.path() + "/new", Durability::kPower).value()) {}

  Result<void> take(BlobStore& from, std::string key, BlobStore& to, std::string to_key, std::string_view bytes) {
    const BlobPlace source{.store = from, .key = std::move(key)};
    const BlobPlace target{.store = to, .key = std::move(to_key)};
    return testing::run_task(io_, take_over(source, target, content_of(bytes)));
  }
  void put(BlobStore& store, const std::string& key, std::string_view bytes) {
    ASSERT_TRUE(testing::run_task(io_, store.put(key, bytes, "image/jpeg")));
  }
  std::string read(BlobStore& store, const std::string& key) {
    return testing::run_task(io_, store.get(key, 1'000)).value_or("(nothing)");
  }
  [[nodiscard]] ino_t inode(const std::string& path) const {
    struct stat info {};
    return ::stat((folder_.path() + "/" + path).c_str(), &info) == 0 ? info.st_ino : 0;
  }
  [[nodiscard]] std::vector<std::string> files(const std::string& below) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path() + "/" + below)) {
      if (entry.is_regular_file()) names.push_back(entry.path().filename());
    }
    return names;
  }

  testing::TempFolder folder_;
  asio::io_context io_;
  std::unique_ptr<BlobStore> old_;
  std::unique_ptr<BlobStore> new_;
};

TEST_F(TakeOver, AFileOfAnotherFolderGetsASecondName) {
  put(*old_, "a/x.jpg", "bytes");
  ASSERT_TRUE(take(*old_, "a/x.jpg", *new_, "b/c/y.jpg", "bytes"));
  EXPECT_EQ(inode("old/a/x.jpg"), inode("new/b/c/y.jpg"));
  ASSERT_TRUE(testing::run_task(io_, old_->remove("a/x.jpg")));
  EXPECT_EQ(read(*new_, "b/c/y.jpg"), "bytes") << "it does not live by the other's name";
}

TEST_F(TakeOver, ReplacingOneLeavesTheOther) {
  put(*old_, "x", "bytes");
  ASSERT_TRUE(take(*old_, "x", *new_, "y", "bytes"));
  put(*old_, "x", "other");
  EXPECT_EQ(read(*new_, "y"), "bytes");
}

TEST_F(TakeOver, MayBeDoneTwice) {
  put(*old_, "x", "bytes");
  ASSERT_TRUE(take(*old_, "x", *new_, "y", "bytes"));
  ASSERT_TRUE(take(*old_, "x", *new_, "y", "bytes"));
  EXPECT_EQ(files("new"), std::vector<std::string>{"y"}) << "no temporary name is left";
}

TEST_F(TakeOver, WhatLiesThereAlreadyIsOnlyLookedAt) {
  put(*new_, "x", "bytes");
  const auto before = inode("new/x");
  ASSERT_TRUE(take(*new_, "x", *new_, "x", "bytes"));
  EXPECT_EQ(inode("new/x"), before);
  EXPECT_EQ(take(*new_, "x", *new_, "x", "other").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(read(*new_, "x"), "bytes");
}

TEST_F(TakeOver, TakesNothingElse) {
  put(*old_, "x", "bytes");
  EXPECT_EQ(take(*old_, "x", *new_, "y", "bytez").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(take(*old_, "x", *new_, "y", "longer bytes").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(take(*old_, "x", *new_, "y", "by").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(take(*old_, "none", *new_, "y", "bytes").error().code, ErrorCode::kNotFound);
  fs::create_directory(folder_.path() + "/old/folder");
  EXPECT_EQ(take(*old_, "folder", *new_, "y", "bytes").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(files("new").empty());
}

TEST_F(TakeOver, FollowsNoLink) {
  std::ofstream(folder_.path() + "/secret") << "bytes";
  fs::create_symlink(folder_.path() + "/secret", folder_.path() + "/old/x");
  EXPECT_EQ(take(*old_, "x", *new_, "y", "bytes").error().code, ErrorCode::kNotFound);
}

TEST_F(TakeOver, CopiesBetweenStoresOfDifferentKinds) {
  MemoryStore memory;
  put(memory, "x", "bytes");
  ASSERT_TRUE(take(memory, "x", *new_, "y", "bytes"));
  EXPECT_EQ(read(*new_, "y"), "bytes");
  ASSERT_TRUE(take(*new_, "y", memory, "z", "bytes"));
  EXPECT_EQ(read(memory, "z"), "bytes");
  EXPECT_EQ(take(memory, "x", *new_, "q", "bytez").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(take(memory, "x", *new_, "q", "by").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(take(memory, "none", *new_, "q", "bytes").error().code, ErrorCode::kNotFound);
  memory.put_error = Error{.code = ErrorCode::kDiskFull, .message = "full", .detail = {}};
  EXPECT_EQ(take(*new_, "y", memory, "w", "bytes").error().code, ErrorCode::kDiskFull);
  ASSERT_TRUE(take(memory, "x", memory, "x", "bytes")) << "only looked at";
}

TEST(LocalStoreToRead, ChangesNothing) {
  const testing::TempFolder folder;
  std::ofstream(folder.path() + "/.pixmill-left.tmp") << "x";
  asio::io_context io;
  auto store = open_local_store_to_read(folder.path());
  ASSERT_TRUE(store);
  EXPECT_TRUE(fs::exists(folder.path() + "/.pixmill-left.tmp"));
  EXPECT_FALSE(open_local_store_to_read(folder.path() + "/none"));
  EXPECT_FALSE(fs::exists(folder.path() + "/none"));
}

}  // namespace
}  // namespace pixmill::storage
