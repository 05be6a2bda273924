// EXIF orientation by rearranging coefficients: mirroring changes signs, turning swaps frequencies, nothing is lost.
// Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "image/jpeg/block_store.h"
#include "image/jpeg/coded_picture.h"
#include "image/jpeg/frame.h"
#include "image/jpeg/quantisation.h"

namespace pixmill::image::jpeg {

// What makes a picture upright: rows and columns swapped, if at all, then mirrored.
struct Orientation {
  bool transpose = false;
  bool mirror_x = false;  // left and right change places
  bool mirror_y = false;

  [[nodiscard]] bool is_upright() const { return !transpose && !mirror_x && !mirror_y; }
};

// `exif` 1 to 8 (Exif 2.32, tag 0x0112).
[[nodiscard]] Orientation orientation_of(int exif);

enum class PartialMcus : std::uint8_t { kRefuse, kTrim };

// The upright picture's frame. An MCU at the right or the bottom that is only partly filled cannot come to the left or
// to the top: nullopt, or such MCUs are left out, unless nothing would remain.
[[nodiscard]] std::optional<Frame> upright_frame(const Frame& source, Orientation orientation, PartialMcus partial);

// The view of a source's plane in which it is upright; `component` is that of the upright frame.
[[nodiscard]] BlockView upright_view(const BlockPlane& plane, const Component& component, Orientation orientation);

// A table for the picture turned. Turning twice gives the table back.
[[nodiscard]] QuantTable transposed(const QuantTable& table);

// The zigzag position with horizontal and vertical frequency swapped.
[[nodiscard]] unsigned transposed_position(unsigned position);

}  // namespace pixmill::image::jpeg
