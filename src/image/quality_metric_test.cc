#include "image/quality_metric.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "image/recursive_gaussian.h"
#include "image/row_filter.h"
#include "image/ssimulacra2.h"
#include "image/ssimulacra2_scale.h"
#include "tests/support/quality_pairs.h"

namespace pixmill::image {
namespace {

using testing::quality_pairs;
using testing::QualityPair;
using testing::RgbPicture;

RgbPicture flat(std::uint32_t width_px, std::uint32_t height_px, std::uint8_t value) {
  return {.width_px = width_px,
          .height_px = height_px,
          .bytes = std::vector<std::uint8_t>(std::size_t{3} * width_px * height_px, value)};
}

const QualityPair& pair_named(std::string_view name) {
  for (const QualityPair& pair : quality_pairs()) {
    if (pair.name == name) return pair;
  }
  ADD_FAILURE() << "no such pair: " << name;
  return quality_pairs().front();
}

double ssimulacra2_of(const QualityPair& pair) {
  const auto score = ssimulacra2(make_original(pair).view(), make_distorted(pair).view());
  EXPECT_TRUE(score.has_value()) << pair.name;
  return score.value_or(std::numeric_limits<double>::quiet_NaN());
}

// The definition, word for word and in double: every window by itself, covariance from the product.
class PlainSsim {
 public:
  PlainSsim(const RgbPicture& original, const RgbPicture& distorted)
      : width_(static_cast<int>(original.width_px)),
        height_(static_cast<int>(original.height_px)),
        original_(luma_of(original)),
        distorted_(luma_of(distorted)) {
    double sum = 0;
    for (int i = 0; i < 121; ++i) {
      const int dx = i % 11 - 5;
      const int dy = i / 11 - 5;
      weights_[i] = std::exp(-(dx * dx + dy * dy) / (2 * 1.5 * 1.5));
      sum += weights_[i];
    }
    for (double& weight : weights_) weight /= sum;
  }

  [[nodiscard]] double mean() const {
    double sum = 0;
    for (int top = 0; top + 11 <= height_; ++top) {
      for (int left = 0; left + 11 <= width_; ++left) sum += at(left, top);
    }
    return sum / ((width_ - 10) * (height_ - 10));
  }

 private:
  static std::vector<double> luma_of(const RgbPicture& picture) {
    std::vector<double> luma;
    for (std::size_t i = 0; i < picture.bytes.size(); i += 3) {
      luma.push_back(0.299 * picture.bytes[i] + 0.587 * picture.bytes[i + 1] + 0.114 * picture.bytes[i + 2]);
    }
    return luma;
  }

  [[nodiscard]] double at(int left, int top) const {
    double mean_a = 0, mean_b = 0;
    for (int i = 0; i < 121; ++i) {
      const int place = (top + i / 11) * width_ + left + i % 11;
      mean_a += weights_[i] * original_[place];
      mean_b += weights_[i] * distorted_[place];
    }
    double variance_a = 0, variance_b = 0, covariance = 0;
    for (int i = 0; i < 121; ++i) {
      const int place = (top + i / 11) * width_ + left + i % 11;
      const double a = original_[place] - mean_a;
      const double b = distorted_[place] - mean_b;
      variance_a += weights_[i] * a * a;
      variance_b += weights_[i] * b * b;
      covariance += weights_[i] * a * b;
    }
    constexpr double kC1 = (0.01 * 255) * (0.01 * 255);
    constexpr double kC2 = (0.03 * 255) * (0.03 * 255);
    return (2 * mean_a * mean_b + kC1) * (2 * covariance + kC2) /
           ((mean_a * mean_a + mean_b * mean_b + kC1) * (variance_a + variance_b + kC2));
  }

  int width_;
  int height_;
  std::vector<double> original_;
  std::vector<double> distorted_;
  std::array<double, 121> weights_{};
};

using Metric = Result<double> (*)(const RgbView&, const RgbView&);
constexpr std::array<Metric, 3> kMetrics = {ssimulacra2, ssim, psnr};

// A tenth is what a score needs to be good for; the arithmetic is the reference's, so that a thousandth holds.
TEST(Ssimulacra2, EqualsTheReference) {
  for (const QualityPair& pair : quality_pairs()) EXPECT_NEAR(ssimulacra2_of(pair), pair.reference, 0.001) << pair.name;
}

TEST(Ssimulacra2, IsExactlyAHundredForTheSamePicture) {
  for (const std::string_view name : {"photo_jpeg_10", "text_blur_1", "edges_blur_2", "tiny_8x8_same"}) {
    const RgbPicture picture = make_original(pair_named(name));
    EXPECT_EQ(ssimulacra2(picture.view(), picture.view()), 100.0) << name;
  }
}

TEST(Ssimulacra2, WeighsLostEdgesOtherwiseThanGainedOnes) {
  const QualityPair& pair = pair_named("text_blur_1");
  const auto blurred = ssimulacra2(make_original(pair).view(), make_distorted(pair).view());
  const auto regained = ssimulacra2(make_distorted(pair).view(), make_original(pair).view());
  ASSERT_TRUE(blurred && regained);
  EXPECT_GT(std::abs(*blurred - *regained), 0.5) << *blurred << " and " << *regained;
}

// The weights of the three cosines, solved from the paper's conditions: numbers in brackets are its equations.
TEST(RecursiveGaussian, HasTheWeightsOfThePaper) {
  constexpr double kSigma = 1.5;
  const double radius = std::round(3.2795 * kSigma + 0.2546);  // (57)
  ASSERT_EQ(radius, kBlurRadius);
  std::array<double, 3> p{}, r{}, rho{};
  for (int i = 0; i < 3; ++i) {
    const double omega = (2 * i + 1) * std::numbers::pi / (2 * radius);
    p[i] = (i == 1 ? -1 : 1) / std::tan(omega / 2);                    // (37)
    r[i] = (i == 1 ? -1 : 1) * p[i] * p[i] / std::sin(omega);          // (44)
    rho[i] = std::exp(-kSigma * kSigma * omega * omega / 2) / radius;  // (50)
  }
  const auto cross = [&](int i, int k) { return p[i] * r[k] - r[i] * p[k]; };
  const std::array<double, 3> zeta = {cross(1, 2) / cross(0, 1), cross(2, 0) / cross(0, 1), 1};  // (52)
  const auto sum = [](const std::array<double, 3>& weights, const std::array<double, 3>& values) {
    return weights[0] * values[0] + weights[1] * values[1] + weights[2] * values[2];
  };
  EXPECT_NEAR(sum(kBlurWeights, p), 1, 1e-12);  // (53) to (56)
  EXPECT_NEAR(sum(kBlurWeights, r), radius * radius - kSigma * kSigma, 1e-12);
  EXPECT_NEAR(sum(kBlurWeights, zeta), sum(rho, zeta), 1e-12);
}

// What the blur makes of one bright value: a sum of cosines that ends at the radius.
double impulse_answer(std::ptrdiff_t distance) {
  double answer = 0;
  for (int i = 0; i < 3; ++i) {
    answer += kBlurWeights[i] * std::cos((2 * i + 1) * std::numbers::pi / 10 * static_cast<double>(distance));
  }
  return std::abs(distance) < kBlurRadius ? answer : 0;
}

TEST(RecursiveGaussian, SpreadsAnImpulseAlongTheRow) {
  for (const std::size_t width : {1U, 4U, 7U, 8U, 11U, 12U, 40U, 43U}) {
    for (std::size_t at = 0; at < width; ++at) {
      RowStore rows(2, width * kBlurLanes, kBlurMargin * kBlurLanes);
      const std::size_t lane = at % kBlurLanes;
      rows.row(0)[at * kBlurLanes + lane] = 1;
      blur_along(rows.row(0), width, rows.row(1));
      for (std::size_t x = 0; x < width; ++x) {
        const double expected = impulse_answer(static_cast<std::ptrdiff_t>(x) - static_cast<std::ptrdiff_t>(at));
        ASSERT_NEAR(rows.row(1)[x * kBlurLanes + lane], expected, 1e-5) << width << ", " << at << ", " << x;
        ASSERT_EQ(rows.row(1)[x * kBlurLanes + (lane + 1) % kBlurLanes], 0);
      }
    }
  }
}

TEST(RecursiveGaussian, SpreadsAnImpulseAcrossRows) {
  constexpr std::size_t kWidth = 3;
  constexpr std::ptrdiff_t kHeight = 30;
  constexpr std::ptrdiff_t kAt = 13;
  RowStore rows(3, kWidth * kBlurLanes);  // zeros, the impulse, what comes out
  rows.row(1)[20] = 1;
  BlurAcross blur(kWidth);
  for (std::ptrdiff_t n = -kBlurAhead; n < kHeight; ++n) {
    blur.step(rows.row(n - kBlurBehind == kAt ? 1 : 0), rows.row(n + kBlurAhead == kAt ? 1 : 0), rows.row(2));
    if (n < 0) continue;
    EXPECT_NEAR(rows.row(2)[20], impulse_answer(n - kAt), 1e-5) << n;
    EXPECT_EQ(rows.row(2)[21], 0);
  }
}

TEST(Ssimulacra2, ScoresTheErrorsOfOneToSixScales) {
  ChannelErrors errors;
  errors.gained.fourth = 0.1;
  const ScaleErrors scale = {errors, errors, errors};
  EXPECT_LT(ssimulacra2_score(std::vector<ScaleErrors>(6, scale)), 100);
  EXPECT_EQ(ssimulacra2_score(std::vector<ScaleErrors>(1)), 100);
  EXPECT_DEATH(static_cast<void>(ssimulacra2_score({})), "scales");
}

TEST(Ssim, EqualsTheDefinition) {
  for (const QualityPair& pair : quality_pairs()) {
    if (std::min(pair.width_px, pair.height_px) < 11 || pair.width_px > 210) continue;
    const RgbPicture original = make_original(pair);
    const RgbPicture distorted = make_distorted(pair);
    const auto score = ssim(original.view(), distorted.view());
    ASSERT_TRUE(score.has_value()) << pair.name;
    EXPECT_NEAR(*score, PlainSsim(original, distorted).mean(), 1e-5) << pair.name;
  }
}

TEST(Ssim, IsOneForTheSamePictureAndNearlyMinusOneForItsOpposite) {
  RgbPicture checks = flat(24, 20, 64);
  RgbPicture opposite = flat(24, 20, 192);
  for (std::size_t i = 0; i < checks.bytes.size(); ++i) {
    if ((i / 3 % 24 + i / 72) % 2 == 0) std::swap(checks.bytes[i], opposite.bytes[i]);
  }
  EXPECT_EQ(ssim(checks.view(), checks.view()).value(), 1.0);
  constexpr double kC2 = 58.5225;
  const double variances = 2 * 64.0 * 64.0;
  EXPECT_NEAR(ssim(checks.view(), opposite.view()).value(), (kC2 - variances) / (kC2 + variances), 1e-3);
}

// One place for the window, all of whose pixels are the same: only the luminance term is left.
TEST(Ssim, JudgesOneWindow) {
  const double expected = (2 * 100 * 150 + 6.5025) / (100 * 100 + 150 * 150 + 6.5025);
  EXPECT_NEAR(*ssim(flat(11, 11, 100).view(), flat(11, 11, 150).view()), expected, 1e-5);
}

TEST(Psnr, FollowsTheMeanSquaredError) {
  EXPECT_EQ(psnr(flat(3, 2, 7).view(), flat(3, 2, 7).view()), std::numeric_limits<double>::infinity());
  EXPECT_NEAR(*psnr(flat(3, 2, 0).view(), flat(3, 2, 255).view()), 0.0, 1e-12);
  EXPECT_NEAR(*psnr(flat(3, 2, 10).view(), flat(3, 2, 15).view()), 20 * std::log10(255.0 / 5), 1e-12);
  RgbPicture one_value = flat(5, 4, 10);
  one_value.bytes[31] = 20;  // 100 / 60
  EXPECT_NEAR(*psnr(flat(5, 4, 10).view(), one_value.view()), 10 * std::log10(255.0 * 255.0 * 60 / 100), 1e-12);
}

TEST(QualityMetric, LeavesTheBytesBetweenRowsAlone) {
  const QualityPair& pair = pair_named("tiny_33x17_jpeg_30");
  const RgbPicture original = make_original(pair);
  const RgbPicture distorted = make_distorted(pair);
  constexpr std::size_t kRowBytes = 99;
  constexpr std::size_t kStride = kRowBytes + 13;
  std::vector<std::uint8_t> padded(kStride * 16 + kRowBytes, 0xAA);
  for (std::size_t y = 0; y < 17; ++y) {
    std::copy_n(original.bytes.data() + y * kRowBytes, kRowBytes, padded.data() + y * kStride);
  }
  const RgbView view = {.bytes = padded, .width_px = 33, .height_px = 17, .stride_bytes = kStride};
  for (const Metric metric : kMetrics) {
    EXPECT_EQ(metric(view, distorted.view()).value(), metric(original.view(), distorted.view()).value());
  }
}

TEST(QualityMetric, RefusesWhatItCannotCompare) {
  const RgbPicture picture = flat(16, 12, 1);
  RgbView short_by_one = picture.view();
  short_by_one.bytes = short_by_one.bytes.first(short_by_one.bytes.size() - 1);
  RgbView narrow_stride = picture.view();
  narrow_stride.stride_bytes = 47;
  RgbView endless_stride = picture.view();
  endless_stride.stride_bytes = std::numeric_limits<std::size_t>::max() / 2;
  RgbView no_rows = picture.view();
  no_rows.height_px = 0;
  RgbView no_columns = picture.view();
  no_columns.width_px = 0;
  for (const Metric metric : kMetrics) {
    for (const RgbView& bad : {short_by_one, narrow_stride, endless_stride, no_rows, no_columns, RgbView{}}) {
      EXPECT_EQ(metric(picture.view(), bad).error().code, ErrorCode::kInvalidArgument);
      EXPECT_EQ(metric(bad, picture.view()).error().code, ErrorCode::kInvalidArgument);
    }
    const auto other_size = metric(picture.view(), flat(12, 16, 1).view());
    EXPECT_EQ(other_size.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(other_size.error().message, "pictures of different sizes cannot be compared: 16×12 and 12×16");
  }
}

TEST(QualityMetric, KnowsItsSmallestAndLargestPictures) {
  EXPECT_TRUE(ssimulacra2(flat(8, 8, 1).view(), flat(8, 8, 2).view()).has_value());
  EXPECT_EQ(ssimulacra2(flat(7, 8, 1).view(), flat(7, 8, 1).view()).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ssimulacra2(flat(8, 7, 1).view(), flat(8, 7, 1).view()).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ssim(flat(10, 11, 1).view(), flat(10, 11, 1).view()).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(psnr(flat(1, 1, 1).view(), flat(1, 1, 2).view()).has_value());
  const RgbPicture too_wide = flat(kJudgedSideMaxPx + 1, 11, 1);
  for (const Metric metric : kMetrics) {
    EXPECT_EQ(metric(too_wide.view(), too_wide.view()).error().code, ErrorCode::kTooLarge);
  }
}

}  // namespace
}  // namespace pixmill::image
