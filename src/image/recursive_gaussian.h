// The blur of SSIMULACRA2: the recursive Gaussian of Charalampidis, "Recursive Implementation of the Gaussian Filter
// Using Truncated Cosine Functions", IEEE Transactions on Signal Processing 64 (14), 2016, for σ 1.5, whose radius
// is 5.
//
// Its three recursions swing for ever, so the rounding of every step stays in all that follow: in a large picture that
// takes up to 3 off the score of a good copy. The metric was tuned with it and everybody's numbers contain it, so the
// arithmetic here is that of the reference on a processor with FMA, operation for operation.
//
// Sixteen quantities lie side by side (x × kBlurLanes + lane) and are blurred at once. Outside of the picture is zero.
#pragma once

#include <array>
#include <cstddef>

#include "image/row_filter.h"

namespace pixmill::image {

inline constexpr std::size_t kBlurLanes = 16;
inline constexpr std::size_t kBlurTerms = 3;
inline constexpr std::ptrdiff_t kBlurRadius = 5;
// A step at place n takes what enters the window, at n + 4, and what leaves it, at n - 6.
inline constexpr std::ptrdiff_t kBlurAhead = kBlurRadius - 1;
inline constexpr std::ptrdiff_t kBlurBehind = kBlurRadius + 1;
// The pixels of zero that a row needs on either side: the first step is at -4.
inline constexpr std::size_t kBlurMargin = kBlurAhead + kBlurBehind;

// The weights β of the three cosines, equation (53) of the paper.
inline constexpr std::array<double, kBlurTerms> kBlurWeights = {0.17893914164149133, 0.0727261447361902,
                                                                0.012955819110517089};

// One row: `width` pixels with kBlurMargin pixels of zero on either side. `out` lies elsewhere.
void blur_along(const float* in, std::size_t width, float* out);

// The same from row to row. The steps are taken for every row from -kBlurAhead on, in order; what comes out of those
// before row 0 has no meaning.
class BlurAcross {
 public:
  explicit BlurAcross(std::size_t width) : floats_(width * kBlurLanes), state_(2 * kBlurTerms, floats_) {}

  // `leaving` and `entering` are the rows at a distance of -6 and +4, zeros where there is none.
  void step(const float* leaving, const float* entering, float* out);

 private:
  std::size_t floats_;
  RowStore state_;  // of each term the last value and the one before, in turns
  std::size_t newest_ = 0;
};

}  // namespace pixmill::image
