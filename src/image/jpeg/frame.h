// The shape of a picture in blocks (ITU T.81 A.1 and A.2). Pure.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace pixmill::image::jpeg {

inline constexpr unsigned kComponentsMax = 3;  // grey, or Y, Cb and Cr

struct Component {
  std::uint8_t id = 0;
  std::uint32_t h = 1;  // sampling factors, 1 to 4: blocks across and down in one MCU
  std::uint32_t v = 1;
  // In blocks: what carries picture, and what whole MCUs make of it.
  std::uint32_t blocks_wide = 0;
  std::uint32_t blocks_high = 0;
  std::uint32_t padded_wide = 0;
  std::uint32_t padded_high = 0;
};

struct Frame {
  std::uint32_t width_px = 0;
  std::uint32_t height_px = 0;
  std::uint32_t h_max = 1;
  std::uint32_t v_max = 1;
  std::uint32_t mcus_wide = 0;
  std::uint32_t mcus_high = 0;
  std::uint32_t component_count = 0;
  std::array<Component, kComponentsMax> component_array;

  [[nodiscard]] std::span<Component> components() { return {component_array.data(), component_count}; }
  [[nodiscard]] std::span<const Component> components() const { return {component_array.data(), component_count}; }
};

// Fills in what follows from size and sampling factors. A single component's factors mean nothing and become 1.
void lay_out(Frame& frame);

}  // namespace pixmill::image::jpeg
