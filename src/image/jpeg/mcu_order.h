// The order of blocks in an interleaved scan (ITU T.81 A.2.3).
#pragma once

#include <cstddef>
#include <cstdint>

#include "image/jpeg/coded_picture.h"

namespace pixmill::image::jpeg {

// Calls `visit(component, block)` for every block of MCU row `y`; `block` is its index in the component's plane.
template <class Visit>
void visit_mcu_row(const CodedPicture& picture, std::uint32_t y, const Visit& visit) {
  for (std::uint32_t x = 0; x < picture.frame.mcus_wide; ++x) {
    for (unsigned i = 0; i < picture.frame.component_count; ++i) {
      const Component& component = picture.frame.component_array[i];
      for (std::uint32_t dy = 0; dy < component.v; ++dy) {
        for (std::uint32_t dx = 0; dx < component.h; ++dx) {
          visit(i, picture.views[i].at(x * component.h + dx, y * component.v + dy));
        }
      }
    }
  }
}

[[nodiscard]] inline std::size_t blocks_in_mcu_row(const Frame& frame) {
  std::size_t blocks = 0;
  for (const Component& component : frame.components()) blocks += std::size_t{component.padded_wide} * component.v;
  return blocks;
}

}  // namespace pixmill::image::jpeg
