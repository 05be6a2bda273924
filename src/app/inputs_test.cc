#include "app/inputs.h"

#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"

namespace pixmill::app {
namespace {

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
  const auto sets = collect_inputs({folder.file("in")}, folder.file("spool"));
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
                                   folder.file("spool"));
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
  EXPECT_EQ(collect_inputs({folder.file("gone.csv")}, folder.path()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(collect_inputs({folder.file("notes.txt")}, folder.path()).error().code, ErrorCode::kInvalidArgument);
  const auto empty = collect_inputs({folder.file("empty")}, folder.path());
  EXPECT_EQ(empty.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(empty.error().message.find("empty"), std::string::npos);
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
