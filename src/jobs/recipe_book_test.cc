#include "jobs/recipe_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixmill::jobs {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

RecipeBook book() {
  return RecipeBook({{.written = "shop", .recipe = {.text = "format=webp quality=70", .name = "shop@2"}},
                     {.written = "shop@1", .recipe = {.text = "format=png", .name = "shop@1"}},
                     {.written = "shop@2", .recipe = {.text = "format=webp quality=70", .name = "shop@2"}}});
}

std::string error_of(const RecipeBook& book, std::string_view text) {
  const auto found = book.resolve(text);
  EXPECT_FALSE(found.has_value()) << text;
  if (found) return "";
  EXPECT_EQ(found.error().code, ErrorCode::kInvalidArgument);
  return found.error().message;
}

TEST(RecipeBook, ReadsRecipesInWords) {
  const RecipeChoice words{.text = "format=jpeg quality=80", .name = ""};
  EXPECT_EQ(book().resolve(" quality=80 format=jpg "), words);
  EXPECT_EQ(book().resolve(R"({"quality": 80, "format": "jpeg"})"), words);
}

TEST(RecipeBook, KnowsTheBuiltInOnesByNameAndVersion) {
  const RecipeChoice compress{.text = "format=jpeg quality=50", .name = "compress@1"};
  EXPECT_EQ(RecipeBook().resolve("compress"), compress);
  EXPECT_EQ(RecipeBook().resolve("compress@1"), compress);
  EXPECT_THAT(error_of(RecipeBook(), "compress@2"), AllOf(HasSubstr("\"compress@2\""), HasSubstr("compress, web")));
}

TEST(RecipeBook, ANameIsItsLatestVersion) {
  EXPECT_EQ(book().resolve("shop")->name, "shop@2");
  EXPECT_EQ(book().resolve("shop@1"), (RecipeChoice{.text = "format=png", .name = "shop@1"}));
  EXPECT_EQ(book().resolve("shop@2")->text, "format=webp quality=70");
}

TEST(RecipeBook, SaysWhichNamesThereAre) {
  EXPECT_THAT(error_of(book(), "shpo"), AllOf(HasSubstr("\"shpo\""), HasSubstr("lossless, shop"), Not(HasSubstr("@"))));
  EXPECT_THAT(error_of(book(), "shop@3"), HasSubstr("shop, shop@1, shop@2"));
  EXPECT_THAT(error_of(book(), "quality=0"), HasSubstr("1 to 100"));
  EXPECT_THAT(error_of(book(), ""), HasSubstr("empty"));
  std::vector<NamedRecipe> many;
  for (int i = 100; i < 130; ++i) many.push_back({.written = "n" + std::to_string(i), .recipe = {}});
  EXPECT_THAT(error_of(RecipeBook(many), "x"), AllOf(HasSubstr("n114 and 15 more")));
}

TEST(RecipeBook, RefusesWhatCouldNotBeReadAgain) {
  // Its canonical text has an exponent.
  EXPECT_THAT(error_of(RecipeBook(), "brightness=0.0000001"), AllOf(HasSubstr("brightness"), HasSubstr("1e-07")));
}

TEST(RecipeReference, IsANameWithOrWithoutAVersion) {
  for (const std::string_view good : {"a", "0", "shop", "a-b_c", "shop@1", "shop@999999999"}) {
    EXPECT_TRUE(parse_recipe_reference(good).has_value()) << good;
  }
  EXPECT_EQ(parse_recipe_reference("shop@12")->version, 12);
  EXPECT_EQ(parse_recipe_reference("shop@12")->name, "shop");
  EXPECT_EQ(parse_recipe_reference("shop")->version, std::nullopt);
  EXPECT_EQ(versioned_name("shop", 12), "shop@12");
  for (const std::string_view bad : {"", "-a", "_a", "A", "a b", "a:", "a=1", "@1", "a@", "a@0", "a@01", "a@-1", "a@x",
                                     "a@1@2", "a@1000000000", "{}", "\xc3\xa9"}) {
    EXPECT_FALSE(parse_recipe_reference(bad).has_value()) << bad;
  }
  EXPECT_TRUE(is_recipe_name(std::string(kRecipeNameBytesMax, 'a')));
  EXPECT_FALSE(is_recipe_name(std::string(kRecipeNameBytesMax + 1, 'a')));
}

}  // namespace
}  // namespace pixmill::jobs
