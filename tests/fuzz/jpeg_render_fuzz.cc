// Any bytes that begin as a JPEG, turned by EXIF's orientation, through recipes that cut, scale and turn: a typed error
// or a JPEG that says the size it has.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "image/format.h"
#include "image/recipe.h"
#include "image/render.h"

namespace {

using pixmill::ErrorCode;

constexpr std::array<std::string_view, 16> kRecipes = {
    "format=jpeg resize=9x",
    "format=jpeg resize=x7 rotate=90",
    "format=jpeg resize=16x11:cover",
    "format=jpeg resize=11x16:cover:southeast flop=true",
    "format=jpeg resize=13x5:fill flip=true",
    "format=jpeg resize=40x40:enlarge quality=95",
    "format=jpeg crop=5x3+2+1 rotate=270",
    "format=jpeg crop=9x9+1+1 resize=4x4 flip=true rotate=180",
    "format=jpeg quality=30 chroma=420",
    "format=jpeg quality=95 chroma=444 resize=33x",
    "format=jpeg quality=92 max_bytes=1000 resize=64x64",
    "format=jpeg effort=9 resize=20x20",
    "format=jpeg tables=standard progressive=false resize=12x12",
    "format=jpeg resize=8x8:contain background=#ff0000",
    "format=jpeg quality=80 rotate=90 flop=true",
    "product-set",
};

// EXIF with nothing but an orientation.
std::string orientation_segment(unsigned orientation) {
  std::string segment(
      "\xFF\xE1\0\x22"
      "Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0",
      36);
  segment[29] = static_cast<char>(orientation);
  return segment;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pixmill::image;
  if (size < 4) return 0;
  std::string source(reinterpret_cast<const char*>(data + 1), size - 1);
  if (const auto format = sniff(source); !format || *format != Format::kJpeg) return 0;
  if (const unsigned orientation = data[0] & 7; orientation != 0)
    source.insert(2, orientation_segment(orientation + 1));
  const auto recipe = parse_recipe(kRecipes[data[0] >> 4]);
  PIXMILL_CHECK(recipe.has_value());
  const auto rendered = render(source, *recipe, Limits{.pixels_max = 250'000});
  if (!rendered) {
    PIXMILL_CHECK(rendered.error().code != ErrorCode::kInternal);
    return 0;
  }
  for (const auto& rendition : rendered->renditions) {
    if (rendition.format != Format::kJpeg) continue;
    const auto header = read_header(rendition.bytes);
    PIXMILL_CHECK(header && header->width_px == rendition.width_px && header->height_px == rendition.height_px);
  }
  return 0;
}
