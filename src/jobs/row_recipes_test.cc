#include "jobs/row_recipes.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixmill::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RowRecipesTest : public ::testing::Test {
 protected:
  using Cells = RowRecipes::Cells;

  static RowRecipes make() {
    const std::vector<NamedRecipe> named = {
        {.written = "shop", .recipe = {.text = "format=png resize=9x9:fill", .name = "shop@2"}}};
    return {std::make_shared<const RecipeBook>(named), {.text = "format=jpeg quality=50", .name = "compress@1"}};
  }
  // "text name", or "" for the job's own.
  std::string found(const Cells& cells) {
    std::vector<RowRecipes::BadCell> bad;
    const auto recipe = recipes_.find(cells, bad);
    EXPECT_TRUE(recipe.has_value());
    EXPECT_THAT(bad, IsEmpty());
    return recipe && *recipe ? fmt::format("{} {}", (*recipe)->text, (*recipe)->name) : "";
  }
  std::vector<RowRecipes::BadCell> bad_in(const Cells& cells) {
    std::vector<RowRecipes::BadCell> bad;
    const auto recipe = recipes_.find(cells, bad);
    EXPECT_TRUE(recipe.has_value() && *recipe == nullptr);
    return bad;
  }

  RowRecipes recipes_ = make();
};

TEST_F(RowRecipesTest, EmptyCellsAreTheJobsRecipe) {
  EXPECT_EQ(found({}), "");
  EXPECT_EQ(found({" ", "\t", "", "", ""}), "");
  EXPECT_EQ(found({"", "", "", "jpg", "50"}), "") << "the same in other words";
}

TEST_F(RowRecipesTest, CellsChangeTheJobsRecipe) {
  EXPECT_EQ(found({"", "800", "600", "", ""}), "format=jpeg quality=50 resize=800x600 compress@1");
  EXPECT_EQ(found({"", " 800.0 ", "", "WebP", "85.00"}), "format=webp quality=85 resize=800x compress@1");
}

TEST_F(RowRecipesTest, ARecipeCellReplacesItAndTheOthersChangeThat) {
  EXPECT_EQ(found({"format=avif", "", "", "", ""}), "format=avif ");
  EXPECT_EQ(found({"shop", "20", "", "", "10"}), "format=png quality=10 resize=20x:fill shop@2");
  EXPECT_EQ(found({"web@1", "", "", "", ""}), "format=webp quality=80 resize=1600x1600 web@1");
  EXPECT_EQ(found({R"({"outputs":[{"name":"a"},{"name":"b","quality":3}]})", "", "", "png", ""}),
            "a: format=png b: format=png quality=3 ");
}

TEST_F(RowRecipesTest, AnUploadedWatermarkIsThatOfTheJob) {
  const std::string digest(64, 'a');
  recipes_ = RowRecipes(std::make_shared<const RecipeBook>(),
                        {.text = "format=jpeg watermark=opacity=0.5:upload:" + digest, .name = ""});
  EXPECT_EQ(found({"format=png watermark=upload", "", "", "", ""}), "format=png watermark=upload:" + digest + " ");
  EXPECT_EQ(found({"", "9", "", "", ""}), "format=jpeg resize=9x watermark=opacity=0.5:upload:" + digest + " ");
  recipes_ = make();
  const auto bad = bad_in({"watermark=upload", "", "", "", ""});
  ASSERT_EQ(bad.size(), 1U);
  EXPECT_EQ(bad[0].column, 0U);
  EXPECT_THAT(bad[0].why, HasSubstr("the address of a watermark"));
}

TEST_F(RowRecipesTest, AnUploadThatCouldBeOneOfSeveralIsNotGuessed) {
  const std::string first(64, 'a');
  const std::string second(64, 'b');
  recipes_ =
      RowRecipes(std::make_shared<const RecipeBook>(),
                 {.text = fmt::format("one: watermark=upload:{} two: watermark=upload:{}", first, second), .name = ""});
  const auto bad = bad_in({"watermark=upload", "", "", "", ""});
  ASSERT_EQ(bad.size(), 1U);
  EXPECT_THAT(bad[0].why, HasSubstr("use upload:SHA-256 of one"));
  EXPECT_EQ(found({"watermark=upload:" + second, "", "", "", ""}), "watermark=upload:" + second + " ");
}

TEST_F(RowRecipesTest, KnowsABadCellWhenItComesAgain) {
  for (int i = 0; i < 3; ++i) {
    const auto bad = bad_in({"shoop", "80cm", "", "", ""});
    ASSERT_EQ(bad.size(), 2U);
    EXPECT_THAT(bad[0].why, HasSubstr("shop"));
    EXPECT_EQ(bad[1].column, 1U);
  }
}

TEST_F(RowRecipesTest, EqualWishesShareOneRecipe) {
  std::vector<RowRecipes::BadCell> bad;
  const auto first = recipes_.find({"", "800", "", "", ""}, bad);
  const auto second = recipes_.find({"", " 800", "", "", ""}, bad);
  EXPECT_EQ(*first, *second);
}

TEST_F(RowRecipesTest, BadCellsAreAllNamed) {
  const auto bad = bad_in({"qualty=5", "80cm", "0", "bmp", "101"});
  ASSERT_EQ(bad.size(), 5u);
  for (std::size_t i = 0; i < bad.size(); ++i) EXPECT_EQ(bad[i].column, i);
  EXPECT_THAT(bad[0].why, HasSubstr("qualty"));
  EXPECT_EQ(bad[1].why, "use a number of pixels from 1 to 65535");
  EXPECT_EQ(bad[3].why, "use keep, jpeg, png, webp, avif, gif or tiff");
  EXPECT_EQ(bad[4].why, "use a whole number from 1 to 100");
  EXPECT_THAT(bad_in({"shoop", "", "", "", ""})[0].why, HasSubstr("shop"));
  EXPECT_EQ(bad_in({"", "1.5", "", "", ""}).size(), 1u);
  EXPECT_EQ(bad_in({"", ".0", "", "", ""}).size(), 1u);
}

TEST_F(RowRecipesTest, RemembersTheNamesThatWereAskedFor) {
  found({"shop", "", "", "", ""});
  found({"shop", "30", "", "", ""});
  found({"web", "", "", "", ""});
  found({"format=png", "", "", "", ""});
  bad_in({"nothing", "", "", "", ""});
  const auto named = recipes_.named();
  ASSERT_EQ(named.size(), 2u);
  EXPECT_EQ(named[0].written, "shop");
  EXPECT_EQ(named[0].recipe, (RecipeChoice{.text = "format=png resize=9x9:fill", .name = "shop@2"}));
  EXPECT_EQ(named[1].written, "web");
  EXPECT_EQ(named[1].recipe.name, "web@1");
}

TEST_F(RowRecipesTest, ATableHasABoundedNumberOfThem) {
  std::vector<RowRecipes::BadCell> bad;
  for (std::uint64_t i = 0; i < kRecipesPerJobMax; ++i) {
    const auto text = std::to_string(i + 1);
    ASSERT_TRUE(recipes_.find({"", text, "", "", ""}, bad).has_value());
  }
  EXPECT_TRUE(recipes_.find({"", "1", "", "", ""}, bad).has_value()) << "it is there already";
  const auto refused = recipes_.find({"", "60000", "", "", ""}, bad);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(refused.error().message, HasSubstr("10,000 different recipes"));
}

TEST_F(RowRecipesTest, TheirTextIsBoundedToo) {
  std::vector<RowRecipes::BadCell> bad;
  const std::string space(8'000, ' ');
  Result<std::shared_ptr<const RecipeChoice>> found;
  std::uint64_t made = 0;
  for (; made < kRecipesPerJobMax; ++made) {
    found = recipes_.find({fmt::format("format=png{}resize={}x", space, made + 1), "", "", "", ""}, bad);
    if (!found) break;
  }
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ErrorCode::kTooLarge);
  EXPECT_LT(made, 1'100u);
}

TEST(BaseName, IsWithoutSpacesAndThePicturesExtension) {
  EXPECT_EQ(base_name(" Blue shirt "), "Blue shirt");
  EXPECT_EQ(base_name("shirt.JPG"), "shirt");
  EXPECT_EQ(base_name("shirt.jpeg"), "shirt");
  EXPECT_EQ(base_name("size 4.5"), "size 4.5");
  EXPECT_EQ(base_name(".png"), ".png");
  EXPECT_EQ(base_name(""), "");
}

TEST(BaseName, IsOneLineOfAtMost120Bytes) {
  EXPECT_EQ(check_base_name(""), "");
  EXPECT_EQ(check_base_name("a/b"), "") << "made safe like every other value";
  EXPECT_EQ(check_base_name(std::string(120, 'a')), "");
  EXPECT_THAT(check_base_name(std::string(121, 'a')), HasSubstr("120"));
  EXPECT_THAT(check_base_name("a\nb"), HasSubstr("one line"));
}

}  // namespace
}  // namespace pixmill::jobs
