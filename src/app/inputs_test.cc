#include "app/inputs.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <stop_token>
#include <thread>
#include <utility>

#include "image/tiny_pictures.h"
#include "tests/support/temp_folder.h"

namespace pixmill::app {
namespace {

InputOptions options_for(const testing::TempFolder& folder) {
  InputOptions options;
  options.spool_folder = folder.file("spool");
  options.output_folder = folder.file("out");
  return options;
}

// A pipe with `text` in it, at its own path.
class FilledPipe {
 public:
  FilledPipe(const std::string& path, std::string text) {
    std::signal(SIGPIPE, SIG_IGN);  // the reader may leave early
    PIXMILL_CHECK(::mkfifo(path.c_str(), 0600) == 0);
    writer_ = std::thread([path, text = std::move(text)] { std::ofstream(path, std::ios::binary) << text; });
  }
  ~FilledPipe() { writer_.join(); }
  FilledPipe(const FilledPipe&) = delete;
  FilledPipe& operator=(const FilledPipe&) = delete;

 private:
  std::thread writer_;
};

TEST(Inputs, TablesAreKnownByName) {
  for (const auto* name : {"a.csv", "A.CSV", "a.tsv", "a.jsonl", "a.ndjson", "a.csv.gz", "a.JSONL.GZ"}) {
    EXPECT_TRUE(is_table_name(name)) << name;
  }
  for (const auto* name : {"a.jpg", "csv", "a.gz", "a.csv.zip", ""}) EXPECT_FALSE(is_table_name(name)) << name;
}

TEST(Inputs, FolderGivesItsPicturesInOrder) {
  const testing::TempFolder folder;
  folder.write("in/b.JPG", "x");
  folder.write("in/a/c.png", "x");
  folder.write("in/notes.txt", "x");
  folder.write("in/.hidden.jpg", "x");
  folder.write("in/.git/d.jpg", "x");
  const auto sets = collect_inputs({folder.file("in")}, options_for(folder));
  ASSERT_TRUE(sets) << sets.error().message;
  ASSERT_EQ(sets->size(), 1u);
  ASSERT_EQ((*sets)[0].pictures.size(), 2u);
  EXPECT_EQ((*sets)[0].pictures[0].shown, "a/c.png");
  EXPECT_EQ((*sets)[0].pictures[1].shown, "b.JPG");
}

TEST(Inputs, EveryTableIsAJobOfItsOwn) {
  const testing::TempFolder folder;
  folder.write("x/feed.csv", "url\n");
  folder.write("y/feed.csv.gz", "url\n");
  folder.write("one.jpg", "x");
  const auto sets = collect_inputs({folder.file("x/feed.csv"), folder.file("one.jpg"), folder.file("y/feed.csv.gz")},
                                   options_for(folder));
  ASSERT_TRUE(sets);
  ASSERT_EQ(sets->size(), 3u);
  EXPECT_EQ((*sets)[0].name, "feed");
  EXPECT_EQ((*sets)[1].name, "feed-2");
  EXPECT_EQ((*sets)[2].name, "pictures");
}

TEST(Inputs, WhatCannotBeUsedIsNamed) {
  const testing::TempFolder folder;
  folder.write("notes.txt", "x");
  std::filesystem::create_directory(folder.file("empty"));
  EXPECT_EQ(collect_inputs({folder.file("gone.csv")}, options_for(folder)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(collect_inputs({folder.file("notes.txt")}, options_for(folder)).error().code, ErrorCode::kInvalidArgument);
  const auto empty = collect_inputs({folder.file("empty")}, options_for(folder));
  EXPECT_EQ(empty.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(empty.error().message.find("empty"), std::string::npos);
}

TEST(Inputs, OutputFolderInsideTheInputIsLeftOut) {
  const testing::TempFolder folder;
  folder.write("in/a.jpg", "x");
  folder.write("in/small/images/a.jpg", "x");
  auto options = options_for(folder);
  options.output_folder = folder.file("in/./small");
  const auto sets = collect_inputs({folder.file("in")}, options);
  ASSERT_TRUE(sets) << sets.error().message;
  ASSERT_EQ((*sets)[0].pictures.size(), 1u);
  EXPECT_EQ((*sets)[0].pictures[0].shown, "a.jpg");
  const auto itself = collect_inputs({folder.file("in/small")}, options);
  ASSERT_FALSE(itself);
  EXPECT_EQ(itself.error().code, ErrorCode::kInvalidArgument);
}

TEST(Inputs, UnknownEndingsAreToldByTheContent) {
  const testing::TempFolder folder;
  folder.write("feed.txt", "url\nhttps://a.example/1.jpg\n");
  folder.write("photo", image::tiny_pictures().front().bytes);
  const auto sets = collect_inputs({folder.file("feed.txt"), folder.file("photo")}, options_for(folder));
  ASSERT_TRUE(sets) << sets.error().message;
  ASSERT_EQ(sets->size(), 2u);
  EXPECT_EQ((*sets)[0].name, "feed");
  EXPECT_EQ((*sets)[0].table_path, folder.file("feed.txt"));
  EXPECT_EQ((*sets)[1].pictures.at(0).shown, "photo");
}

TEST(Inputs, PipeIsSpooled) {
  const testing::TempFolder folder;
  const std::string table = "url\nhttps://a.example/1.jpg\n";
  const FilledPipe pipe(folder.file("feed"), table);
  const auto sets = collect_inputs({folder.file("feed")}, options_for(folder));
  ASSERT_TRUE(sets) << sets.error().message;
  ASSERT_EQ(sets->size(), 1u);
  EXPECT_EQ(folder.read("spool/pipe-1"), table);
  EXPECT_EQ((*sets)[0].table_path, folder.file("spool/pipe-1"));
}

TEST(Inputs, SpoolingHasBounds) {
  const testing::TempFolder folder;
  auto small = options_for(folder);
  small.spool_bytes_max = 10;
  {
    const FilledPipe pipe(folder.file("long"), "url\nhttps://a.example/1.jpg\n");
    EXPECT_EQ(collect_inputs({folder.file("long")}, small).error().code, ErrorCode::kTooLarge);
  }
  auto full = options_for(folder);
  full.free_bytes_min = 1ULL << 60;
  const FilledPipe pipe(folder.file("feed"), "url\n");
  EXPECT_EQ(collect_inputs({folder.file("feed")}, full).error().code, ErrorCode::kDiskFull);
}

TEST(Inputs, DigestEndsWhenAsked) {
  const testing::TempFolder folder;
  const InputSet table{.name = "a", .table_path = folder.write("a.csv", "url\nx\n"), .pictures = {}};
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(content_digest(table, stop.get_token()).error().code, ErrorCode::kCancelled);
}

TEST(Inputs, DigestFollowsTheContent) {
  const testing::TempFolder folder;
  const InputSet a{.name = "a", .table_path = folder.write("a.csv", "url\nx\n"), .pictures = {}};
  const InputSet same{.name = "b", .table_path = folder.write("b.csv", "url\nx\n"), .pictures = {}};
  const InputSet other{.name = "c", .table_path = folder.write("c.csv", "url\ny\n"), .pictures = {}};
  EXPECT_EQ(content_digest(a).value(), content_digest(same).value());
  EXPECT_NE(content_digest(a).value(), content_digest(other).value());
  const InputSet gone{.name = "d", .table_path = folder.file("gone.csv"), .pictures = {}};
  EXPECT_EQ(content_digest(gone).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace pixmill::app
