#include "jobs/key_table.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_map>

namespace pixmill::jobs {
namespace {

TEST(KeyTable, FindsWhatWasInserted) {
  KeyTable table(20);
  EXPECT_EQ(table.find(42), std::nullopt);
  EXPECT_TRUE(table.insert(42, 7));
  EXPECT_EQ(table.find(42), 7u);
  EXPECT_EQ(table.find(43), std::nullopt);
  EXPECT_EQ(table.size(), 1u);
}

TEST(KeyTable, KeepsTheFirstValueUntilItIsSet) {
  KeyTable table(20);
  EXPECT_TRUE(table.insert(1, 7));
  EXPECT_FALSE(table.insert(1, 8));
  EXPECT_EQ(table.find(1), 7u);
  table.set(1, table.value_max());
  EXPECT_EQ(table.find(1), table.value_max());
  EXPECT_EQ(table.size(), 1u);
}

TEST(KeyTable, TakesKeysWhoseBitsAreAllZeroOrAllOne) {
  KeyTable table(32);
  EXPECT_TRUE(table.insert(0, 1));
  EXPECT_TRUE(table.insert(~std::uint64_t{0}, 2));
  EXPECT_EQ(table.find(0), 1u);
  EXPECT_EQ(table.find(~std::uint64_t{0}), 2u);
}

// Neighbours in one shard collide on purpose: they differ only in the bits that choose the slot.
TEST(KeyTable, AgreesWithAMapThroughManyGrowths) {
  std::mt19937_64 random(1);
  KeyTable table(32);
  std::unordered_map<std::uint64_t, std::uint64_t> map;
  for (std::uint64_t i = 1; i <= 100'000; ++i) {
    const std::uint64_t key = i % 2 == 0 ? random() & 0xff000000ffffffff : i;
    EXPECT_EQ(table.insert(key, i), map.emplace(key, i).second);
  }
  EXPECT_EQ(table.size(), map.size());
  for (const auto& [key, value] : map) ASSERT_EQ(table.find(key), value);
}

TEST(KeyTable, HoldsAMillionInTwentyMegabytes) {
  std::mt19937_64 random(2);
  KeyTable table(20);
  for (int i = 0; i < 1'000'000; ++i) table.insert(random(), 1);
  EXPECT_LE(table.memory_bytes(), 20u << 20);
}

}  // namespace
}  // namespace pixmill::jobs
