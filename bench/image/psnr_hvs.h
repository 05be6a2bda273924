// PSNR-HVS: the peak signal to noise ratio of luma, in decibels, with the error of each 8 × 8 block taken in the
// frequency domain and weighted by how well eyes see each frequency. K. Egiazarian, J. Astola, N. Ponomarenko,
// V. Lukin, F. Battisti, M. Carli, "New full-reference quality metrics based on HVS", Proc. of the Second International
// Workshop on Video Processing and Quality Metrics, 2006; without the masking that PSNR-HVS-M adds to it.
#pragma once

#include "base/error.h"
#include "image/quality_metric.h"

namespace pixmill::bench {

// Blocks do not overlap and begin at the top left; columns and rows that fill none are left out. Infinite for equal
// pictures. Errors: kInvalidArgument when the sizes differ or a side is below 8.
[[nodiscard]] Result<double> psnr_hvs(const image::RgbView& original, const image::RgbView& distorted);

}  // namespace pixmill::bench
