#include "image/watermark.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <vips/vips.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "image/jpeg_segments.h"
#include "image/render.h"
#include "tests/support/test_pictures.h"

namespace pixmill::image {
namespace {

using testing::distance;
using ::testing::HasSubstr;
using testing::kRed;
using testing::make_picture;
using testing::Rgb;
using testing::see;
using testing::SeenPicture;

constexpr std::string_view kImage = "https://example.com/logo.png";

Result<Rendered> try_render(const std::string& source, const std::string& recipe, Mark& mark) {
  const auto parsed = parse_recipe(recipe);
  EXPECT_TRUE(parsed) << recipe << ": " << parsed.error().message;
  return render(source, *parsed, Limits{}, {{std::string(kImage), &mark}});
}

Rendition rendered(const std::string& source, const std::string& recipe, Mark& mark) {
  auto result = try_render(source, recipe, mark);
  EXPECT_TRUE(result) << recipe << ": " << result.error().message << " " << result.error().detail;
  return result ? std::move(result->renditions.front()) : Rendition{};
}

SeenPicture seen(const std::string& source, const std::string& fields, const std::string& options, Mark& mark) {
  return see(rendered(source, fields + " watermark=" + options + std::string(kImage), mark).bytes);
}

Mark mark_of(const std::string& file) {
  auto mark = Mark::decode(file, Limits{});
  EXPECT_TRUE(mark) << mark.error().message;
  return std::move(*mark);
}

std::string made(const std::string& source, const std::string& recipe) {
  return render(source, *parse_recipe(recipe), Limits{})->renditions.front().bytes;
}

void append_number(std::string& to, std::uint32_t value, int bytes = 4) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) to.push_back(static_cast<char>(value >> shift & 0xFF));
}

// ICC.1:2001-04: a monochrome display whose numbers are proportional to light.
std::string linear_grey_profile() {
  const std::string d50 = std::string("XYZ ") + std::string(4, '\0') + std::string("\x00\x00\xf6\xd6", 4) +
                          std::string("\x00\x01\x00\x00", 4) + std::string("\x00\x00\xd3\x2d", 4);
  const std::string curve = std::string("curv") + std::string(8, '\0');  // no points: the identity
  const std::string text = std::string("text") + std::string(4, '\0') + std::string("none\0\0\0\0", 8);
  const std::string description =
      std::string("desc") + std::string(4, '\0') + std::string("\0\0\0\5grey\0", 9) + std::string(79, '\0');
  const std::pair<std::string_view, const std::string*> tags[] = {
      {"wtpt", &d50}, {"kTRC", &curve}, {"cprt", &text}, {"desc", &description}};
  constexpr std::size_t kHeaderBytes = 128;
  const std::size_t table_bytes = 4 + 12 * std::size(tags);
  std::string table;
  std::string data;
  append_number(table, static_cast<std::uint32_t>(std::size(tags)));
  for (const auto& [name, content] : tags) {
    table += name;
    append_number(table, static_cast<std::uint32_t>(kHeaderBytes + table_bytes + data.size()));
    append_number(table, static_cast<std::uint32_t>(content->size()));
    data += *content;
    data.resize((data.size() + 3) / 4 * 4);
  }
  std::string header;
  append_number(header, static_cast<std::uint32_t>(kHeaderBytes + table.size() + data.size()));
  header += std::string(4, '\0') + std::string("\x02\x40\0\0", 4) + "mntrGRAYXYZ ";
  header += std::string(12, '\0') + "acsp";
  header.resize(68);
  header += d50.substr(8);  // of the connection space
  header.resize(kHeaderBytes);
  return header + table + data;
}

// A JPEG's segment with a profile.
std::string segment_of(const std::string& profile) {
  std::string segment = "\xFF\xE2";
  append_number(segment, static_cast<std::uint32_t>(2 + 14 + profile.size()), 2);
  return segment + std::string("ICC_PROFILE\0\1\1", 14) + profile;
}

// A picture of one colour: the corner of a frame around another.
std::string plain(SizePx size, std::string_view colour, Format format = Format::kPng) {
  const std::string framed = made(make_picture({.size = {8, 8}}), fmt::format("format=png pad={},0,0,{} background={}",
                                                                              size.height, size.width, colour));
  return made(framed,
              fmt::format("format={} quality=100 crop={}x{}+0+0", format_name(format), size.width, size.height));
}

// Where the watermark's colour is, as a box; empty when it is nowhere.
BoxPx covered(const SeenPicture& picture, const Rgb& colour) {
  std::uint32_t left = picture.size.width;
  std::uint32_t top = picture.size.height;
  std::uint32_t right = 0;
  std::uint32_t bottom = 0;
  for (std::uint32_t y = 0; y < picture.size.height; ++y) {
    for (std::uint32_t x = 0; x < picture.size.width; ++x) {
      if (distance(picture.at(x, y), colour) > 12) continue;
      left = std::min(left, x);
      top = std::min(top, y);
      right = std::max(right, x + 1);
      bottom = std::max(bottom, y + 1);
    }
  }
  if (right == 0) return {};
  return {.left = left, .top = top, .size = {.width = right - left, .height = bottom - top}};
}

constexpr Rgb kMagenta = {255, 0, 255};

class Watermarks : public ::testing::Test {
 protected:
  std::string grey_ = plain({200, 100}, "#808080");
  Mark mark_ = mark_of(plain({40, 20}, "#ff00ff"));
};

TEST_F(Watermarks, LieWhereGravityAndMarginSay) {
  const auto at = [&](const std::string& options) {
    return covered(seen(grey_, "format=png", options, mark_), kMagenta);
  };
  EXPECT_EQ(at(""), (BoxPx{80, 40, {40, 20}}));
  EXPECT_EQ(at("northwest:"), (BoxPx{0, 0, {40, 20}}));
  EXPECT_EQ(at("southeast:margin=16:"), (BoxPx{144, 64, {40, 20}}));
  EXPECT_EQ(at("north:margin=5:"), (BoxPx{80, 5, {40, 20}}));
  EXPECT_EQ(at("west:margin=5:"), (BoxPx{5, 40, {40, 20}}));
}

TEST_F(Watermarks, LeaveTheRestAsItWas) {
  const SeenPicture with = seen(grey_, "format=png", "southeast:", mark_);
  EXPECT_EQ(with.at(0, 0), (Rgb{128, 128, 128}));
  EXPECT_EQ(with.at(159, 99), (Rgb{128, 128, 128}));
  EXPECT_EQ(with.at(160, 99), kMagenta);
  EXPECT_EQ(with.bands, 3);
}

TEST_F(Watermarks, AreAsLargeAsScaleSaysAndNeverCut) {
  const auto at = [&](const std::string& options) {
    return covered(seen(grey_, "format=png", options, mark_), kMagenta);
  };
  EXPECT_EQ(at("scale=0.5:"), (BoxPx{50, 25, {100, 50}}));
  EXPECT_EQ(at("northwest:scale=0.1:"), (BoxPx{0, 0, {20, 10}}));
  EXPECT_EQ(at("scale=1:"), (BoxPx{0, 0, {200, 100}}));
  EXPECT_EQ(at("scale=1:margin=10:"), (BoxPx{20, 10, {160, 80}}));
  // Its own pixels are too many for this one.
  Mark large = mark_of(plain({400, 400}, "#ff00ff"));
  EXPECT_EQ(covered(seen(grey_, "format=png", "east:", large), kMagenta), (BoxPx{100, 0, {100, 100}}));
}

TEST_F(Watermarks, ShowThroughAsOpacitySays) {
  const Rgb half = seen(grey_, "format=png", "opacity=0.5:", mark_).at(100, 50);
  EXPECT_LE(distance(half, Rgb{192, 64, 192}), 2) << half[0] << "," << half[1] << "," << half[2];
  const Rgb little = seen(grey_, "format=png", "opacity=0.1:", mark_).at(100, 50);
  EXPECT_LE(distance(little, Rgb{141, 115, 141}), 2);
}

TEST_F(Watermarks, AlphaOfTheMarkIsHonoured) {
  // Its right half is transparent.
  Mark half = mark_of(make_picture({.format = Format::kPng, .size = {40, 20}, .alpha = true}));
  const SeenPicture with = seen(grey_, "format=png", "northwest:", half);
  EXPECT_LE(distance(with.at(5, 5), kRed), 2);
  EXPECT_EQ(with.at(35, 5), (Rgb{128, 128, 128}));
}

TEST_F(Watermarks, LieOnTransparentPictures) {
  const std::string source = make_picture({.format = Format::kPng, .size = {200, 100}, .alpha = true});
  const SeenPicture with = seen(source, "format=png", "east:opacity=0.5:", mark_);
  EXPECT_EQ(with.bands, 4);
  EXPECT_EQ(with.alpha_at(190, 5), 0);
  EXPECT_NEAR(with.alpha_at(190, 50), 128, 2);
  EXPECT_LE(distance(with.at(190, 50), kMagenta), 2);
  EXPECT_EQ(with.alpha_at(5, 50), 255);
  // Flattened afterwards, over the background.
  const SeenPicture flat = seen(source, "format=jpeg quality=95 background=#000000", "east:opacity=0.5:", mark_);
  EXPECT_LE(distance(flat.at(180, 50), Rgb{128, 0, 128}), 12);
}

TEST_F(Watermarks, TileTheWholePicture) {
  const SeenPicture with = seen(grey_, "format=png", "northwest:margin=10:tile:", mark_);
  // Every 50 across and 30 down, from (10, 10): also over the edges.
  for (std::uint32_t y = 0; y < 100; ++y) {
    for (std::uint32_t x = 0; x < 200; ++x) {
      const bool inside = (x + 40) % 50 < 40 && (y + 20) % 30 < 20;
      ASSERT_EQ(with.at(x, y), inside ? kMagenta : (Rgb{128, 128, 128})) << x << "," << y;
    }
  }
  Mark dot = mark_of(plain({1, 1}, "#ff00ff"));
  EXPECT_EQ(covered(seen(plain({1999, 1501}, "#808080"), "format=png", "tile:", dot), kMagenta),
            (BoxPx{0, 0, {1999, 1501}}));
}

TEST_F(Watermarks, TilesFarApartAreOneTile) {
  const auto bytes = [&](int margin) {
    const std::string image = fmt::format("northwest:margin={}:tile:{}", margin, kImage);
    return rendered(grey_, "format=png watermark=" + image, mark_).bytes;
  };
  const std::size_t before = vips_tracked_get_mem_highwater();
  EXPECT_EQ(bytes(1'000), bytes(10'000));
  EXPECT_LT(vips_tracked_get_mem_highwater(), before + (64U << 20));  // not 10,000 × 10,000 pixels
}

TEST_F(Watermarks, ComeAfterEverythingElse) {
  const std::string source = make_picture({.format = Format::kPng, .size = {200, 100}});
  const std::string fields = "format=png resize=100x50 pad=10 grayscale=true blur=3 brightness=0.5";
  const SeenPicture with = seen(source, fields, "northwest:", mark_);
  EXPECT_EQ(with.size, (SizePx{120, 70}));
  EXPECT_EQ(with.at(0, 0), kMagenta);
  EXPECT_EQ(with.at(39, 19), kMagenta);
  const Rgb beside = with.at(60, 35);
  EXPECT_EQ(beside[0], beside[1]);
  EXPECT_EQ(beside[1], beside[2]);
}

TEST_F(Watermarks, GreyStaysGreyUnderGrey) {
  const std::string source = make_picture({.size = {200, 100}, .grey = true});
  const std::string colours = make_picture({.format = Format::kPng, .size = {200, 100}});
  Mark grey = mark_of(make_picture({.format = Format::kPng, .size = {40, 20}, .grey = true}));
  EXPECT_EQ(seen(source, "format=png", "", grey).bands, 1);
  EXPECT_EQ(seen(source, "format=png", "", mark_).at(100, 50), kMagenta);
  EXPECT_EQ(seen(colours, "format=png", "", grey).bands, 3);
}

TEST_F(Watermarks, GreyWithAProfileOfItsOwnBecomesRgbWithoutIt) {
  const std::string plain = make_picture({.size = {200, 100}, .grey = true, .quality = 100});
  const std::string source = plain.substr(0, 2) + segment_of(linear_grey_profile()) + plain.substr(2);
  ASSERT_FALSE(
      read_jpeg_metadata(rendered(source, "format=jpeg icc=keep keep_smaller=false", mark_).bytes).icc.empty());
  const std::string marked = " watermark=southeast:" + std::string(kImage);
  const Rendition out = rendered(source, "format=jpeg quality=95 icc=keep" + marked, mark_);
  EXPECT_TRUE(read_jpeg_metadata(out.bytes).icc.empty());
  EXPECT_EQ(see(out.bytes).bands, 3);
  // As icc=srgb converts it: linear light is lighter than its numbers.
  const Rgb converted = see(rendered(source, "format=jpeg quality=95", mark_).bytes).at(20, 80);
  EXPECT_GT(converted[0], see(plain).at(20, 80)[0] + 20);
  EXPECT_LE(distance(see(out.bytes).at(20, 80), converted), 12);
  // A coloured edge does the same.
  const Rendition padded = rendered(source, "format=jpeg quality=95 icc=keep pad=10 background=#ff0000", mark_);
  EXPECT_TRUE(read_jpeg_metadata(padded.bytes).icc.empty());
  EXPECT_LE(distance(see(padded.bytes).at(30, 90), converted), 12);
}

TEST_F(Watermarks, AreKeptFromTheWaysWithoutPixels) {
  for (const Format format : {Format::kJpeg, Format::kWebp}) {
    const std::string photo = make_picture({.format = format, .size = {200, 100}, .noise = true, .quality = 20});
    const Rendition out =
        rendered(photo, "keep_smaller=true quality=95 watermark=opacity=1:" + std::string(kImage), mark_);
    EXPECT_FALSE(out.source_kept);
    EXPECT_EQ(out.format, format);
    EXPECT_LE(distance(see(out.bytes).at(100, 50), kMagenta), 12) << format_name(format);
  }
}

TEST_F(Watermarks, LieOnEveryFrame) {
  const std::string animation = make_picture({.format = Format::kWebp, .size = {100, 60}, .frames = 3});
  const Rendition out = rendered(animation, "format=webp lossless=true watermark=" + std::string(kImage), mark_);
  EXPECT_FALSE(out.first_frame);
  EXPECT_EQ(read_header(out.bytes)->frames, 3U);
  EXPECT_EQ(see(out.bytes).at(50, 30), kMagenta);
}

TEST_F(Watermarks, KeepTheirColoursInAWideProfile) {
  const std::string wide = make_picture({.size = {200, 100}, .quality = 95, .icc = "p3"});
  Mark red = mark_of(plain({40, 20}, "#ff0000"));
  const std::string kept = rendered(wide, "format=png icc=keep watermark=" + std::string(kImage), red).bytes;
  // sRGB's red has these numbers in Display P3.
  const Rgb numbers = see(kept).at(100, 50);
  EXPECT_LE(distance(numbers, Rgb{234, 51, 35}), 6) << numbers[0] << "," << numbers[1] << "," << numbers[2];
  EXPECT_LE(distance(seen(wide, "format=png", "", red).at(100, 50), Rgb{255, 0, 0}), 2);
}

TEST_F(Watermarks, EachOutputMayHaveItsOwn) {
  const auto recipe =
      parse_recipe("watermark=northwest:" + std::string(kImage) + " a: format=png b: format=png watermark=none");
  ASSERT_TRUE(recipe) << recipe.error().message;
  const auto result = render(grey_, *recipe, Limits{}, {{std::string(kImage), &mark_}});
  ASSERT_TRUE(result);
  EXPECT_EQ(see(result->renditions[0].bytes).at(0, 0), kMagenta);
  EXPECT_EQ(see(result->renditions[1].bytes).at(0, 0), (Rgb{128, 128, 128}));
}

TEST_F(Watermarks, ComeInEveryFormatThatIsRead) {
  for (const Format format : {Format::kJpeg, Format::kWebp, Format::kGif, Format::kTiff, Format::kAvif}) {
    Mark mark = mark_of(plain({40, 20}, "#ff00ff", format));
    EXPECT_LE(distance(seen(grey_, "format=png", "", mark).at(100, 50), kMagenta), 12) << format_name(format);
  }
  Mark turned = mark_of(make_picture({.size = {64, 48}, .orientation = 6}));
  EXPECT_EQ(turned.size(), (SizePx{48, 64}));
}

TEST_F(Watermarks, RefuseWhatIsNoPicture) {
  const auto error_of = [](const std::string& file, const Limits& limits = {}) {
    const auto mark = Mark::decode(file, limits);
    EXPECT_FALSE(mark);
    return mark ? Error{} : mark.error();
  };
  EXPECT_EQ(error_of("<html></html>").code, ErrorCode::kNotAnImage);
  EXPECT_THAT(error_of("<html></html>").message, HasSubstr("HTML"));
  EXPECT_EQ(error_of("<svg xmlns='http://www.w3.org/2000/svg'/>").code, ErrorCode::kUnsupportedFormat);
  EXPECT_EQ(error_of(plain({40, 20}, "#ff00ff"), {.pixels_max = 700}).code, ErrorCode::kTooLarge);
  EXPECT_EQ(error_of(plain({40, 20}, "#ff00ff", Format::kAvif), {.avif_pixels_max = 700}).code, ErrorCode::kTooLarge);
  std::string cut = make_picture({.format = Format::kPng, .size = {400, 200}, .noise = true});
  cut.resize(cut.size() / 2);
  EXPECT_EQ(error_of(cut).code, ErrorCode::kDecodeFailed);
}

TEST_F(Watermarks, MustBeAtHand) {
  const auto result = try_render(grey_, "format=png watermark=https://example.com/other.png", mark_);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(result.error().message, HasSubstr("watermark"));
}

}  // namespace
}  // namespace pixmill::image
