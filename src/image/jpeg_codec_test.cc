#include "image/jpeg_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "image/jpeg/quantisation.h"
#include "tests/support/sample_jpegs.h"

namespace pixmill::image {
namespace {

using Rounding = TranscodeOptions::Rounding;

constexpr SizePx kSize = {.width = 96, .height = 64};

// Gradients with some grain.
std::vector<std::uint8_t> rows_of(std::uint32_t bands) {
  std::vector<std::uint8_t> pixels;
  for (std::uint32_t y = 0; y < kSize.height; ++y) {
    for (std::uint32_t x = 0; x < kSize.width; ++x) {
      for (std::uint32_t band = 0; band < bands; ++band) {
        pixels.push_back(static_cast<std::uint8_t>(40 + (x + band * y) % 160 + (x * 7 + y * 13) % 11));
      }
    }
  }
  return pixels;
}

Result<std::string> encoded(const std::vector<std::uint8_t>& pixels, std::uint32_t bands, const JpegOptions& options) {
  const std::size_t row_bytes = std::size_t{kSize.width} * bands;
  return encode_jpeg(
      kSize, bands, [&](std::uint32_t y) { return pixels.data() + y * row_bytes; }, options);
}

TEST(EncodeJpeg, WritesTheStepsThatTheQualityStandsFor) {
  for (const JpegTables tables : {JpegTables::kStandard, JpegTables::kBalanced}) {
    for (const Rounding rounding : {Rounding::kNearest, Rounding::kDeadZone, Rounding::kTrellis}) {
      for (const int quality : {1, 20, 50, 75, 89, 90, 97, 100}) {
        const bool halves = quality % 2 == 0;
        const auto file = encoded(rows_of(3), 3,
                                  {.quality = quality,
                                   .tables = tables,
                                   .rounding = rounding,
                                   .progressive = false,
                                   .halves_chroma = halves});
        ASSERT_TRUE(file);
        const auto dense = jpeg::read_dense(*file);
        ASSERT_TRUE(dense);
        for (unsigned i = 0; i < 3; ++i) {
          const auto channel = i == 0 ? jpeg::Channel::kLuma : jpeg::Channel::kChroma;
          const auto expected = tables == JpegTables::kStandard ? jpeg::standard_table(channel, quality)
                                                                : jpeg::balanced_table(channel, quality);
          const auto& table = dense->components[i].quant_table;
          ASSERT_TRUE(std::equal(table.begin(), table.end(), expected.begin(), expected.end())) << quality;
        }
        EXPECT_EQ(dense->components[0].h, halves ? 2U : 1U);
      }
    }
  }
}

TEST(EncodeJpeg, ComesNearThePixelsHoweverItRounds) {
  for (const std::uint32_t bands : {1U, 3U}) {
    const auto pixels = rows_of(bands);
    for (const Rounding rounding : {Rounding::kNearest, Rounding::kDeadZone, Rounding::kTrellis}) {
      const auto file = encoded(pixels, bands, {.quality = 92, .rounding = rounding});
      ASSERT_TRUE(file);
      const auto seen = jpeg::decode_pixels(*file);
      ASSERT_TRUE(seen);
      ASSERT_EQ(seen->size(), pixels.size());
      double difference = 0;
      for (std::size_t i = 0; i < pixels.size(); ++i) difference += std::abs((*seen)[i] - pixels[i]);
      EXPECT_LT(difference / static_cast<double>(pixels.size()), 3.0);
    }
  }
}

TEST(EncodeJpeg, CareInRoundingSavesBytes) {
  const auto pixels = rows_of(3);
  JpegOptions options{.quality = 60, .rounding = Rounding::kNearest};
  const std::size_t nearest = encoded(pixels, 3, options).value().size();
  for (const Rounding rounding : {Rounding::kDeadZone, Rounding::kTrellis}) {
    options.rounding = rounding;
    EXPECT_LT(encoded(pixels, 3, options).value().size(), nearest);
  }
}

TEST(EncodeJpeg, FailsWhenARowIsMissing) {
  const auto pixels = rows_of(1);
  const auto result = encode_jpeg(kSize, 1, [&](std::uint32_t y) { return y < 10 ? pixels.data() : nullptr; }, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kDecodeFailed);
}

}  // namespace
}  // namespace pixmill::image
