// A picture's requantised blocks as tokens: a block costs what it holds, and any order of reading is cheap, which is
// what progressive scans and orientation need. About 4 bytes per coefficient that is not 0, and 14 per block.
#pragma once

#include <cstdint>
#include <vector>

#include "image/jpeg/frame.h"
#include "image/jpeg/growing_array.h"
#include "image/jpeg/token.h"

namespace pixmill::image::jpeg {

using Tokens = GrowingArray<Token>;

// A block is its mean's token, its coefficients' in rising order, and an end. A decoder writes one more before it knows
// that it is nothing.
inline constexpr std::size_t kBlockTokensMax = 66;

// One component's blocks, row by row over the padded size.
struct BlockPlane {
  std::uint32_t stride = 0;                 // blocks from one row to the next
  std::vector<std::uint32_t> coefficients;  // where a block's AC tokens begin
  std::vector<std::int16_t> means;          // -1024 to 1023
};

struct BlockStore {
  // Every block is empty at first. `tokens_expected` only saves copying. Throws std::bad_alloc.
  BlockStore(const Frame& frame, std::size_t tokens_expected);

  // In the order of decoding. The first kCodeCount tokens are ends, one for each code, that empty blocks share.
  Tokens tokens;
  std::vector<BlockPlane> planes;  // by component
};

// Makes blocks that only fill up MCUs cost next to nothing: no coefficients, and the mean of their neighbour. Not for a
// store whose tokens are to be written as they are.
void fill_padding(const Frame& frame, BlockStore& store);

}  // namespace pixmill::image::jpeg
