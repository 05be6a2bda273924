#include "image/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "image/jpeg_segments.h"
#include "image/tiff_directory.h"
#include "tests/support/test_pictures.h"

namespace pixmill::image {
namespace {

using namespace std::string_literals;
using testing::distance;
using ::testing::HasSubstr;
using testing::kBlue;
using testing::kGreen;
using testing::kRed;
using testing::kSecret;
using testing::kWhite;
using testing::make_picture;
using testing::Rgb;
using testing::see;

constexpr Format kAllSources[] = {Format::kJpeg, Format::kPng,  Format::kWebp, Format::kGif,
                                  Format::kTiff, Format::kAvif, Format::kHeif};

Rendition rendered(const std::string& source, std::string_view recipe) {
  const auto parsed = parse_recipe(recipe);
  EXPECT_TRUE(parsed) << recipe;
  auto result = render(source, *parsed, Limits{});
  EXPECT_TRUE(result) << recipe << ": " << code_name(result.error().code) << " " << result.error().message << " "
                      << result.error().detail;
  if (!result) return {};
  EXPECT_EQ(result->renditions.size(), 1U);
  return std::move(result->renditions.front());
}

Error error_of(const std::string& source, std::string_view recipe, const Limits& limits = {}) {
  const auto result = render(source, *parse_recipe(recipe), limits);
  EXPECT_FALSE(result) << recipe;
  return result ? Error{} : result.error();
}

void expect_corners(const std::string& bytes, const std::array<Rgb, 4>& expected, int tolerance = 30) {
  const auto corners = see(bytes).corners();
  for (std::size_t i = 0; i < corners.size(); ++i) {
    EXPECT_LE(distance(corners[i], expected[i]), tolerance)
        << "corner " << i << ": " << corners[i][0] << "," << corners[i][1] << "," << corners[i][2];
  }
}

constexpr std::array<Rgb, 4> kUpright = {kRed, kGreen, kBlue, kWhite};

// P34: outputs are clean.

TEST(P34, EveryOrientationComesOutUpright) {
  const std::array<Rgb, 4> expected[] = {{kRed, kGreen, kBlue, kWhite}, {kGreen, kRed, kWhite, kBlue},
                                         {kWhite, kBlue, kGreen, kRed}, {kBlue, kWhite, kRed, kGreen},
                                         {kRed, kBlue, kGreen, kWhite}, {kBlue, kRed, kWhite, kGreen},
                                         {kWhite, kGreen, kBlue, kRed}, {kGreen, kWhite, kRed, kBlue}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const Format format : {Format::kJpeg, Format::kWebp, Format::kTiff}) {
      const std::string source = make_picture({.format = format, .size = {160, 96}, .orientation = orientation});
      for (const std::string recipe : {"format=jpeg quality=90", "format=png", "format=webp quality=90",
                                       "format=jpeg quality=90 resize=80x80", "format=jpeg metadata=keep"}) {
        const Rendition out = rendered(source, recipe);
        SCOPED_TRACE(std::string(format_name(format)) + " " + std::to_string(orientation) + " " + recipe);
        const bool turned = orientation >= 5;
        EXPECT_EQ(out.width_px > out.height_px, !turned);
        expect_corners(out.bytes, expected[orientation - 1]);
      }
    }
  }
}

TEST(P34, MetadataIsGoneUnlessAsked) {
  for (const Format format : kAllSources) {
    const std::string source = make_picture({.format = format, .noise = true, .metadata = true});
    for (const std::string recipe : {"format=jpeg", "format=png", "format=webp", "format=keep",
                                     "format=keep quality=100", "format=jpeg resize=20x"}) {
      const Rendition out = rendered(source, recipe);
      EXPECT_EQ(out.bytes.find(kSecret), std::string::npos) << format_name(format) << " " << recipe;
      EXPECT_EQ(out.bytes.find("Exif"), std::string::npos) << format_name(format) << " " << recipe;
      EXPECT_EQ(out.bytes.find("EXIF"), std::string::npos) << format_name(format) << " " << recipe;
    }
  }
}

TEST(P34, KeptMetadataSaysUpright) {
  const std::string source = make_picture({.size = {160, 96}, .metadata = true, .orientation = 6});
  for (const std::string recipe :
       {"format=jpeg metadata=keep", "format=webp metadata=keep", "format=png metadata=keep"}) {
    const Rendition out = rendered(source, recipe);
    const std::size_t exif_at = out.bytes.find("II*\0"s);
    ASSERT_NE(exif_at, std::string::npos) << recipe;
    EXPECT_EQ(exif_orientation(std::string_view(out.bytes).substr(exif_at)), 1) << recipe;
    EXPECT_NE(out.bytes.find(kSecret, exif_at), std::string::npos) << recipe;
    // libvips compresses the packet in PNG.
    const char* xmp = out.format == Format::kPng ? "XML:com.adobe.xmp" : "xmpmeta";
    EXPECT_NE(out.bytes.find(xmp), std::string::npos) << recipe;
    EXPECT_LT(out.width_px, out.height_px);
  }
  const Rendition direct = rendered(make_picture({.metadata = true}), "format=jpeg metadata=keep");
  EXPECT_THAT(std::string(read_jpeg_metadata(direct.bytes).exif), HasSubstr(std::string(kSecret)));
  EXPECT_THAT(std::string(read_jpeg_metadata(direct.bytes).xmp), HasSubstr(std::string(kSecret)));
}

// Display P3 has sRGB's curve and other primaries (SMPTE EG 432-1): what a P3 colour is in sRGB.
Rgb srgb_of_p3(const Rgb& p3) {
  const auto linear = [](int value) {
    const double v = value / 255.0;
    return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
  };
  const auto coded = [](double value) {
    const double v = std::clamp(value, 0.0, 1.0);
    return static_cast<int>(std::lround(255 * (v <= 0.0031308 ? v * 12.92 : 1.055 * std::pow(v, 1 / 2.4) - 0.055)));
  };
  const double r = linear(p3[0]);
  const double g = linear(p3[1]);
  const double b = linear(p3[2]);
  return {coded(1.2249 * r - 0.2247 * g), coded(-0.0420 * r + 1.0419 * g),
          coded(-0.0197 * r - 0.0786 * g + 1.0979 * b)};
}

TEST(P34, ColoursBecomeSrgbAndTheProfileGoes) {
  const std::array<Rgb, 4> expected = {srgb_of_p3(kRed), srgb_of_p3(kGreen), srgb_of_p3(kBlue), srgb_of_p3(kWhite)};
  ASSERT_GT(distance(expected[1], kGreen), 20);  // or the test could not tell
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp}) {
    const std::string source =
        make_picture({.format = format, .size = {160, 96}, .quality = 98, .full_chroma = true, .icc = "p3"});
    for (const std::string recipe : {"format=png", "format=jpeg quality=95", "format=keep quality=95"}) {
      const Rendition out = rendered(source, recipe);
      SCOPED_TRACE(std::string(format_name(format)) + " " + recipe);
      EXPECT_FALSE(out.source_kept);
      expect_corners(out.bytes, expected, 12);
      EXPECT_EQ(out.bytes.find("acsp"), std::string::npos);  // an ICC profile's signature
      EXPECT_EQ(out.bytes.find("iCCP"), std::string::npos);
    }
  }
}

TEST(P34, AnSrgbProfileIsDroppedWithoutTouchingTheColours) {
  const std::string source = make_picture({.size = {160, 96}, .quality = 95, .icc = "srgb"});
  ASSERT_NE(source.find("acsp"), std::string::npos);
  for (const std::string recipe : {"format=jpeg quality=95", "format=keep quality=100"}) {
    const Rendition out = rendered(source, recipe);
    EXPECT_EQ(out.bytes.find("acsp"), std::string::npos) << recipe;
    expect_corners(out.bytes, kUpright, 8);
  }
}

TEST(P34, PrintColoursBecomeSrgb) {
  const std::string source = make_picture({.size = {160, 96}, .quality = 95, .cmyk = true});
  ASSERT_EQ(read_jpeg_metadata(source).components, 4);
  for (const std::string recipe : {"format=jpeg quality=90", "format=png", "format=keep"}) {
    const Rendition out = rendered(source, recipe);
    EXPECT_EQ(see(out.bytes).bands, 3);
    expect_corners(out.bytes, kUpright, 100);  // ink cannot show all of these
  }
}

TEST(P34, EverySourceGivesEveryFormatInTheRightColours) {
  for (const Format format : kAllSources) {
    const std::string source = make_picture({.format = format, .size = {160, 96}});
    for (const Format target : {Format::kJpeg, Format::kPng, Format::kWebp}) {
      const Rendition out = rendered(source, "quality=90 format=" + std::string(format_name(target)));
      EXPECT_EQ(out.format, target);
      EXPECT_EQ(out.width_px, 160U);
      EXPECT_EQ(out.height_px, 96U);
      SCOPED_TRACE(std::string(format_name(format)) + " to " + std::string(format_name(target)));
      expect_corners(out.bytes, kUpright);
    }
  }
}

TEST(P34, SixteenBitsAndGreyBecomeEightBits) {
  for (const Format format : {Format::kPng, Format::kTiff}) {
    for (const bool grey : {false, true}) {
      for (const bool alpha : {false, true}) {
        const std::string source =
            make_picture({.format = format, .size = {160, 96}, .grey = grey, .alpha = alpha, .sixteen_bits = true});
        const auto png = see(rendered(source, "format=png keep_smaller=false").bytes);
        EXPECT_EQ(png.bands, (grey ? 1 : 3) + (alpha ? 1 : 0));
        EXPECT_EQ(png.pixels.size(), 160U * 96U * static_cast<unsigned>(png.bands));  // one byte a sample
        EXPECT_LE(distance(png.at(20, 12), grey ? Rgb{kRed[0], kRed[0], kRed[0]} : kRed), 3);
        EXPECT_EQ(png.alpha_at(20, 12), 255);
        EXPECT_EQ(png.alpha_at(140, 12), alpha ? 0 : 255);
      }
    }
  }
}

// Formats and alpha.

TEST(Render, FlattensAlphaOnTheBackground) {
  for (const Format format : {Format::kPng, Format::kWebp, Format::kGif, Format::kTiff, Format::kAvif}) {
    const std::string source = make_picture({.format = format, .size = {160, 96}, .alpha = true});
    SCOPED_TRACE(format_name(format));
    expect_corners(rendered(source, "format=jpeg quality=90").bytes, {kRed, {255, 255, 255}, kBlue, {255, 255, 255}});
    expect_corners(rendered(source, "format=jpeg quality=90 background=#204060 resize=80x").bytes,
                   {kRed, {0x20, 0x40, 0x60}, kBlue, {0x20, 0x40, 0x60}});
  }
}

TEST(Render, PutsAColouredBackgroundBehindGrey) {
  const std::string source = make_picture({.format = Format::kPng, .size = {160, 96}, .grey = true, .alpha = true});
  const auto seen = see(rendered(source, "format=jpeg quality=90 background=#204060").bytes);
  EXPECT_LE(distance(seen.at(140, 12), {0x20, 0x40, 0x60}), 12);
  EXPECT_EQ(see(rendered(source, "format=jpeg quality=90").bytes).bands, 1);
}

TEST(Render, KeepsAlphaWhereTheFormatHasIt) {
  const std::string source = make_picture({.format = Format::kPng, .size = {160, 96}, .alpha = true});
  for (const std::string recipe :
       {"format=png", "format=webp", "format=webp resize=80x", "format=keep resize=40x40:cover"}) {
    const auto seen = see(rendered(source, recipe).bytes);
    EXPECT_EQ(seen.alpha_at(seen.size.width / 8, 4), 255) << recipe;
    EXPECT_EQ(seen.alpha_at(seen.size.width - 2, 4), 0) << recipe;
  }
}

TEST(Render, KeepChoosesAFormatItCanWrite) {
  const auto kept = [](const testing::PictureSpec& spec) { return rendered(make_picture(spec), "format=keep").format; };
  EXPECT_EQ(kept({.format = Format::kJpeg}), Format::kJpeg);
  EXPECT_EQ(kept({.format = Format::kPng}), Format::kPng);
  EXPECT_EQ(kept({.format = Format::kWebp}), Format::kWebp);
  EXPECT_EQ(kept({.format = Format::kGif}), Format::kGif);
  EXPECT_EQ(kept({.format = Format::kTiff}), Format::kTiff);
  EXPECT_EQ(kept({.format = Format::kAvif}), Format::kAvif);
  EXPECT_EQ(kept({.format = Format::kHeif}), Format::kJpeg);
}

TEST(Render, UsesTheFormatsDefaultQuality) {
  const std::string source = make_picture({});
  EXPECT_EQ(rendered(source, "format=jpeg").quality, 80);
  EXPECT_EQ(rendered(source, "format=webp").quality, 80);
  EXPECT_EQ(rendered(source, "format=png quality=30").quality, 0);
  EXPECT_EQ(rendered(source, "compress").quality, 50);
}

// Resizing.

TEST(Render, ResizesEveryFitFromEveryFormat) {
  struct Case {
    std::string resize;
    SizePx expected;
  };
  const Case cases[] = {
      {"80x80", {80, 48}},         {"40x", {40, 24}},        {"x24", {40, 24}},      {"50x50:cover", {50, 50}},
      {"50x50:contain", {50, 50}}, {"50x20:fill", {50, 20}}, {"400x400", {160, 96}}, {"320x320:enlarge", {320, 192}},
      {"7x7:cover", {7, 7}},       {"1x1:fill", {1, 1}},     {"9x", {9, 5}}};
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp}) {
    const std::string source = make_picture({.format = format, .size = {160, 96}});
    for (const auto& one : cases) {
      const Rendition out = rendered(source, "format=jpeg quality=90 resize=" + one.resize);
      EXPECT_EQ((SizePx{out.width_px, out.height_px}), one.expected) << one.resize;
      const auto seen = see(out.bytes);
      EXPECT_EQ(seen.size, one.expected) << one.resize;
      if (one.expected.width >= 40 && one.resize.find("contain") == std::string::npos) {
        expect_corners(out.bytes, kUpright, 40);
      }
    }
  }
}

TEST(Render, FillsUpContainedPicturesWithTheBackground) {
  const std::string source = make_picture({.size = {160, 96}});
  const auto seen = see(rendered(source, "format=png resize=100x100:contain background=#00ff80").bytes);
  EXPECT_EQ(seen.at(50, 2), (Rgb{0, 255, 0x80}));
  EXPECT_EQ(seen.at(50, 97), (Rgb{0, 255, 0x80}));
  EXPECT_LE(distance(seen.at(20, 30), kRed), 20);
}

TEST(Render, ShrinksLargeJpegsWithoutShiftingThem) {
  const std::string source = make_picture({.size = {1601, 1203}});
  for (const std::string size : {"800x", "300x", "100x", "40x"}) {
    expect_corners(rendered(source, "format=png resize=" + size).bytes, kUpright, 20);
  }
}

// The direct way from JPEG to JPEG.

TEST(Render, RecodesEverySamplingLikeTheWayThroughPixels) {
  for (const bool full_chroma : {false, true}) {
    for (const bool grey : {false, true}) {
      for (const bool progressive : {false, true}) {
        for (const SizePx size : {SizePx{160, 96}, SizePx{161, 97}, SizePx{1, 1}, SizePx{17, 9}, SizePx{8, 8}}) {
          const std::string source = make_picture(
              {.size = size, .grey = grey, .quality = 95, .progressive = progressive, .full_chroma = full_chroma});
          for (const std::string quality : {"quality=90", "quality=80"}) {
            const auto direct = see(rendered(source, "format=jpeg " + quality).bytes);
            const auto reference = see(rendered(source, "format=png keep_smaller=false").bytes);
            ASSERT_EQ(direct.size, size);
            EXPECT_EQ(direct.bands, grey ? 1 : 3);
            if (size.width > 100) {
              const auto expected = reference.corners();
              const auto seen = direct.corners();
              for (std::size_t i = 0; i < 4; ++i) EXPECT_LE(distance(seen[i], expected[i]), 10);
            }
          }
        }
      }
    }
  }
}

TEST(Render, CodesACoarseJpegBetterWithoutTouchingItsPixels) {
  for (const bool progressive : {false, true}) {
    const std::string source =
        make_picture({.size = {160, 96}, .noise = true, .metadata = true, .quality = 30, .progressive = progressive});
    for (const std::string recipe : {"format=jpeg quality=100", "compress", "format=jpeg effort=9 progressive=false"}) {
      const Rendition out = rendered(source, recipe);
      EXPECT_EQ(see(out.bytes).pixels, see(source).pixels) << recipe;
      EXPECT_LT(out.bytes.size(), source.size()) << recipe;
    }
  }
}

TEST(Render, TurnsAJpegOfWholeMcusWithoutItsPixels) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    SCOPED_TRACE(orientation);
    // A coarse source keeps its coefficients, so that every pixel can be found again but for the inverse transform's
    // rounding.
    const std::string source =
        make_picture({.size = {160, 96}, .noise = true, .orientation = orientation, .quality = 30});
    const auto direct = see(rendered(source, "compress").bytes);
    const auto pixels = see(rendered(source, "format=png").bytes);
    ASSERT_EQ(direct.size, pixels.size);
    int largest = 0;
    for (std::uint32_t y = 0; y < direct.size.height; ++y) {
      for (std::uint32_t x = 0; x < direct.size.width; ++x) {
        largest = std::max(largest, distance(direct.at(x, y), pixels.at(x, y)));
      }
    }
    EXPECT_LE(largest, 8);
  }
}

TEST(Render, TurnsAJpegWithPartialMcusThroughItsPixels) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string source = make_picture({.size = {161, 99}, .orientation = orientation});
    const Rendition out = rendered(source, "compress");
    EXPECT_EQ(see(out.bytes).size, (orientation >= 5 ? SizePx{99, 161} : SizePx{161, 99})) << orientation;
  }
}

TEST(Render, WritesJpegAsTheRecipeSays) {
  const std::string jpeg = make_picture({.size = {320, 240}, .noise = true, .quality = 95});
  const std::string png = make_picture({.format = Format::kPng, .size = {320, 240}, .noise = true});
  const auto is_progressive = [](const std::string& file) { return file.find("\xFF\xC2"s) != std::string::npos; };
  for (const std::string& source : {jpeg, png}) {
    const std::string usual = rendered(source, "format=jpeg quality=60").bytes;
    EXPECT_TRUE(is_progressive(usual));
    EXPECT_FALSE(is_progressive(rendered(source, "format=jpeg quality=60 progressive=false").bytes));
    EXPECT_NE(rendered(source, "format=jpeg quality=60 tables=standard").bytes, usual);
    const std::string weighed = rendered(source, "format=jpeg quality=60 effort=7").bytes;
    EXPECT_NE(weighed, usual);
    EXPECT_EQ(weighed, rendered(source, "format=jpeg quality=60 effort=9").bytes);
    EXPECT_EQ(usual, rendered(source, "format=jpeg quality=60 effort=1").bytes);
  }
}

// keep_smaller.

// A JPEG that our own encoder has written, which it cannot code better.
std::string well_coded(const testing::PictureSpec& spec) {
  return rendered(make_picture(spec), "format=jpeg quality=20 metadata=keep").bytes;
}

TEST(KeepSmaller, KeepsACleanSourceThatTheEncoderCannotBeat) {
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp}) {
    const testing::PictureSpec spec = {
        .format = format, .size = {160, 96}, .noise = true, .metadata = true, .quality = 20};
    const std::string source = format == Format::kJpeg ? well_coded(spec) : make_picture(spec);
    const Rendition out = rendered(source, "format=keep quality=100");
    SCOPED_TRACE(format_name(format));
    EXPECT_TRUE(out.source_kept || format == Format::kPng);
    EXPECT_LT(out.bytes.size(), source.size());  // its metadata went
    EXPECT_EQ(out.bytes.find(kSecret), std::string::npos);
    EXPECT_EQ(see(out.bytes).pixels, see(source).pixels);
    const Rendition verbatim = rendered(source, "format=keep quality=100 metadata=keep");
    if (verbatim.source_kept) {
      EXPECT_EQ(verbatim.bytes, source);
    }
  }
}

TEST(KeepSmaller, IsOffWhenTheRecipeNamesAFormatOrASize) {
  const std::string source = well_coded({.noise = true, .quality = 20});
  EXPECT_FALSE(rendered(source, "format=jpeg quality=100").source_kept);
  EXPECT_TRUE(rendered(source, "format=jpeg quality=100 keep_smaller=true").source_kept);
  EXPECT_TRUE(rendered(source, "quality=100 resize=900x900 keep_smaller=true").source_kept);
  EXPECT_FALSE(rendered(source, "quality=100 resize=900x900").source_kept);
  EXPECT_FALSE(rendered(source, "quality=100 keep_smaller=false").source_kept);
  EXPECT_FALSE(rendered(source, "quality=100 resize=20x20 keep_smaller=true").source_kept);
  EXPECT_FALSE(rendered(source, "format=webp quality=100 keep_smaller=true").source_kept);
}

TEST(KeepSmaller, NeverKeepsAPictureThatIsNotUpright) {
  const std::string source = make_picture({.noise = true, .orientation = 3, .quality = 20});
  EXPECT_FALSE(rendered(source, "quality=100").source_kept);
}

TEST(KeepSmaller, CutsOffWhatFollowsThePicture) {
  const std::string jpeg = well_coded({.noise = true, .quality = 20});
  const std::string hidden = make_picture({.metadata = true});
  const Rendition out = rendered(jpeg + hidden, "quality=100");
  EXPECT_TRUE(out.source_kept);
  EXPECT_EQ(out.bytes.find(kSecret), std::string::npos);
  EXPECT_LE(out.bytes.size(), jpeg.size());
}

// Animations.

TEST(Animation, GivesItsFirstFrameAndSaysSo) {
  for (const Format format : {Format::kGif, Format::kWebp}) {
    const std::string source = make_picture({.format = format, .size = {160, 96}, .frames = 4});
    for (const std::string recipe : {"format=jpeg quality=90", "format=png", "format=avif resize=80x"}) {
      const Rendition out = rendered(source, recipe);
      EXPECT_TRUE(out.first_frame) << recipe;
      EXPECT_EQ(read_header(out.bytes)->frames, 1U);
      expect_corners(out.bytes, kUpright);
    }
  }
  EXPECT_FALSE(rendered(make_picture({.format = Format::kGif}), "format=png").first_frame);
}

TEST(Animation, StaysWhereTheRecipeKeepsFormatAndSize) {
  const std::string source = make_picture({.format = Format::kWebp, .size = {160, 96}, .metadata = true, .frames = 4});
  const Rendition out = rendered(source, "format=keep");
  EXPECT_TRUE(out.source_kept);
  EXPECT_FALSE(out.first_frame);
  EXPECT_EQ(read_header(out.bytes)->frames, 4U);
  EXPECT_EQ(out.bytes.find(kSecret), std::string::npos);
}

// Errors.

TEST(RenderErrors, ACutOffFileIsTruncatedWhateverItsFormat) {
  for (const Format format : kAllSources) {
    const std::string whole = make_picture({.format = format, .size = {160, 96}, .noise = true});
    for (const std::string recipe : {"compress", "format=png", "format=jpeg resize=40x"}) {
      for (const std::size_t size : {whole.size() / 2, whole.size() * 3 / 4}) {
        EXPECT_EQ(error_of(whole.substr(0, size), recipe).code, ErrorCode::kTruncated)
            << format_name(format) << " " << recipe << " " << size << " of " << whole.size();
      }
    }
  }
  const std::string progressive = make_picture({.size = {160, 96}, .noise = true, .progressive = true});
  for (std::size_t tenth = 3; tenth < 10; ++tenth) {
    EXPECT_EQ(error_of(progressive.substr(0, progressive.size() * tenth / 10), "compress").code, ErrorCode::kTruncated);
  }
}

TEST(RenderErrors, AJpegCutOffAtAnyByteIsTruncatedOrWhole) {
  for (const bool progressive : {false, true}) {
    const std::string whole =
        make_picture({.size = {24, 17}, .noise = true, .orientation = 6, .progressive = progressive});
    const std::string expected = rendered(whole, "compress").bytes;
    for (std::size_t size = 0; size < whole.size(); ++size) {
      SCOPED_TRACE(size);
      const auto result = render(whole.substr(0, size), *parse_recipe("compress"), Limits{});
      if (result) {
        EXPECT_GE(size + 3, whole.size());
        EXPECT_EQ(result->renditions[0].bytes, expected);
      } else {
        constexpr std::size_t kSniffed = 3;
        EXPECT_EQ(result.error().code, size < kSniffed ? ErrorCode::kNotAnImage : ErrorCode::kTruncated);
      }
    }
  }
}

TEST(RenderErrors, AJpegDamagedAtAnyByteIsRefusedOrDecodes) {
  std::string file = make_picture({.size = {24, 17}, .noise = true});
  for (std::size_t at = 0; at < file.size(); ++at) {
    const char before = std::exchange(file[at], static_cast<char>(file[at] ^ 0x55));
    const auto result = render(file, *parse_recipe("compress"), Limits{});
    file[at] = before;
    if (!result) continue;  // which code is for the decoder to say
    EXPECT_EQ(see(result->renditions[0].bytes).size.width, result->renditions[0].width_px) << at;
  }
}

TEST(RenderErrors, AJpegThatLacksOnlyItsEndMarkIsWhole) {
  const std::string whole = make_picture({.size = {160, 96}, .noise = true});
  EXPECT_EQ(rendered(whole.substr(0, whole.size() - 2), "compress").width_px, 160U);
  EXPECT_EQ(rendered(whole.substr(0, whole.size() - 2), "format=png").width_px, 160U);
}

TEST(RenderErrors, DamagedDataIsRefused) {
  std::string jpeg = make_picture({.size = {160, 96}, .noise = true});
  // A marker in the middle of the data ends it early although the file is whole.
  jpeg.replace(jpeg.size() / 2, 2, "\xFF\xD9");
  EXPECT_EQ(error_of(jpeg + "\xFF\xD9", "compress").code, ErrorCode::kDecodeFailed);
  std::string png = make_picture({.format = Format::kPng, .size = {160, 96}, .noise = true});
  for (std::size_t i = 0; i < 200; ++i) png[png.size() / 2 + i] = static_cast<char>(i * 7);
  EXPECT_EQ(error_of(png, "compress").code, ErrorCode::kDecodeFailed);
}

TEST(RenderErrors, WhatIsNoPictureIsRefused) {
  EXPECT_EQ(error_of("", "compress").code, ErrorCode::kNotAnImage);
  EXPECT_EQ(error_of("<!DOCTYPE html><title>x</title>", "compress").code, ErrorCode::kNotAnImage);
  EXPECT_EQ(error_of("<svg xmlns='http://www.w3.org/2000/svg'/>", "compress").code, ErrorCode::kUnsupportedFormat);
}

TEST(RenderErrors, AResultTooLargeIsRefusedBeforeDecoding) {
  const std::string source = make_picture({.size = {160, 96}});
  EXPECT_EQ(error_of(source, "resize=60000x60000:fill:enlarge").code, ErrorCode::kTooLarge);
  EXPECT_EQ(error_of(source, "resize=60000x60000:contain").code, ErrorCode::kTooLarge);
  EXPECT_THAT(error_of(source, "format=webp resize=16384x10:fill:enlarge").message, HasSubstr("16383"));
  EXPECT_THAT(error_of(source, "format=jpeg resize=65501x10:fill:enlarge").message, HasSubstr("65500"));
}

TEST(RenderErrors, UnusualJpegKindsAreUnsupported) {
  std::string lossless = make_picture({});
  const std::size_t sof = lossless.find("\xFF\xC0"s);
  ASSERT_NE(sof, std::string::npos);
  lossless[sof + 1] = '\xC3';
  EXPECT_EQ(error_of(lossless, "compress").code, ErrorCode::kUnsupportedFormat);
  std::string twelve_bits = make_picture({});
  twelve_bits[sof + 4] = 12;
  EXPECT_EQ(error_of(twelve_bits, "compress").code, ErrorCode::kUnsupportedFormat);
}

// P32: floods are refused by their headers.

TEST(P32, PixelFloodsAreTooLargeByTheirHeader) {
  std::string png = make_picture({.format = Format::kPng});
  png.replace(16, 8, "\0\0\xEA\x60\0\0\xEA\x60"s);
  std::string gif = make_picture({.format = Format::kGif});
  gif.replace(6, 4, "\x60\xEA\x60\xEA"s);
  std::string jpeg = make_picture({});
  jpeg.replace(jpeg.find("\xFF\xC0"s) + 5, 4, "\xFF\xDC\xFF\xDC"s);
  std::string avif = make_picture({.format = Format::kAvif});
  avif.replace(avif.find("ispe") + 8, 8, "\0\0\x1B\x58\0\0\x1B\x58"s);  // 7000 × 7000 is above AVIF's own limit
  for (const auto& flood : {png, gif, jpeg, avif}) {
    const Error error = error_of(flood, "compress");
    EXPECT_EQ(error.code, ErrorCode::kTooLarge) << error.message;
    EXPECT_THAT(error.message, HasSubstr("pixels"));
  }
}

TEST(P32, FramesCountTowardsTheLimit) {
  const std::string source = make_picture({.format = Format::kGif, .size = {100, 100}, .frames = 10});
  EXPECT_EQ(error_of(source, "compress", {.pixels_max = 99'999, .avif_pixels_max = 1}).code, ErrorCode::kTooLarge);
  EXPECT_TRUE(render(source, *parse_recipe("compress"), {.pixels_max = 100'000, .avif_pixels_max = 1}));
}

}  // namespace
}  // namespace pixmill::image
