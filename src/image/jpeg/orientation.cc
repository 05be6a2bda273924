#include "image/jpeg/orientation.h"

#include <algorithm>
#include <utility>

namespace pixmill::image::jpeg {

namespace {

constexpr std::uint32_t kBlockSide = 8;

constexpr auto kTransposed = [] {
  std::array<std::uint8_t, kBlockSize> transposed{};
  for (unsigned i = 0; i < kBlockSize; ++i) {
    for (unsigned k = 0; k < kBlockSize; ++k) {
      if (horizontal_frequency(i) == vertical_frequency(k) && vertical_frequency(i) == horizontal_frequency(k)) {
        transposed[i] = static_cast<std::uint8_t>(k);
      }
    }
  }
  return transposed;
}();

// `side` without a partly filled MCU at its end, which must not be when it is mirrored; 0 when that cannot be had.
std::uint32_t whole_mcus(std::uint32_t side, std::uint32_t mcu, bool mirrored, PartialMcus partial) {
  if (!mirrored || side % mcu == 0) return side;
  return partial == PartialMcus::kTrim ? side - side % mcu : 0;
}

}  // namespace

Orientation orientation_of(int exif) {
  switch (exif) {
    case 2:
      return {.mirror_x = true};
    case 3:
      return {.mirror_x = true, .mirror_y = true};
    case 4:
      return {.mirror_y = true};
    case 5:
      return {.transpose = true};
    case 6:
      return {.transpose = true, .mirror_x = true};
    case 7:
      return {.transpose = true, .mirror_x = true, .mirror_y = true};
    case 8:
      return {.transpose = true, .mirror_y = true};
    default:
      return {};
  }
}

std::optional<Frame> upright_frame(const Frame& source, Orientation orientation, PartialMcus partial) {
  Frame frame = source;
  if (orientation.transpose) {
    std::swap(frame.width_px, frame.height_px);
    std::swap(frame.h_max, frame.v_max);
    for (Component& component : frame.components()) std::swap(component.h, component.v);
  }
  frame.width_px = whole_mcus(frame.width_px, kBlockSide * frame.h_max, orientation.mirror_x, partial);
  frame.height_px = whole_mcus(frame.height_px, kBlockSide * frame.v_max, orientation.mirror_y, partial);
  if (frame.width_px == 0 || frame.height_px == 0) return std::nullopt;
  lay_out(frame);
  return frame;
}

BlockView upright_view(const BlockPlane& plane, const Component& component, Orientation orientation) {
  const auto stride = static_cast<std::ptrdiff_t>(plane.stride);
  BlockView view{.plane = &plane, .origin = 0, .step_x = 1, .step_y = stride};
  if (orientation.transpose) std::swap(view.step_x, view.step_y);
  if (orientation.mirror_x) {
    view.origin += (static_cast<std::ptrdiff_t>(component.padded_wide) - 1) * view.step_x;
    view.step_x = -view.step_x;
  }
  if (orientation.mirror_y) {
    view.origin += (static_cast<std::ptrdiff_t>(component.padded_high) - 1) * view.step_y;
    view.step_y = -view.step_y;
  }
  return view;
}

QuantTable transposed(const QuantTable& table) {
  QuantTable turned{};
  for (unsigned i = 0; i < kBlockSize; ++i) turned[kTransposed[i]] = table[i];
  return turned;
}

unsigned transposed_position(unsigned position) { return kTransposed[position]; }

}  // namespace pixmill::image::jpeg
