// What recipes do to pictures, seen in the files that come out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <vips/vips.h>

#include "image/jpeg_segments.h"
#include "image/picture.h"
#include "image/render.h"
#include "image/tiff_directory.h"
#include "image/vips_runtime.h"
#include "tests/support/test_pictures.h"

namespace pixmill::image {
namespace {

using testing::distance;
using testing::kBlue;
using testing::kGreen;
using testing::kRed;
using testing::kSecret;
using testing::kWhite;
using testing::make_picture;
using testing::Rgb;
using testing::see;
using testing::SeenPicture;

std::vector<Rendition> all_rendered(const std::string& source, std::string_view recipe) {
  const auto parsed = parse_recipe(recipe);
  EXPECT_TRUE(parsed) << recipe;
  auto result = render(source, *parsed, Limits{});
  EXPECT_TRUE(result) << recipe << ": " << result.error().message << " " << result.error().detail;
  return result ? std::move(result->renditions) : std::vector<Rendition>(1);
}

Rendition rendered(const std::string& source, std::string_view recipe) {
  return std::move(all_rendered(source, recipe).front());
}

SizePx size_after(const std::string& source, std::string_view recipe) {
  const Rendition out = rendered(source, recipe);
  return {.width = out.width_px, .height = out.height_px};
}

ErrorCode error_of(const std::string& source, std::string_view recipe, const Limits& limits = {}) {
  const auto result = render(source, *parse_recipe(recipe), limits);
  EXPECT_FALSE(result) << recipe;
  return result ? ErrorCode::kInternal : result.error().code;
}

void expect_corners(const std::string& bytes, const std::array<Rgb, 4>& expected, int tolerance = 30) {
  const auto corners = see(bytes).corners();
  for (std::size_t i = 0; i < corners.size(); ++i) {
    EXPECT_LE(distance(corners[i], expected[i]), tolerance)
        << "corner " << i << ": " << corners[i][0] << "," << corners[i][1] << "," << corners[i][2];
  }
}

// Red, green, blue and white quadrants, 64×48.
const std::string& quadrants() {
  static const std::string picture = make_picture({.format = Format::kPng});
  return picture;
}

TEST(Outputs, TurnAndMirror) {
  expect_corners(rendered(quadrants(), "format=png rotate=90").bytes, {kBlue, kRed, kWhite, kGreen});
  expect_corners(rendered(quadrants(), "format=png rotate=180").bytes, {kWhite, kBlue, kGreen, kRed});
  expect_corners(rendered(quadrants(), "format=png rotate=270").bytes, {kGreen, kWhite, kRed, kBlue});
  expect_corners(rendered(quadrants(), "format=png flip=true").bytes, {kBlue, kWhite, kRed, kGreen});
  expect_corners(rendered(quadrants(), "format=png flop=true").bytes, {kGreen, kRed, kWhite, kBlue});
  EXPECT_EQ(size_after(quadrants(), "rotate=90"), (SizePx{48, 64}));
  // On top of what EXIF says, and with a size that refers to the turned picture.
  const std::string photo = make_picture({.size = {640, 480}, .orientation = 6});
  EXPECT_EQ(size_after(photo, "rotate=90 resize=320x"), (SizePx{320, 240}));
}

TEST(Outputs, CropIsInThePicturesOwnPixels) {
  const Rendition blue = rendered(quadrants(), "format=png crop=20x10+4+30");
  EXPECT_EQ(see(blue.bytes).size, (SizePx{20, 10}));
  expect_corners(blue.bytes, {kBlue, kBlue, kBlue, kBlue});
  EXPECT_EQ(size_after(quadrants(), "crop=100x100+32+24"), (SizePx{32, 24}));
  EXPECT_EQ(error_of(quadrants(), "crop=5x5+64+0"), ErrorCode::kInvalidArgument);
  // A large JPEG that is then made small is not decoded small first.
  const std::string photo = make_picture({.size = {1600, 1200}});
  expect_corners(rendered(photo, "format=png crop=800x600+800+0 resize=100x").bytes, {kGreen, kGreen, kGreen, kGreen});
}

TEST(Outputs, TrimTakesBordersOfOneColour) {
  const Rendition framed = rendered(quadrants(), "format=png pad=20,30,10,40 background=#102030");
  EXPECT_EQ(see(framed.bytes).size, (SizePx{134, 78}));
  EXPECT_LE(distance(see(framed.bytes).at(2, 2), Rgb{0x10, 0x20, 0x30}), 2);
  EXPECT_EQ(size_after(framed.bytes, "trim=true"), (SizePx{64, 48}));
  EXPECT_EQ(size_after(framed.bytes, "trim=true resize=32x"), (SizePx{32, 24}));
  // Nothing but border: whole.
  const Rendition plain = rendered(quadrants(), "format=png crop=20x10+4+30");
  EXPECT_EQ(size_after(plain.bytes, "trim=20"), (SizePx{20, 10}));
}

TEST(Outputs, CoverKeepsWhatDrawsTheEye) {
  // A noisy patch at the right end of a plain picture.
  const std::string noise = rendered(make_picture({.size = {100, 100}, .noise = true}), "format=png").bytes;
  const std::string wide = rendered(noise, "format=png pad=0,0,0,300 background=#808080").bytes;
  for (const std::string gravity : {"entropy", "attention"}) {
    const SeenPicture part = see(rendered(wide, "format=png resize=100x100:cover:" + gravity).bytes);
    EXPECT_EQ(part.size, (SizePx{100, 100}));
    int grey = 0;
    for (std::uint32_t x = 0; x < 100; ++x) grey += part.at(x, 50) == Rgb{0x80, 0x80, 0x80} ? 1 : 0;
    EXPECT_LT(grey, 50) << gravity;
  }
  EXPECT_EQ(see(rendered(wide, "format=png resize=100x100:cover:west").bytes).at(50, 50), (Rgb{0x80, 0x80, 0x80}));
}

TEST(Outputs, AdjustColours) {
  const auto corner = [](const std::string& recipe) {
    return see(rendered(quadrants(), "format=png " + recipe).bytes).corners()[0];
  };
  const Rgb grey = corner("grayscale=true");
  EXPECT_EQ(grey[0], grey[1]);
  EXPECT_EQ(grey[1], grey[2]);
  const Rgb pale = corner("saturation=0");
  EXPECT_LE(std::abs(pale[0] - pale[2]), 3);
  EXPECT_GT(corner("brightness=1.3")[1], kRed[1]);
  EXPECT_LT(corner("brightness=0.5")[0], kRed[0] - 50);
  EXPECT_LE(distance(corner("brightness=0"), Rgb{0, 0, 0}), 2);
}

TEST(Outputs, BlurAndSharpen) {
  const auto step = [](const std::string& recipe) {
    const SeenPicture seen = see(rendered(quadrants(), "format=png " + recipe).bytes);
    return distance(seen.at(31, 10), seen.at(32, 10));
  };
  EXPECT_LT(step("blur=3"), step("resize=64x") / 2);
  EXPECT_GE(step("sharpen=1.5"), step("resize=64x") - 5);
  const std::string noise = make_picture({.format = Format::kPng, .noise = true});
  EXPECT_NE(rendered(noise, "format=png sharpen=2").bytes, rendered(noise, "format=png").bytes);
}

TEST(Outputs, AlphaSurvivesEveryStep) {
  const std::string source = make_picture({.format = Format::kPng, .alpha = true});
  for (const std::string step : {"brightness=1.2", "saturation=0.5", "grayscale=true", "blur=1", "sharpen=1",
                                 "flop=true", "rotate=180", "resize=32x", "crop=40x40+10+4"}) {
    const SeenPicture seen = see(rendered(source, "format=png " + step).bytes);
    const bool mirrored = step == "flop=true" || step == "rotate=180";
    EXPECT_EQ(seen.alpha_at(1, 10), mirrored ? 0 : 255) << step;
    EXPECT_EQ(seen.alpha_at(seen.size.width - 2, 10), mirrored ? 255 : 0) << step;
  }
}

TEST(Outputs, EveryFormatIsWritten) {
  for (const std::string format : {"jpeg", "png", "webp", "avif", "gif", "tiff"}) {
    for (const bool alpha : {false, true}) {
      const std::string source = make_picture({.format = Format::kPng, .alpha = alpha, .metadata = true});
      const Rendition out = rendered(source, "format=" + format + " quality=90");
      EXPECT_EQ(format_name(out.format), format);
      const auto corners = see(out.bytes).corners();
      EXPECT_LE(distance(corners[0], kRed), 40) << format;
      EXPECT_LE(distance(corners[2], kBlue), 40) << format;
      EXPECT_EQ(out.bytes.find(kSecret), std::string::npos) << format;
    }
  }
}

TEST(Outputs, LosslessIsWithoutLoss) {
  const std::string noise = make_picture({.format = Format::kPng, .noise = true});
  const Rendition webp = rendered(noise, "lossless");
  EXPECT_EQ(webp.quality, 0);
  EXPECT_EQ(see(webp.bytes).pixels, see(noise).pixels);
}

TEST(Outputs, LosslessSaysNothingToFormatsThatHaveNoChoice) {
  for (const Format from : {Format::kJpeg, Format::kPng}) {
    const std::string source = make_picture({.format = from, .size = {200, 120}, .noise = true});
    for (const std::string format : {"keep", "jpeg", "png", "webp", "avif", "gif", "tiff"}) {
      for (const std::string fields : {"", " resize=50x", " max_bytes=9000", " quality=80"}) {
        const Rendition out = rendered(source, "lossless=true keep_smaller=false format=" + format + fields);
        const bool is_jpeg = out.format == Format::kJpeg;
        EXPECT_EQ(out.quality > 0, is_jpeg) << format << fields;
      }
    }
  }
}

TEST(Outputs, LosslessAvifKeepsColourWhole) {
  const std::string noise = make_picture({.format = Format::kPng, .size = {64, 64}, .noise = true});
  const auto before = see(noise).pixels;
  for (const std::string fields : {"", " chroma=420"}) {
    const auto after = see(rendered(noise, "format=avif lossless=true" + fields).bytes).pixels;
    ASSERT_EQ(after.size(), before.size());
    std::size_t difference = 0;
    for (std::size_t i = 0; i < before.size(); ++i)
      difference += before[i] > after[i] ? before[i] - after[i] : after[i] - before[i];
    EXPECT_LT(difference, 2 * before.size()) << fields;  // from RGB to its own colours and back is rounded
  }
}

TEST(Outputs, PaletteAndEffortAndProgressive) {
  const std::string noise = make_picture({.format = Format::kPng, .size = {200, 200}, .noise = true});
  const std::size_t whole = rendered(noise, "format=png keep_smaller=false").bytes.size();
  EXPECT_LT(rendered(noise, "format=png colours=16").bytes.size(), whole / 2);
  EXPECT_LT(rendered(noise, "format=png colours=2").bytes.size(),
            rendered(noise, "format=png colours=256").bytes.size());
  EXPECT_NE(rendered(noise, "format=png progressive=true").bytes.size(), whole);
  EXPECT_LE(rendered(noise, "format=webp effort=9").bytes.size(), rendered(noise, "format=webp effort=1").bytes.size());
}

TEST(Outputs, MaxBytesIsKept) {
  const std::string noise = make_picture({.format = Format::kJpeg, .size = {600, 400}, .noise = true, .quality = 95});
  for (const std::string format : {"jpeg", "webp", "avif", "png"}) {
    const Rendition free = rendered(noise, "format=" + format + " quality=80");
    const std::size_t half = free.bytes.size() / 2;
    const Rendition out = rendered(noise, "format=" + format + " quality=80 max_bytes=" + std::to_string(half));
    EXPECT_LE(out.bytes.size(), half) << format;
    EXPECT_GT(out.bytes.size(), half / 3) << format;
    EXPECT_TRUE(out.fitted) << format;
    EXPECT_FALSE(free.fitted) << format;
  }
  // Quality goes first, then size.
  const Rendition tiny = rendered(noise, "format=jpeg quality=80 max_bytes=3000");
  EXPECT_LT(tiny.width_px, 600U);
  EXPECT_LE(tiny.bytes.size(), 3000U);
  EXPECT_NEAR(static_cast<double>(tiny.width_px) / tiny.height_px, 1.5, 0.05);
}

TEST(Outputs, CopyrightStaysAlone) {
  const std::string source = make_picture({.metadata = true, .orientation = 6});
  for (const std::string recipe : {"format=jpeg metadata=copyright", "format=jpeg metadata=copyright resize=20x"}) {
    const Rendition out = rendered(source, recipe);
    const JpegMetadata metadata = read_jpeg_metadata(out.bytes);
    EXPECT_NE(metadata.exif.find(kSecret), std::string::npos) << "the artist";
    const auto directory = read_first_directory(metadata.exif);
    ASSERT_TRUE(directory);
    for (const auto& entry : directory->entries) EXPECT_TRUE(entry.tag == kTagArtist || entry.tag == kTagCopyright);
    EXPECT_TRUE(metadata.xmp.empty());
  }
}

TEST(Outputs, TheProfileStaysWhenAsked) {
  const std::string source = make_picture({.icc = "p3"});
  const std::string profile = read_jpeg_metadata(source).icc;
  ASSERT_FALSE(profile.empty());
  for (const std::string recipe : {"format=jpeg icc=keep", "format=jpeg icc=keep resize=20x"}) {
    const Rendition out = rendered(source, recipe);
    EXPECT_EQ(read_jpeg_metadata(out.bytes).icc, profile) << recipe;
    expect_corners(out.bytes, {kRed, kGreen, kBlue, kWhite});  // the numbers stay
  }
  const std::string png = rendered(source, "format=png icc=keep").bytes;
  EXPECT_NE(png.find("iCCP"), std::string::npos);
  EXPECT_NE(rendered(source, "format=webp icc=keep").bytes.find("ICCP"), std::string::npos);
  EXPECT_EQ(rendered(source, "format=webp").bytes.find("ICCP"), std::string::npos);
}

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(P34, KeepingTheProfileOrTheCopyrightKeepsNothingElse) {
  for (const Format from : {Format::kJpeg, Format::kPng, Format::kWebp, Format::kTiff}) {
    const std::string source = make_picture({.format = from, .metadata = true, .icc = "p3"});
    for (const std::string to : {"jpeg", "png", "webp", "avif", "gif", "tiff"}) {
      const Rendition profiled = rendered(source, "format=" + to + " icc=keep");
      EXPECT_EQ(count_of(profiled.bytes, kSecret), 0U) << format_name(from) << " to " << to;
      const Rendition copyright = rendered(source, "format=" + to + " metadata=copyright");
      // The artist alone, which libvips 8.14 writes into a PNG before and after its pixels.
      EXPECT_LE(count_of(copyright.bytes, kSecret), to == "png" ? 2U : 1U) << format_name(from) << " to " << to;
    }
  }
}

TEST(P32, AnyNameOfAnAvifHasItsLimit) {
  Limits limits;
  limits.avif_pixels_max = 64 * 48 - 1;
  EXPECT_EQ(error_of(make_picture({.format = Format::kAvif}), "compress", limits), ErrorCode::kTooLarge);
  EXPECT_EQ(error_of(make_picture({.format = Format::kHeif}), "compress", limits), ErrorCode::kTooLarge);
}

TEST(Outputs, FloatSamplesKeepColourAndAlpha) {
  ASSERT_TRUE(start_vips());
  const float half[] = {0.5F, 0.5F, 0.5F, 1.0F};
  Picture pixel(vips_image_new_from_memory(half, sizeof(half), 1, 1, 4, VIPS_FORMAT_FLOAT));
  Picture named;
  ASSERT_EQ(vips_copy(pixel.get(), named.out(), "interpretation", VIPS_INTERPRETATION_scRGB, nullptr), 0);
  void* bytes = nullptr;
  std::size_t size = 0;
  ASSERT_EQ(vips_tiffsave_buffer(named.get(), &bytes, &size, nullptr), 0);
  const std::string source(static_cast<const char*>(bytes), size);
  g_free(bytes);
  const SeenPicture seen = see(rendered(source, "format=png").bytes);
  EXPECT_EQ(seen.alpha_at(0, 0), 255);
  EXPECT_NEAR(seen.at(0, 0)[0], 188, 2);  // half the light
}

TEST(Outputs, ManyFromOneDecode) {
  const std::string source = make_picture({.size = {1600, 1200}, .orientation = 8});
  const auto renditions = all_rendered(source, "product-set");
  ASSERT_EQ(renditions.size(), 6U);
  EXPECT_EQ(renditions[0].name, "large-webp");
  EXPECT_EQ(renditions[0].height_px, 1600U);
  EXPECT_EQ(renditions[5].name, "small-jpeg");
  EXPECT_EQ(renditions[5].height_px, 256U);
  for (const auto& rendition : renditions) expect_corners(rendition.bytes, {kGreen, kWhite, kRed, kBlue});
}

TEST(Outputs, EachOutputIsWhatItWouldBeAlone) {
  const std::string source = make_picture({.size = {640, 480}, .noise = true, .orientation = 5, .icc = "p3"});
  const std::string fields[] = {"format=jpeg quality=70", "format=png resize=100x100:cover", "format=webp icc=keep",
                                "format=jpeg resize=320x trim=30 flop=true", "format=jpeg quality=60 metadata=keep"};
  std::string recipe;
  for (std::size_t i = 0; i < std::size(fields); ++i) recipe += "o" + std::to_string(i) + ": " + fields[i] + " ";
  const auto together = all_rendered(source, recipe);
  ASSERT_EQ(together.size(), std::size(fields));
  for (std::size_t i = 0; i < std::size(fields); ++i) {
    const Rendition alone = rendered(source, fields[i]);
    const SeenPicture one = see(alone.bytes);
    const SeenPicture other = see(together[i].bytes);
    ASSERT_EQ(one.size, other.size) << fields[i];
    // Decoded larger for the sake of the others, a small one may differ by a shade.
    for (std::size_t corner = 0; corner < 4; ++corner) {
      EXPECT_LE(distance(one.corners()[corner], other.corners()[corner]), 40) << fields[i];
    }
  }
}

TEST(Outputs, AnimationsStayAnimatedWhereTheFormatCan) {
  for (const Format from : {Format::kGif, Format::kWebp}) {
    const std::string source = make_picture({.format = from, .size = {80, 60}, .frames = 5});
    for (const std::string to : {"gif", "webp"}) {
      const Rendition out = rendered(source, "format=" + to + " resize=40x flop=true pad=2 trim=1 quality=90");
      const auto header = read_header(out.bytes);
      ASSERT_TRUE(header);
      EXPECT_EQ(header->frames, 5U) << to;
      EXPECT_FALSE(out.first_frame);
      EXPECT_EQ(out.width_px, 44U);
      EXPECT_EQ(out.height_px, 34U);
      const SeenPicture first = see(out.bytes);
      EXPECT_LE(distance(first.at(8, 6), kGreen), 60) << to;
    }
    const Rendition still = rendered(source, "format=png");
    EXPECT_TRUE(still.first_frame);
    EXPECT_EQ(read_header(still.bytes)->frames, 1U);
    Limits limits;
    limits.frames_max = 4;
    EXPECT_EQ(error_of(source, "format=gif resize=40x", limits), ErrorCode::kTooLarge);
  }
}

TEST(Outputs, AnimationsAreTurnedUpright) {
  const std::string stored = make_picture({.format = Format::kWebp, .size = {64, 48}, .orientation = 6, .frames = 3});
  ASSERT_EQ(read_header(stored)->frames, 3U);
  const auto outputs =
      all_rendered(stored, "quality=90 whole: format=webp metadata=keep part: format=webp crop=48x32+0+16");
  ASSERT_EQ(outputs.size(), 2U);
  EXPECT_EQ(read_header(outputs[0].bytes)->frames, 3U);
  EXPECT_EQ(outputs[0].width_px, 48U);
  EXPECT_EQ(outputs[0].height_px, 64U);
  expect_corners(outputs[0].bytes, {kBlue, kRed, kWhite, kGreen}, 60);
  EXPECT_EQ(outputs[1].height_px, 32U);
  const std::array<Rgb, 4> part = see(outputs[1].bytes).corners();
  EXPECT_LE(distance(part[0], kBlue), 60);
  EXPECT_LE(distance(part[3], kGreen), 60);
}

TEST(Outputs, AnAnimationAndAStillOfOneSource) {
  const std::string source = make_picture({.format = Format::kGif, .size = {80, 60}, .metadata = true, .frames = 3});
  const auto renditions = all_rendered(source, "moving: format=webp resize=40x still: format=jpeg resize=20x");
  ASSERT_EQ(renditions.size(), 2U);
  EXPECT_EQ(read_header(renditions[0].bytes)->frames, 3U);
  EXPECT_FALSE(renditions[0].first_frame);
  EXPECT_TRUE(renditions[1].first_frame);
  for (const auto& rendition : renditions) EXPECT_EQ(rendition.bytes.find(kSecret), std::string::npos);
}

TEST(Outputs, ResultsAreBounded) {
  const Limits limits{.pixels_max = 10'000};
  EXPECT_EQ(error_of(quadrants(), "resize=200x200:fill:enlarge", limits), ErrorCode::kTooLarge);
  EXPECT_EQ(error_of(quadrants(), "pad=100", limits), ErrorCode::kTooLarge);
  EXPECT_EQ(error_of(quadrants(), "trim=5 resize=200x200:fill:enlarge", limits), ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace pixmill::image
