#include "image/jpeg/jpeg_transcode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "image/jpeg/quantisation.h"
#include "tests/support/sample_jpegs.h"

namespace pixmill::image {
namespace {

using jpeg::case_count;
using jpeg::DenseComponent;
using jpeg::DensePicture;
using jpeg::make_jpeg;
using jpeg::SampleCodes;
using jpeg::SampleColours;
using jpeg::SampleOptions;
using jpeg::SampleProcess;

// The scalar model of rounding to the nearest step, middles towards zero.
int requantise(int value, unsigned from, unsigned to) {
  const unsigned magnitude = (2U * static_cast<unsigned>(std::abs(value)) * from + to - 1) / (2 * to);
  return value < 0 ? -static_cast<int>(magnitude) : static_cast<int>(magnitude);
}

DensePicture model_of(DensePicture picture, int quality) {
  for (std::size_t i = 0; i < picture.components.size(); ++i) {
    DenseComponent& component = picture.components[i];
    const auto target = jpeg::standard_table(i == 0 ? jpeg::Channel::kLuma : jpeg::Channel::kChroma, quality);
    for (unsigned k = 0; k < jpeg::kBlockSize; ++k) {
      const unsigned step = std::max<unsigned>(component.quant_table[k], target[k]);
      for (auto& block : component.blocks) block[k] = requantise(block[k], component.quant_table[k], step);
      component.quant_table[k] = step;
    }
  }
  if (picture.components.size() == 1) picture.components[0].h = picture.components[0].v = 1;
  return picture;
}

void expect_equal(const DensePicture& picture, const DensePicture& model) {
  EXPECT_EQ(picture.width_px, model.width_px);
  EXPECT_EQ(picture.height_px, model.height_px);
  ASSERT_EQ(picture.components.size(), model.components.size());
  for (std::size_t i = 0; i < model.components.size(); ++i) {
    const DenseComponent& mine = picture.components[i];
    const DenseComponent& other = model.components[i];
    EXPECT_EQ(mine.h, other.h);
    EXPECT_EQ(mine.v, other.v);
    EXPECT_EQ(mine.blocks_wide, other.blocks_wide);
    EXPECT_EQ(mine.blocks_high, other.blocks_high);
    EXPECT_EQ(mine.quant_table, other.quant_table);
    EXPECT_TRUE(mine.blocks == other.blocks) << "component " << i;
  }
}

struct Sampling {
  std::array<unsigned, 3> h;
  std::array<unsigned, 3> v;
};

constexpr Sampling kSamplings[] = {{{1, 1, 1}, {1, 1, 1}}, {{2, 1, 1}, {2, 1, 1}}, {{2, 1, 1}, {1, 1, 1}},
                                   {{1, 1, 1}, {2, 1, 1}}, {{4, 1, 1}, {1, 1, 1}}, {{4, 1, 1}, {2, 1, 1}},
                                   {{1, 1, 1}, {4, 1, 1}}, {{2, 2, 1}, {2, 1, 1}}, {{2, 2, 2}, {1, 1, 1}},
                                   {{1, 2, 1}, {1, 2, 1}}, {{3, 1, 1}, {1, 1, 1}}, {{2, 1, 2}, {2, 2, 1}}};

SampleOptions random_options(std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  const Sampling& sampling = kSamplings[below(std::size(kSamplings))];
  return {.width_px = below(70) + 1,
          .height_px = below(70) + 1,
          .colours = below(5) == 0 ? SampleColours::kGrey : SampleColours::kYcc,
          .h = sampling.h,
          .v = sampling.v,
          .codes = static_cast<SampleCodes>(below(3)),
          .process = below(4) == 0 ? SampleProcess::kNonInterleaved : SampleProcess::kInterleaved,
          .restart_interval = below(3) == 0 ? below(12) + 1 : 0,
          .quality = static_cast<int>(below(100)) + 1,
          .seed = seed};
}

TEST(TranscodeJpeg, EqualsTheScalarModelOverPicturesOfAllKinds) {
  for (std::uint32_t seed = 1; seed <= case_count(6000); ++seed) {
    SCOPED_TRACE(seed);
    const std::string source = make_jpeg(random_options(seed));
    const auto dense = jpeg::read_dense(source);
    ASSERT_TRUE(dense);
    const int quality = static_cast<int>(seed % 100) + 1;
    const auto result = transcode_jpeg(source, {.quality = quality});
    ASSERT_TRUE(result) << result.error().message << ": " << result.error().detail;
    const auto written = jpeg::read_dense(*result);
    ASSERT_TRUE(written);
    expect_equal(*written, model_of(*dense, quality));
    ASSERT_TRUE(jpeg::decode_pixels(*result));
    if (HasFailure()) break;
  }
}

// The payload of the first segment with this marker.
std::size_t payload_of(const std::string& file, unsigned char marker) {
  const std::size_t at = file.find(std::string{'\xFF', static_cast<char>(marker)});
  PIXMILL_CHECK(at != std::string::npos);
  return at + 4;
}

void expect_left_to_the_pixels(std::string_view file) {
  const auto result = transcode_jpeg(file, {.quality = 60});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupportedFormat) << result.error().detail;
}

TEST(TranscodeJpeg, LeavesOtherKindsToThePixels) {
  constexpr unsigned char kSof0 = 0xC0;
  expect_left_to_the_pixels(make_jpeg({.colours = SampleColours::kCmyk}));
  expect_left_to_the_pixels(make_jpeg({.colours = SampleColours::kRgb, .h = {1, 1, 1}, .v = {1, 1, 1}}));
  expect_left_to_the_pixels(make_jpeg({.process = SampleProcess::kArithmetic}));
  std::string file = make_jpeg({});
  file[payload_of(file, kSof0)] = 12;  // bits per sample
  expect_left_to_the_pixels(file);
  file = make_jpeg({});
  file[payload_of(file, kSof0) - 3] = '\xC3';  // lossless
  expect_left_to_the_pixels(file);
  file = make_jpeg({});
  file[payload_of(file, kSof0) + 1] = file[payload_of(file, kSof0) + 2] = 0;  // the height comes later
  expect_left_to_the_pixels(file);
  file = make_jpeg({});
  file.insert(2, std::string("\xFF\xEE\0\x0E"
                             "Adobe\0d\0\0\0\0\0",
                             16));  // colours that are not YCbCr
  expect_left_to_the_pixels(file);
}

TEST(TranscodeJpeg, LeavesSamplingThatLibjpegCannotScaleToThePixels) {
  expect_left_to_the_pixels(make_jpeg({.h = {3, 2, 1}, .v = {1, 1, 1}}));
  expect_left_to_the_pixels(
      make_jpeg({.h = {2, 2, 2}, .v = {2, 2, 2}, .process = SampleProcess::kNonInterleaved}));  // 12 blocks an MCU
}

TEST(TranscodeJpeg, DoesNotBelieveASizeThatTheDataCannotFill) {
  std::string file = make_jpeg({.width_px = 16, .height_px = 16});
  const std::size_t frame = payload_of(file, 0xC0);
  file[frame + 1] = file[frame + 3] = '\xFF';
  const auto result = transcode_jpeg(file, {.quality = 60});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kDecodeFailed);
}

TEST(TranscodeJpeg, CallsWhatIsNoJpegDamaged) {
  for (const std::string_view text : {"GIF89a and more", "\xFF\xD8\xFF\xD9"}) {
    const auto result = transcode_jpeg(text, {.quality = 60});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kDecodeFailed);
  }
}

TEST(TranscodeJpeg, KeepsTheDensity) {
  std::string file = make_jpeg({});
  const std::size_t jfif = payload_of(file, 0xE0);
  file.replace(jfif + 7, 5, std::string("\1\0\x60\0\x48", 5));
  const auto result = transcode_jpeg(file, {.quality = 60});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->substr(payload_of(*result, 0xE0), 14), file.substr(jfif, 14));
}

TEST(TranscodeJpeg, KeepsStepsAbove255) {
  const std::string source = make_jpeg({.quality = 3});
  const auto dense = jpeg::read_dense(source);
  ASSERT_TRUE(dense);
  ASSERT_GT(dense->components[0].quant_table[40], 255U);
  const auto result = transcode_jpeg(source, {.quality = 50});
  ASSERT_TRUE(result);
  const auto written = jpeg::read_dense(*result);
  ASSERT_TRUE(written);
  expect_equal(*written, *dense);
}

// Small files that between them have every structure the parser knows.
std::vector<std::string> small_files() {
  SampleOptions options = {.width_px = 24, .height_px = 17, .seed = 3};
  std::vector<std::string> files = {make_jpeg(options)};
  options.process = SampleProcess::kNonInterleaved;
  options.codes = SampleCodes::kOptimal;
  files.push_back(make_jpeg(options));
  options.process = SampleProcess::kInterleaved;
  options.restart_interval = 1;
  files.push_back(make_jpeg(options));
  options.colours = SampleColours::kGrey;
  files.push_back(make_jpeg(options));
  return files;
}

TEST(TranscodeJpeg, SaysTruncatedWhereverAFileIsCutOff) {
  for (const std::string& file : small_files()) {
    const auto whole = transcode_jpeg(file, {.quality = 60});
    ASSERT_TRUE(whole);
    for (std::size_t size = 0; size < file.size(); ++size) {
      SCOPED_TRACE(size);
      const auto result = transcode_jpeg(std::string_view(file).substr(0, size), {.quality = 60});
      // Without its end marker, and perhaps the zero stuffed behind a last 0xFF, the picture is whole.
      if (result) {
        EXPECT_GE(size + 3, file.size());
        EXPECT_EQ(*result, *whole);
      } else {
        EXPECT_EQ(result.error().code, ErrorCode::kTruncated);
      }
    }
  }
}

TEST(TranscodeJpeg, NeverWritesABrokenFileFromADamagedOne) {
  for (std::string file : small_files()) {
    for (std::size_t at = 0; at < file.size(); ++at) {
      for (const unsigned damage : {0x01U, 0x10U, 0x80U, 0xFFU}) {
        SCOPED_TRACE(testing::Message() << "byte " << at << " of " << file.size() << " xor " << damage);
        const char before = file[at];
        file[at] = static_cast<char>(static_cast<unsigned char>(before) ^ damage);
        const auto result = transcode_jpeg(file, {.quality = 60});
        const auto dense = jpeg::read_dense(file);
        file[at] = before;
        if (!result) {
          // What libjpeg reads without a warning may be too odd for us, but is never called damaged.
          const ErrorCode code = result.error().code;
          EXPECT_TRUE(code == ErrorCode::kUnsupportedFormat ||
                      (!dense && (code == ErrorCode::kTruncated || code == ErrorCode::kDecodeFailed)))
              << result.error().message << ": " << result.error().detail;
          continue;
        }
        const auto written = jpeg::read_dense(*result);
        ASSERT_TRUE(written);
        ASSERT_TRUE(jpeg::decode_pixels(*result));
        if (dense) expect_equal(*written, model_of(*dense, 60));
      }
    }
  }
}

}  // namespace
}  // namespace pixmill::image
