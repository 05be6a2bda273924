#include "image/ssimulacra2_scale.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "base/error.h"

namespace pixmill::image {

namespace {

constexpr std::size_t kChannels = 3;
constexpr std::size_t kColourRows = kBlurAhead + 1;               // kept of each channel of both pictures
constexpr std::size_t kAlongRows = kBlurAhead + kBlurBehind + 1;  // kept for the blur across
constexpr std::size_t kZeroRow = kAlongRows;

// What is blurred of each channel, which makes 15 of the 16 lanes: both pictures, their squares, their product.
enum Quantity : std::size_t { kOriginal, kDistorted, kOriginalSquare, kDistortedSquare, kProduct, kQuantities };
static_assert(kQuantities * kChannels <= kBlurLanes);

constexpr std::size_t lane_of(std::size_t quantity, std::size_t channel) { return quantity * kChannels + channel; }

constexpr float kC2 = 0.0009F;

// The opsin absorbance of JPEG XL (ISO/IEC 18181-1, annex L.2): L, M and S cones from linear RGB.
constexpr float kOpsin[3][3] = {
    {0.30F, 1.0F - 0.078F - 0.30F, 0.078F},
    {0.23F, 1.0F - 0.078F - 0.23F, 0.078F},
    {0.24342268924547819F, 0.20476744424496821F, 1.0F - 0.24342268924547819F - 0.20476744424496821F}};
constexpr float kOpsinBias = 0.0037930732552754493F;
constexpr float kOpsinBiasRoot = 0.15595420054924863F;  // its cube root

// For positive values, to float's precision. The inverse of the root is guessed from the exponent and refined by
// Newton's method; the steps round as the reference's do.
[[gnu::always_inline]] inline float cube_root_less_bias(float value) {
  const std::int32_t exponent = std::bit_cast<std::int32_t>(value) >> 23;
  float inverse = std::bit_cast<float>(0x54800000 - exponent * 0x002AAAAA);
  for (int i = 0; i < 3; ++i) {
    const float square = inverse * inverse;
    inverse = std::fma(-((1.0F / 3) * value), square * square, (4.0F / 3) * inverse);
  }
  float square = inverse * inverse;
  inverse = std::fma(1.0F / 3, std::fma(-value, square * square, inverse), inverse);
  square = inverse * inverse;
  return std::fma(square, value, -kOpsinBiasRoot);
}

[[gnu::always_inline]] inline float cone(const float (&weights)[3], float red, float green, float blue) {
  const float absorbed = std::fma(weights[0], red, std::fma(weights[1], green, std::fma(weights[2], blue, kOpsinBias)));
  return cube_root_less_bias(absorbed);
}

// XYB, shifted and stretched by the metric so that every channel stays within 0 to 1.
PIXMILL_SIMD_CLONES void colours_of(const LinearRow& row, std::size_t width, float* __restrict out_x,
                                    float* __restrict out_y, float* __restrict out_b) {
  const float* red = row[0];
  const float* green = row[1];
  const float* blue = row[2];
#pragma omp simd
  for (std::size_t i = 0; i < width; ++i) {
    const float l = cone(kOpsin[0], red[i], green[i], blue[i]);
    const float m = cone(kOpsin[1], red[i], green[i], blue[i]);
    const float s = cone(kOpsin[2], red[i], green[i], blue[i]);
    const float luma = 0.5F * (l + m);
    out_x[i] = (0.5F * (l - m)) * 14.0F + 0.42F;
    out_y[i] = luma + 0.01F;
    out_b[i] = (s - luma) + 0.55F;
  }
}

PIXMILL_SIMD_CLONES void lay_side_by_side(const float* original, const float* distorted, std::size_t channel,
                                          std::size_t width, float* __restrict lanes) {
  for (std::size_t i = 0; i < width; ++i) {
    const float a = original[i];
    const float b = distorted[i];
    float* pixel = lanes + i * kBlurLanes + channel;
    pixel[lane_of(kOriginal, 0)] = a;
    pixel[lane_of(kDistorted, 0)] = b;
    pixel[lane_of(kOriginalSquare, 0)] = a * a;
    pixel[lane_of(kDistortedSquare, 0)] = b * b;
    pixel[lane_of(kProduct, 0)] = a * b;
  }
}

void lay_one_after_the_other(const float* lanes, std::size_t width, RowStore& rows) {
  for (std::size_t lane = 0; lane < kQuantities * kChannels; ++lane) {
    float* row = rows.row(lane);
    for (std::size_t i = 0; i < width; ++i) row[i] = lanes[i * kBlurLanes + lane];
  }
}

// Sums over one row, in as many lanes as there are; sums over rows are doubles.
struct RowSums {
  float structure = 0, structure4 = 0, gained = 0, gained4 = 0, lost = 0, lost4 = 0;
};

PIXMILL_SIMD_CLONES RowSums errors_of(const RowStore& blurred, std::size_t channel, const float* original,
                                      const float* distorted, std::size_t width) {
  const float* mean_original = blurred.row(lane_of(kOriginal, channel));
  const float* mean_distorted = blurred.row(lane_of(kDistorted, channel));
  const float* square_original = blurred.row(lane_of(kOriginalSquare, channel));
  const float* square_distorted = blurred.row(lane_of(kDistortedSquare, channel));
  const float* product = blurred.row(lane_of(kProduct, channel));
  float structure = 0, structure4 = 0, gained = 0, gained4 = 0, lost = 0, lost4 = 0;
#pragma omp simd reduction(+ : structure, structure4, gained, gained4, lost, lost4)
  for (std::size_t i = 0; i < width; ++i) {
    const float a = mean_original[i];
    const float b = mean_distorted[i];
    // SSIM's two factors: the first without its denominator, since these values are perceptually uniform already.
    const float likeness = 1.0F - (a - b) * (a - b);
    const float covariance = 2.0F * (product[i] - a * b) + kC2;
    const float variances = (square_original[i] - a * a) + (square_distorted[i] - b * b) + kC2;
    const float unlike = 1.0F - likeness * covariance / variances;
    const float error = unlike > 0.0F ? unlike : 0.0F;
    structure += error;
    structure4 += (error * error) * (error * error);
    const float edge_original = std::abs(original[i] - a);
    const float edge_distorted = std::abs(distorted[i] - b);
    const float change = (edge_distorted - edge_original) / (1.0F + edge_original);
    const float more = change > 0.0F ? change : 0.0F;
    const float less = more - change;
    gained += more;
    gained4 += (more * more) * (more * more);
    lost += less;
    lost4 += (less * less) * (less * less);
  }
  return {structure, structure4, gained, gained4, lost, lost4};
}

Norms norms_of(double sum, double sum_of_fourth_powers, double pixels) {
  return {.mean = sum / pixels, .fourth = std::sqrt(std::sqrt(sum_of_fourth_powers / pixels))};
}

}  // namespace

std::size_t Ssimulacra2Scale::colour_row(std::size_t y, std::size_t picture, std::size_t channel) {
  return (y % kColourRows * 2 + picture) * kChannels + channel;
}

Ssimulacra2Scale::Ssimulacra2Scale(std::size_t width, std::size_t height)
    : width_(width),
      height_(height),
      colours_(2 * kChannels * kColourRows, width),
      lanes_(2, width * kBlurLanes, kBlurMargin * kBlurLanes),
      along_(kAlongRows + 1, width * kBlurLanes),
      blurred_(kQuantities * kChannels, width),
      across_(width) {}

void Ssimulacra2Scale::push(const LinearRow& original, const LinearRow& distorted) {
  const std::size_t y = rows_pushed_++;
  for (std::size_t picture = 0; picture < 2; ++picture) {
    float* x_row = colours_.row(colour_row(y, picture, 0));
    float* y_row = colours_.row(colour_row(y, picture, 1));
    float* b_row = colours_.row(colour_row(y, picture, 2));
    colours_of(picture == 0 ? original : distorted, width_, x_row, y_row, b_row);
  }
  for (std::size_t channel = 0; channel < kChannels; ++channel) {
    lay_side_by_side(colours_.row(colour_row(y, 0, channel)), colours_.row(colour_row(y, 1, channel)), channel, width_,
                     lanes_.row(0));
  }
  blur_along(lanes_.row(0), width_, along_.row(y % kAlongRows));
  step(static_cast<std::ptrdiff_t>(y) - kBlurAhead);
}

ScaleErrors Ssimulacra2Scale::finish() {
  PIXMILL_CHECK(rows_pushed_ == height_);
  const auto end = static_cast<std::ptrdiff_t>(height_);
  for (std::ptrdiff_t n = end - kBlurAhead; n < end; ++n) step(n);
  const double pixels = static_cast<double>(width_) * static_cast<double>(height_);
  ScaleErrors errors;
  for (std::size_t channel = 0; channel < kChannels; ++channel) {
    const Sums& sums = sums_[channel];
    errors[channel] = {.structure = norms_of(sums.structure, sums.structure4, pixels),
                       .gained = norms_of(sums.gained, sums.gained4, pixels),
                       .lost = norms_of(sums.lost, sums.lost4, pixels)};
  }
  return errors;
}

void Ssimulacra2Scale::step(std::ptrdiff_t n) {
  const auto row_at = [this](std::ptrdiff_t y) {
    const bool inside = y >= 0 && y < static_cast<std::ptrdiff_t>(height_);
    return along_.row(inside ? static_cast<std::size_t>(y) % kAlongRows : kZeroRow);
  };
  across_.step(row_at(n - kBlurBehind), row_at(n + kBlurAhead), lanes_.row(1));
  if (n < 0) return;
  lay_one_after_the_other(lanes_.row(1), width_, blurred_);
  for (std::size_t channel = 0; channel < kChannels; ++channel) judge_row(static_cast<std::size_t>(n), channel);
}

void Ssimulacra2Scale::judge_row(std::size_t y, std::size_t channel) {
  const RowSums row = errors_of(blurred_, channel, colours_.row(colour_row(y, 0, channel)),
                                colours_.row(colour_row(y, 1, channel)), width_);
  Sums& sums = sums_[channel];
  sums.structure += static_cast<double>(row.structure);
  sums.structure4 += static_cast<double>(row.structure4);
  sums.gained += static_cast<double>(row.gained);
  sums.gained4 += static_cast<double>(row.gained4);
  sums.lost += static_cast<double>(row.lost);
  sums.lost4 += static_cast<double>(row.lost4);
}

}  // namespace pixmill::image
