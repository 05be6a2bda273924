// What every BlobStore must do. An implementation's test includes this file and instantiates the suite with a factory:
//   INSTANTIATE_TEST_SUITE_P(Local, BlobStoreSuite, ::testing::Values(BlobStoreFactory{…}));
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/crypto.h"
#include "storage/blob_store.h"
#include "storage/take_over.h"
#include "tests/support/awkward_keys.h"
#include "tests/support/run_task.h"

namespace pixmill::storage {

// Gives a new, empty store for that loop; what keeps it alive (a folder, a server) is released by the deleter of
// `keeper`.
struct BlobStoreFixture {
  std::shared_ptr<void> keeper;
  std::unique_ptr<BlobStore> store;
};
using BlobStoreFactory = std::function<BlobStoreFixture(asio::io_context&)>;

class BlobStoreSuite : public ::testing::TestWithParam<BlobStoreFactory> {
 protected:
  BlobStoreSuite() : fixture_(GetParam()(io_)) {}

  Result<void> put(const std::string& key, std::string_view bytes) {
    return testing::run_task(io_, store().put(key, bytes, "image/jpeg"));
  }
  Result<void> copy(const std::string& from, const std::string& to) {
    return testing::run_task(io_, store().copy(from, to));
  }
  Result<BlobInfo> head(const std::string& key) { return testing::run_task(io_, store().head(key)); }
  Result<void> remove(const std::string& key) { return testing::run_task(io_, store().remove(key)); }
  std::vector<std::string> list(const std::string& prefix, const std::string& after, std::size_t limit) {
    const auto found = testing::run_task(io_, store().list(prefix, after, limit));
    EXPECT_TRUE(found.has_value());
    std::vector<std::string> keys;
    if (!found) return keys;
    for (const auto& info : *found) keys.push_back(info.key);
    return keys;
  }
  // -1 when it is not there.
  std::int64_t size_of(const std::string& key) {
    const auto info = head(key);
    return info ? static_cast<std::int64_t>(info->bytes) : -1;
  }
  BlobStore& store() { return *fixture_.store; }

  asio::io_context io_;

 private:
  BlobStoreFixture fixture_;
};

TEST_P(BlobStoreSuite, KeepsWhatWasPut) {
  ASSERT_TRUE(put("images/a.jpg", "abc").has_value());
  const auto info = head("images/a.jpg");
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->key, "images/a.jpg");
  EXPECT_EQ(info->bytes, 3u);
}

TEST_P(BlobStoreSuite, RemovesWhatLiesBelowAFolder) {
  for (const auto* key : {"job/a.jpg", "job/deep/er/b.jpg", "job/deep/c.jpg", "job/d.jpg", "job2/e.jpg", "job-f.jpg"}) {
    ASSERT_TRUE(put(key, "abc").has_value()) << key;
  }
  const auto remove_below = [&](const std::string& prefix, std::size_t limit) {
    return testing::run_task(io_, store().remove_below(prefix, limit));
  };
  EXPECT_EQ(remove_below("job/", 3), 3u);
  EXPECT_EQ(list("job/", "", 10).size(), 1u);
  EXPECT_EQ(remove_below("job/", 3), 1u);
  EXPECT_EQ(remove_below("job/", 3), 0u);
  EXPECT_EQ(remove_below("never/", 3), 0u);
  EXPECT_THAT(list("", "", 10), ::testing::ElementsAre("job-f.jpg", "job2/e.jpg"));
  for (const auto* prefix : {"", "job", "/", "../", "job//"}) {
    const auto refused = remove_below(prefix, 3);
    ASSERT_FALSE(refused.has_value()) << prefix;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument) << prefix;
  }
}

TEST_P(BlobStoreSuite, GivesBackWhatWasPut) {
  const std::string large(3u << 20, 'x');
  ASSERT_TRUE(put("a/large", large).has_value());
  ASSERT_TRUE(put("empty", "").has_value());
  EXPECT_EQ(testing::run_task(io_, store().get("a/large", large.size())), large);
  EXPECT_EQ(testing::run_task(io_, store().get("empty", 0)), std::string());
  const auto above = testing::run_task(io_, store().get("a/large", large.size() - 1));
  ASSERT_FALSE(above.has_value());
  EXPECT_EQ(above.error().code, ErrorCode::kTooLarge);
  const auto missing = testing::run_task(io_, store().get("a/none", 10));
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

TEST_P(BlobStoreSuite, TakesOverWhatItHasUnderAnotherKey) {
  const std::string bytes(200'000, 'x');
  ASSERT_TRUE(put("old/a b+c.jpg", bytes).has_value());
  const auto take = [&](const std::string& from, const std::string& to, std::string_view expected) {
    const BlobPlace source{.store = store(), .key = from};
    const BlobPlace target{.store = store(), .key = to};
    const BlobContent content{.bytes = expected.size(), .sha256 = sha256(expected), .media_type = "image/jpeg"};
    return testing::run_task(io_, take_over(source, target, content));
  };
  const auto taken = take("old/a b+c.jpg", "new/d%e.jpg", bytes);
  ASSERT_TRUE(taken.has_value()) << taken.error().message << " " << taken.error().detail;
  EXPECT_EQ(testing::run_task(io_, store().get("new/d%e.jpg", bytes.size())), bytes);
  ASSERT_TRUE(take("new/d%e.jpg", "new/d%e.jpg", bytes).has_value());
  std::string other = bytes;
  other.back() = 'y';
  EXPECT_EQ(take("old/a b+c.jpg", "new/f.jpg", other).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(take("old/a b+c.jpg", "new/f.jpg", "short").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(take("old/none.jpg", "new/f.jpg", bytes).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(take("new/d%e.jpg", "new/d%e.jpg", other).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(size_of("new/f.jpg"), -1);
  ASSERT_TRUE(remove("old/a b+c.jpg").has_value());
  EXPECT_EQ(size_of("new/d%e.jpg"), 200'000);
}

TEST_P(BlobStoreSuite, ReplacesWhatWasThere) {
  ASSERT_TRUE(put("a", "long text").has_value());
  ASSERT_TRUE(put("a", "x").has_value());
  EXPECT_EQ(size_of("a"), 1);
  EXPECT_EQ(list("", "", 10), (std::vector<std::string>{"a"}));
}

TEST_P(BlobStoreSuite, TakesEmptyAndLargeBlobs) {
  const std::string large(5u << 20, 'x');
  ASSERT_TRUE(put("empty", "").has_value());
  ASSERT_TRUE(put("large", large).has_value());
  EXPECT_EQ(size_of("empty"), 0);
  EXPECT_EQ(size_of("large"), 5 << 20);
}

TEST_P(BlobStoreSuite, TakesNamesAsPeopleWriteThem) {
  const std::vector<std::string> keys = {"a b/100% #1 & co?.jpg", "caf\xc3\xa9/\xf0\x9f\x9a\x80.jpg",
                                         "+plus/~tilde='quote'.png"};
  for (const auto& key : keys) {
    ASSERT_TRUE(put(key, key).has_value()) << key;
    EXPECT_EQ(size_of(key), static_cast<std::int64_t>(key.size())) << key;
    EXPECT_EQ(list(key, "", 10), (std::vector<std::string>{key}));
  }
}

TEST_P(BlobStoreSuite, TakesAwkwardKeys) {
  const auto keys = testing::awkward_keys();
  EXPECT_GE(keys.size(), 85u);
  for (const auto& key : keys) {
    ASSERT_TRUE(put(key, "bytes of " + key).has_value()) << key;
  }
  for (const auto& key : keys) {
    const auto bytes = testing::run_task(io_, store().get(key, 2'000));
    ASSERT_TRUE(bytes.has_value()) << key << ": " << bytes.error().message;
    EXPECT_EQ(*bytes, "bytes of " + key);
    EXPECT_EQ(size_of(key), std::ssize(key) + 9) << key;
  }
  auto sorted = keys;
  std::ranges::sort(sorted);
  EXPECT_EQ(list("", "", 1'000), sorted);
  for (const auto& key : keys) {
    ASSERT_TRUE(copy(key, "copies/of it").has_value()) << key;
    EXPECT_EQ(size_of("copies/of it"), std::ssize(key) + 9) << key;
    ASSERT_TRUE(remove(key).has_value()) << key;
    EXPECT_EQ(size_of(key), -1) << key;
  }
  EXPECT_EQ(list("", "", 10), (std::vector<std::string>{"copies/of it"}));
}

TEST_P(BlobStoreSuite, CopiesBytes) {
  ASSERT_TRUE(put("from/a", "abc").has_value());
  ASSERT_TRUE(copy("from/a", "to/deep/b").has_value());
  ASSERT_TRUE(remove("from/a").has_value());
  EXPECT_EQ(size_of("to/deep/b"), 3);
  EXPECT_EQ(size_of("from/a"), -1);
}

TEST_P(BlobStoreSuite, CopyIsIndependentOfItsSource) {
  ASSERT_TRUE(put("a", "abc").has_value());
  ASSERT_TRUE(copy("a", "b").has_value());
  ASSERT_TRUE(put("a", "longer").has_value());
  EXPECT_EQ(size_of("b"), 3);
}

TEST_P(BlobStoreSuite, SaysNotFound) {
  EXPECT_EQ(head("none").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(head("none/below").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(copy("none", "b").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(size_of("b"), -1);
}

TEST_P(BlobStoreSuite, RemovingWhatIsNotThereIsNoError) {
  EXPECT_TRUE(remove("none").has_value());
  EXPECT_TRUE(remove("no/folder/either").has_value());
  ASSERT_TRUE(put("a", "x").has_value());
  EXPECT_TRUE(remove("a").has_value());
  EXPECT_TRUE(remove("a").has_value());
}

TEST_P(BlobStoreSuite, RefusesBadKeys) {
  const std::vector<std::string> keys = {"",
                                         "/a",
                                         "a/",
                                         "a//b",
                                         ".",
                                         "..",
                                         "../a",
                                         "a/../b",
                                         "a/./b",
                                         "a/..",
                                         std::string("a\0b", 3),
                                         std::string(1'100, 'k')};
  ASSERT_TRUE(put("good", "x").has_value());
  for (const auto& key : keys) {
    EXPECT_EQ(put(key, "x").error().code, ErrorCode::kInvalidArgument) << key;
    EXPECT_EQ(copy("good", key).error().code, ErrorCode::kInvalidArgument) << key;
    EXPECT_EQ(copy(key, "other").error().code, ErrorCode::kInvalidArgument) << key;
    EXPECT_EQ(head(key).error().code, ErrorCode::kInvalidArgument) << key;
    EXPECT_EQ(remove(key).error().code, ErrorCode::kInvalidArgument) << key;
    EXPECT_EQ(store().local_path(key), std::nullopt) << key;
  }
  EXPECT_EQ(list("", "", 10), (std::vector<std::string>{"good"}));
}

TEST_P(BlobStoreSuite, ListsInByteOrderAcrossFolders) {
  // '-' sorts before '/', '0' after it: the order is that of whole keys, not of folders.
  const std::vector<std::string> keys = {"a0", "b/c", "a/3", "a/2/x", "a-b", "a/1"};
  for (const auto& key : keys) {
    ASSERT_TRUE(put(key, "x").has_value()) << key;
  }
  EXPECT_EQ(list("", "", 10), (std::vector<std::string>{"a-b", "a/1", "a/2/x", "a/3", "a0", "b/c"}));
  EXPECT_EQ(list("a/", "", 10), (std::vector<std::string>{"a/1", "a/2/x", "a/3"}));
  EXPECT_EQ(list("a", "a/1", 2), (std::vector<std::string>{"a/2/x", "a/3"}));
  EXPECT_EQ(list("", "a/2/x", 10), (std::vector<std::string>{"a/3", "a0", "b/c"}));
  EXPECT_EQ(list("a/2", "", 10), (std::vector<std::string>{"a/2/x"}));
  EXPECT_EQ(list("zz", "", 10), (std::vector<std::string>{}));
  EXPECT_EQ(list("", "", 0), (std::vector<std::string>{}));
  EXPECT_EQ(list("../", "", 10), (std::vector<std::string>{}));
}

TEST_P(BlobStoreSuite, PagesNeitherSkipNorRepeat) {
  std::vector<std::string> expected;
  for (int i = 0; i < 60; ++i) {
    expected.push_back("p/" + std::to_string(100 + i) + (i % 3 == 0 ? "/x" : ""));
    ASSERT_TRUE(put(expected.back(), "x").has_value());
  }
  std::ranges::sort(expected);
  std::vector<std::string> met;
  std::string after;
  while (true) {
    const auto page = list("p/", after, 7);
    if (page.empty()) break;
    met.insert(met.end(), page.begin(), page.end());
    after = page.back();
  }
  EXPECT_EQ(met, expected);
}

TEST_P(BlobStoreSuite, WritesOfOneKeyAtOnceLeaveOneWhole) {
  const std::string small(10, 'a');
  const std::string large(300'000, 'b');
  int done = 0;
  const auto write = [](BlobStore& blobs, std::string_view bytes, int& count) -> Task<void> {
    const auto written = co_await blobs.put("same", bytes, "image/png");
    EXPECT_TRUE(written.has_value()) << written.error().message << " " << written.error().detail;
    if (written) ++count;
  };
  for (int i = 0; i < 20; ++i) {
    asio::co_spawn(io_, write(store(), i % 2 == 0 ? small : large, done), asio::detached);
  }
  io_.restart();
  io_.run();
  EXPECT_EQ(done, 20);
  EXPECT_THAT(size_of("same"), ::testing::AnyOf(10, 300'000));
  EXPECT_EQ(list("", "", 10), (std::vector<std::string>{"same"}));
}

}  // namespace pixmill::storage
