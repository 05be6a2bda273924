// JobStore: rows with recipes of their own.
#pragma once

#include <gmock/gmock.h>

#include <set>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class JobStoreRecipes : public StoreFixture {
 protected:
  const jobs::RecipeChoice web_{.text = "format=webp quality=80", .name = "web@1"};
  const jobs::RecipeChoice small_{.text = "format=jpeg quality=50 resize=80x", .name = ""};
};

TEST_P(JobStoreRecipes, AJobKeepsWhatItsRecipeAndItsRowsNamesStoodFor) {
  JobSpec spec;
  spec.recipe_name = "shop@2";
  spec.overrides = true;
  spec.row_names = {{.written = "shop", .recipe = {.text = "format=png", .name = "shop@2"}},
                    {.written = "web", .recipe = web_}};
  const auto id = create(spec);
  const auto plain = create();
  store_->reopen();
  EXPECT_EQ(job(id).recipe, "format=jpeg quality=50");
  EXPECT_EQ(job(id).recipe_name, "shop@2");
  EXPECT_TRUE(job(id).overrides);
  EXPECT_EQ(job(id).row_recipes, 0u);
  EXPECT_EQ(must(store().row_names(id)), spec.row_names);
  EXPECT_EQ(job(plain).recipe_name, "");
  EXPECT_FALSE(job(plain).overrides);
  EXPECT_TRUE(must(store().row_names(plain)).empty());
  EXPECT_EQ(code_of(run(store().row_names(JobId{Uuid::random()}))), ErrorCode::kNotFound);
}

TEST_P(JobStoreRecipes, AClaimHandsOutTheRowsRecipe) {
  const auto id = create();
  auto two = row_with_recipe(2, "2.jpg", web_);
  two.items.push_back({.index = 2, .url = "https://origin.example/3.jpg", .output_stem = "n3"});
  ASSERT_TRUE(append(id, {row_of(1, "1.jpg", "a"), two, row_with_recipe(3, "4.jpg", small_)}).has_value());
  EXPECT_EQ(job(id).row_recipes, 2u);
  const auto claimed = claim();
  ASSERT_EQ(claimed.items.size(), 4u);
  EXPECT_EQ(claimed.items[0].recipe, "");
  EXPECT_EQ(claimed.items[1].recipe, web_.text);
  EXPECT_EQ(claimed.items[2].recipe, web_.text);
  EXPECT_EQ(claimed.items[3].recipe, small_.text);
}

TEST_P(JobStoreRecipes, AreWrittenDownOnceAlsoAfterAKill) {
  const auto id = create();
  ASSERT_TRUE(append(id, {row_with_recipe(1, "1.jpg", web_), row_with_recipe(2, "2.jpg", small_)}).has_value());
  store_->reopen();
  ASSERT_TRUE(append(id, {row_with_recipe(2, "2.jpg", small_), row_with_recipe(3, "3.jpg", small_),
                          row_with_recipe(4, "4.jpg", {.text = small_.text, .name = "thumb@1"})})
                  .has_value());
  EXPECT_EQ(job(id).row_recipes, 3u) << "the name it came from tells recipes apart";
  const auto items = all_items(id);
  ASSERT_EQ(items.size(), 4u);
  EXPECT_EQ(items[0].recipe, web_);
  EXPECT_EQ(items[1].recipe, small_);
  EXPECT_EQ(items[2].recipe, small_);
  EXPECT_EQ(items[3].recipe->name, "thumb@1");
}

TEST_P(JobStoreRecipes, ReadsShowWhatEachRowIsMadeWith) {
  const auto id = create();
  ASSERT_TRUE(append(id, {row_of(1, "1.jpg", "a"), row_with_recipe(2, "2.jpg", web_)}).has_value());
  must(store().finish_ingest(id));
  work_off();
  EXPECT_EQ(item(id, 1).recipe, std::nullopt);
  EXPECT_EQ(item(id, 2).recipe, web_);
  jobs::ItemQuery query;
  query.state = jobs::ItemState::kSucceeded;
  EXPECT_EQ(must(store().items(id, query)).items.at(1).recipe, web_);
  EXPECT_EQ(must(store().rows(id, 0, 10)).at(1).items.at(0).recipe, web_);
}

TEST_P(JobStoreRecipes, AreKeptWhenAFailedItemIsTriedAgain) {
  const auto id = create();
  ASSERT_TRUE(append(id, {row_with_recipe(1, "1.jpg", web_)}).has_value());
  must(store().finish_ingest(id));
  finish_one(failure(claim().items.at(0), "timeout", clock_.now()));
  finish_one(failure(claim().items.at(0), "timeout"));
  must(store().retry(id, jobs::RetryFilter{}));
  store_->reopen();
  const auto again = claim();
  ASSERT_EQ(again.items.size(), 1u);
  EXPECT_EQ(again.items[0].recipe, web_.text);
}

// What the one was made into is not what the other asks for.
TEST_P(JobStoreRecipes, OneAddressUnderTwoRecipesIsTwoPictures) {
  const auto id = create();
  ASSERT_TRUE(append(id, {row_of(1, "a.jpg", "a"), row_with_recipe(2, "a.jpg", web_)}).has_value());
  store_->reopen();
  ASSERT_TRUE(
      append(id, {row_with_recipe(3, "a.jpg", small_), row_with_recipe(4, "a.jpg", web_), row_of(5, "a.jpg", "a")})
          .has_value());
  const auto items = all_items(id);
  ASSERT_EQ(items.size(), 5u);
  EXPECT_EQ(items[0].same_as, std::nullopt);
  EXPECT_EQ(items[1].same_as, std::nullopt);
  EXPECT_EQ(items[2].same_as, std::nullopt);
  EXPECT_EQ(items[3].same_as, 2u);
  EXPECT_EQ(items[4].same_as, 1u);
  EXPECT_EQ(claim().items.size(), 3u);
}

TEST_P(JobStoreRecipes, AJobWithTooManyIsRefused) {
  const auto id = create();
  std::uint64_t next = 1;
  const auto chunk = [&](std::uint64_t count) {
    std::vector<jobs::NewRow> rows;
    for (; count > 0; --count, ++next) {
      rows.push_back(
          row_with_recipe(next, fmt::format("{}.jpg", next), {.text = fmt::format("resize={}x", next), .name = ""}));
    }
    return rows;
  };
  while (next <= jobs::kRecipesPerJobMax) ASSERT_TRUE(append(id, chunk(1'000)).has_value());
  EXPECT_EQ(job(id).row_recipes, jobs::kRecipesPerJobMax);
  const auto refused = append(id, chunk(1));
  EXPECT_EQ(code_of(refused), ErrorCode::kTooLarge);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("10,000 different recipes"));
  EXPECT_EQ(job(id).rows, jobs::kRecipesPerJobMax);
  ASSERT_TRUE(append(id, {row_with_recipe(next - 1, "x.jpg", {.text = "resize=7x", .name = ""})}).has_value())
      << "one that is there already";
}

}  // namespace pixmill::conformance
