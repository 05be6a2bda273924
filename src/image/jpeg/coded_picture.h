// What is to be written: blocks in the order and with the tables of the file to be. A view into a BlockStore, which it
// must not outlive.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "image/jpeg/block_store.h"
#include "image/jpeg/frame.h"
#include "image/jpeg/quantisation.h"

namespace pixmill::image::jpeg {

// One component's blocks, possibly turned or mirrored: block (x, y) stands at origin + x × step_x + y × step_y of the
// plane.
struct BlockView {
  const BlockPlane* plane = nullptr;
  std::ptrdiff_t origin = 0;
  std::ptrdiff_t step_x = 1;
  std::ptrdiff_t step_y = 0;

  [[nodiscard]] std::size_t at(std::uint32_t x, std::uint32_t y) const {
    return static_cast<std::size_t>(origin + static_cast<std::ptrdiff_t>(x) * step_x +
                                    static_cast<std::ptrdiff_t>(y) * step_y);
  }
};

struct CodedPicture {
  Frame frame;
  std::vector<BlockView> views;  // by component
  std::array<QuantTable, kComponentsMax> quant_tables{};
  const BlockStore* store = nullptr;
  // The store's tokens, as they are, are those of a baseline scan of this picture.
  bool in_order = false;

  [[nodiscard]] const Token* coefficients_of(unsigned component, std::size_t block) const {
    return store->tokens.data() + views[component].plane->coefficients[block];
  }
  [[nodiscard]] int mean_of(unsigned component, std::size_t block) const {
    return views[component].plane->means[block];
  }
};

}  // namespace pixmill::image::jpeg
