#include "image/jpeg/jpeg_transcode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "image/jpeg/quantisation.h"
#include "image/jpeg_segments.h"
#include "tests/support/sample_jpegs.h"
#include "tests/support/test_pictures.h"

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

TranscodeOptions plain(int quality) {
  return {.quality = quality,
          .tables = JpegTables::kStandard,
          .rounding = TranscodeOptions::Rounding::kNearest,
          .progressive = false};
}

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
          .process = std::array{SampleProcess::kInterleaved, SampleProcess::kInterleaved,
                                SampleProcess::kNonInterleaved, SampleProcess::kProgressive}[below(4)],
          .restart_interval = below(3) == 0 ? below(12) + 1 : 0,
          .quality = static_cast<int>(below(100)) + 1,
          .seed = seed};
}

TEST(TranscodeJpeg, EqualsTheScalarModelOverPicturesOfAllKinds) {
  for (std::uint32_t seed = 1; seed <= case_count(20'000); ++seed) {
    SCOPED_TRACE(seed);
    const std::string source = make_jpeg(random_options(seed));
    const auto dense = jpeg::read_dense(source);
    ASSERT_TRUE(dense);
    TranscodeOptions options = plain(static_cast<int>(seed % 100) + 1);
    options.progressive = seed % 2 == 0;
    const auto result = transcode_jpeg(source, options);
    ASSERT_TRUE(result) << result.error().message << ": " << result.error().detail;
    const auto written = jpeg::read_dense(*result);
    ASSERT_TRUE(written);
    expect_equal(*written, model_of(*dense, options.quality));
    ASSERT_TRUE(jpeg::decode_pixels(*result));
    if (HasFailure()) break;
  }
}

struct Place {
  unsigned row = 0;
  unsigned column = 0;
};

// Where in a stored picture of `height` × `width` the upright picture's row and column are found (Exif 2.32, tag
// 0x0112).
Place stored_place(int exif, Place upright, unsigned height, unsigned width) {
  const auto [row, column] = upright;
  switch (exif) {
    case 2:
      return {row, width - 1 - column};
    case 3:
      return {height - 1 - row, width - 1 - column};
    case 4:
      return {height - 1 - row, column};
    case 5:
      return {column, row};
    case 6:
      return {height - 1 - column, row};
    case 7:
      return {height - 1 - column, width - 1 - row};
    case 8:
      return {column, width - 1 - row};
    default:
      return upright;
  }
}

bool is_turned(int exif) { return exif >= 5; }
// Whether the stored picture's left and right change places, top and bottom.
bool mirrors_columns(int exif) { return exif == 2 || exif == 3 || exif == 7 || exif == 8; }
bool mirrors_rows(int exif) { return exif == 3 || exif == 4 || exif == 6 || exif == 7; }

// A picture whose mirrored sides consist of whole MCUs, made upright coefficient by coefficient.
DensePicture upright_model(const DensePicture& stored, int exif) {
  DensePicture upright = stored;
  if (is_turned(exif)) std::swap(upright.width_px, upright.height_px);
  for (std::size_t i = 0; i < stored.components.size(); ++i) {
    const DenseComponent& from = stored.components[i];
    DenseComponent& to = upright.components[i];
    if (is_turned(exif)) {
      std::swap(to.h, to.v);
      std::swap(to.blocks_wide, to.blocks_high);
    }
    for (unsigned k = 0; k < jpeg::kBlockSize; ++k) {
      const unsigned row = jpeg::vertical_frequency(k);
      const unsigned column = jpeg::horizontal_frequency(k);
      const auto* const found = std::find(jpeg::kRowMajor.begin(), jpeg::kRowMajor.end(),
                                          is_turned(exif) ? column * 8 + row : row * 8 + column);
      const auto turned = static_cast<std::size_t>(found - jpeg::kRowMajor.begin());
      const bool flips = (mirrors_columns(exif) && column % 2 == 1) != (mirrors_rows(exif) && row % 2 == 1);
      to.quant_table[turned] = from.quant_table[k];
      for (unsigned y = 0; y < to.blocks_high; ++y) {
        for (unsigned x = 0; x < to.blocks_wide; ++x) {
          const Place place = stored_place(exif, {y, x}, from.blocks_high, from.blocks_wide);
          const int value = from.blocks[place.row * from.blocks_wide + place.column][k];
          to.blocks[y * to.blocks_wide + x][turned] = flips ? -value : value;
        }
      }
    }
  }
  return upright;
}

// Leaves out what does not fill an MCU on the sides that are mirrored.
DensePicture trimmed(DensePicture picture, int exif) {
  unsigned h_max = 1;
  unsigned v_max = 1;
  for (const DenseComponent& component : picture.components) {
    h_max = std::max(h_max, picture.components.size() == 1 ? 1 : component.h);
    v_max = std::max(v_max, picture.components.size() == 1 ? 1 : component.v);
  }
  if (mirrors_columns(exif)) picture.width_px -= picture.width_px % (8 * h_max);
  if (mirrors_rows(exif)) picture.height_px -= picture.height_px % (8 * v_max);
  for (DenseComponent& component : picture.components) {
    const unsigned h = picture.components.size() == 1 ? 1 : component.h;
    const unsigned v = picture.components.size() == 1 ? 1 : component.v;
    DenseComponent smaller = component;
    smaller.blocks.clear();
    smaller.blocks_wide = (picture.width_px * h + 8 * h_max - 1) / (8 * h_max);
    smaller.blocks_high = (picture.height_px * v + 8 * v_max - 1) / (8 * v_max);
    for (unsigned y = 0; y < smaller.blocks_high; ++y) {
      const auto row = component.blocks.begin() + y * component.blocks_wide;
      smaller.blocks.insert(smaller.blocks.end(), row, row + smaller.blocks_wide);
    }
    component = smaller;
  }
  return picture;
}

TEST(TranscodeJpeg, MakesPicturesUprightCoefficientByCoefficient) {
  for (std::uint32_t seed = 1; seed <= case_count(10'000); ++seed) {
    SCOPED_TRACE(seed);
    const std::string source = make_jpeg(random_options(seed));
    const auto dense = jpeg::read_dense(source);
    ASSERT_TRUE(dense);
    TranscodeOptions options = plain(static_cast<int>(seed % 100) + 1);
    options.orientation = static_cast<int>(seed % 8) + 1;
    options.progressive = seed % 3 == 0;
    const DensePicture whole = trimmed(*dense, options.orientation);
    const bool fits = whole.width_px == dense->width_px && whole.height_px == dense->height_px;
    auto result = transcode_jpeg(source, options);
    EXPECT_EQ(result.has_value(), fits);
    options.trim_partial_mcus = true;
    result = transcode_jpeg(source, options);
    const bool something_is_left = whole.width_px > 0 && whole.height_px > 0;
    ASSERT_EQ(result.has_value(), something_is_left);
    if (!result) {
      EXPECT_EQ(result.error().code, ErrorCode::kUnsupportedFormat);
      continue;
    }
    const auto written = jpeg::read_dense(*result);
    ASSERT_TRUE(written);
    expect_equal(*written, model_of(upright_model(whole, options.orientation), options.quality));
    if (HasFailure()) break;
  }
}

TEST(TranscodeJpeg, MakesPixelsUpright) {
  constexpr unsigned kHeight = 24;
  constexpr unsigned kWidth = 40;
  const std::string source =
      make_jpeg({.width_px = kWidth, .height_px = kHeight, .colours = SampleColours::kGrey, .calm = true});
  const auto stored = jpeg::decode_pixels(source);
  ASSERT_TRUE(stored);
  for (int exif = 1; exif <= 8; ++exif) {
    TranscodeOptions options = plain(100);
    options.orientation = exif;
    const auto result = transcode_jpeg(source, options);
    ASSERT_TRUE(result);
    const auto upright = jpeg::decode_pixels(*result);
    ASSERT_TRUE(upright);
    ASSERT_EQ(upright->size(), stored->size());
    const unsigned width = is_turned(exif) ? kHeight : kWidth;
    for (unsigned i = 0; i < upright->size(); ++i) {
      const Place place = stored_place(exif, {i / width, i % width}, kHeight, kWidth);
      // The inverse transform rounds rows before columns, so turned pictures may differ by one or two.
      ASSERT_NEAR((*upright)[i], (*stored)[place.row * kWidth + place.column], 2) << exif << " at " << i;
    }
  }
}

TEST(TranscodeJpeg, DeadZoneRoundsUpLate) {
  const std::string source = make_jpeg({.width_px = 64, .height_px = 64, .quality = 95});
  const auto dense = jpeg::read_dense(source);
  ASSERT_TRUE(dense);
  for (const int orientation : {1, 6}) {  // once while decoding, once behind it
    TranscodeOptions options = plain(50);
    options.rounding = TranscodeOptions::Rounding::kDeadZone;
    options.orientation = orientation;
    const auto result = transcode_jpeg(source, options);
    ASSERT_TRUE(result);
    const auto written = jpeg::read_dense(*result);
    ASSERT_TRUE(written);
    const DensePicture upright = upright_model(*dense, orientation);
    for (unsigned k = 1; k < jpeg::kBlockSize; ++k) {
      const unsigned sum = jpeg::horizontal_frequency(k) + jpeg::vertical_frequency(k);
      const double offset = 0.41 - 0.11 * std::min(1.0, sum / 7.0);
      const auto& blocks = upright.components[0].blocks;
      const double scale = 1.0 * upright.components[0].quant_table[k] / written->components[0].quant_table[k];
      for (std::size_t b = 0; b < blocks.size(); ++b) {
        const double exact = std::abs(blocks[b][k]) * scale + offset;
        if (std::abs(exact - std::round(exact)) < 0.001) continue;  // the model's own rounding decides
        ASSERT_EQ(std::abs(written->components[0].blocks[b][k]), std::floor(exact));
      }
    }
  }
}

TEST(TranscodeJpeg, KeepsCoefficientsWhereTheSourceIsAsCoarseAlready) {
  const std::string source = make_jpeg({.width_px = 64, .height_px = 48, .quality = 60});
  const auto dense = jpeg::read_dense(source);
  ASSERT_TRUE(dense);
  for (const auto rounding : {TranscodeOptions::Rounding::kDeadZone, TranscodeOptions::Rounding::kTrellis}) {
    for (const int quality : {58, 60, 95}) {
      const auto result = transcode_jpeg(source, {.quality = quality, .rounding = rounding});
      ASSERT_TRUE(result);
      const auto written = jpeg::read_dense(*result);
      ASSERT_TRUE(written);
      expect_equal(*written, *dense);
    }
    const auto exact = jpeg::read_dense(
        transcode_jpeg(source, {.quality = 58, .rounding = rounding, .keep_near_source = false}).value());
    ASSERT_TRUE(exact);
    EXPECT_NE(exact->components[0].quant_table, dense->components[0].quant_table);
    const auto coarser = jpeg::read_dense(transcode_jpeg(source, {.quality = 40, .rounding = rounding}).value());
    ASSERT_TRUE(coarser);
    EXPECT_NE(coarser->components[0].quant_table, dense->components[0].quant_table);
  }
}

TEST(TranscodeJpeg, ChangesNothingTheSecondTime) {
  const std::string source = make_jpeg({.width_px = 64, .height_px = 48, .quality = 95});
  for (const auto rounding : {TranscodeOptions::Rounding::kDeadZone, TranscodeOptions::Rounding::kTrellis}) {
    const TranscodeOptions options = {.quality = 50, .rounding = rounding, .progressive = false};
    const auto once = transcode_jpeg(source, options);
    ASSERT_TRUE(once);
    const auto twice = transcode_jpeg(*once, options);
    ASSERT_TRUE(twice);
    EXPECT_EQ(*twice, *once);
  }
}

TEST(TranscodeJpeg, EveryModeWritesSmallerFilesThatDecode) {
  const std::string source = make_jpeg({.width_px = 200, .height_px = 150, .quality = 95});
  TranscodeOptions options = plain(50);
  options.tables = JpegTables::kBalanced;
  const std::size_t nearest = transcode_jpeg(source, options).value().size();
  for (const auto rounding : {TranscodeOptions::Rounding::kDeadZone, TranscodeOptions::Rounding::kTrellis}) {
    options.rounding = rounding;
    for (const bool progressive : {false, true}) {
      options.progressive = progressive;
      const auto result = transcode_jpeg(source, options);
      ASSERT_TRUE(result);
      EXPECT_TRUE(jpeg::decode_pixels(*result));
      EXPECT_EQ(result->find("\xFF\xC2") != std::string::npos, progressive);
      EXPECT_LT(result->size(), nearest);
    }
  }
}

TEST(TranscodeJpeg, WritesRunsOfEmptyBlocksOfAnyLength) {
  // 185 × 185 blocks are more than one symbol can end.
  const std::string source =
      make_jpeg({.width_px = 1480, .height_px = 1480, .colours = SampleColours::kGrey, .flat = true});
  TranscodeOptions options = plain(90);
  options.progressive = true;
  const auto result = transcode_jpeg(source, options);
  ASSERT_TRUE(result);
  const auto written = jpeg::read_dense(*result);
  ASSERT_TRUE(written);
  expect_equal(*written, model_of(jpeg::read_dense(source).value(), 90));
}

// The payload of the first segment with this marker.
std::size_t payload_of(const std::string& file, unsigned char marker) {
  const std::size_t at = file.find(std::string{'\xFF', static_cast<char>(marker)});
  PIXMILL_CHECK(at != std::string::npos);
  return at + 4;
}

void expect_left_to_the_pixels(std::string_view file) {
  const auto result = transcode_jpeg(file, plain(60));
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
  const auto result = transcode_jpeg(file, plain(60));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kDecodeFailed);
}

TEST(TranscodeJpeg, CallsWhatIsNoJpegDamaged) {
  for (const std::string_view text : {"GIF89a and more", "\xFF\xD8\xFF\xD9"}) {
    const auto result = transcode_jpeg(text, plain(60));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kDecodeFailed);
  }
}

TEST(TranscodeJpeg, KeepsTheDensity) {
  std::string file = make_jpeg({});
  const std::size_t jfif = payload_of(file, 0xE0);
  file.replace(jfif + 7, 5, std::string("\1\0\x60\0\x48", 5));
  const auto result = transcode_jpeg(file, plain(60));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->substr(payload_of(*result, 0xE0), 14), file.substr(jfif, 14));
}

// An ICC profile as far as anyone looks: a header, one tag, a description.
std::string profile(std::string_view description, std::size_t size) {
  std::string bytes(size, '\0');
  bytes.replace(16, 4, "RGB ");
  bytes.replace(128, 16, std::string("\0\0\0\1desc\0\0\0\x90\0\0\1\0", 16));
  bytes.replace(0x90, description.size(), description);
  return bytes;
}

std::string with_segment(std::string file, unsigned char marker, std::string_view payload) {
  const std::size_t size = payload.size() + 2;
  std::string segment = {'\xFF', static_cast<char>(marker), static_cast<char>(size >> 8),
                         static_cast<char>(size & 0xFF)};
  return file.insert(2, segment.append(payload));
}

std::string with_profile(const std::string& bytes) {
  std::string file = make_jpeg({});
  const std::size_t middle = bytes.size() / 2;
  file = with_segment(file, 0xE2, std::string("ICC_PROFILE\0\2\2", 14) + bytes.substr(middle));
  return with_segment(file, 0xE2, std::string("ICC_PROFILE\0\1\2", 14) + bytes.substr(0, middle));
}

TEST(TranscodeJpeg, KeepsAProfileUnlessItIsSrgb) {
  const std::string wide = profile("Display P3", 100'000);
  const auto kept = transcode_jpeg(with_profile(wide), plain(60));
  ASSERT_TRUE(kept);
  EXPECT_TRUE(read_jpeg_metadata(*kept).icc == wide);  // too long to be printed
  TranscodeOptions options = plain(60);
  const std::string srgb = read_jpeg_metadata(testing::make_picture({.icc = "srgb"})).icc;
  ASSERT_FALSE(srgb.empty());
  EXPECT_EQ(read_jpeg_metadata(transcode_jpeg(with_profile(srgb), options).value()).icc, "");
  options.profile = TranscodeOptions::Profile::kDrop;
  EXPECT_EQ(read_jpeg_metadata(transcode_jpeg(with_profile(wide), options).value()).icc, "");
}

TEST(TranscodeJpeg, WritesOnlyTheMetadataItIsGiven) {
  std::string source = with_segment(make_jpeg({}), 0xFE, "a comment");
  source = with_segment(source, 0xE1, std::string("Exif\0\0MM secret place", 21));
  source = with_segment(source, 0xED, "Photoshop 3.0");
  TranscodeOptions options = plain(60);
  const auto bare = transcode_jpeg(source, options);
  ASSERT_TRUE(bare);
  EXPECT_EQ(*bare, *transcode_jpeg(make_jpeg({}), options));
  options.exif = "II made upright";
  options.xmp = "<x:xmpmeta/>";
  const auto kept = transcode_jpeg(source, options);
  ASSERT_TRUE(kept);
  EXPECT_EQ(read_jpeg_metadata(*kept).exif, options.exif);
  EXPECT_EQ(read_jpeg_metadata(*kept).xmp, options.xmp);
  EXPECT_EQ(kept->find("secret"), std::string::npos);
  EXPECT_TRUE(jpeg::decode_pixels(*kept));
  const std::string too_long(65'600, 'x');
  options.exif = options.xmp = too_long;
  EXPECT_EQ(*bare, *transcode_jpeg(source, options));
}

TEST(TranscodeJpeg, RefusesProgressiveFilesOfTooManyScans) {
  const std::string source = make_jpeg({.process = SampleProcess::kProgressive});
  // The last scan again and again.
  const std::size_t scan = source.rfind("\xFF\xDA");
  const std::string piece = source.substr(scan, source.size() - 2 - scan);
  std::string many = source.substr(0, source.size() - 2);
  for (int i = 0; i < 120; ++i) many += piece;
  const auto result = transcode_jpeg(many + "\xFF\xD9", plain(60));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kDecodeFailed);
}

TEST(TranscodeJpeg, KeepsStepsAbove255) {
  const std::string source = make_jpeg({.quality = 3});
  const auto dense = jpeg::read_dense(source);
  ASSERT_TRUE(dense);
  ASSERT_GT(dense->components[0].quant_table[40], 255U);
  const auto result = transcode_jpeg(source, plain(50));
  ASSERT_TRUE(result);
  const auto written = jpeg::read_dense(*result);
  ASSERT_TRUE(written);
  expect_equal(*written, *dense);
}

// Small files that between them have every structure the parser knows.
std::vector<std::string> small_files() {
  SampleOptions options = {.width_px = 24, .height_px = 17, .seed = 3};
  std::vector<std::string> files = {make_jpeg(options)};
  options.process = SampleProcess::kProgressive;
  files.push_back(make_jpeg(options));
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
    const auto whole = transcode_jpeg(file, plain(60));
    ASSERT_TRUE(whole);
    for (std::size_t size = 0; size < file.size(); ++size) {
      SCOPED_TRACE(size);
      const auto result = transcode_jpeg(std::string_view(file).substr(0, size), plain(60));
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
        SCOPED_TRACE(::testing::Message() << "byte " << at << " of " << file.size() << " xor " << damage);
        const char before = file[at];
        file[at] = static_cast<char>(static_cast<unsigned char>(before) ^ damage);
        const auto result = transcode_jpeg(file, plain(60));
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
