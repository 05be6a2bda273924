#include "image/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace pixmill::image {
namespace {

using namespace std::string_literals;
using ::testing::HasSubstr;

TEST(Format, NamesExtensionsAndMediaTypesBelongTogether) {
  EXPECT_EQ(format_name(Format::kJpeg), "jpeg");
  EXPECT_EQ(extension(Format::kJpeg), "jpg");
  EXPECT_EQ(media_type(Format::kWebp), "image/webp");
  EXPECT_EQ(parse_format("JPG"), Format::kJpeg);
  EXPECT_EQ(parse_format("tif"), Format::kTiff);
  EXPECT_EQ(parse_format("heic"), Format::kHeif);
  EXPECT_EQ(parse_format("svg"), std::nullopt);
  EXPECT_EQ(parse_format(""), std::nullopt);
}

struct Readable {
  std::string bytes;
  Format format;
};

TEST(Sniff, KnowsReadableFormatsByTheirFirstBytes) {
  const Readable cases[] = {
      {"\xFF\xD8\xFF\xE0"s, Format::kJpeg},
      {"\x89PNG\r\n\x1A\n"s, Format::kPng},
      {"GIF87a"s, Format::kGif},
      {"GIF89a..."s, Format::kGif},
      {"RIFF\x10\0\0\0WEBPVP8 "s, Format::kWebp},
      {"II*\0\x08\0\0\0"s, Format::kTiff},
      {"MM\0*\0\0\0\x08"s, Format::kTiff},
      {"II+\0\x08\0\0\0"s, Format::kTiff},
      {"\0\0\0\x18"s + "ftypavif\0\0\0\0mif1miaf"s, Format::kAvif},
      {"\0\0\0\x18"s + "ftypmif1\0\0\0\0avifmiaf"s, Format::kAvif},
      {"\0\0\0\x18"s + "ftypheic\0\0\0\0mif1heic"s, Format::kHeif},
  };
  for (const auto& one : cases) {
    const auto format = sniff(one.bytes);
    ASSERT_TRUE(format) << format.error().message;
    EXPECT_EQ(*format, one.format);
  }
}

struct Refused {
  std::string bytes;
  ErrorCode code;
  std::string says;
};

void expect_refused(const Refused& one) {
  const auto format = sniff(one.bytes);
  ASSERT_FALSE(format) << one.says;
  EXPECT_EQ(format.error().code, one.code) << one.says;
  EXPECT_THAT(format.error().message, HasSubstr(one.says));
}

TEST(Sniff, RefusesUnsupportedPictureFormatsByName) {
  const Refused cases[] = {
      {"%PDF-1.7\n"s, ErrorCode::kUnsupportedFormat, "PDF"},
      {"\n\n garbage %PDF-1.4"s, ErrorCode::kUnsupportedFormat, "PDF"},
      {"<svg xmlns='http://www.w3.org/2000/svg'/>"s, ErrorCode::kUnsupportedFormat, "SVG"},
      {"\xEF\xBB\xBF<?xml version='1.0'?>\n<!-- a --><SVG/>"s, ErrorCode::kUnsupportedFormat, "SVG"},
      {"<?xml version=\"1.0\"?><msl><read filename=\"/etc/passwd\"/></msl>"s, ErrorCode::kUnsupportedFormat, "MSL"},
      {"8BPS\0\1"s, ErrorCode::kUnsupportedFormat, "PSD"},
      {"BM\x36\0\0\0\0\0\0\0\x36\0\0\0"s, ErrorCode::kUnsupportedFormat, "BMP"},
      {"\0\0\1\0\1\0"s, ErrorCode::kUnsupportedFormat, "ICO"},
      {"\xFF\x0A\x01\x02"s, ErrorCode::kUnsupportedFormat, "JPEG XL"},
      {"\0\0\0\x0CJXL \r\n\x87\n"s, ErrorCode::kUnsupportedFormat, "JPEG XL"},
      {"\0\0\0\x0CjP  \r\n\x87\n"s, ErrorCode::kUnsupportedFormat, "JPEG 2000"},
      {"MATLAB 5.0 MAT-file"s, ErrorCode::kUnsupportedFormat, "MATLAB"},
      {"\x89HDF\r\n\x1A\n"s, ErrorCode::kUnsupportedFormat, "HDF5"},
      {"P6\n10 10\n255\n"s, ErrorCode::kUnsupportedFormat, "PPM"},
      {"P1#c\n"s, ErrorCode::kUnsupportedFormat, "PPM"},
      {"\x76\x2F\x31\x01"s, ErrorCode::kUnsupportedFormat, "OpenEXR"},
      {"#?RADIANCE\n"s, ErrorCode::kUnsupportedFormat, "Radiance"},
      {"SIMPLE  =                    T"s, ErrorCode::kUnsupportedFormat, "FITS"},
      {"II*\0\x10\0\0\0CR\2\0"s, ErrorCode::kUnsupportedFormat, "Canon"},
      {"\0\0\0\x18"s + "ftypcrx \0\0\0\1crx isom"s, ErrorCode::kUnsupportedFormat, "Canon"},
      {"%!PS-Adobe-3.0"s, ErrorCode::kUnsupportedFormat, "PostScript"},
  };
  for (const auto& one : cases) expect_refused(one);
}

TEST(Sniff, SaysWhatAFileLooksLikeThatIsNoPicture) {
  const Refused cases[] = {
      {""s, ErrorCode::kNotAnImage, "empty"},
      {"  \r\n "s, ErrorCode::kNotAnImage, "white space"},
      {"<!DOCTYPE html><html>"s, ErrorCode::kNotAnImage, "HTML"},
      {"\n <HTML><body>404"s, ErrorCode::kNotAnImage, "HTML"},
      {"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>"s, ErrorCode::kNotAnImage, "HTML"},
      {"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"s, ErrorCode::kNotAnImage, "XML"},
      {"{\"error\": 1}"s, ErrorCode::kNotAnImage, "JSON"},
      {"Not found"s, ErrorCode::kNotAnImage, "plain text"},
      {"PK\3\4"s, ErrorCode::kNotAnImage, "ZIP"},
      {"\x1F\x8B\x08"s, ErrorCode::kNotAnImage, "gzip"},
      {"\0\0\0\x18"s + "ftypisom\0\0\0\1isommp42"s, ErrorCode::kNotAnImage, "MP4"},
      {"RIFF\x10\0\0\0WAVEfmt "s, ErrorCode::kNotAnImage, "sound or video"},
      {"\x01\x02\x03\x04\x05"s, ErrorCode::kNotAnImage, "no known kind"},
  };
  for (const auto& one : cases) expect_refused(one);
}

}  // namespace
}  // namespace pixmill::image
