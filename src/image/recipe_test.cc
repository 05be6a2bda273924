#include "image/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace pixmill::image {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Recipe parsed(std::string_view text) {
  const auto recipe = parse_recipe(text);
  EXPECT_TRUE(recipe) << text << ": " << recipe.error().message;
  return recipe.value_or(Recipe{});
}

std::string error_of(std::string_view text) {
  const auto recipe = parse_recipe(text);
  EXPECT_FALSE(recipe) << text;
  if (recipe) return "";
  EXPECT_EQ(recipe.error().code, ErrorCode::kInvalidArgument);
  return recipe.error().message;
}

TEST(Recipe, BothSpellingsGiveTheSame) {
  const Recipe compact = parsed(
      "format=webp quality=80 resize=800x600:cover:enlarge background=#102030 metadata=keep keep_smaller=false "
      "progressive=false effort=7 tables=standard");
  const Recipe json = parsed(
      R"({"format":"webp","quality":80,"resize":{"width":800,"height":600,"fit":"cover","enlarge":true},
          "background":"#102030","metadata":"keep","keep_smaller":false,
          "progressive":false,"effort":7,"tables":"standard"})");
  EXPECT_EQ(compact, json);
  EXPECT_EQ(compact.format, Format::kWebp);
  EXPECT_EQ(compact.quality, 80);
  EXPECT_EQ(compact.resize->width_px, 800U);
  EXPECT_EQ(compact.resize->fit, Fit::kCover);
  EXPECT_EQ(compact.resize->enlarge, Enlarge::kAllowed);
  EXPECT_EQ(compact.background, (Colour{0x10, 0x20, 0x30}));
  EXPECT_EQ(compact.metadata, Metadata::kKeep);
  EXPECT_EQ(compact.keep_smaller, false);
  EXPECT_EQ(compact.progressive, false);
  EXPECT_EQ(compact.effort, 7);
  EXPECT_EQ(compact.tables, JpegTables::kStandard);
}

TEST(Recipe, BuiltInNamesStandForTheirText) {
  EXPECT_EQ(canonical_text(parsed(kDefaultRecipe)), "format=jpeg quality=50");
  for (const auto& built_in : built_in_recipes()) EXPECT_EQ(parsed(built_in.name), parsed(built_in.text));
}

TEST(Recipe, LeavesOutDefaultsInItsCanonicalText) {
  EXPECT_EQ(canonical_text(Recipe{}), "format=keep");
  EXPECT_EQ(canonical_text(parsed("{}")), "format=keep");
  EXPECT_EQ(canonical_text(parsed(" metadata=strip\tresize=x600:inside\nformat=JPG background=#FFF ")),
            "format=jpeg resize=x600");
  EXPECT_EQ(canonical_text(parsed("resize=800x:enlarge:fill quality=1")), "quality=1 resize=800x:fill:enlarge");
}

TEST(Recipe, CanonicalTextParsesBackToTheSameRecipe) {
  std::mt19937 random(3);
  const auto upto = [&](std::uint32_t max) { return std::uniform_int_distribution<std::uint32_t>(0, max)(random); };
  for (int i = 0; i < 20'000; ++i) {
    Recipe recipe;
    const Format formats[] = {Format::kJpeg, Format::kPng, Format::kWebp};
    if (upto(1) == 1) recipe.format = formats[upto(2)];
    if (upto(1) == 1) recipe.quality = static_cast<int>(1 + upto(99));
    if (upto(1) == 1) {
      Resize resize;
      resize.fit = static_cast<Fit>(upto(3));
      resize.enlarge = static_cast<Enlarge>(upto(1));
      const std::uint32_t sides = 1 + upto(2);
      if ((sides & 1) != 0) resize.width_px = 1 + upto(65'534);
      if ((sides & 2) != 0) resize.height_px = 1 + upto(65'534);
      recipe.resize = resize;
    }
    const auto channel = [&] { return static_cast<std::uint8_t>(upto(255)); };
    if (upto(1) == 1) recipe.background = {.red = channel(), .green = channel(), .blue = channel()};
    recipe.metadata = static_cast<Metadata>(upto(1));
    if (upto(1) == 1) recipe.keep_smaller = upto(1) == 1;
    if (upto(1) == 1) recipe.progressive = upto(1) == 1;
    if (upto(1) == 1) recipe.effort = static_cast<int>(1 + upto(8));
    recipe.tables = static_cast<JpegTables>(upto(1));
    const std::string text = canonical_text(recipe);
    ASSERT_EQ(parsed(text), recipe) << text;
    ASSERT_EQ(canonical_text(parsed(text)), text);
  }
}

TEST(Recipe, ErrorsNameFieldValueAndWhatIsAllowed) {
  EXPECT_THAT(error_of("quality=0"), AllOf(HasSubstr("quality"), HasSubstr("\"0\""), HasSubstr("1 to 100")));
  EXPECT_THAT(error_of("quality=101"), HasSubstr("1 to 100"));
  EXPECT_THAT(error_of("quality=8.5"), HasSubstr("whole number"));
  EXPECT_THAT(error_of("format=gif"), AllOf(HasSubstr("\"gif\""), HasSubstr("keep, jpeg, png or webp")));
  EXPECT_THAT(error_of("background=red"), HasSubstr("#ffffff"));
  EXPECT_THAT(error_of("background=#12345g"), HasSubstr("#12345g"));
  EXPECT_THAT(error_of("metadata=some"), HasSubstr("strip or keep"));
  EXPECT_THAT(error_of("keep_smaller=1"), HasSubstr("true or false"));
  EXPECT_THAT(error_of("progressive=yes"), AllOf(HasSubstr("progressive"), HasSubstr("true or false")));
  EXPECT_THAT(error_of("effort=0"), AllOf(HasSubstr("effort"), HasSubstr("1 to 9")));
  EXPECT_THAT(error_of("effort=10"), HasSubstr("1 to 9"));
  EXPECT_THAT(error_of("tables=mine"), HasSubstr("balanced or standard"));
  EXPECT_THAT(error_of("qualty=5"), AllOf(HasSubstr("qualty"), HasSubstr("unknown"), HasSubstr("keep_smaller")));
  EXPECT_THAT(error_of("quality=5 quality=6"), HasSubstr("twice"));
  EXPECT_THAT(error_of("fast"), AllOf(HasSubstr("\"fast\""), HasSubstr("compress")));
  EXPECT_THAT(error_of("compress quality=5"), HasSubstr("compress"));
}

TEST(Recipe, RefusesMalformedSizes) {
  for (const std::string text : {"x", "800", "0x5", "5x0", "65536x1", "-5x5", "5x5:middle", "5x5:cover:cover",
                                 "5x5:cover:fill", "5x5:enlarge:enlarge", "5x5:", "5x5x5", ""}) {
    EXPECT_THAT(error_of("resize=" + text), HasSubstr("resize")) << text;
  }
}

TEST(Recipe, RefusesJsonOfWrongTypesAndShapes) {
  EXPECT_THAT(error_of("{"), HasSubstr("JSON"));
  EXPECT_THAT(error_of(R"({"quality":"80"})"), AllOf(HasSubstr("quality"), HasSubstr("whole number")));
  EXPECT_THAT(error_of(R"({"quality":80.5})"), HasSubstr("whole number"));
  EXPECT_THAT(error_of(R"({"quality":99999999999999999999})"), HasSubstr("whole number"));
  EXPECT_THAT(error_of(R"({"format":7})"), HasSubstr("format"));
  EXPECT_THAT(error_of(R"({"background":null})"), HasSubstr("background"));
  EXPECT_THAT(error_of(R"({"metadata":true})"), HasSubstr("metadata"));
  EXPECT_THAT(error_of(R"({"keep_smaller":"true"})"), HasSubstr("keep_smaller"));
  EXPECT_THAT(error_of(R"({"progressive":"true"})"), HasSubstr("true or false"));
  EXPECT_THAT(error_of(R"({"effort":"4"})"), HasSubstr("1 to 9"));
  EXPECT_THAT(error_of(R"({"tables":false})"), HasSubstr("balanced or standard"));
  EXPECT_THAT(error_of(R"({"resize":"800x600"})"), HasSubstr("an object"));
  EXPECT_THAT(error_of(R"({"resize":{}})"), HasSubstr("a width, a height or both"));
  EXPECT_THAT(error_of(R"({"resize":{"width":0}})"), HasSubstr("resize.width"));
  EXPECT_THAT(error_of(R"({"resize":{"height":"5"}})"), HasSubstr("resize.height"));
  EXPECT_THAT(error_of(R"({"resize":{"width":5,"fit":"middle"}})"), HasSubstr("resize.fit"));
  EXPECT_THAT(error_of(R"({"resize":{"width":5,"enlarge":1}})"), HasSubstr("resize.enlarge"));
  EXPECT_THAT(error_of(R"({"resize":{"width":5,"depth":1}})"), HasSubstr("resize.depth"));
  EXPECT_THAT(error_of(R"({"colour":"#fff"})"), HasSubstr("unknown"));
  EXPECT_THAT(error_of(R"({"quality":5,"quality":5})"), HasSubstr("twice"));
  EXPECT_THAT(error_of(R"({"resize":{"width":5,"\u0077idth":6}})"), HasSubstr("twice"));
}

TEST(Recipe, RefusesWhatIsEmptyOrTooLong) {
  EXPECT_THAT(error_of(""), HasSubstr("empty"));
  EXPECT_THAT(error_of(" \n"), HasSubstr("empty"));
  EXPECT_THAT(error_of(std::string(5000, 'a')), HasSubstr("4096"));
}

TEST(Recipe, ShowsHostileValuesSafely) {
  const std::string message = error_of("format=\x01\xFF" + std::string(200, 'z'));
  EXPECT_LT(message.size(), 150U);
  EXPECT_EQ(message.find('\x01'), std::string::npos);
  EXPECT_EQ(message.find('\xFF'), std::string::npos);
}

}  // namespace
}  // namespace pixmill::image
