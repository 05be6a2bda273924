#include "image/quality_metric.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "image/row_filter.h"
#include "image/ssimulacra2.h"

namespace pixmill::image {

namespace {

constexpr std::size_t kBytesPerPixel = 3;

const std::uint8_t* row_of(const RgbView& view, std::size_t y) { return view.bytes.data() + y * view.stride_bytes; }

// Without products that could overflow.
bool holds_its_rows(const RgbView& view) {
  const std::size_t row_bytes = view.width_px * kBytesPerPixel;
  if (view.width_px == 0 || view.height_px == 0 || view.stride_bytes < row_bytes) return false;
  return view.bytes.size() >= row_bytes && (view.bytes.size() - row_bytes) / view.stride_bytes >= view.height_px - 1;
}

std::string size_text(const RgbView& view) {
  return std::to_string(view.width_px) + "×" + std::to_string(view.height_px);
}

Result<void> check_pair(const RgbView& original, const RgbView& distorted, std::uint32_t side_min_px) {
  if (!holds_its_rows(original) || !holds_its_rows(distorted)) {
    return fail(ErrorCode::kInvalidArgument, "a picture's pixels are fewer than its size says");
  }
  if (original.width_px != distorted.width_px || original.height_px != distorted.height_px) {
    return fail(ErrorCode::kInvalidArgument, "pictures of different sizes cannot be compared: " + size_text(original) +
                                                 " and " + size_text(distorted));
  }
  if (std::min(original.width_px, original.height_px) < side_min_px) {
    return fail(ErrorCode::kInvalidArgument, "a picture of " + size_text(original) +
                                                 " is too small: the metric needs " + std::to_string(side_min_px) +
                                                 " pixels on every side");
  }
  if (std::max(original.width_px, original.height_px) > kJudgedSideMaxPx) {
    return fail(ErrorCode::kTooLarge, "a picture of " + size_text(original) + " is too large: the metric takes " +
                                          std::to_string(kJudgedSideMaxPx) + " pixels on a side");
  }
  return {};
}

// The transfer function of sRGB (IEC 61966-2-1) for every 8-bit value, by the rational polynomial of the reference,
// whose last bits are not those of std::pow; after a Chebyshev approximation in libjxl's transfer_functions-inl.h.
const std::array<float, 256>& linear_light() {
  static constexpr std::array<float, 5> kAbove = {2.200248328e-04F, 1.043637593e-02F, 1.624820318e-01F,
                                                  7.961564959e-01F, 8.210152774e-01F};
  static constexpr std::array<float, 5> kBelow = {2.631846970e-01F, 1.076976492e+00F, 4.987528350e-01F,
                                                  -5.512498495e-02F, 6.521209011e-03F};
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float encoded = static_cast<float>(i) * (1.0F / 255.0F);
      float above = kAbove.back();
      float below = kBelow.back();
      for (std::size_t k = kAbove.size() - 1; k-- > 0;) {
        above = std::fma(above, encoded, kAbove[k]);
        below = std::fma(below, encoded, kBelow[k]);
      }
      values[i] = encoded > 0.04045F ? above / below : encoded * (1.0F / 12.92F);
    }
    return values;
  }();
  return table;
}

// Rows of `rows` from `first` on: red, green, blue.
LinearRow to_linear(const std::uint8_t* pixels, std::size_t width, RowStore& rows, std::size_t first) {
  const std::array<float, 256>& table = linear_light();
  float* red = rows.row(first);
  float* green = rows.row(first + 1);
  float* blue = rows.row(first + 2);
  for (std::size_t i = 0; i < width; ++i) {
    red[i] = table[pixels[kBytesPerPixel * i]];
    green[i] = table[pixels[kBytesPerPixel * i + 1]];
    blue[i] = table[pixels[kBytesPerPixel * i + 2]];
  }
  return {red, green, blue};
}

// SSIM.

constexpr std::size_t kSsimWindowRows = 2 * kFilterRadius + 1;
constexpr float kSsimC1 = 0.01F * 0.01F;  // for luma from 0 to 1
constexpr float kSsimC2 = 0.03F * 0.03F;

// What is blurred. The square of the difference stands in for the product of the definition: the numerator is then the
// denominator less a small number for pictures that differ little, and exactly the denominator for the same.
enum Quantity : std::size_t { kOriginal, kDistorted, kSquares, kDifference, kQuantities };

FilterTaps ssim_taps() {
  std::array<double, kFilterRadius + 1> weights{};
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = std::exp(-0.5 * static_cast<double>(i * i) / (1.5 * 1.5));
    sum += i == 0 ? weights[i] : 2 * weights[i];
  }
  FilterTaps taps{};
  for (std::size_t i = 0; i < taps.size(); ++i) taps[i] = static_cast<float>(weights[i] / sum);
  return taps;
}

void to_luma(const std::uint8_t* pixels, std::size_t width, float* __restrict out) {
  for (std::size_t i = 0; i < width; ++i) {
    const std::uint8_t* pixel = pixels + kBytesPerPixel * i;
    out[i] = (0.299F / 255.0F) * pixel[0] + (0.587F / 255.0F) * pixel[1] + (0.114F / 255.0F) * pixel[2];
  }
}

PIXMILL_SIMD_CLONES void squares_of(const float* original, const float* distorted, std::size_t width,
                                    float* __restrict squares, float* __restrict difference) {
#pragma omp simd
  for (std::size_t i = 0; i < width; ++i) {
    const float a = original[i];
    const float b = distorted[i];
    squares[i] = a * a + b * b;
    difference[i] = (a - b) * (a - b);
  }
}

PIXMILL_SIMD_CLONES float ssim_row(const RowStore& blurred, std::size_t width) {
  const float* mean_original = blurred.row(kOriginal);
  const float* mean_distorted = blurred.row(kDistorted);
  const float* squares = blurred.row(kSquares);
  const float* difference = blurred.row(kDifference);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < width; ++i) {
    const float a = mean_original[i];
    const float b = mean_distorted[i];
    const float means = a * a + b * b;
    const float apart = (a - b) * (a - b);
    const float variances = squares[i] - means + kSsimC2;
    const float twice_covariance = variances - (difference[i] - apart);  // with C2
    sum += ((means - apart + kSsimC1) * twice_covariance) / ((means + kSsimC1) * variances);
  }
  return sum;
}

}  // namespace

Result<double> ssimulacra2(const RgbView& original, const RgbView& distorted) {
  PIXMILL_RETURN_IF_ERROR(check_pair(original, distorted, kSsimulacra2SideMinPx));
  Ssimulacra2 metric(original.width_px, original.height_px);
  RowStore rows(2 * kRgbChannels, original.width_px);
  for (std::size_t y = 0; y < original.height_px; ++y) {
    const LinearRow first = to_linear(row_of(original, y), original.width_px, rows, 0);
    const LinearRow second = to_linear(row_of(distorted, y), original.width_px, rows, kRgbChannels);
    metric.push(first, second);
  }
  return metric.finish();
}

Result<double> ssim(const RgbView& original, const RgbView& distorted) {
  PIXMILL_RETURN_IF_ERROR(check_pair(original, distorted, kSsimSideMinPx));
  const FilterTaps taps = ssim_taps();
  const std::size_t width = original.width_px;
  const std::size_t places_across = width - 2 * kFilterRadius;
  const std::size_t places_down = original.height_px - 2 * kFilterRadius;
  RowStore plain(kQuantities, width);
  RowStore along(kSsimWindowRows * kQuantities, places_across);
  RowStore blurred(kQuantities, places_across);
  double sum = 0;
  for (std::size_t y = 0; y < original.height_px; ++y) {
    to_luma(row_of(original, y), width, plain.row(kOriginal));
    to_luma(row_of(distorted, y), width, plain.row(kDistorted));
    squares_of(plain.row(kOriginal), plain.row(kDistorted), width, plain.row(kSquares), plain.row(kDifference));
    for (std::size_t quantity = 0; quantity < kQuantities; ++quantity) {
      filter_along(taps, plain.row(quantity), places_across, along.row(y % kSsimWindowRows * kQuantities + quantity));
    }
    if (y + 1 < kSsimWindowRows) continue;
    for (std::size_t quantity = 0; quantity < kQuantities; ++quantity) {
      RowWindow window{};
      for (std::size_t i = 0; i < window.size(); ++i) {
        window[i] = along.row((y + 1 + i) % kSsimWindowRows * kQuantities + quantity);
      }
      filter_across(taps, window, places_across, blurred.row(quantity));
    }
    sum += static_cast<double>(ssim_row(blurred, places_across));
  }
  return sum / (static_cast<double>(places_across) * static_cast<double>(places_down));
}

Result<double> psnr(const RgbView& original, const RgbView& distorted) {
  PIXMILL_RETURN_IF_ERROR(check_pair(original, distorted, 1));
  const std::size_t row_bytes = original.width_px * kBytesPerPixel;
  std::uint64_t squares = 0;
  for (std::size_t y = 0; y < original.height_px; ++y) {
    const std::uint8_t* a = row_of(original, y);
    const std::uint8_t* b = row_of(distorted, y);
    for (std::size_t i = 0; i < row_bytes; ++i) squares += static_cast<std::uint64_t>((a[i] - b[i]) * (a[i] - b[i]));
  }
  if (squares == 0) return std::numeric_limits<double>::infinity();
  const double values = static_cast<double>(row_bytes) * original.height_px;
  return 10.0 * std::log10(255.0 * 255.0 * values / static_cast<double>(squares));
}

}  // namespace pixmill::image
