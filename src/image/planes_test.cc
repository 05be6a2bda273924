#include "image/planes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "image/jpeg/reduced_planes.h"
#include "image/jpeg_segments.h"
#include "image/planar_plan.h"
#include "image/render.h"
#include "tests/support/sample_jpegs.h"
#include "tests/support/test_pictures.h"

namespace pixmill::image {
namespace {

using jpeg::case_count;
using jpeg::DenseBlock;
using jpeg::DenseComponent;
using jpeg::make_jpeg;
using jpeg::Orientation;
using jpeg::SampleColours;
using jpeg::SampleOptions;
using jpeg::SampleProcess;
using testing::make_picture;
using testing::see;
using testing::SeenPicture;

constexpr Resolution kEighth{.across = 1.0 / 16, .down = 1.0 / 16};  // of a whole plane; small enough for any sampling
constexpr SampleColours kColours[] = {SampleColours::kYcc, SampleColours::kGrey};
constexpr std::array<unsigned, 2> kSamplings[] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}};

Plane plane_of(SizePx size, const std::vector<std::uint8_t>& samples) {
  Plane plane = *make_plane(size);
  for (std::uint32_t y = 0; y < size.height; ++y) std::copy_n(&samples[y * size.width], size.width, plane.row(y));
  return plane;
}

std::vector<std::uint8_t> samples_of(const Plane& plane) {
  std::vector<std::uint8_t> samples;
  for (std::uint32_t y = 0; y < plane.size.height; ++y) {
    samples.insert(samples.end(), plane.row(y), plane.row(y) + plane.size.width);
  }
  return samples;
}

// Waves of all colours, so smooth that every resampler agrees on them, and nowhere alike.
std::string wavy_jpeg(SizePx size, int orientation, int quality = 95) {
  std::vector<std::uint8_t> row(std::size_t{size.width} * 3);
  const std::string exif = testing::make_exif(orientation);
  const RowSource rows = [&](std::uint32_t y) {
    for (std::uint32_t x = 0; x < size.width; ++x) {
      const double across = 6.0 * x / size.width;
      const double down = 6.0 * y / size.height;
      row[3 * x] = static_cast<std::uint8_t>(128 + 90 * std::sin(across));
      row[3 * x + 1] = static_cast<std::uint8_t>(128 + 90 * std::sin(down));
      row[3 * x + 2] = static_cast<std::uint8_t>(128 + 90 * std::sin(1 + across / 2 + down));
    }
    return row.data();
  };
  return *encode_jpeg(size, 3, rows, {.quality = quality, .progressive = false, .exif = exif});
}

std::string bytes_of(const std::string& source, const std::string& recipe) {
  const auto result = render(source, *parse_recipe(recipe), Limits{});
  EXPECT_TRUE(result) << recipe << ": " << result.error().message;
  return result ? result->renditions.front().bytes : std::string();
}

SeenPicture rendered(const std::string& source, const std::string& recipe) { return see(bytes_of(source, recipe)); }

double mean_difference(const SeenPicture& a, const SeenPicture& b) {
  if (a.pixels.size() != b.pixels.size()) return std::numeric_limits<double>::infinity();
  double sum = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) sum += std::abs(a.pixels[i] - b.pixels[i]);
  return sum / static_cast<double>(a.pixels.size());
}

// ---- resizing and turning

TEST(ResizePlane, KeepsAnEvenPlaneEven) {
  const Plane plane = plane_of({.width = 37, .height = 23}, std::vector<std::uint8_t>(37 * 23, 91));
  for (const SizePx size : {SizePx{.width = 1, .height = 1}, SizePx{.width = 12, .height = 50}}) {
    const auto resized = resize_plane(plane, {.width = 37, .height = 23}, size);
    ASSERT_TRUE(resized);
    EXPECT_EQ(samples_of(*resized), std::vector<std::uint8_t>(std::size_t{size.width} * size.height, 91));
  }
}

TEST(ResizePlane, TakesTheRegionAlone) {
  std::vector<std::uint8_t> halves;
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 64; ++x) halves.push_back(x < 32 ? 20 : 220);
  }
  const Plane plane = plane_of({.width = 64, .height = 32}, halves);
  const auto left = resize_plane(plane, {.left = 2, .top = 1.5, .width = 16, .height = 24}, {.width = 8, .height = 8});
  ASSERT_TRUE(left);
  for (const std::uint8_t sample : samples_of(*left)) EXPECT_EQ(sample, 20);
}

// zimg's code for the widest vectors does not do this.
TEST(ResizePlane, ARampStaysARamp) {
  for (std::uint32_t width = 20; width < 300; width += 3) {
    std::vector<std::uint8_t> ramp;
    for (std::uint32_t i = 0; i < width * 3; ++i) ramp.push_back(static_cast<std::uint8_t>(i % width * 250 / width));
    const Plane plane = plane_of({.width = width, .height = 3}, ramp);
    for (std::uint32_t out = 5; out < width; out += 7) {
      const auto resized =
          samples_of(*resize_plane(plane, {.width = width - 0.5, .height = 3}, {.width = out, .height = 2}));
      for (std::uint32_t x = 4; x + 4 < out; ++x) {
        ASSERT_NEAR(resized[x], ((x + 0.5) * (width - 0.5) / out - 0.5) * 250 / width, 5)
            << x << " of " << width << " to " << out;
      }
    }
  }
}

TEST(ResizePlane, CopiesWhatStaysAsItIs) {
  const std::vector<std::uint8_t> samples = {1, 2, 3, 4, 5, 6};
  const Plane plane = plane_of({.width = 3, .height = 2}, samples);
  EXPECT_EQ(samples_of(*resize_plane(plane, {.width = 3, .height = 2}, plane.size)), samples);
}

TEST(ResizePlane, RefusesARegionThatIsNone) {
  const Plane plane = plane_of({.width = 2, .height = 2}, {1, 2, 3, 4});
  const auto resized = resize_plane(plane, {.width = -1, .height = 2}, {.width = 1, .height = 1});
  ASSERT_FALSE(resized);
  EXPECT_EQ(resized.error().code, ErrorCode::kUnsupportedFormat);
}

TEST(ResizePlane, GivesTheSameFromKeptFiltersAndNewOnes) {
  const Plane plane = plane_of({.width = 3, .height = 1}, {10, 200, 30});
  const Region all{.width = 3, .height = 1};
  const auto first = samples_of(*resize_plane(plane, all, {.width = 2, .height = 1}));
  for (std::uint32_t width = 4; width < 40; ++width) {
    EXPECT_TRUE(resize_plane(plane, all, {.width = width, .height = 1}));
    EXPECT_EQ(samples_of(*resize_plane(plane, all, {.width = 2, .height = 1})), first);
  }
  // Too long a side to be kept.
  const Plane line = plane_of({.width = 30'000, .height = 1}, std::vector<std::uint8_t>(30'000, 7));
  EXPECT_EQ(samples_of(*resize_plane(line, {.width = 30'000, .height = 1}, {.width = 2, .height = 1})),
            (std::vector<std::uint8_t>{7, 7}));
}

TEST(TurnPlane, TurnsAndMirrors) {
  const SizePx size{.width = 3, .height = 2};
  const std::vector<std::uint8_t> samples = {1, 2, 3, 4, 5, 6};
  const auto turned = [&](Orientation orientation) {
    return samples_of(*turn_plane(plane_of(size, samples), orientation));
  };
  EXPECT_EQ(turned({}), samples);
  EXPECT_EQ(turned({.mirror_x = true}), (std::vector<std::uint8_t>{3, 2, 1, 6, 5, 4}));
  EXPECT_EQ(turned({.mirror_y = true}), (std::vector<std::uint8_t>{4, 5, 6, 1, 2, 3}));
  EXPECT_EQ(turned({.transpose = true}), (std::vector<std::uint8_t>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(turned({.transpose = true, .mirror_x = true}), (std::vector<std::uint8_t>{4, 1, 5, 2, 6, 3}));
}

// ---- decoding

// A block's inverse cosine transform of the lowest `side` frequencies (ITU T.81 A.3.3), by its definition.
std::vector<double> transformed(const DenseBlock& block, const std::array<unsigned, jpeg::kBlockSize>& steps,
                                unsigned side) {
  std::vector<double> samples;
  const auto norm = [side](unsigned frequency) { return std::sqrt((frequency == 0 ? 1.0 : 2.0) / side); };
  const auto wave = [side](unsigned at, unsigned frequency) {
    return std::cos((2 * at + 1) * frequency * std::numbers::pi / (2.0 * side));
  };
  for (unsigned y = 0; y < side; ++y) {
    for (unsigned x = 0; x < side; ++x) {
      double sum = 0;
      for (unsigned i = 0; i < jpeg::kBlockSize; ++i) {
        const unsigned u = jpeg::horizontal_frequency(i);
        const unsigned v = jpeg::vertical_frequency(i);
        if (u >= side || v >= side) continue;
        sum += block[i] * static_cast<double>(steps[i]) * norm(u) * norm(v) * wave(x, u) * wave(y, v);
      }
      samples.push_back(std::clamp(128 + sum * side / 8, 0.0, 255.0));
    }
  }
  return samples;
}

void expect_same_samples(const Plane& plane, const DenseComponent& component, unsigned side) {
  for (std::uint32_t y = 0; y < plane.size.height; ++y) {
    for (std::uint32_t x = 0; x < plane.size.width; ++x) {
      const DenseBlock& block = component.blocks[y / side * component.blocks_wide + x / side];
      const double expected = transformed(block, component.quant_table, side)[y % side * side + x % side];
      ASSERT_NEAR(plane.row(y)[x], expected, 0.51) << x << "," << y << " of side " << side;
    }
  }
}

TEST(DecodeReduced, IsTheTransformOfTheLowestFrequencies) {
  unsigned seed = 1;
  for (unsigned i = 0; i < case_count(200); ++i) {
    SampleOptions options{.width_px = 1 + seed * 7 % 70, .height_px = 1 + seed * 13 % 70, .seed = seed};
    const auto sampling = kSamplings[seed % std::size(kSamplings)];
    options.h[0] = sampling[0];
    options.v[0] = sampling[1];
    options.colours = kColours[seed % std::size(kColours)];
    options.process = seed % 3 == 0 ? SampleProcess::kNonInterleaved : SampleProcess::kInterleaved;
    options.restart_interval = seed % 4 == 0 ? 2 : 0;
    const std::string file = make_jpeg(options);
    const auto dense = jpeg::read_dense(file);
    ASSERT_TRUE(dense);
    for (const unsigned side : {1U, 2U, 4U}) {
      const double wanted = side / 8.0 / kDecodeMargin;
      const Resolution luma{.across = wanted, .down = wanted};
      const auto planes = jpeg::decode_reduced(file, luma, {.across = wanted / 4, .down = wanted / 4});
      ASSERT_TRUE(planes) << planes.error().message << " " << planes.error().detail;
      ASSERT_EQ(planes->size(), dense->components.size());
      for (unsigned c = 0; c < planes->size(); ++c) {
        const DenseComponent& component = dense->components[c];
        const Plane& plane = (*planes)[c];
        // Chroma is wanted at a quarter: how many samples that takes of a block depends on its sampling.
        const auto own_side =
            static_cast<unsigned>(std::lround(plane.across * 8 * dense->components[0].h / component.h));
        expect_same_samples(plane, component, c == 0 ? side : own_side);
      }
    }
    ++seed;
  }
}

TEST(DecodeReduced, LeavesToOthersWhatItCannotDo) {
  const SampleOptions plain{.width_px = 64, .height_px = 48};
  SampleOptions progressive = plain;
  progressive.process = SampleProcess::kProgressive;
  SampleOptions rgb = plain;
  rgb.colours = SampleColours::kRgb;
  for (const std::string& file : {make_jpeg(progressive), make_jpeg(rgb)}) {
    const auto planes = jpeg::decode_reduced(file, kEighth, kEighth);
    ASSERT_FALSE(planes);
    EXPECT_EQ(planes.error().code, ErrorCode::kUnsupportedFormat);
  }
  const auto whole = jpeg::decode_reduced(make_jpeg(plain), {.across = 0.5, .down = 0.1}, kEighth);
  ASSERT_FALSE(whole);
  EXPECT_EQ(whole.error().code, ErrorCode::kUnsupportedFormat);
}

TEST(DecodeReduced, ATruncatedFileIsTypedAtEveryByte) {
  const std::string file = make_jpeg({.width_px = 40, .height_px = 24});
  ASSERT_TRUE(jpeg::decode_reduced(file, kEighth, kEighth));
  for (std::size_t length = 0; length + 3 < file.size(); ++length) {
    const auto planes = jpeg::decode_reduced(file.substr(0, length), kEighth, kEighth);
    if (planes) continue;  // nothing but padding bits was missing
    const ErrorCode code = planes.error().code;
    EXPECT_TRUE(code == ErrorCode::kTruncated || code == ErrorCode::kDecodeFailed ||
                code == ErrorCode::kUnsupportedFormat)
        << length;
  }
  EXPECT_EQ(jpeg::decode_reduced(file.substr(0, file.size() / 2), kEighth, kEighth).error().code,
            ErrorCode::kTruncated);
}

TEST(DecodeJpegPlanes, GivesComponentsInTheirOwnSizes) {
  for (const auto sampling : kSamplings) {
    for (const auto process : {SampleProcess::kInterleaved, SampleProcess::kProgressive}) {
      for (unsigned width = 1; width <= 41; width += 8) {
        const std::string file = make_jpeg({.width_px = width,
                                            .height_px = 42 - width,
                                            .h = {sampling[0], 1, 1},
                                            .v = {sampling[1], 1, 1},
                                            .process = process});
        const auto planes = decode_jpeg_planes(file, 1);
        ASSERT_TRUE(planes) << planes.error().message;
        ASSERT_EQ(planes->size(), 3U);
        EXPECT_EQ((*planes)[0].size, (SizePx{.width = width, .height = 42 - width}));
        EXPECT_EQ((*planes)[1].size.width, (width + sampling[0] - 1) / sampling[0]);
        EXPECT_EQ((*planes)[1].across, 1.0 / sampling[0]);
        EXPECT_EQ((*planes)[2].down, 1.0 / sampling[1]);
        for (const std::uint32_t shrink : {2U, 4U, 8U}) EXPECT_TRUE(decode_jpeg_planes(file, shrink));
      }
    }
  }
}

TEST(DecodeJpegPlanes, RefusesOtherColoursAndDamage) {
  for (const SampleColours colours : {SampleColours::kRgb, SampleColours::kCmyk}) {
    const auto planes = decode_jpeg_planes(make_jpeg({.colours = colours}), 1);
    ASSERT_FALSE(planes);
    EXPECT_EQ(planes.error().code, ErrorCode::kUnsupportedFormat);
  }
  const std::string file = make_jpeg({.width_px = 64, .height_px = 64});
  EXPECT_EQ(decode_jpeg_planes(file.substr(0, file.size() / 2), 1).error().code, ErrorCode::kTruncated);
  EXPECT_EQ(decode_jpeg_planes("", 1).error().code, ErrorCode::kTruncated);
  using namespace std::string_view_literals;
  std::string damaged = file.substr(0, file.size() / 2);
  for (int i = 0; i < 300; ++i) damaged += "\xFF\x00"sv;  // ones, which are no code
  damaged += file.substr(file.size() / 2);
  EXPECT_EQ(decode_jpeg_planes(damaged, 1).error().code, ErrorCode::kDecodeFailed);
}

// ---- encoding

TEST(EncodeJpegPlanes, WritesEverySizeWithoutAWarning) {
  for (std::uint32_t width = 1; width <= 35; width += 2) {
    for (const std::uint32_t step : {1U, 2U}) {
      const SizePx size{.width = width, .height = 36 - width};
      const SizePx chroma{.width = (size.width + step - 1) / step, .height = (size.height + step - 1) / step};
      Planes planes;
      planes.push_back(plane_of(size, std::vector<std::uint8_t>(std::size_t{size.width} * size.height, 100)));
      planes.push_back(plane_of(chroma, std::vector<std::uint8_t>(std::size_t{chroma.width} * chroma.height, 90)));
      planes.push_back(plane_of(chroma, std::vector<std::uint8_t>(std::size_t{chroma.width} * chroma.height, 170)));
      const auto file = encode_jpeg_planes(planes, {.quality = 90});
      ASSERT_TRUE(file) << file.error().message;
      const auto pixels = jpeg::decode_pixels(*file);
      ASSERT_TRUE(pixels);
      ASSERT_EQ(pixels->size(), std::size_t{size.width} * size.height * 3);
      // ITU T.871: Y = 100, Cb = 90, Cr = 170.
      constexpr int kExpected[] = {159, 83, 33};
      for (std::size_t i = 0; i < pixels->size(); ++i) ASSERT_NEAR((*pixels)[i], kExpected[i % 3], 4) << i;
    }
  }
}

TEST(EncodeJpegPlanes, RefusesSidesThatJpegCannotHave) {
  Planes planes;
  planes.push_back(plane_of({.width = 65'501, .height = 1}, std::vector<std::uint8_t>(65'501, 1)));
  EXPECT_FALSE(encode_jpeg_planes(planes, {}));
}

// ---- the whole way

// Odd sizes, every orientation, cuts and turns, against the same done to all of the pixels. Half a pixel to a side
// would differ by more than twice what is allowed.
TEST(ThroughPlanes, LooksLikeTheWayThroughPixels) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string source = wavy_jpeg({.width = 331, .height = 203}, orientation);
    const std::string upright = bytes_of(source, "format=png");
    for (const std::string what :
         {"resize=97x97", "resize=97x61:cover:northwest", "resize=40x90:cover:southeast", "resize=50x80:fill",
          "resize=61x", "crop=150x91+33+20 resize=75x75", "rotate=90 resize=101x101", "rotate=180",
          "rotate=270 flip=true", "flop=true resize=77x77", "resize=700x500:enlarge", "resize=23x23"}) {
      SCOPED_TRACE("orientation " + std::to_string(orientation) + ", " + what);
      const std::string fine = what + " format=jpeg quality=100 tables=standard";
      EXPECT_LT(mean_difference(rendered(source, fine), rendered(upright, fine)), 1.3);
      if (what == "resize=23x23") continue;  // a wave of 12 samples of chroma
      const std::string halved = what + " format=jpeg quality=89 tables=standard";
      EXPECT_LT(mean_difference(rendered(source, halved), rendered(upright, halved)), 1.3);
    }
  }
}

TEST(ThroughPlanes, ManySizesOfOneDecodeAreThoseOfEachAlone) {
  const std::string source = wavy_jpeg({.width = 640, .height = 480}, 1);
  const auto both = render(
      source,
      *parse_recipe("format=jpeg quality=80 a: resize=400x400 b: resize=40x40:cover c: resize=200x200 quality=95"),
      Limits{});
  ASSERT_TRUE(both);
  ASSERT_EQ(both->renditions.size(), 3U);
  const std::string recipes[] = {"resize=400x400 quality=80", "resize=40x40:cover quality=80",
                                 "resize=200x200 quality=95"};
  for (std::size_t i = 0; i < 3; ++i) {
    const SeenPicture alone = rendered(source, "format=jpeg " + recipes[i]);
    EXPECT_LT(mean_difference(see(both->renditions[i].bytes), alone), 2.0) << i;
  }
}

// Chroma has half of luma's resolution both ways, by the frame's header.
bool is_halved(const std::string& bytes) { return !has_fine_chroma(bytes); }

TEST(ThroughPlanes, ColourIsAsFineAsAsked) {
  for (const bool full : {false, true}) {
    const std::string source = make_picture({.size = {200, 120}, .noise = true, .full_chroma = full});
    EXPECT_EQ(is_halved(source), !full);
    EXPECT_TRUE(is_halved(bytes_of(source, "format=jpeg resize=90x90 quality=80")));
    EXPECT_FALSE(is_halved(bytes_of(source, "format=jpeg resize=90x90 quality=90")));
    EXPECT_FALSE(is_halved(bytes_of(source, "format=jpeg resize=90x90 quality=80 chroma=444")));
    EXPECT_TRUE(is_halved(bytes_of(source, "format=jpeg resize=90x90 quality=90 chroma=420")));
    // Through pixels.
    EXPECT_FALSE(is_halved(bytes_of(source, "format=jpeg resize=90x90 quality=80 chroma=444 sharpen=1")));
    // Coefficients stay as fine as they are, and no finer.
    EXPECT_EQ(is_halved(bytes_of(source, "format=jpeg quality=80")), !full);
    EXPECT_EQ(is_halved(bytes_of(source, "format=jpeg quality=80 chroma=444")), !full);
    EXPECT_TRUE(is_halved(bytes_of(source, "format=jpeg quality=80 chroma=420")));
  }
}

TEST(ThroughPlanes, ColourIsHalvedOnlyWhereThatSavesBytes) {
  // Without colour there is nothing to be saved, and coding anew costs.
  const std::string plain = make_jpeg({.width_px = 64, .height_px = 64, .h = {1, 1, 1}, .v = {1, 1, 1}, .flat = true});
  const std::string kept = bytes_of(plain, "format=jpeg quality=95");
  EXPECT_LE(bytes_of(plain, "format=jpeg quality=95 chroma=420").size(), kept.size());
  const std::string noisy = make_picture({.size = {200, 120}, .noise = true, .full_chroma = true});
  EXPECT_LT(bytes_of(noisy, "format=jpeg quality=80 chroma=420").size(),
            bytes_of(noisy, "format=jpeg quality=80").size());
}

TEST(ThroughPlanes, MoreBytesNeverMeanLessQuality) {
  const std::string source = make_picture({.size = {640, 480}, .noise = true, .quality = 95, .full_chroma = true});
  int before = 0;
  for (const int bytes_max : {30'000, 40'000, 60'000, 80'000, 120'000, 160'000, 200'000, 300'000}) {
    const std::string recipe = "format=jpeg quality=90 chroma=420 max_bytes=" + std::to_string(bytes_max);
    const auto result = render(source, *parse_recipe(recipe), Limits{});
    ASSERT_TRUE(result) << recipe;
    if (result->renditions[0].width_px < 640) continue;
    EXPECT_GE(result->renditions[0].quality, before) << recipe;
    before = result->renditions[0].quality;
  }
  EXPECT_EQ(before, 90);
}

TEST(ThroughPlanes, FittedQualityDecidesOnColourAsThroughPixels) {
  const std::string source = make_picture({.size = {640, 480}, .noise = true, .full_chroma = true});
  const std::string recipe = "format=jpeg resize=320x quality=92 max_bytes=20000";
  EXPECT_TRUE(is_halved(bytes_of(source, recipe)));
  EXPECT_TRUE(is_halved(bytes_of(source, recipe + " saturation=1.001")));
}

TEST(JpegSegments, FineChromaIsToldFromTheFrame) {
  const auto file = [](std::array<unsigned, 3> h, std::array<unsigned, 3> v) { return make_jpeg({.h = h, .v = v}); };
  EXPECT_TRUE(has_fine_chroma(file({1, 1, 1}, {1, 1, 1})));
  EXPECT_TRUE(has_fine_chroma(file({2, 1, 1}, {1, 1, 1})));
  EXPECT_TRUE(has_fine_chroma(file({1, 1, 1}, {2, 1, 1})));
  EXPECT_FALSE(has_fine_chroma(file({2, 1, 1}, {2, 1, 1})));
  EXPECT_FALSE(has_fine_chroma(make_jpeg({.colours = SampleColours::kGrey})));
  const std::string whole = file({1, 1, 1}, {1, 1, 1});
  for (std::size_t length = 0; length < 150; ++length) EXPECT_FALSE(has_fine_chroma(whole.substr(0, length))) << length;
}

TEST(ThroughPlanes, GreyStaysGrey) {
  const std::string source = make_picture({.size = {300, 200}, .grey = true});
  EXPECT_EQ(rendered(source, "format=jpeg resize=90x90").bands, 1);
}

TEST(ThroughPlanes, OtherColoursGoThroughPixels) {
  const std::string source = make_picture({.size = {300, 200}, .cmyk = true});
  const SeenPicture seen = rendered(source, "format=jpeg resize=90x90");
  EXPECT_EQ(seen.bands, 3);
  const SeenPicture whole = rendered(source, "format=png");  // print colours are not those that went in
  EXPECT_LE(testing::distance(seen.corners()[1], whole.corners()[1]), 20);
}

TEST(ThroughPlanes, WhatDoesNotFitIsMadeSmaller) {
  const std::string source = make_picture({.size = {600, 400}, .noise = true});
  const auto result = render(source, *parse_recipe("format=jpeg resize=300x300 max_bytes=3000"), Limits{});
  ASSERT_TRUE(result);
  EXPECT_LE(result->renditions[0].bytes.size(), 3000U);
  EXPECT_TRUE(result->renditions[0].fitted);
  EXPECT_LT(result->renditions[0].width_px, 300U);
}

TEST(ThroughPlanes, MetadataGoesOrStaysAsAsked) {
  const std::string source = make_picture({.size = {300, 200}, .metadata = true});
  const auto bytes_of = [&](const std::string& metadata) {
    return render(source, *parse_recipe("format=jpeg resize=90x90 metadata=" + metadata), Limits{})
        ->renditions[0]
        .bytes;
  };
  EXPECT_EQ(bytes_of("strip").find(testing::kSecret), std::string::npos);
  EXPECT_NE(bytes_of("keep").find(testing::kSecret), std::string::npos);
}

TEST(PlanPlanar, GoesThroughPixelsForMoreThanCuttingScalingAndTurning) {
  const Facts facts{.size = {.width = 200, .height = 100}};
  const Header header{.format = Format::kJpeg, .width_px = 200, .height_px = 100};
  const auto goes = [&](std::string_view text) {
    const Recipe recipe = *parse_recipe(text);
    return plan_planar(*plan_output(header, facts, recipe.outputs[0], Limits{}), facts).has_value();
  };
  EXPECT_TRUE(goes("format=jpeg resize=50x50"));
  EXPECT_TRUE(goes("format=jpeg crop=50x50+1+1 rotate=90 resize=20x20:cover:north"));
  EXPECT_TRUE(goes("format=jpeg resize=50x25:contain"));  // which leaves nothing to be filled
  for (const std::string_view text :
       {"format=jpeg resize=50x50:contain", "format=jpeg resize=50x50:cover:attention", "format=jpeg trim=true",
        "format=jpeg pad=3", "format=jpeg grayscale=true", "format=jpeg resize=50x50 sharpen=1"}) {
    EXPECT_FALSE(goes(text)) << text;
  }
}

}  // namespace
}  // namespace pixmill::image
