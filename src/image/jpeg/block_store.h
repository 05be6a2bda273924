// A picture's coefficients, requantised, as sparse lists: a block costs what it holds, and any order of reading is cheap, which
// is what scans and orientation need. About 4 bytes per coefficient that is not 0, and 6 per block.
#pragma once

#include <cstdint>
#include <vector>

#include "image/jpeg/frame.h"
#include "image/jpeg/growing_array.h"

namespace pixmill::image::jpeg {

// An AC coefficient: bits 0 to 5 its zigzag position (1 to 63), bit 6 set when negative, bits 7 and up its magnitude (1 to 1023).
// A block's coefficients stand in rising order and are followed by kEndOfBlock.
using CoefficientWord = std::uint32_t;

inline constexpr unsigned kMagnitudeShift = 7;
inline constexpr CoefficientWord kNegative = 64;
inline constexpr CoefficientWord kEndOfBlock = 64;  // position 0, which no AC coefficient has
// Of one block's words, the end included; a decoder writes one more before it knows that it is nothing.
inline constexpr std::size_t kBlockWordsMax = 65;

[[nodiscard]] constexpr unsigned position_of(CoefficientWord word) { return word & 63U; }
[[nodiscard]] constexpr std::uint32_t magnitude_of(CoefficientWord word) { return word >> kMagnitudeShift; }

// One component's blocks, row by row over the padded size.
struct BlockPlane {
  std::uint32_t stride = 0;           // blocks from one row to the next
  std::vector<std::uint32_t> begin;   // where a block's words begin
  std::vector<std::int16_t> dc;       // mean of each block, -1024 to 1023
};

struct BlockStore {
  // Every block is empty at first. `words_expected` only saves copying. Throws std::bad_alloc.
  BlockStore(const Frame& frame, std::size_t words_expected) : words(words_expected + 1) {
    CoefficientWord* const first = words.tail(1);
    *first = kEndOfBlock;
    words.commit(first + 1);
    for (const Component& component : frame.components()) {
      const std::size_t blocks = std::size_t{component.padded_wide} * component.padded_high;
      planes.push_back({.stride = component.padded_wide,
                        .begin = std::vector<std::uint32_t>(blocks, 0),
                        .dc = std::vector<std::int16_t>(blocks, 0)});
    }
  }

  GrowingArray<CoefficientWord> words;
  std::vector<BlockPlane> planes;  // by component
};

}  // namespace pixmill::image::jpeg
