// The steps between a file's bytes and the pixels to encode, each on its own; render.cc puts them in order. All take a
// Picture and give the next one; nothing is decoded before pixels are read, except where said. Errors of all:
// kDecodeFailed, unless said.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/error.h"
#include "image/format.h"
#include "image/geometry.h"
#include "image/picture.h"
#include "image/recipe.h"

namespace pixmill::image {

// What a file's header and metadata say about the picture.
struct Facts {
  SizePx size;          // as stored
  int orientation = 1;  // EXIF's, 1 to 8
  bool has_alpha = false;
  bool is_srgb = true;  // 8-bit colours need no conversion
  [[nodiscard]] SizePx upright_size() const {
    return orientation >= 5 ? SizePx{.width = size.height, .height = size.width} : size;
  }
};

struct Opened {
  Facts facts;
  Picture picture;  // empty for JPEG, which is decoded by decode()
};

// Reads the file's header with the loader of the format that our own sniffing found. `source` must outlive all Pictures
// made of it. Further errors: kUnsupportedFormat.
[[nodiscard]] Result<Opened> open_source(std::string_view source, Format format);

// The pixels of the first frame. JPEG is decoded here, at the largest of 1/2, 1/4 and 1/8 that leaves at least twice
// the size of `wanted` (as stored, not upright), else whole. Further errors: those of decode_jpeg.
[[nodiscard]] Result<Picture> decode(std::string_view source, Format format, Opened opened, SizePx wanted);

// 8-bit sRGB or grey, alpha untouched but 8-bit, the ICC profile applied and gone.
[[nodiscard]] Result<Picture> convert_to_srgb(Picture picture);

// Three bands of sRGB, and alpha where there is some. The profile is applied and gone.
[[nodiscard]] Result<Picture> make_rgb(Picture picture);

// 8-bit RGB or grey as the embedded profile means it, which stays. Print colours become sRGB.
[[nodiscard]] Result<Picture> keep_colours(Picture picture);

// Turns the pixels as EXIF orientation says. Decodes to memory when rows become columns or change their order.
[[nodiscard]] Result<Picture> make_upright(Picture picture);

[[nodiscard]] Result<Picture> resize(Picture picture, const ResizePlan& plan, Colour background);

// The picture on a canvas of `background`, which is opaque.
[[nodiscard]] Result<Picture> place_on_canvas(Picture picture, BoxPx placement, SizePx canvas, Colour background);

// Applies `change` to colours weighted by alpha, so that those under transparent pixels do not bleed into visible ones.
[[nodiscard]] Result<Picture> on_premultiplied(Picture picture,
                                               const std::function<Result<Picture>(const Picture&)>& change);

// Puts alpha, if there is any, over the background.
[[nodiscard]] Result<Picture> flatten(Picture picture, Colour background);

// One more owner of the same pixels.
[[nodiscard]] Picture share(const Picture& picture);
// The pixels computed once, for those who read them several times or in another order.
[[nodiscard]] Result<Picture> in_memory(Picture picture);

[[nodiscard]] bool has_alpha(const Picture& picture);
[[nodiscard]] SizePx size_of(const Picture& picture);
[[nodiscard]] SizePx frame_size_of(const Picture& frames);  // of an animation

}  // namespace pixmill::image
