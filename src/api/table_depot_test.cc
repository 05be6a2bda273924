#include "api/table_depot.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/pipeline_fakes.h"
#include "tests/support/run_task.h"
#include "tests/support/scripted_store.h"
#include "tests/support/temp_folder.h"

namespace pixmill::api {
namespace {

constexpr std::size_t kPieceBytes = 8u << 20;

class TableDepotTest : public ::testing::Test {
 protected:
  template <class T>
  T run(Task<T> task) {
    return testing::run_task(io_, std::move(task));
  }
  // Stores a table of so many bytes under the job's id and brings it back.
  std::string there_and_back(std::size_t bytes) {
    table_.clear();
    for (std::size_t i = 0; i < bytes; ++i) table_ += static_cast<char>('a' + i % 23);
    const auto source = run(depot_.put(job_, folder_.write("upload.csv.gz", table_), ""));
    EXPECT_TRUE(source.has_value());
    source_path_ = source.value_or("");
    const auto path = run(depot_.fetch(source_path_, 7));
    EXPECT_TRUE(path.has_value()) << (path ? "" : path.error().message);
    if (!path) return "";
    EXPECT_EQ(*path, folder_.file(job_.text() + "-7.csv.gz"));
    return folder_.read(job_.text() + "-7.csv.gz");
  }

  asio::io_context io_;
  testing::TempFolder folder_;
  testing::MemoryBlobs blobs_;
  BlockingThread thread_{"test"};
  TableDepot depot_{blobs_, folder_.path(), thread_};
  const JobId job_{Uuid::random()};
  std::string table_;
  std::string source_path_;
};

TEST_F(TableDepotTest, GivesBackWhatWasPut) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{5}, kPieceBytes, 2 * kPieceBytes + 1}) {
    blobs_.blobs.clear();
    EXPECT_EQ(there_and_back(bytes), table_) << bytes;
    EXPECT_EQ(blobs_.blobs.size(), (bytes + kPieceBytes - 1) / kPieceBytes) << bytes;
    EXPECT_EQ(source_path_, fmt::format("shared:{}/{}.csv.gz", bytes, job_.text()));
    EXPECT_TRUE(jobs::is_shared_table(source_path_));
  }
}

TEST_F(TableDepotTest, KeepsTablesOfOneJobApart) {
  const auto first = run(depot_.put(job_, folder_.write("a.csv", "first"), "abc"));
  const auto second = run(depot_.put(job_, folder_.write("a.csv", "second"), "def"));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(*first, fmt::format("shared:5:abc/{}.csv", job_.text()));
  run(depot_.remove(*second));
  EXPECT_EQ(run(depot_.fetch(*second, 6)).error().code, ErrorCode::kUnavailable);
  const auto path = run(depot_.fetch(*first, 7));
  ASSERT_TRUE(path);
  EXPECT_EQ(folder_.read(job_.text() + "-7.csv"), "first");
  run(depot_.remove("/spool/a.csv"));
  EXPECT_EQ(blobs_.blobs.size(), 1u);
}

TEST_F(TableDepotTest, SweepsTheTablesThatTheJobDoesNotNameWhenTheyAreOld) {
  testing::ScriptedStore store;
  const auto named = run(depot_.put(job_, folder_.write("a.csv", "first"), "abc")).value();
  run(depot_.put(job_, folder_.write("a.csv", "second"), "def")).value();
  jobs::Job job;
  job.is_being_read = true;
  job.source_path = named;
  store.on_job = [&](const JobId&) -> Result<jobs::Job> { return job; };
  run(depot_.sweep(store, std::chrono::hours(0)));
  EXPECT_EQ(blobs_.blobs.size(), 2u) << "another request with its key may still be on its way";
  run(depot_.sweep(store, std::chrono::hours(0)));
  EXPECT_EQ(blobs_.blobs.size(), 1u);
  EXPECT_TRUE(run(depot_.fetch(named, 7)).has_value());
  job.is_being_read = false;
  run(depot_.sweep(store, std::chrono::hours(1)));
  EXPECT_TRUE(blobs_.blobs.empty());
}

TEST_F(TableDepotTest, APieceThatIsNotThereMayBeElsewhere) {
  there_and_back(kPieceBytes + 1);
  blobs_.blobs.erase(job_.text() + "/000001");
  EXPECT_EQ(run(depot_.fetch(source_path_, 8)).error().code, ErrorCode::kUnavailable);
  blobs_.blobs[job_.text() + "/000001"] = "too long";
  EXPECT_EQ(run(depot_.fetch(source_path_, 8)).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(run(depot_.fetch("/spool/a.csv", 8)).error().code, ErrorCode::kInternal);
  EXPECT_EQ(run(depot_.fetch("shared:x/a.csv", 8)).error().code, ErrorCode::kInternal);
}

TEST_F(TableDepotTest, SaysWhenNothingCanBeStored) {
  blobs_.put_error = Error{.code = ErrorCode::kUnavailable, .message = "away", .detail = {}};
  EXPECT_EQ(run(depot_.put(job_, folder_.write("a.csv", "x"), "")).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(run(depot_.put(job_, folder_.file("none.csv"), "")).error().code, ErrorCode::kIo);
}

TEST_F(TableDepotTest, RemovesATable) {
  there_and_back(kPieceBytes + 1);
  blobs_.blobs["another/000000"] = "x";
  run(depot_.remove(source_path_));
  EXPECT_EQ(blobs_.blobs.size(), 1u);
}

TEST_F(TableDepotTest, SweepsWhatIsReadInAndWithoutAJobTheSecondTime) {
  testing::ScriptedStore store;
  const JobId reading{Uuid::random()};
  const JobId read_in{Uuid::random()};
  const JobId unknown{Uuid::random()};
  for (const auto& id : {reading, read_in, unknown}) blobs_.blobs[id.text() + "/000000"] = "x";
  blobs_.blobs["somebody's/file"] = "x";
  store.on_job = [&](const JobId& id) -> Result<jobs::Job> {
    if (id == unknown) return fail(ErrorCode::kNotFound, "no such job");
    jobs::Job job;
    job.is_being_read = id == reading;
    job.source_path = "shared:1/" + id.text() + ".csv";
    return job;
  };
  run(depot_.sweep(store, std::chrono::hours(1)));
  run(depot_.sweep(store, std::chrono::hours(1)));
  EXPECT_FALSE(blobs_.blobs.contains(read_in.text() + "/000000")) << "who read it in was killed before it removed it";
  EXPECT_EQ(blobs_.blobs.size(), 3u) << "the unknown one's job may be about to be created";
  run(depot_.sweep(store, std::chrono::hours(0)));
  EXPECT_EQ(blobs_.blobs.size(), 2u);
  EXPECT_TRUE(blobs_.blobs.contains(reading.text() + "/000000"));
}

TEST_F(TableDepotTest, SweepsNothingWhileTheStoreIsAway) {
  testing::ScriptedStore store;
  blobs_.blobs[job_.text() + "/000000"] = "x";
  store.on_job = [](const JobId&) -> Result<jobs::Job> { return fail(ErrorCode::kUnavailable, "away"); };
  for (int i = 0; i < 3; ++i) run(depot_.sweep(store, std::chrono::hours(0)));
  EXPECT_EQ(blobs_.blobs.size(), 1u);
}

}  // namespace
}  // namespace pixmill::api
