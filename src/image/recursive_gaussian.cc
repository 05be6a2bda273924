#include "image/recursive_gaussian.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pixmill::image {

namespace {

constexpr std::size_t kUnrolled = 4;  // outputs at a time, along a row

// Equation (33), and what expanding (35) for four outputs in a row gives for the input, the last output and the one
// before it.
struct Coefficients {
  std::array<float, kBlurTerms> feed{};   // n2
  std::array<float, kBlurTerms> decay{};  // d1
  float input[kBlurTerms][kUnrolled]{};
  float last[kBlurTerms][kUnrolled]{};
  float before[kBlurTerms][kUnrolled]{};
};

Coefficients make_coefficients() {
  Coefficients result;
  for (std::size_t i = 0; i < kBlurTerms; ++i) {
    const double omega = static_cast<double>(2 * i + 1) * std::numbers::pi / (2.0 * kBlurRadius);
    const double n = -kBlurWeights[i] * std::cos(omega * (kBlurRadius + 1.0));
    const double d = -2.0 * std::cos(omega);
    const double square = d * d;
    const double last[kUnrolled] = {-d, square - 1.0, -square * d + 2.0 * d, square * square - 3.0 * square + 1.0};
    const double before[kUnrolled] = {-1.0, d, -square + 1.0, square * d - 2.0 * d};
    const double input[kUnrolled] = {n, -d * n, square * n - n, -square * d * n + 2.0 * d * n};
    result.feed[i] = static_cast<float>(n);
    result.decay[i] = static_cast<float>(d);
    for (std::size_t k = 0; k < kUnrolled; ++k) {
      result.input[i][k] = static_cast<float>(input[k]);
      result.last[i][k] = static_cast<float>(last[k]);
      result.before[i][k] = static_cast<float>(before[k]);
    }
  }
  return result;
}

const Coefficients& coefficients() {
  static const Coefficients constant = make_coefficients();
  return constant;
}

struct AlongState {
  float last[kBlurTerms][kBlurLanes]{};
  float before[kBlurTerms][kBlurLanes]{};
};

struct Four {
  float first, second, third, fourth;
};

// Four outputs of one term, from four inputs and the two outputs before them.
[[gnu::always_inline]] inline Four advance(const float (&input)[kUnrolled], const float (&of_last)[kUnrolled],
                                           const float (&of_before)[kUnrolled], const Four& in, float last,
                                           float before) {
  Four out = {in.first * input[0], in.first * input[1], in.first * input[2], in.first * input[3]};
  out.second = std::fma(input[0], in.second, out.second);
  out.third = std::fma(input[1], in.second, out.third);
  out.fourth = std::fma(input[2], in.second, out.fourth);
  out.third = std::fma(input[0], in.third, out.third);
  out.fourth = std::fma(input[1], in.third, out.fourth);
  out.fourth = std::fma(input[0], in.fourth, out.fourth);
  out.first = std::fma(of_last[0], last, std::fma(of_before[0], before, out.first));
  out.second = std::fma(of_last[1], last, std::fma(of_before[1], before, out.second));
  out.third = std::fma(of_last[2], last, std::fma(of_before[2], before, out.third));
  out.fourth = std::fma(of_last[3], last, std::fma(of_before[3], before, out.fourth));
  return out;
}

// `in` and `out` at the pixel itself.
[[gnu::always_inline]] inline void step_one(const Coefficients& c, AlongState& state, const float* __restrict in,
                                            float* __restrict out) {
  const float* leaving = in - kBlurBehind * static_cast<std::ptrdiff_t>(kBlurLanes);
  const float* entering = in + kBlurAhead * static_cast<std::ptrdiff_t>(kBlurLanes);
  float terms[kBlurTerms][kBlurLanes];
  for (std::size_t i = 0; i < kBlurTerms; ++i) {
#pragma omp simd
    for (std::size_t lane = 0; lane < kBlurLanes; ++lane) {
      const float sum = leaving[lane] + entering[lane];
      const float fed = std::fma(c.before[i][0], state.before[i][lane], sum * c.input[i][0]);
      terms[i][lane] = std::fma(c.last[i][0], state.last[i][lane], fed);
      state.before[i][lane] = state.last[i][lane];
      state.last[i][lane] = terms[i][lane];
    }
  }
#pragma omp simd
  for (std::size_t lane = 0; lane < kBlurLanes; ++lane) out[lane] = terms[0][lane] + (terms[1][lane] + terms[2][lane]);
}

[[gnu::always_inline]] inline void step_four(const Coefficients& c, AlongState& state, const float* __restrict in,
                                             float* __restrict out) {
  const float* leaving = in - kBlurBehind * static_cast<std::ptrdiff_t>(kBlurLanes);
  const float* entering = in + kBlurAhead * static_cast<std::ptrdiff_t>(kBlurLanes);
#pragma omp simd
  for (std::size_t lane = 0; lane < kBlurLanes; ++lane) {
    const Four sums = {leaving[lane] + entering[lane], leaving[kBlurLanes + lane] + entering[kBlurLanes + lane],
                       leaving[2 * kBlurLanes + lane] + entering[2 * kBlurLanes + lane],
                       leaving[3 * kBlurLanes + lane] + entering[3 * kBlurLanes + lane]};
    const Four a = advance(c.input[0], c.last[0], c.before[0], sums, state.last[0][lane], state.before[0][lane]);
    const Four b = advance(c.input[1], c.last[1], c.before[1], sums, state.last[1][lane], state.before[1][lane]);
    const Four d = advance(c.input[2], c.last[2], c.before[2], sums, state.last[2][lane], state.before[2][lane]);
    state.before[0][lane] = a.third;
    state.before[1][lane] = b.third;
    state.before[2][lane] = d.third;
    state.last[0][lane] = a.fourth;
    state.last[1][lane] = b.fourth;
    state.last[2][lane] = d.fourth;
    out[lane] = a.first + (b.first + d.first);
    out[kBlurLanes + lane] = a.second + (b.second + d.second);
    out[2 * kBlurLanes + lane] = a.third + (b.third + d.third);
    out[3 * kBlurLanes + lane] = a.fourth + (b.fourth + d.fourth);
  }
}

PIXMILL_SIMD_CLONES void across(const Coefficients& c, RowStore& state, std::size_t newest, std::size_t floats,
                                const float* leaving, const float* entering, float* __restrict out) {
  const float* last[kBlurTerms];
  float* before[kBlurTerms];  // takes the new value
  for (std::size_t i = 0; i < kBlurTerms; ++i) {
    last[i] = state.row(2 * i + newest);
    before[i] = state.row(2 * i + 1 - newest);
  }
#pragma omp simd
  for (std::size_t at = 0; at < floats; ++at) {
    const float sum = leaving[at] + entering[at];
    const float first = std::fma(c.feed[0], sum, std::fma(-c.decay[0], last[0][at], -before[0][at]));
    const float second = std::fma(c.feed[1], sum, std::fma(-c.decay[1], last[1][at], -before[1][at]));
    const float third = std::fma(c.feed[2], sum, std::fma(-c.decay[2], last[2][at], -before[2][at]));
    before[0][at] = first;
    before[1][at] = second;
    before[2][at] = third;
    out[at] = first + (second + third);
  }
}

}  // namespace

// One by one where the reference does so for the sake of the edges, else by four: they do not round alike.
PIXMILL_SIMD_CLONES void blur_along(const float* in, std::size_t width, float* out) {
  const Coefficients c = coefficients();
  AlongState state;
  float scratch[kBlurLanes];
  const auto end = static_cast<std::ptrdiff_t>(width);
  const auto lanes = static_cast<std::ptrdiff_t>(kBlurLanes);
  std::ptrdiff_t n = -kBlurAhead;
  for (; n < 0; ++n) step_one(c, state, in + n * lanes, scratch);
  constexpr std::ptrdiff_t kFirstByFour = 8;
  for (; n < std::min(kFirstByFour, end); ++n) step_one(c, state, in + n * lanes, out + n * lanes);
  for (; n + kBlurAhead + 3 < end; n += 4) step_four(c, state, in + n * lanes, out + n * lanes);
  for (; n < end; ++n) step_one(c, state, in + n * lanes, out + n * lanes);
}

void BlurAcross::step(const float* leaving, const float* entering, float* out) {
  across(coefficients(), state_, newest_, floats_, leaving, entering, out);
  newest_ = 1 - newest_;
}

}  // namespace pixmill::image
