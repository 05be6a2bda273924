#include "image/row_filter.h"

namespace pixmill::image {

PIXMILL_SIMD_CLONES void filter_along(const FilterTaps& taps, const float* in, std::size_t count, float* out) {
  const FilterTaps weights = taps;  // a copy that `out` cannot overlap
  const float* middle = in + kFilterRadius;
#pragma omp simd
  for (std::size_t i = 0; i < count; ++i) {
    float sum = weights[0] * middle[i];
    for (std::size_t k = 1; k <= kFilterRadius; ++k) sum += weights[k] * (middle[i - k] + middle[i + k]);
    out[i] = sum;
  }
}

PIXMILL_SIMD_CLONES void filter_across(const FilterTaps& taps, const RowWindow& rows, std::size_t count, float* out) {
  const FilterTaps weights = taps;
  const RowWindow window = rows;
#pragma omp simd
  for (std::size_t i = 0; i < count; ++i) {
    float sum = weights[0] * window[kFilterRadius][i];
    for (std::size_t k = 1; k <= kFilterRadius; ++k) {
      sum += weights[k] * (window[kFilterRadius - k][i] + window[kFilterRadius + k][i]);
    }
    out[i] = sum;
  }
}

}  // namespace pixmill::image
