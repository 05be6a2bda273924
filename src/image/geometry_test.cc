#include "image/geometry.h"

#include <gtest/gtest.h>

#include <random>

namespace pixmill::image {
namespace {

Resize resize_to(std::uint32_t width, std::uint32_t height, Fit fit, Enlarge enlarge = Enlarge::kNever) {
  return {.width_px = width, .height_px = height, .fit = fit, .enlarge = enlarge};
}

TEST(PlanResize, KeepsTheAspectInside) {
  const auto plan = plan_resize({4000, 3000}, resize_to(800, 800, Fit::kInside));
  EXPECT_EQ(plan.scaled, (SizePx{800, 600}));
  EXPECT_EQ(plan.canvas, (SizePx{800, 600}));
  EXPECT_EQ(plan.crop, (BoxPx{0, 0, {800, 600}}));
  EXPECT_EQ(plan_resize({3000, 4000}, resize_to(800, 800, Fit::kInside)).canvas, (SizePx{600, 800}));
}

TEST(PlanResize, FollowsTheAspectWhenOneSideIsGiven) {
  for (const Fit fit : {Fit::kInside, Fit::kCover, Fit::kContain, Fit::kFill}) {
    EXPECT_EQ(plan_resize({1600, 1200}, {.width_px = 800, .height_px = {}, .fit = fit}).canvas, (SizePx{800, 600}));
    EXPECT_EQ(plan_resize({1600, 1200}, {.width_px = {}, .height_px = 300, .fit = fit}).canvas, (SizePx{400, 300}));
  }
}

TEST(PlanResize, NeverEnlargesUnlessAllowed) {
  EXPECT_EQ(plan_resize({100, 50}, resize_to(200, 200, Fit::kInside)).canvas, (SizePx{100, 50}));
  EXPECT_EQ(plan_resize({100, 50}, resize_to(200, 200, Fit::kInside, Enlarge::kAllowed)).canvas, (SizePx{200, 100}));
  EXPECT_EQ(plan_resize({100, 50}, resize_to(200, 20, Fit::kFill)).canvas, (SizePx{100, 20}));
  EXPECT_EQ(plan_resize({100, 50}, resize_to(200, 20, Fit::kFill, Enlarge::kAllowed)).canvas, (SizePx{200, 20}));
  EXPECT_EQ(plan_resize({100, 50}, {.width_px = 300, .height_px = {}}).canvas, (SizePx{100, 50}));
}

TEST(PlanResize, CoversTheBoxAndCropsTheCentre) {
  const auto plan = plan_resize({4000, 3000}, resize_to(300, 300, Fit::kCover));
  EXPECT_EQ(plan.scaled, (SizePx{400, 300}));
  EXPECT_EQ(plan.crop, (BoxPx{50, 0, {300, 300}}));
  EXPECT_EQ(plan.canvas, (SizePx{300, 300}));
}

TEST(PlanResize, CoverOfASmallPictureCropsWhatItCan) {
  const auto plan = plan_resize({400, 300}, resize_to(800, 200, Fit::kCover));
  EXPECT_EQ(plan.scaled, (SizePx{400, 300}));
  EXPECT_EQ(plan.crop, (BoxPx{0, 50, {400, 200}}));
  EXPECT_EQ(plan.canvas, (SizePx{400, 200}));
}

TEST(PlanResize, ContainsAndFillsUp) {
  const auto plan = plan_resize({400, 200}, resize_to(100, 100, Fit::kContain));
  EXPECT_EQ(plan.scaled, (SizePx{100, 50}));
  EXPECT_EQ(plan.canvas, (SizePx{100, 100}));
  EXPECT_EQ(plan.placement, (BoxPx{0, 25, {100, 50}}));
  const auto small = plan_resize({40, 20}, resize_to(100, 100, Fit::kContain));
  EXPECT_EQ(small.scaled, (SizePx{40, 20}));
  EXPECT_EQ(small.placement, (BoxPx{30, 40, {40, 20}}));
}

TEST(PlanResize, NoSideVanishes) {
  EXPECT_EQ(plan_resize({10'000, 1}, resize_to(10, 10, Fit::kInside)).canvas, (SizePx{10, 1}));
  EXPECT_EQ(plan_resize({1, 10'000}, resize_to(10, 10, Fit::kInside)).canvas, (SizePx{1, 10}));
}

TEST(PlanResize, GravitySaysWhichPartStays) {
  struct Expected {
    Gravity gravity;
    std::uint32_t left, top;
  };
  const auto place = [](Gravity gravity, Fit fit, SizePx source) {
    Resize resize = resize_to(100, 100, fit);
    resize.gravity = gravity;
    return plan_resize(source, resize);
  };
  for (const auto& [gravity, left, top] :
       {Expected{Gravity::kCentre, 50, 0}, Expected{Gravity::kWest, 0, 0}, Expected{Gravity::kNorthEast, 100, 0},
        Expected{Gravity::kEast, 100, 0}, Expected{Gravity::kSouthWest, 0, 0}, Expected{Gravity::kAttention, 50, 0}}) {
    const ResizePlan wide = place(gravity, Fit::kCover, {400, 200});
    EXPECT_EQ(wide.crop.left, left);
    EXPECT_EQ(wide.crop.top, top);
  }
  EXPECT_EQ(place(Gravity::kSouth, Fit::kCover, {200, 400}).crop.top, 100U);
  EXPECT_EQ(place(Gravity::kNorth, Fit::kCover, {200, 400}).crop.top, 0U);
  EXPECT_EQ(place(Gravity::kSouthEast, Fit::kContain, {400, 200}).placement.top, 50U);
  EXPECT_EQ(place(Gravity::kNorthWest, Fit::kContain, {400, 200}).placement.top, 0U);
}

TEST(PlanResize, OutsideCoversTheBoxAndCutsNothing) {
  const ResizePlan plan = plan_resize({400, 200}, resize_to(100, 100, Fit::kOutside));
  EXPECT_EQ(plan.canvas, (SizePx{200, 100}));
  EXPECT_EQ(plan.crop.size, (SizePx{200, 100}));
}

TEST(PlanResize, ThePixelRatioEnlargesTheBox) {
  EXPECT_EQ(plan_resize({4000, 2000}, resize_to(100, 100, Fit::kInside), 2).canvas, (SizePx{200, 100}));
  EXPECT_EQ(plan_resize({4000, 2000}, resize_to(100, 100, Fit::kCover), 1.5).canvas, (SizePx{150, 150}));
}

TEST(PlanCrop, CutsWhatReachesOverThePicture) {
  EXPECT_EQ(plan_crop({100, 50}, {.left_px = 10, .top_px = 20, .width_px = 30, .height_px = 40}),
            (BoxPx{10, 20, {30, 30}}));
  EXPECT_FALSE(plan_crop({100, 50}, {.left_px = 100, .top_px = 0, .width_px = 1, .height_px = 1}));
  EXPECT_FALSE(plan_crop({100, 50}, {.left_px = 0, .top_px = 50, .width_px = 1, .height_px = 1}));
}

TEST(PlanResize, HoldsItsRulesForAnySizes) {
  std::mt19937 random(7);
  std::uniform_int_distribution<std::uint32_t> side(1, 65'535);
  for (int i = 0; i < 20'000; ++i) {
    const SizePx source{side(random), side(random)};
    const auto fit = static_cast<Fit>(i % 5);
    const auto enlarge = (i & 4) != 0 ? Enlarge::kAllowed : Enlarge::kNever;
    const SizePx box{side(random), side(random)};
    const auto plan = plan_resize(source, resize_to(box.width, box.height, fit, enlarge));
    ASSERT_GE(plan.scaled.width, 1U);
    ASSERT_GE(plan.scaled.height, 1U);
    ASSERT_LE(plan.crop.left + plan.crop.size.width, plan.scaled.width);
    ASSERT_LE(plan.crop.top + plan.crop.size.height, plan.scaled.height);
    ASSERT_EQ(plan.placement.size, plan.crop.size);
    ASSERT_LE(plan.placement.left + plan.placement.size.width, plan.canvas.width);
    ASSERT_LE(plan.placement.top + plan.placement.size.height, plan.canvas.height);
    if (fit != Fit::kOutside) {
      ASSERT_LE(plan.canvas.width, box.width);
      ASSERT_LE(plan.canvas.height, box.height);
    } else if (enlarge == Enlarge::kAllowed) {
      ASSERT_GE(plan.canvas.width, box.width);
      ASSERT_GE(plan.canvas.height, box.height);
    }
    if (enlarge == Enlarge::kNever) {
      ASSERT_LE(plan.scaled.width, source.width);
      ASSERT_LE(plan.scaled.height, source.height);
    } else if (fit != Fit::kInside && fit != Fit::kOutside) {
      ASSERT_EQ(plan.canvas, box);
    }
  }
}

TEST(PlanWatermark, FitsIntoTheSmallestPictures) {
  const Watermark cornered{.image = "upload", .gravity = Gravity::kSouthEast, .scale = 0.01, .margin_px = 10};
  EXPECT_EQ(plan_watermark({1, 1}, {400, 300}, cornered), (BoxPx{0, 0, {1, 1}}));
  EXPECT_EQ(plan_watermark({20, 200}, {400, 300}, cornered), (BoxPx{19, 189, {1, 1}}));
  EXPECT_EQ(plan_watermark({21, 200}, {400, 300}, cornered), (BoxPx{10, 189, {1, 1}}));
  EXPECT_EQ(plan_watermark({65'535, 1}, {1, 65'535}, {.image = "upload", .scale = 1}), (BoxPx{32'767, 0, {1, 1}}));
  EXPECT_EQ(plan_watermark({100, 100}, {100, 100}, {.image = "upload"}), (BoxPx{0, 0, {100, 100}}));
}

}  // namespace
}  // namespace pixmill::image
