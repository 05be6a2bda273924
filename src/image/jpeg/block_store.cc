#include "image/jpeg/block_store.h"

namespace pixmill::image::jpeg {

BlockStore::BlockStore(const Frame& frame, std::size_t tokens_expected) : tokens(tokens_expected + kBlockTokensMax) {
  Token* out = tokens.tail(kCodeCount);
  for (unsigned code = 0; code < kCodeCount; ++code) *out++ = end_token(code, 0);
  tokens.commit(out);
  planes.reserve(frame.component_count);
  for (const Component& component : frame.components()) {
    const std::size_t blocks = std::size_t{component.padded_wide} * component.padded_high;
    const std::uint32_t empty = planes.empty() ? kAcLuma : kAcChroma;
    planes.push_back({.stride = component.padded_wide,
                      .coefficients = std::vector<std::uint32_t>(blocks, empty),
                      .means = std::vector<std::int16_t>(blocks, 0)});
  }
}

void fill_padding(const Frame& frame, BlockStore& store) {
  for (unsigned i = 0; i < frame.component_count; ++i) {
    const Component& component = frame.component_array[i];
    BlockPlane& plane = store.planes[i];
    for (std::uint32_t y = 0; y < component.padded_high; ++y) {
      const std::uint32_t first = y < component.blocks_high ? component.blocks_wide : 0;
      for (std::uint32_t x = first; x < component.padded_wide; ++x) {
        const std::size_t block = std::size_t{y} * plane.stride + x;
        plane.means[block] = plane.means[x > 0 && x >= component.blocks_wide ? block - 1 : block - plane.stride];
        plane.coefficients[block] = i == 0 ? kAcLuma : kAcChroma;  // the shared ends
      }
    }
  }
}

}  // namespace pixmill::image::jpeg
