// Pictures made on the spot for tests: every readable format, with metadata that must not survive, and a look at what
// came out.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "image/format.h"
#include "image/geometry.h"

namespace pixmill::testing {

using Rgb = std::array<int, 3>;
inline constexpr Rgb kRed = {220, 30, 30};
inline constexpr Rgb kGreen = {30, 200, 30};
inline constexpr Rgb kBlue = {30, 30, 220};
inline constexpr Rgb kWhite = {240, 240, 240};

// Text that make_picture() hides in EXIF, XMP and comments when told to.
inline constexpr std::string_view kSecret = "GPS-48.85837-2.294481";

struct PictureSpec {
  image::Format format = image::Format::kJpeg;
  image::SizePx size = {.width = 64, .height = 48};
  bool noise = false;  // instead of four quadrants: red, green, blue, white from the top left
  bool grey = false;
  bool alpha = false;  // the right half is transparent
  bool sixteen_bits = false;
  bool metadata = false;  // kSecret in EXIF, XMP, and a comment where the format has one
  int orientation = 1;    // EXIF's; JPEG, WebP and TIFF
  int frames = 1;         // GIF and WebP
  int quality = 90;
  bool progressive = false;
  bool full_chroma = false;  // JPEG 4:4:4
  std::string icc = {};      // a profile by libvips' name: "p3", "srgb", "cmyk"
  bool cmyk = false;         // JPEG
};

// Aborts when libvips cannot make it.
[[nodiscard]] std::string make_picture(const PictureSpec& spec);

// An EXIF block (TIFF structure) with this orientation and kSecret as its artist.
[[nodiscard]] std::string make_exif(int orientation);

struct SeenPicture {
  image::SizePx size;
  int bands = 0;
  std::vector<std::uint8_t> pixels;  // rows × columns × bands

  // Grey is given thrice.
  [[nodiscard]] Rgb at(std::uint32_t x, std::uint32_t y) const;
  [[nodiscard]] int alpha_at(std::uint32_t x, std::uint32_t y) const;  // 255 without alpha
  // Top left, top right, bottom left, bottom right, an eighth of the size away from the edges.
  [[nodiscard]] std::array<Rgb, 4> corners() const;
};

// Decodes the first frame, with no regard to orientation. Aborts when it cannot: outputs must decode.
[[nodiscard]] SeenPicture see(std::string_view bytes);

// The largest difference of a channel.
[[nodiscard]] int distance(const Rgb& a, const Rgb& b);

}  // namespace pixmill::testing
