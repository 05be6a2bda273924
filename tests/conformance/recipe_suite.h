// The conformance suite of RecipeStore. An implementation includes it in one test file and instantiates it:
//   PIXMILL_INSTANTIATE_RECIPE_STORE_SUITE(Sqlite, factory)
#pragma once

#include <gmock/gmock.h>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class RecipeStoreSuite : public StoreFixture {
 protected:
  jobs::RecipeSaved save(const std::string& name, const std::string& text) {
    return must(store_->recipes().save_recipe(name, text));
  }
  // "shop@1 format=png", with " removed" behind it where it is.
  std::vector<std::string> all() {
    std::vector<std::string> lines;
    for (const auto& recipe : must(store_->recipes().saved_recipes())) {
      lines.push_back(
          fmt::format("{}@{} {}{}", recipe.name, recipe.version, recipe.text, recipe.removed ? " removed" : ""));
    }
    return lines;
  }
};

TEST_P(RecipeStoreSuite, SavingANameAgainMakesItsNextVersion) {
  const auto first = save("shop", "format=png");
  EXPECT_TRUE(first.is_new);
  EXPECT_EQ(first.recipe.version, 1);
  EXPECT_EQ(first.recipe.created_at, clock_.now());
  EXPECT_EQ(save("shop", "format=webp").recipe.version, 2);
  EXPECT_EQ(save("shop", "format=png").recipe.version, 3) << "what an older version says may come back";
  EXPECT_EQ(save("other", "format=png").recipe.version, 1);
  store_->reopen();
  EXPECT_THAT(all(), ::testing::ElementsAre("other@1 format=png", "shop@1 format=png", "shop@2 format=webp",
                                            "shop@3 format=png"));
}

TEST_P(RecipeStoreSuite, SavingWhatTheLatestVersionSaysChangesNothing) {
  const auto first = save("shop", "format=png");
  clock_.advance(std::chrono::hours(1));
  const auto again = save("shop", "format=png");
  EXPECT_FALSE(again.is_new);
  EXPECT_EQ(again.recipe, first.recipe);
  EXPECT_EQ(all().size(), 1u);
}

TEST_P(RecipeStoreSuite, ARemovedNameKeepsItsVersionsAndTheirNumbers) {
  save("shop", "format=png");
  save("shop", "format=webp");
  must(store_->recipes().remove_recipe("shop"));
  EXPECT_THAT(all(), ::testing::ElementsAre("shop@1 format=png removed", "shop@2 format=webp removed"));
  EXPECT_EQ(code_of(run(store_->recipes().remove_recipe("shop"))), ErrorCode::kNotFound);
  const auto back = save("shop", "format=webp");
  EXPECT_TRUE(back.is_new);
  EXPECT_EQ(back.recipe.version, 3);
  store_->reopen();
  EXPECT_THAT(all(),
              ::testing::ElementsAre("shop@1 format=png removed", "shop@2 format=webp removed", "shop@3 format=webp"));
}

TEST_P(RecipeStoreSuite, RemovingWhatIsNotThereIsSaid) {
  save("shop", "format=png");
  EXPECT_EQ(code_of(run(store_->recipes().remove_recipe("shoop"))), ErrorCode::kNotFound);
  EXPECT_EQ(all().size(), 1u);
}

TEST_P(RecipeStoreSuite, TakesABoundedAmountOfText) {
  const std::string text(8'000, 'x');
  Result<jobs::RecipeSaved> saved;
  std::uint64_t count = 0;
  for (; count < jobs::kSavedRecipesMax; ++count) {
    saved = run(store_->recipes().save_recipe(fmt::format("r{}", count), text));
    if (!saved) break;
  }
  EXPECT_EQ(code_of(saved), ErrorCode::kTooLarge);
  EXPECT_EQ(count, jobs::kSavedRecipeBytesMax / text.size());
  EXPECT_FALSE(save("r0", text).is_new) << "nothing more to keep";
}

TEST_P(RecipeStoreSuite, JobsKeepTheVersionTheyCameInWith) {
  save("shop", "format=png");
  JobSpec spec;
  spec.recipe_name = "shop@1";
  spec.row_names = {{.written = "shop", .recipe = {.text = "format=png", .name = "shop@1"}}};
  const auto id = create(spec);
  save("shop", "format=webp");
  must(store_->recipes().remove_recipe("shop"));
  store_->reopen();
  EXPECT_EQ(job(id).recipe_name, "shop@1");
  EXPECT_EQ(must(store().row_names(id)), spec.row_names);
}

}  // namespace pixmill::conformance

#define PIXMILL_INSTANTIATE_RECIPE_STORE_SUITE(name, factory)                                 \
  namespace pixmill::conformance {                                                            \
  INSTANTIATE_TEST_SUITE_P(name, RecipeStoreSuite, ::testing::Values(factory), factory_name); \
  }
