#include <gtest/gtest.h>

#include <string>

#include "image/format.h"
#include "image/tiny_pictures.h"
#include "image/truncation.h"
#include "tests/support/test_pictures.h"

namespace pixmill::image {
namespace {

using namespace std::string_literals;
using testing::make_picture;

constexpr Format kAll[] = {Format::kJpeg, Format::kPng,  Format::kWebp, Format::kGif,
                           Format::kTiff, Format::kAvif, Format::kHeif};

TEST(ReadHeader, FindsTheSizeInEveryFormat) {
  for (const Format format : kAll) {
    const auto header = read_header(make_picture({.format = format, .size = {72, 50}}));
    ASSERT_TRUE(header) << format_name(format) << ": " << header.error().message;
    EXPECT_EQ(header->format, format);
    EXPECT_EQ(header->width_px, 72U) << format_name(format);
    EXPECT_EQ(header->height_px, 50U) << format_name(format);
    EXPECT_EQ(header->frames, 1U);
  }
}

TEST(ReadHeader, ReadsAllKindsOfJpegAndWebp) {
  for (const auto& bytes :
       {make_picture({.size = {72, 50}, .metadata = true, .orientation = 6, .progressive = true}),
        make_picture({.size = {72, 50}, .grey = true}), make_picture({.format = Format::kWebp, .size = {72, 50}}),
        make_picture({.format = Format::kWebp, .size = {72, 50}, .alpha = true, .metadata = true})}) {
    const auto header = read_header(bytes);
    ASSERT_TRUE(header) << header.error().message;
    EXPECT_EQ(header->width_px, 72U);
    EXPECT_EQ(header->height_px, 50U);
  }
}

TEST(ReadHeader, CountsFrames) {
  for (const Format format : {Format::kGif, Format::kWebp}) {
    const auto header = read_header(make_picture({.format = format, .size = {40, 30}, .frames = 5}));
    ASSERT_TRUE(header);
    EXPECT_EQ(header->frames, 5U) << format_name(format);
    EXPECT_EQ(header->width_px, 40U);
    EXPECT_EQ(header->height_px, 30U);
  }
  std::string animated_png = make_picture({.format = Format::kPng});
  animated_png.insert(33,
                      "\0\0\0\x08"
                      "acTL\0\0\0\x07\0\0\0\0"
                      "crc!"s);
  EXPECT_EQ(read_header(animated_png)->frames, 7U);
}

TEST(ReadHeader, ReadsTheTinyPictures) {
  for (const auto& tiny : tiny_pictures()) {
    const auto header = read_header(tiny.bytes);
    ASSERT_TRUE(header) << format_name(tiny.format) << header.error().message;
    EXPECT_EQ(header->format, tiny.format);
  }
}

TEST(ReadHeader, GivesASizeOrAnErrorForEveryBeginningOfAFile) {
  for (const Format format : kAll) {
    const std::string whole = make_picture({.format = format, .size = {72, 50}, .metadata = true});
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const std::string part(whole.data(), size);  // its own memory, so that sanitizers see reads past its end
      const auto header = read_header(part);
      if (header) {
        ASSERT_EQ(header->width_px, 72U);
        ASSERT_EQ(header->height_px, 50U);
      } else {
        const ErrorCode code = header.error().code;
        ASSERT_TRUE(code == ErrorCode::kTruncated || code == ErrorCode::kNotAnImage ||
                    code == ErrorCode::kUnsupportedFormat || code == ErrorCode::kDecodeFailed)
            << code_name(code);
      }
    }
  }
}

ErrorCode error_code_of(const std::string& bytes) {
  const auto header = read_header(bytes);
  return header ? ErrorCode::kInternal : header.error().code;
}

TEST(ReadHeader, SaysTruncatedWhenTheFileEndsInsideItsHeader) {
  for (const Format format : {Format::kJpeg, Format::kPng, Format::kWebp, Format::kGif, Format::kTiff, Format::kAvif}) {
    const std::string whole = make_picture({.format = format});
    EXPECT_EQ(error_code_of(whole.substr(0, format == Format::kAvif ? 32 : 20)), ErrorCode::kTruncated)
        << format_name(format);
  }
}

TEST(ReadHeader, RefusesHeadersThatContradictThemselves) {
  std::string png = make_picture({.format = Format::kPng});
  std::string no_width = png;
  no_width.replace(16, 4, "\0\0\0\0"s);
  EXPECT_EQ(error_code_of(no_width), ErrorCode::kDecodeFailed);
  std::string huge = png;
  huge.replace(16, 4, "\xFF\xFF\xFF\xFF"s);
  EXPECT_EQ(error_code_of(huge), ErrorCode::kDecodeFailed);
  std::string no_ihdr = png;
  no_ihdr.replace(12, 4, "IDAT");
  EXPECT_EQ(error_code_of(no_ihdr), ErrorCode::kDecodeFailed);
  EXPECT_EQ(error_code_of("\xFF\xD8\xFF\xDA\0\x08\1\1\0\0\x3F\0"s),
            ErrorCode::kDecodeFailed);  // a scan without a frame
  EXPECT_EQ(error_code_of("\xFF\xD8\xFF\xC0\0\x0B\x08\0\0\0\x10\1\1\x11\0"s), ErrorCode::kDecodeFailed);  // no height
  EXPECT_EQ(error_code_of("\xFF\xD8\xFF\xC0\0\x04\x08\0"s), ErrorCode::kDecodeFailed);
  EXPECT_EQ(error_code_of("RIFF\x20\0\0\0WEBPABCD\4\0\0\0....."s), ErrorCode::kDecodeFailed);
  EXPECT_EQ(error_code_of("RIFF\x20\0\0\0WEBPVP8L\5\0\0\0\x2E\0\0\0\0"s), ErrorCode::kDecodeFailed);
  EXPECT_EQ(error_code_of("RIFF\x20\0\0\0WEBPVP8 \x0A\0\0\0\1\0\0\x9D\x01\x2A\x10\0\x10\0"s), ErrorCode::kDecodeFailed);
  EXPECT_EQ(error_code_of("GIF89a\1\0\1\0\0\0\0;"s), ErrorCode::kDecodeFailed);
  EXPECT_EQ(error_code_of("II*\0\x08\0\0\0\0\0\0\0\0\0"s), ErrorCode::kDecodeFailed);  // an empty directory
}

TEST(IsCutOff, TellsWholeFilesFromPartsOfThem) {
  for (const Format format : kAll) {
    const std::string whole = make_picture({.format = format, .noise = true});
    EXPECT_FALSE(is_cut_off(whole, format)) << format_name(format);
    EXPECT_TRUE(is_cut_off(std::string(whole.substr(0, whole.size() / 2)), format)) << format_name(format);
    EXPECT_TRUE(is_cut_off("", format)) << format_name(format);
  }
}

}  // namespace
}  // namespace pixmill::image
