#include "image/jpeg/frame.h"

#include <algorithm>

namespace pixmill::image::jpeg {

namespace {

constexpr std::uint64_t kBlockSide = 8;

std::uint32_t divide_up(std::uint64_t value, std::uint64_t by) {
  return static_cast<std::uint32_t>((value + by - 1) / by);
}

}  // namespace

void lay_out(Frame& frame) {
  if (frame.component_count == 1) frame.component_array[0].h = frame.component_array[0].v = 1;
  frame.h_max = frame.v_max = 1;
  for (const Component& component : frame.components()) {
    frame.h_max = std::max(frame.h_max, component.h);
    frame.v_max = std::max(frame.v_max, component.v);
  }
  frame.mcus_wide = divide_up(frame.width_px, kBlockSide * frame.h_max);
  frame.mcus_high = divide_up(frame.height_px, kBlockSide * frame.v_max);
  for (Component& component : frame.components()) {
    component.blocks_wide = divide_up(std::uint64_t{frame.width_px} * component.h, kBlockSide * frame.h_max);
    component.blocks_high = divide_up(std::uint64_t{frame.height_px} * component.v, kBlockSide * frame.v_max);
    component.padded_wide = frame.mcus_wide * component.h;
    component.padded_high = frame.mcus_high * component.v;
  }
}

}  // namespace pixmill::image::jpeg
