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
  EXPECT_THAT(error_of(book(), "shop@3"), HasSubstr("lossless, shop@1, shop@2, shop"));
  EXPECT_THAT(error_of(book(), "quality=0"), HasSubstr("1 to 100"));
  EXPECT_THAT(error_of(book(), ""), HasSubstr("empty"));
  std::vector<NamedRecipe> many;
  for (int i = 100; i < 130; ++i) many.push_back({.written = "n" + std::to_string(i), .recipe = {}});
  EXPECT_THAT(error_of(RecipeBook(many), "x"), AllOf(HasSubstr("n114 and 15 more")));
}

TEST(RecipeBook, ShowsAFewOfManyVersions) {
  std::vector<NamedRecipe> many;
  for (int i = 1; i <= 10'000; ++i) many.push_back({.written = versioned_name("shop", i), .recipe = {}});
  many.push_back({.written = "shop", .recipe = {}});
  const RecipeBook book(many);
  EXPECT_THAT(error_of(book, "shop@99999"), HasSubstr("shop@101 and 9986 more"));
}

TEST(RecipeBook, RefusesWhatCouldNotBeReadAgain) {
  // Its canonical text has an exponent.
  EXPECT_THAT(error_of(RecipeBook(), "brightness=0.0000001"), AllOf(HasSubstr("brightness"), HasSubstr("1e-07")));
}

SavedRecipe saved(const std::string& name, int version, const std::string& text, bool removed = false) {
  return {.name = name, .version = version, .text = text, .created_at = {}, .removed = removed};
}

const std::vector<SavedRecipe> kSaved = {saved("gone", 1, "format=gif", true), saved("shop", 1, "format=png", true),
                                         saved("shop", 2, "format=webp"), saved("shop", 3, "format=avif")};

TEST(RecipeBook, KnowsTheUsersOwn) {
  const RecipeBook book(kSaved);
  EXPECT_EQ(book.resolve("shop"), (RecipeChoice{.text = "format=avif", .name = "shop@3"}));
  EXPECT_EQ(book.resolve("shop@1"), (RecipeChoice{.text = "format=png", .name = "shop@1"}));
  EXPECT_EQ(book.resolve("gone@1")->text, "format=gif") << "by its number, as long as anyone asks";
  EXPECT_THAT(error_of(book, "gone"), HasSubstr("lossless, shop")) << "it is no name any more";
  EXPECT_EQ(book.resolve("web")->name, "web@1");
}

TEST(ListRecipes, ShowsTheLatestOfEveryName) {
  const auto list = list_recipes(kSaved);
  ASSERT_EQ(list.size(), 6u);
  EXPECT_EQ(list[0].recipe.name, "compress");
  EXPECT_TRUE(list[0].built_in);
  EXPECT_EQ(list[0].summary, "JPEG of quality 50 at the size it has");
  EXPECT_EQ(list[5].recipe, kSaved[3]);
  EXPECT_FALSE(list[5].built_in);
  EXPECT_THAT(list[5].versions, ::testing::ElementsAre(1, 2, 3));
  EXPECT_EQ(list_recipes({}).size(), 5u);
}

TEST(FindRecipe, FindsVersionsByTheirNumber) {
  EXPECT_EQ(find_recipe(kSaved, "shop", std::nullopt)->recipe.version, 3);
  EXPECT_EQ(find_recipe(kSaved, "shop", 1)->recipe, kSaved[1]);
  EXPECT_EQ(find_recipe(kSaved, "gone", 1)->recipe, kSaved[0]);
  EXPECT_EQ(find_recipe(kSaved, "web", 1)->recipe.text, "format=webp quality=80 resize=1600x1600");
}

TEST(FindRecipe, SaysWhatThereIsNot) {
  const auto refused = [](std::string_view name, std::optional<int> version) {
    const auto found = find_recipe(kSaved, name, version);
    EXPECT_FALSE(found.has_value());
    return found ? Error{} : found.error();
  };
  EXPECT_EQ(refused("nothing", std::nullopt).code, ErrorCode::kNotFound);
  EXPECT_EQ(refused("gone", std::nullopt).code, ErrorCode::kNotFound);
  EXPECT_EQ(refused("shop", 4).code, ErrorCode::kNotFound);
  EXPECT_THAT(refused("shop", 4).message, HasSubstr("no version 4; it has 1 to 3"));
  EXPECT_EQ(refused("web", 2).code, ErrorCode::kNotFound);
  EXPECT_EQ(refused("No Name", std::nullopt).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(refused("\xff", std::nullopt).code, ErrorCode::kInvalidArgument);
}

TEST(OwnRecipeName, IsNotABuiltInOne) {
  EXPECT_TRUE(check_own_recipe_name("shop").has_value());
  EXPECT_THAT(check_own_recipe_name("web").error().message, HasSubstr("\"web\" is built in"));
  EXPECT_THAT(check_own_recipe_name("Shop").error().message, HasSubstr("lower-case"));
  EXPECT_EQ(check_own_recipe_name("").error().code, ErrorCode::kInvalidArgument);
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
