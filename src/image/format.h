// Image formats told by content, never by name or Content-Type, and sizes read from headers without decoding.
// Pure, no libvips: used by the engine before it decodes and by its parent to check what an engine returned. Fuzzed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace pixmill::image {

enum class Format : std::uint8_t { kJpeg, kPng, kWebp, kGif, kTiff, kAvif, kHeif };

[[nodiscard]] std::string_view format_name(Format format);                // "jpeg", "png" …
[[nodiscard]] std::string_view extension(Format format);                  // "jpg", "png" …
[[nodiscard]] std::string_view media_type(Format format);                 // "image/jpeg" …
[[nodiscard]] std::optional<Format> parse_format(std::string_view name);  // also "jpg", "tif"

// What the first bytes say. Errors: kNotAnImage (the message says what it looks like: HTML, JSON, empty …),
// kUnsupportedFormat for image formats that Pixmill refuses (SVG, PDF, PSD, BMP, ICO, JPEG XL, MAT, PPM …, named in the
// message).
[[nodiscard]] Result<Format> sniff(std::string_view bytes);

struct Header {
  Format format = Format::kJpeg;
  std::uint32_t width_px = 0;
  std::uint32_t height_px = 0;  // of one frame
  std::uint32_t frames = 1;     // as far as the header tells cheaply; animated GIF and WebP are counted
};

// Errors: those of sniff(), kTruncated when the file ends inside its header, kDecodeFailed when the header contradicts
// itself.
[[nodiscard]] Result<Header> read_header(std::string_view bytes);

}  // namespace pixmill::image
