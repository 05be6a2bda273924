// Reading metadata and taking it out, without decoding.
#include <gtest/gtest.h>

#include <string>

#include "image/format.h"
#include "image/icc.h"
#include "image/jpeg_segments.h"
#include "image/strip_metadata.h"
#include "image/tiff_directory.h"
#include "image/xmp.h"
#include "tests/support/test_pictures.h"

namespace pixmill::image {
namespace {

using namespace std::string_literals;
using testing::kSecret;
using testing::make_picture;
using testing::see;

TEST(JpegSegments, WalksFromStartToEnd) {
  const std::string jpeg = make_picture({.metadata = true, .progressive = true});
  JpegSegments segments(jpeg);
  std::size_t bytes = 0;
  int scans = 0;
  std::uint8_t last = 0;
  while (const auto segment = segments.next()) {
    bytes += segment->whole.size() + segment->entropy.size();
    if (segment->marker == kMarkerSos) ++scans;
    last = segment->marker;
  }
  EXPECT_EQ(bytes, jpeg.size());
  EXPECT_GT(scans, 5);
  EXPECT_EQ(last, kMarkerEoi);
  EXPECT_FALSE(segments.ended_early());
}

TEST(JpegSegments, SkipsWhatIsNoMarker) {
  const std::string file = "\xFF\xD8xyz\xFF\x00\xFF\xFF\xFF\xD9"s;
  JpegSegments segments(file);
  EXPECT_EQ(segments.next()->marker, kMarkerSoi);
  EXPECT_EQ(segments.next()->marker, kMarkerEoi);
  EXPECT_FALSE(segments.next());
}

TEST(JpegMetadata, PutsAProfileTogetherFromItsPieces) {
  const auto piece = [](char number, char count, const std::string& bytes) {
    const std::string payload = "ICC_PROFILE\0"s + number + count + bytes;
    return "\xFF\xE2\0"s + static_cast<char>(payload.size() + 2) + payload;
  };
  const std::string start = "\xFF\xD8"s;
  EXPECT_EQ(read_jpeg_metadata(start + piece(2, 2, "world") + piece(1, 2, "hello ")).icc, "hello world");
  EXPECT_EQ(read_jpeg_metadata(start + piece(1, 2, "hello ")).icc, "");
  EXPECT_EQ(read_jpeg_metadata(start + piece(0, 1, "hello ")).icc, "");
}

TEST(Exif, GivesAndResetsTheOrientation) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string exif = testing::make_exif(orientation);
    EXPECT_EQ(exif_orientation(exif), orientation);
    EXPECT_EQ(exif_orientation(exif_made_upright(exif)), 1);
    EXPECT_EQ(exif_made_upright(exif).size(), exif.size());
  }
  const std::string big_endian = "MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"s;
  EXPECT_EQ(exif_orientation(big_endian), 6);
  EXPECT_EQ(exif_orientation(exif_made_upright(big_endian)), 1);
}

TEST(Exif, TakesAnOrientationOfAnyWholeNumberType) {
  // EXIF wants a SHORT; some writers use others, and viewers turn their pictures all the same.
  const std::string_view head("II*\0\x08\0\0\0\x01\0\x12\x01", 12);
  for (const char type : {'\x01', '\x03', '\x04', '\x06', '\x08', '\x09'}) {
    std::string exif(head);
    exif += std::string{type, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0};
    EXPECT_EQ(exif_orientation(exif), 6) << int{type};
    EXPECT_EQ(exif_orientation(exif_made_upright(exif)), 1) << int{type};
  }
  const std::string negative = std::string(head) + std::string{9, 0, 1, 0, 0, 0, -1, -1, -1, -1, 0, 0, 0, 0};
  EXPECT_EQ(exif_orientation(negative), 1);
}

TEST(Exif, WithoutSenseMeansUpright) {
  EXPECT_EQ(exif_orientation(""), 1);
  EXPECT_EQ(exif_orientation("II*\0\xFF\xFF\xFF\xFF"s), 1);
  EXPECT_EQ(exif_orientation(testing::make_exif(9)), 1);
  EXPECT_EQ(exif_orientation(testing::make_exif(0)), 1);
}

TEST(Xmp, BecomesUpright) {
  EXPECT_EQ(xmp_made_upright("<a tiff:Orientation=\"6\"/>"), "<a tiff:Orientation=\"1\"/>");
  EXPECT_EQ(xmp_made_upright("<tiff:Orientation>8</tiff:Orientation>"), "<tiff:Orientation>1</tiff:Orientation>");
  EXPECT_EQ(xmp_made_upright("tiff:Orientation"), "tiff:Orientation");
  EXPECT_EQ(xmp_made_upright("tiff:Orientation6"), "tiff:Orientation6");
}

// The profile of a picture that libvips wrote.
std::string profile(const std::string& name) { return read_jpeg_metadata(testing::make_picture({.icc = name})).icc; }

std::size_t element_of(const std::string& profile, const std::string& tag) {
  const std::size_t entry = profile.find(tag);
  std::size_t at = 0;
  for (std::size_t i = 4; i < 8; ++i) at = at << 8 | static_cast<unsigned char>(profile.at(entry + i));
  return at;
}

TEST(IccProfile, IsSrgbByItsNumbers) {
  EXPECT_TRUE(is_srgb_profile(profile("srgb")));
  EXPECT_FALSE(is_srgb_profile(profile("p3")));
  EXPECT_FALSE(is_srgb_profile("sRGB"));
  EXPECT_FALSE(is_srgb_profile(""));
  EXPECT_FALSE(is_srgb_profile(profile("srgb").substr(0, 200)));
}

// "Linear sRGB" is what programs call it, and its pixels are not sRGB's.
TEST(IccProfile, IsNotSrgbWithAnotherCurve) {
  for (const auto& curve : {"curv\0\0\0\0\0\0\0\0"s, "curv\0\0\0\0\0\0\0\1\2\x33"s, "para\0\0\0\0\0\0\0\0\0\1\0\0"s,
                            "para\0\0\0\0\0\x09\0\0"s, "curv\0\0\0\0\xFF\xFF\xFF\xFF"s, "mft2"s}) {
    std::string other = profile("srgb");
    other.replace(element_of(other, "gTRC"), curve.size(), curve);
    EXPECT_FALSE(is_srgb_profile(other)) << curve;
  }
}

TEST(StripMetadata, LeavesThePixelsAndNothingElse) {
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp}) {
    const std::string source = make_picture({.format = format, .noise = true, .metadata = true, .icc = "p3"});
    const auto stripped = strip_metadata(source, format, ColourProfile::kDrop);
    ASSERT_TRUE(stripped) << format_name(format);
    EXPECT_EQ(stripped->find(kSecret), std::string::npos);
    EXPECT_LT(stripped->size(), source.size());
    EXPECT_EQ(see(*stripped).pixels, see(source).pixels);
    EXPECT_EQ(strip_metadata(*stripped, format, ColourProfile::kDrop), stripped);
    const auto with_profile = strip_metadata(source, format, ColourProfile::kKeep);
    ASSERT_TRUE(with_profile);
    EXPECT_EQ(with_profile->find(kSecret), std::string::npos);
    EXPECT_GT(with_profile->size(), stripped->size()) << format_name(format);
  }
}

TEST(StripMetadata, DropsThumbnailsAndUnknownPieces) {
  const std::string jpeg = make_picture({});
  const std::string jfif = "\xFF\xE0\0\x16JFIF\0\1\1\0\0\1\0\1\1\2"s + "THUMBS"s;
  const std::string jfxx = "\xFF\xE0\0\x0AJFXX\0abc"s;
  const std::string maker = "\xFF\xEB\0\x08maker!"s;
  const auto stripped =
      strip_metadata("\xFF\xD8"s + jfif + jfxx + maker + jpeg.substr(2), Format::kJpeg, ColourProfile::kDrop);
  ASSERT_TRUE(stripped);
  for (const char* gone : {"THUMBS", "JFXX", "maker!"}) EXPECT_EQ(stripped->find(gone), std::string::npos) << gone;
  EXPECT_NE(stripped->find("JFIF"), std::string::npos);
  EXPECT_EQ(see(*stripped).pixels, see(jpeg).pixels);
  std::string png = make_picture({.format = Format::kPng});
  png.insert(33, "\0\0\0\4prVt1234crc!"s);
  EXPECT_EQ(strip_metadata(png, Format::kPng, ColourProfile::kDrop)->find("prVt"), std::string::npos);
}

TEST(StripMetadata, RefusesWhatIsNotWhole) {
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp}) {
    const std::string whole = make_picture({.format = format, .noise = true});
    EXPECT_FALSE(strip_metadata(std::string_view(whole).substr(0, whole.size() / 2), format, ColourProfile::kDrop));
  }
  EXPECT_FALSE(strip_metadata(make_picture({.format = Format::kGif}), Format::kGif, ColourProfile::kDrop));
}

}  // namespace
}  // namespace pixmill::image
