#include "image/jpeg/quantisation.h"

#include <algorithm>

namespace pixmill::image::jpeg {

namespace {

// Row-major, as ITU T.81 tables K.1 and K.2 print them.
using BaseTable = std::array<std::uint8_t, kBlockSize>;

constexpr BaseTable kStandardLuma = {16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
                                     14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
                                     18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
                                     49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};
constexpr BaseTable kStandardChroma = {17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
                                       24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
                                       99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
                                       99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99};

constexpr int kStepMax = 255;

}  // namespace

QuantTable standard_table(Channel channel, int quality) {
  const BaseTable& base = channel == Channel::kLuma ? kStandardLuma : kStandardChroma;
  const int percent = quality < 50 ? 5000 / quality : 200 - 2 * quality;
  QuantTable table{};
  for (unsigned i = 0; i < kBlockSize; ++i) {
    table[i] = static_cast<std::uint16_t>(std::clamp((base[kRowMajor[i]] * percent + 50) / 100, 1, kStepMax));
  }
  return table;
}

QuantTable coarser_of(const QuantTable& source, const QuantTable& target) {
  QuantTable coarser{};
  for (unsigned i = 0; i < kBlockSize; ++i) coarser[i] = std::max(source[i], target[i]);
  return coarser;
}

Requantiser nearest_requantiser(const QuantTable& source, const QuantTable& written) {
  // The factor is rounded up, so the product is too large by less than the magnitude, at most 1,024. Subtracting that
  // much from the half puts exact middles below it; the next fraction above a middle is 1/(2 × 255) away, 2,056 in this
  // scale, and stays above.
  constexpr std::uint32_t kHalf = (1U << (kScalingBits - 1)) - 1024;
  Requantiser requantiser;
  for (unsigned i = 0; i < kBlockSize; ++i) {
    const std::uint64_t numerator = std::uint64_t{source[i]} << kScalingBits;
    requantiser.scaling[i] = {.factor = static_cast<std::uint32_t>((numerator + written[i] - 1) / written[i]),
                              .offset = kHalf};
  }
  return requantiser;
}

}  // namespace pixmill::image::jpeg
