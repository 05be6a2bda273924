// Any bytes give an error or planes, by both decoders; and what both read has the same shape.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "image/jpeg/reduced_planes.h"
#include "image/planes.h"

namespace {

using pixmill::ErrorCode;
using pixmill::Result;
using pixmill::image::Planes;

void check(const Result<Planes>& planes) {
  if (planes) {
    PIXMILL_CHECK(planes->size() == 1 || planes->size() == 3);
    for (const auto& plane : *planes) PIXMILL_CHECK(plane.size.width > 0 && plane.size.height > 0);
    return;
  }
  const ErrorCode code = planes.error().code;
  PIXMILL_CHECK(code == ErrorCode::kUnsupportedFormat || code == ErrorCode::kTruncated ||
                code == ErrorCode::kDecodeFailed || code == ErrorCode::kTooLarge);
}

// Headers may promise any size; here none is asked before.
bool is_modest(std::string_view source) {
  for (std::size_t i = 0; i + 9 < source.size(); ++i) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(source[at]); };
    if (byte(i) != 0xFF || byte(i + 1) < 0xC0 || byte(i + 1) > 0xCF) continue;
    const std::size_t height = byte(i + 5) * 256U + byte(i + 6);
    const std::size_t width = byte(i + 7) * 256U + byte(i + 8);
    constexpr std::size_t kPixelsMax = 1'000'000;
    if (width * height > kPixelsMax) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string_view source(reinterpret_cast<const char*>(data + 1), size - 1);
  if (!is_modest(source)) return 0;
  constexpr double kWanted[] = {1.0 / 64, 1.0 / 6.1, 1.0 / 3.1};
  const double luma = kWanted[data[0] % 3];
  const double chroma = kWanted[data[0] / 4 % 3];
  const auto reduced =
      pixmill::image::jpeg::decode_reduced(source, {.across = luma, .down = luma}, {.across = chroma, .down = chroma});
  check(reduced);
  const auto whole = pixmill::image::decode_jpeg_planes(source, 1U << (data[0] >> 6));
  check(whole);
  if (reduced && whole) PIXMILL_CHECK(reduced->size() == whole->size());
  return 0;
}
