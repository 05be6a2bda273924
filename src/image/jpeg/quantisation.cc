#include "image/jpeg/quantisation.h"

#include <algorithm>
#include <cmath>

namespace pixmill::image::jpeg {

namespace {

// Row-major, as ITU T.81 tables K.1 and K.2 print them; steps at quality 50.
using BaseTable = std::array<std::uint16_t, kBlockSize>;

constexpr BaseTable kStandardLuma = {16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
                                     14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
                                     18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
                                     49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};
constexpr BaseTable kStandardChroma = {17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
                                       24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
                                       99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
                                       99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99};

constexpr BaseTable kBalancedLuma = {11, 13, 19,  26,  30,  44,  67,  102, 13,  20, 29,  32,  41,  48,  64,  90,
                                     19, 29, 29,  37,  52,  74,  109, 135, 26,  32, 37,  48,  64,  89,  106, 156,
                                     30, 41, 52,  64,  83,  94,  131, 189, 44,  48, 74,  89,  94,  124, 169, 238,
                                     67, 64, 109, 106, 131, 169, 226, 311, 102, 90, 135, 156, 189, 238, 311, 418};
constexpr BaseTable kBalancedChroma = {11, 19, 23, 26,  36,  53,  81,  122, 19,  24, 29,  39,  49,  58,  76,  75,
                                       23, 29, 35, 45,  62,  89,  91,  135, 26,  39, 45,  58,  76,  74,  106, 156,
                                       36, 49, 62, 76,  69,  94,  131, 189, 53,  58, 89,  74,  94,  124, 169, 238,
                                       81, 76, 91, 106, 131, 169, 226, 311, 122, 75, 135, 156, 189, 238, 311, 418};

constexpr int kStepMax = 255;
constexpr int kAllSteps = 100;  // percent of a table at quality 50

// libjpeg's scale: percent of the base table.
int percent_of(int quality) { return quality < 50 ? 5000 / quality : 200 - 2 * quality; }

QuantTable scaled_table(const BaseTable& base, int percent) {
  QuantTable table{};
  for (unsigned i = 0; i < kBlockSize; ++i) {
    table[i] =
        static_cast<std::uint16_t>(std::clamp((base[kRowMajor[i]] * percent + kAllSteps / 2) / kAllSteps, 1, kStepMax));
  }
  return table;
}

// The factor is rounded up, so a product is too large by less than the magnitude, at most 1,024. Subtracting that much
// from the half puts exact middles below it; the next fraction above a middle is 1/(2 × 255) away, 2,056 in this scale,
// and stays above.
constexpr std::uint32_t kHalf = (1U << (kScalingBits - 1)) - 1024;

std::uint32_t offset_at(unsigned position, Rounding rounding) {
  if (rounding == Rounding::kNearest) return kHalf;
  if (rounding == Rounding::kTrellis) return 0;
  constexpr double kLowest = 0.41;
  constexpr double kHighest = 0.30;
  constexpr double kSpan = 7;
  const double frequency = std::min(1.0, (horizontal_frequency(position) + vertical_frequency(position)) / kSpan);
  return static_cast<std::uint32_t>((kLowest + (kHighest - kLowest) * frequency) * (1U << kScalingBits));
}

}  // namespace

QuantTable standard_table(Channel channel, int quality) {
  return scaled_table(channel == Channel::kLuma ? kStandardLuma : kStandardChroma, percent_of(quality));
}

QuantTable balanced_table(Channel channel, int quality) {
  constexpr int kEqualPercent = 87;
  return scaled_table(channel == Channel::kLuma ? kBalancedLuma : kBalancedChroma,
                      percent_of(quality) * kEqualPercent / 100);
}

QuantTable coarser_of(const QuantTable& source, const QuantTable& target) {
  QuantTable coarser{};
  for (unsigned i = 0; i < kBlockSize; ++i) coarser[i] = std::max(source[i], target[i]);
  return coarser;
}

double coarseness(const QuantTable& target, const QuantTable& source) {
  constexpr unsigned kLowest = 15;
  double sum = 0;
  for (unsigned i = 0; i < kLowest; ++i) sum += std::log(1.0 * target[i] / source[i]);
  return std::exp(sum / kLowest);
}

Requantiser make_requantiser(const QuantTable& source, const QuantTable& written, Rounding rounding) {
  Requantiser requantiser;
  for (unsigned i = 0; i < kBlockSize; ++i) {
    const std::uint64_t numerator = std::uint64_t{source[i]} << kScalingBits;
    requantiser.scaling[i].factor = static_cast<std::uint32_t>((numerator + written[i] - 1) / written[i]);
    requantiser.scaling[i].offset = i == 0 ? kHalf : offset_at(i, rounding);
  }
  if (rounding == Rounding::kTrellis) {
    constexpr unsigned kFractionBits = 8;
    requantiser.candidate_shift = kScalingBits - kFractionBits;
    requantiser.least_candidate = 154;  // 0.6
  }
  return requantiser;
}

}  // namespace pixmill::image::jpeg
