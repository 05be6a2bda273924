// Inner loops on rows of floats that the quality metrics share. Pure leaves, written so that the compiler vectorises
// them; where the processor has AVX2 and FMA, code for these runs.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

// Compiles a function twice and picks by what the processor can. The files that use it are compiled without contraction
// of products and sums, so both round alike; where a sum is to be fused, the code says std::fma.
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && __GNUC__ >= 12
#define PIXMILL_SIMD_CLONES __attribute__((target_clones("default", "arch=x86-64-v3")))
#else
#define PIXMILL_SIMD_CLONES
#endif

namespace pixmill::image {

inline constexpr std::size_t kFilterRadius = 5;

// The middle's weight, then those of the two values at distance 1, 2 … 5.
using FilterTaps = std::array<float, kFilterRadius + 1>;

// The rows around the one that is wanted, from the first to the last.
using RowWindow = std::array<const float*, 2 * kFilterRadius + 1>;

// A symmetric filter: out[i] for i < count from in[i] to in[i + 10], all of which must be readable. `out` lies
// elsewhere.
void filter_along(const FilterTaps& taps, const float* in, std::size_t count, float* out);

// out[i] for i < count from the i-th value of every row. `out` lies elsewhere.
void filter_across(const FilterTaps& taps, const RowWindow& rows, std::size_t count, float* out);

// Rows of floats in one piece of memory, each with `margin` readable floats before and behind it. All zero at first;
// nobody writes to the margins.
class RowStore {
 public:
  RowStore(std::size_t rows, std::size_t width, std::size_t margin = 0)
      : margin_(margin), stride_(width + 2 * margin), floats_(rows * stride_) {}

  [[nodiscard]] float* row(std::size_t index) { return floats_.data() + index * stride_ + margin_; }
  [[nodiscard]] const float* row(std::size_t index) const { return floats_.data() + index * stride_ + margin_; }

 private:
  std::size_t margin_;
  std::size_t stride_;
  std::vector<float> floats_;
};

}  // namespace pixmill::image
