// How much a picture lost: SSIMULACRA2, SSIM and PSNR of a distorted picture against its original.
//
// Used by the benchmarks and by tests that judge what an encoder wrote. Pure functions of the two views, for any
// thread; none starts a thread or keeps anything. Rows are worked off as they come, so that memory follows the width
// and not the area: SSIMULACRA2 holds about 3 kB for each column, 12 MB for a picture of 4,000 columns.
//
// SSIMULACRA2 is Jon Sneyers' metric in version 2.1 (Cloudinary, github.com/cloudinary/ssimulacra2 and libjxl's tools):
// SSIM without its luminance term's denominator, and two maps of edges gained and lost, in the XYB colour space at six
// scales that are halved in linear light; a weighted sum of the means and 4-norms of the 54 maps, remapped.
// SSIM is that of Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural
// similarity", IEEE Transactions on Image Processing 13 (4), 2004.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"

namespace pixmill::image {

// Somebody else's pixels: sRGB, 8 bits, rows × columns × 3 (red, green, blue). Transparency is the caller's to flatten,
// and both pictures the same way.
struct RgbView {
  std::span<const std::uint8_t> bytes;
  std::uint32_t width_px = 0;
  std::uint32_t height_px = 0;
  std::size_t stride_bytes = 0;  // from one row to the next; at least 3 × width_px
};

inline constexpr std::uint32_t kJudgedSideMaxPx = 65'535;
inline constexpr std::uint32_t kSsimulacra2SideMinPx = 8;
inline constexpr std::uint32_t kSsimSideMinPx = 11;

// Errors of all three: kInvalidArgument when a view is empty, its bytes are fewer than its sizes say, the sizes of the
// two differ or are below the metric's least; kTooLarge when a side is above kJudgedSideMaxPx.

// Equal to the reference's score on a processor with FMA to 0.001, on every processor. 100 for the same picture; about
// 90 cannot be told apart, 70 is high, 50 medium, 30 low quality; may be negative, without a bound. Not symmetric:
// edges that were gained weigh otherwise than those that were lost.
[[nodiscard]] Result<double> ssimulacra2(const RgbView& original, const RgbView& distorted);

// The mean of the SSIM index over all places where its 11 × 11 window (Gaussian, σ 1.5) fits, on luma (BT.601, full
// range, not rounded), without downsampling; K1 = 0.01, K2 = 0.03, L = 255. From -1 to 1, 1 for the same picture.
// Symmetric.
[[nodiscard]] Result<double> ssim(const RgbView& original, const RgbView& distorted);

// In decibels, from the mean squared error over all three channels. Infinite for the same picture. Symmetric.
[[nodiscard]] Result<double> psnr(const RgbView& original, const RgbView& distorted);

}  // namespace pixmill::image
