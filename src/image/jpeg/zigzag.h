// The order in which a JPEG file holds the 64 coefficients of a block (ITU T.81 figure A.6). Position 0 is the mean
// (DC).
#pragma once

#include <array>
#include <cstdint>

namespace pixmill::image::jpeg {

inline constexpr unsigned kBlockSize = 64;

// From a zigzag position to 8 × vertical + horizontal frequency.
inline constexpr std::array<std::uint8_t, kBlockSize> kRowMajor = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

[[nodiscard]] constexpr unsigned horizontal_frequency(unsigned zigzag) { return kRowMajor[zigzag] % 8U; }
[[nodiscard]] constexpr unsigned vertical_frequency(unsigned zigzag) { return kRowMajor[zigzag] / 8U; }

}  // namespace pixmill::image::jpeg
