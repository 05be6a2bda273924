#include "image/recipe_overrides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace pixmill::image {
namespace {

using Cells = std::vector<std::pair<std::string, std::string>>;

std::string changed(const std::string& recipe, const Cells& cells) {
  Recipe parsed = parse_recipe(recipe).value();
  RecipeOverrides overrides;
  for (const auto& [field, value] : cells) EXPECT_TRUE(overrides.set(field, value).has_value()) << field;
  overrides.apply(parsed);
  return canonical_text(parsed);
}

TEST(RecipeOverrides, ReplaceTheBoxAndKeepHowItIsFitted) {
  EXPECT_EQ(changed("resize=1600x1600:cover:north:enlarge quality=80", {{"width", "400"}, {"height", "300"}}),
            "quality=80 resize=400x300:cover:north:enlarge");
  EXPECT_EQ(changed("resize=800x600", {{"height", "300"}}), "resize=x300") << "the width follows the aspect";
  EXPECT_EQ(changed("format=webp", {{"width", "65535"}}), "format=webp resize=65535x")
      << "inside, where there was none";
}

TEST(RecipeOverrides, ChangeEveryOutput) {
  EXPECT_EQ(changed("quality=80 a: format=webp resize=9x9 b: format=png", {{"quality", "5"}, {"format", "avif"}}),
            "a: format=avif quality=5 resize=9x9 b: format=avif quality=5");
}

TEST(RecipeOverrides, KeepIsAFormatLikeAnother) {
  EXPECT_EQ(changed("format=jpeg quality=50", {{"format", "keep"}}), "quality=50");
  EXPECT_EQ(changed("format=jpeg quality=50", {{"format", "jpg"}}), "format=jpeg quality=50");
}

TEST(RecipeOverrides, NothingSetChangesNothing) {
  EXPECT_EQ(changed("format=webp resize=8x8:fill", {}), "format=webp resize=8x8:fill");
}

TEST(RecipeOverrides, SayWhatIsAllowed) {
  const Cells bad = {{"width", "0"},     {"width", "65536"}, {"width", "8cm"}, {"height", "-1"},   {"height", ""},
                     {"format", "heic"}, {"format", "bmp"},  {"quality", "0"}, {"quality", "101"}, {"quality", "8.5"}};
  for (const auto& [field, value] : bad) {
    RecipeOverrides overrides;
    const auto set = overrides.set(field, value);
    ASSERT_FALSE(set.has_value()) << field << ' ' << value;
    EXPECT_EQ(set.error().code, ErrorCode::kInvalidArgument);
    const std::string allowed = field == "format"    ? "keep, jpeg, png, webp, avif, gif or tiff"
                                : field == "quality" ? "a whole number from 1 to 100"
                                                     : "a number of pixels from 1 to 65535";
    EXPECT_EQ(set.error().message, allowed);
    Recipe recipe;
    overrides.apply(recipe);
    EXPECT_EQ(recipe, Recipe{}) << "a refused value changes nothing";
  }
}

}  // namespace
}  // namespace pixmill::image
