#include "storage/put_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "storage/local_store.h"
#include "tests/support/run_task.h"
#include "tests/support/temp_folder.h"

namespace pixmill::storage {
namespace {

TEST(PutFile, StoresWhatTheFileHolds) {
  testing::TempFolder folder;
  asio::io_context io;
  const auto store = open_local_store(folder.file("store"), Durability::kProcess).value();
  const std::string bytes(300'000, 'x');
  std::ofstream(folder.file("full")) << bytes;
  std::ofstream(folder.file("empty")).flush();
  ASSERT_TRUE(testing::run_task(io, put_file(*store, "a/full", folder.file("full"), "text/csv")));
  ASSERT_TRUE(testing::run_task(io, put_file(*store, "empty", folder.file("empty"), "text/csv")));
  EXPECT_EQ(testing::run_task(io, store->get("a/full", bytes.size())), bytes);
  EXPECT_EQ(testing::run_task(io, store->get("empty", 10)), "");
}

TEST(PutFile, SaysWhatIsWrong) {
  testing::TempFolder folder;
  asio::io_context io;
  const auto store = open_local_store(folder.file("store"), Durability::kProcess).value();
  EXPECT_EQ(testing::run_task(io, put_file(*store, "k", folder.file("none"), "text/csv")).error().code,
            ErrorCode::kNotFound);
  EXPECT_EQ(testing::run_task(io, put_file(*store, "k", folder.file("store"), "text/csv")).error().code,
            ErrorCode::kIo);
  std::ofstream(folder.file("f")) << "x";
  EXPECT_EQ(testing::run_task(io, put_file(*store, "../k", folder.file("f"), "text/csv")).error().code,
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace pixmill::storage
