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

}  // namespace pixmill::image::jpeg
