// A picture as JPEG holds it: luma, and chroma at a resolution of its own. Between decoding and encoding, when a JPEG
// is to become a smaller JPEG, nothing is gained by going through RGB. Blocking; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "image/geometry.h"
#include "image/jpeg/orientation.h"
#include "image/jpeg_codec.h"

namespace pixmill::image {

// One component's samples, 8 bits each. Rows begin at multiples of 64 bytes. Behind the samples there is room up to
// whole blocks of 8 × 8.
struct Plane {
  SizePx size;  // in samples
  std::size_t stride_bytes = 0;
  // Samples for one pixel of the picture at its full size: below 1 where chroma is coarser, or decoding made the
  // picture smaller.
  double across = 1;
  double down = 1;
  std::unique_ptr<std::uint8_t[], FreeMemory> bytes;

  [[nodiscard]] std::uint8_t* row(std::uint32_t y) { return bytes.get() + y * stride_bytes; }
  [[nodiscard]] const std::uint8_t* row(std::uint32_t y) const { return bytes.get() + y * stride_bytes; }
};

// One (grey) or three (Y, Cb, Cr).
using Planes = std::vector<Plane>;

// A part of a plane, in samples; it may reach beyond the edges, where samples are mirrored.
struct Region {
  double left = 0;
  double top = 0;
  double width = 1;
  double height = 1;
  bool operator==(const Region&) const = default;
};

// Samples for one pixel of the picture at its full size.
struct Resolution {
  double across = 0;
  double down = 0;
};

// How much finer than wanted planes are decoded, at least, so that the resampler has something to choose from. Over
// photographs 1.5 keeps an SSIM of 0.997 against resampling the whole picture; 1.25 would be below 0.99.
inline constexpr double kDecodeMargin = 1.5;

// Uninitialised samples. Errors: kTooLarge when memory ran out.
[[nodiscard]] Result<Plane> make_plane(SizePx size);

// The region is the whole plane, sample for sample.
[[nodiscard]] bool is_whole(const Plane& plane, const Region& region, SizePx size);

// `region` of a plane at another size, by Lanczos's filter over three lobes, which widens when the size goes down.
// Errors: kTooLarge when memory ran out; kUnsupportedFormat when it cannot be done in this way.
[[nodiscard]] Result<Plane> resize_plane(const Plane& plane, const Region& region, SizePx size);

// The plane turned and mirrored. Errors: kTooLarge when memory ran out.
[[nodiscard]] Result<Plane> turn_plane(Plane plane, jpeg::Orientation orientation);

// As decode_jpeg(), without turning samples into pixels; chroma may come at a higher resolution. Further errors:
// kUnsupportedFormat for everything but grey and YCbCr.
[[nodiscard]] Result<Planes> decode_jpeg_planes(std::string_view source, std::uint32_t shrink);

// Chroma has the size of luma, or half of it both ways, rounded up. What lies in the planes behind their samples is
// overwritten. Errors: as encode_jpeg().
[[nodiscard]] Result<std::string> encode_jpeg_planes(Planes& planes, const JpegOptions& options);

}  // namespace pixmill::image
