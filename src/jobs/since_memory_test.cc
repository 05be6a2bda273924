#include "jobs/since_memory.h"

#include <gtest/gtest.h>

namespace pixmill::jobs {
namespace {

constexpr std::string_view kOwn = "format=jpeg quality=50";

SinceMemory plain() { return {std::string(kOwn), {}}; }

TEST(SinceMemory, FindsTheFirstItemWithAUrl) {
  auto memory = plain();
  memory.remember({.item = 1, .url = "http://a/1", .recipe_no = std::nullopt, .has_result = true});
  memory.remember({.item = 2, .url = "http://a/1", .recipe_no = std::nullopt, .has_result = true});
  memory.remember({.item = 3, .url = "http://a/3", .recipe_no = std::nullopt, .has_result = false});
  EXPECT_EQ(memory.items(), 3u);
  EXPECT_EQ(memory.find("http://a/1", kOwn).first, 1u);
  EXPECT_EQ(memory.find("http://a/1", kOwn).result, 1u);
  EXPECT_EQ(memory.find("http://a/1", "format=png").first, 1u);
  EXPECT_EQ(memory.find("http://a/1", "format=png").result, 0u) << "another recipe";
  EXPECT_EQ(memory.find("http://a/3", kOwn).first, 3u);
  EXPECT_EQ(memory.find("http://a/3", kOwn).result, 0u) << "it failed";
  EXPECT_EQ(memory.find("http://a/4", kOwn).first, 0u);
}

TEST(SinceMemory, TellsRowsRecipesApart) {
  SinceMemory memory(std::string(kOwn), {{1, "format=webp"}});
  memory.remember({.item = 1, .url = "http://a/1", .recipe_no = std::nullopt, .has_result = true});
  memory.remember({.item = 2, .url = "http://a/1", .recipe_no = 1, .has_result = true});
  memory.remember({.item = 3, .url = "http://a/3", .recipe_no = 1, .has_result = false});
  EXPECT_EQ(memory.find("http://a/1", kOwn).result, 1u);
  EXPECT_EQ(memory.find("http://a/1", "format=webp").result, 2u);
  EXPECT_EQ(memory.find("http://a/1", "format=png").result, 0u);
  EXPECT_EQ(memory.find("http://a/3", "format=webp").first, 3u);
  EXPECT_EQ(memory.find("http://a/3", "format=webp").result, 0u);
}

TEST(SinceMemory, KnowsWhatIsGone) {
  auto memory = plain();
  memory.remember({.item = 1, .url = "http://a/1", .recipe_no = std::nullopt, .has_result = true});
  memory.remember({.item = 2, .url = "http://a/2", .recipe_no = std::nullopt, .has_result = false});
  memory.remember({.item = 3, .url = "http://a/2", .recipe_no = std::nullopt, .has_result = false});
  memory.name("http://a/1");
  memory.name("http://a/9");
  EXPECT_FALSE(memory.is_gone(1, "http://a/1"));
  EXPECT_TRUE(memory.is_gone(2, "http://a/2"));
  EXPECT_FALSE(memory.is_gone(3, "http://a/2")) << "each URL once";
  EXPECT_EQ(memory.find("http://a/1", kOwn).result, 1u) << "a named one can be found again";
}

}  // namespace
}  // namespace pixmill::jobs
