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

// Tables that spend bits where eyes are: finer for the mean, the lowest frequencies and colour, coarser for high
// frequencies. They were tuned by random search for bytes at equal quality, where quality is SSIMULACRA2 with half the
// weight of PSNR-HVS added, over photographs of 400 × 400 to 1600 × 1200 at libjpeg's qualities 40 to 85. `quality`
// means what it means to libjpeg: the steps are scaled so that the mean SSIMULACRA2 is that of the standard tables.
// bench/tune/tune_tables.cc tunes them further and judges what comes of it.
[[nodiscard]] QuantTable balanced_table(Channel channel, int quality);

// What is written for a source table when `target` is asked for: never finer, so nothing grows and nothing is made up.
[[nodiscard]] QuantTable coarser_of(const QuantTable& source, const QuantTable& target);

// How much coarser `target` is than `source`: the geometric mean of the steps' ratios over the mean and the fourteen
// lowest frequencies, which decide how a picture looks. For luma.
[[nodiscard]] double coarseness(const QuantTable& target, const QuantTable& source);

inline constexpr unsigned kScalingBits = 20;
// Magnitudes that fit this arithmetic, and 8-bit baseline: AC to 10 bits, DC from -1024 to 1023.
inline constexpr int kAcMax = 1023;
inline constexpr int kDcMin = -1024;
inline constexpr int kDcMax = 1023;

// How a coefficient's magnitude becomes a multiple of the new step: (magnitude × factor + offset) / 2^20.
struct Scaling {
  std::uint32_t factor = 0;
  std::uint32_t offset = 0;
};

// By zigzag position; the positions behind a block give 0, so that a decoder need not ask whether it has left it.
struct Requantiser {
  std::array<Scaling, kPositionMax + 1> scaling{};
  // Candidates are what a later stage decides on (block_coder.h): finer by some bits, and left out below a least value.
  unsigned candidate_shift = kScalingBits;
  std::uint32_t least_candidate = 1;

  // Magnitudes up to kAcMax, and -kDcMin at position 0.
  [[nodiscard]] std::uint32_t scaled(unsigned position, std::uint32_t magnitude) const {
    return magnitude * scaling[position].factor + scaling[position].offset;
  }
  [[nodiscard]] std::uint32_t nearest(unsigned position, std::uint32_t magnitude) const {
    return scaled(position, magnitude) >> kScalingBits;
  }
  [[nodiscard]] std::uint32_t candidate(unsigned position, std::uint32_t magnitude) const {
    return scaled(position, magnitude) >> candidate_shift;
  }
};

enum class Rounding : std::uint8_t {
  kNearest,   // exactly; what lies in the middle goes towards zero, which costs fewer bits
  kDeadZone,  // up only from 0.59 at the lowest to 0.70 at high frequencies: small values cost more bits than they are
              // worth
  kTrellis,   // candidates in 256ths, from 0.6
};

// Means always go to the nearest. Every step of `written` is at least that of `source`, and 255 at most where they
// differ.
[[nodiscard]] Requantiser make_requantiser(const QuantTable& source, const QuantTable& written, Rounding rounding);

}  // namespace pixmill::image::jpeg
