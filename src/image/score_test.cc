#include "image/score.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "image/render.h"
#include "tests/support/test_pictures.h"

namespace pixmill::image {
namespace {

using testing::make_picture;

Rendered measured(const std::string& source, std::string_view recipe) {
  const auto parsed = parse_recipe(recipe);
  EXPECT_TRUE(parsed) << recipe;
  auto result = render(source, *parsed, Limits{}, {}, Measure::kYes);
  EXPECT_TRUE(result) << recipe << ": " << result.error().message << " " << result.error().detail;
  return result ? std::move(*result) : Rendered{.source = {}, .renditions = std::vector<Rendition>(1), .times = {}};
}

double score(const std::string& source, std::string_view recipe) {
  const Rendered result = measured(source, recipe);
  EXPECT_EQ(result.renditions[0].scored, Scored::kYes) << recipe;
  return result.renditions[0].score;
}

std::string noisy(Format format = Format::kPng) {
  return make_picture({.format = format, .size = {320, 240}, .noise = true, .quality = 95});
}

TEST(Score, FollowsTheQuality) {
  for (const std::string format : {"jpeg", "webp", "avif"}) {
    const double high = score(noisy(), "quality=90 format=" + format);
    const double low = score(noisy(), "quality=20 format=" + format);
    EXPECT_LT(high, 100) << format;
    EXPECT_LT(low, high - 20) << format;
  }
}

TEST(Score, IsAHundredWithoutLoss) {
  EXPECT_EQ(score(noisy(), "format=png"), 100);
  EXPECT_EQ(score(noisy(), "format=webp lossless=true resize=100x"), 100);
  EXPECT_EQ(score(make_picture({.format = Format::kPng, .size = {64, 48}, .alpha = true}), "format=png"), 100);
  EXPECT_EQ(score(make_picture({.size = {64, 48}, .grey = true}), "format=png rotate=90"), 100);
}

TEST(Score, JudgesJpegsThatNeverBecamePixels) {
  const std::string photo = noisy(Format::kJpeg);
  const double high = score(photo, "format=jpeg quality=90");
  const double low = score(photo, "format=jpeg quality=20");
  EXPECT_GT(high, 50);
  EXPECT_LT(low, high - 20);
  const std::string turned = make_picture({.size = {320, 240}, .orientation = 6});
  EXPECT_GT(score(turned, "format=jpeg quality=90"), 80);
}

TEST(Score, JudgesTheSourceThatWasKept) {
  const std::string photo = make_picture({.format = Format::kWebp, .size = {320, 240}, .noise = true, .quality = 20});
  const Rendered result = measured(photo, "quality=95");
  ASSERT_TRUE(result.renditions[0].source_kept);
  EXPECT_EQ(result.renditions[0].score, 100);
}

TEST(Score, JudgesTheTransformedPixelsAndNotTheSource) {
  EXPECT_GT(score(noisy(), "format=jpeg quality=95 blur=5 rotate=90 pad=10 background=#102030"), 90);
  EXPECT_GT(score(noisy(), "format=jpeg quality=95 brightness=0.3 icc=keep"), 50);
}

TEST(Score, ComparesAtTheSizeThatCameOut) {
  const Rendered result = measured(noisy(), "format=jpeg max_bytes=1500");
  ASSERT_TRUE(result.renditions[0].fitted);
  ASSERT_LT(result.renditions[0].width_px, 320U);
  EXPECT_EQ(result.renditions[0].scored, Scored::kYes);
}

TEST(Score, SaysWhyThereIsNone) {
  const std::string small = make_picture({.format = Format::kPng, .size = {64, 7}});
  EXPECT_EQ(measured(small, "format=jpeg").renditions[0].scored, Scored::kTooSmall);
  const std::string animation = make_picture({.format = Format::kGif, .size = {40, 30}, .frames = 3});
  EXPECT_EQ(measured(animation, "format=webp").renditions[0].scored, Scored::kAnimated);
  EXPECT_EQ(measured(animation, "format=png").renditions[0].scored, Scored::kYes);
  // Above kScoredPixelsMax together.
  const Rendered large = measured(make_picture({.format = Format::kPng, .size = {64, 48}}),
                                  "format=jpeg resize=4000x4000:fill:enlarge a: quality=50 b: quality=60");
  EXPECT_EQ(large.renditions[0].scored, Scored::kYes);
  EXPECT_EQ(large.renditions[1].scored, Scored::kTooLarge);
  const auto unasked = render(small, *parse_recipe("format=jpeg"), Limits{});
  EXPECT_EQ(unasked->renditions[0].scored, Scored::kNotAsked);
  EXPECT_FALSE(unasked->times);
}

TEST(Score, MeasuringChangesNoByte) {
  const std::string recipe =
      "quality=70 a: format=jpeg resize=100x b: format=webp crop=50x50+1+1 c: format=png grayscale=true d: format=jpeg";
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kGif, Format::kWebp}) {
    const std::string source = noisy(format);
    const Rendered asked = measured(source, recipe);
    const auto unasked = render(source, *parse_recipe(recipe), Limits{});
    ASSERT_TRUE(unasked);
    ASSERT_TRUE(asked.times);
    EXPECT_GT(asked.times->encode.count(), 0);
    EXPECT_GT(asked.times->decode.count() + asked.times->transform.count(), 0);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(asked.renditions[i].bytes, unasked->renditions[i].bytes) << i;
  }
}

TEST(Score, RefusesAFileThatCannotBeRead) {
  const std::string source = noisy();
  Rendition broken{.format = Format::kPng, .width_px = 320, .height_px = 240, .bytes = source.substr(0, 200)};
  EXPECT_FALSE(score_of(broken, Picture(), Colour{}));
}

}  // namespace
}  // namespace pixmill::image
