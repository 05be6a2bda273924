#include "bench/image/psnr_hvs.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace pixmill::bench {

namespace {

using image::RgbView;

constexpr std::size_t kSide = 8;
using Block = std::array<double, kSide * kSide>;

// The steps of ITU T.81's table K.1, row-major: errors of one step are equally visible at every frequency, so the
// weights are their inverses.
constexpr std::array<double, kSide* kSide> kSteps = {
    16, 11,  10,  16, 24, 40, 51, 61, 12,  12,  14,  19,  26, 58, 60, 55,  14,  13,  16,  24, 40, 57,
    69, 56,  14,  17, 22, 29, 51, 87, 80,  62,  18,  22,  37, 56, 68, 109, 103, 77,  24,  35, 55, 64,
    81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98,  112, 100, 103, 99};

// Their mean square is 1, so that errors that are the same everywhere count as in PSNR.
Block weights() {
  double sum = 0;
  for (const double step : kSteps) sum += 1 / (step * step);
  const double scale = std::sqrt(static_cast<double>(kSteps.size()) / sum);
  Block result{};
  for (std::size_t i = 0; i < kSteps.size(); ++i) result[i] = scale / kSteps[i];
  return result;
}

// Rows of an orthonormal DCT-II.
Block dct_matrix() {
  Block matrix{};
  for (std::size_t k = 0; k < kSide; ++k) {
    const double scale = std::sqrt((k == 0 ? 1.0 : 2.0) / kSide);
    for (std::size_t n = 0; n < kSide; ++n) {
      matrix[k * kSide + n] = scale * std::cos(std::numbers::pi * (2.0 * static_cast<double>(n) + 1) *
                                               static_cast<double>(k) / (2.0 * kSide));
    }
  }
  return matrix;
}

// BT.601, full range, as JPEG has it.
double luma(const RgbView& view, std::size_t row, std::size_t column) {
  const std::uint8_t* pixel = &view.bytes[row * view.stride_bytes + 3 * column];
  return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
}

// The transform is linear, so that of the difference is the difference of the transforms.
Block difference(const RgbView& a, const RgbView& b, std::size_t top, std::size_t left) {
  Block block{};
  for (std::size_t row = 0; row < kSide; ++row) {
    for (std::size_t column = 0; column < kSide; ++column) {
      block[row * kSide + column] = luma(a, top + row, left + column) - luma(b, top + row, left + column);
    }
  }
  return block;
}

// matrix × block, transposed; twice gives matrix × block × matrixᵀ.
Block transformed_rows(const Block& matrix, const Block& block) {
  Block result{};
  for (std::size_t k = 0; k < kSide; ++k) {
    for (std::size_t n = 0; n < kSide; ++n) {
      for (std::size_t column = 0; column < kSide; ++column) {
        result[column * kSide + k] += matrix[k * kSide + n] * block[n * kSide + column];
      }
    }
  }
  return result;
}

}  // namespace

Result<double> psnr_hvs(const RgbView& original, const RgbView& distorted) {
  if (original.width_px != distorted.width_px || original.height_px != distorted.height_px) {
    return fail(ErrorCode::kInvalidArgument, "the pictures differ in size");
  }
  const std::size_t columns = original.width_px / kSide;
  const std::size_t rows = original.height_px / kSide;
  if (columns == 0 || rows == 0) return fail(ErrorCode::kInvalidArgument, "a side is below 8 pixels");
  const Block matrix = dct_matrix();
  const Block weight = weights();
  double sum = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      const Block error = difference(original, distorted, row * kSide, column * kSide);
      const Block frequencies = transformed_rows(matrix, transformed_rows(matrix, error));
      for (std::size_t i = 0; i < frequencies.size(); ++i) {
        const double weighted = frequencies[i] * weight[i];
        sum += weighted * weighted;
      }
    }
  }
  constexpr double kPeak = 255;
  return 10 * std::log10(kPeak * kPeak * static_cast<double>(rows * columns * kSide * kSide) / sum);
}

}  // namespace pixmill::bench
