// Quantisation tables, and the arithmetic that takes coefficients from one table to a coarser one. Pure.
#pragma once

#include <array>
#include <cstdint>

#include "image/jpeg/decode_table.h"
#include "image/jpeg/zigzag.h"

namespace pixmill::image::jpeg {

// Step sizes in zigzag order, 1 to 65,535.
using QuantTable = std::array<std::uint16_t, kBlockSize>;

enum class Channel : std::uint8_t { kLuma, kChroma };

// The tables of ITU T.81 annex K.1, scaled as libjpeg does for `quality` 1 to 100; steps 1 to 255.
[[nodiscard]] QuantTable standard_table(Channel channel, int quality);

// What is written for a source table when `target` is asked for: never finer, so nothing grows and nothing is made up.
[[nodiscard]] QuantTable coarser_of(const QuantTable& source, const QuantTable& target);

// How a coefficient's magnitude becomes the new one: (magnitude × factor + offset) / 2^20.
struct Scaling {
  std::uint32_t factor = 0;
  std::uint32_t offset = 0;
};

inline constexpr unsigned kScalingBits = 20;
// Magnitudes that fit this arithmetic, and 8-bit baseline: AC to 10 bits, DC from -1024 to 1023.
inline constexpr int kAcMax = 1023;
inline constexpr int kDcMin = -1024;
inline constexpr int kDcMax = 1023;

// By zigzag position; the positions behind a block give 0, so that a decoder need not ask whether it has left it.
struct Requantiser {
  std::array<Scaling, kPositionMax + 1> scaling{};
  // Coefficients up to kAcMax and kDcMax in magnitude.
  [[nodiscard]] std::uint32_t scale(unsigned position, std::uint32_t magnitude) const {
    return (magnitude * scaling[position].factor + scaling[position].offset) >> kScalingBits;
  }
};

// Rounds to the nearest multiple of the new step, exactly; what lies in the middle goes towards zero, which costs fewer
// bits. Every step of `written` is at least that of `source`, and 255 at most where they differ.
[[nodiscard]] Requantiser nearest_requantiser(const QuantTable& source, const QuantTable& written);

}  // namespace pixmill::image::jpeg
