#include "bench/micro/pixels.h"

#include <vips/vips.h>

#include "image/picture.h"
#include "image/vips_runtime.h"

namespace pixmill::bench {

using image::Picture;

// Of a profile that is there, libvips asks the colour engine; without one it takes sRGB.
Result<Pixels> read_pixels(const std::string& path) {
  const Picture loaded(vips_image_new_from_file(path.c_str(), nullptr));
  if (loaded.get() == nullptr) return image::vips_failed();
  Picture upright;
  Picture rgb;
  Picture opaque;
  Picture bytes;
  if (vips_autorot(loaded.get(), upright.out(), nullptr) != 0) return image::vips_failed();
  const bool has_profile = vips_image_get_typeof(upright.get(), VIPS_META_ICC_NAME) != 0;
  const int converted = has_profile ? vips_icc_transform(upright.get(), rgb.out(), "srgb", "embedded",
                                                         static_cast<gboolean>(true), nullptr)
                                    : vips_colourspace(upright.get(), rgb.out(), VIPS_INTERPRETATION_sRGB, nullptr);
  if (converted != 0) return image::vips_failed();
  VipsArrayDouble* white = vips_array_double_newv(3, 255.0, 255.0, 255.0);
  const int flattened = vips_image_hasalpha(rgb.get()) != 0
                            ? vips_flatten(rgb.get(), opaque.out(), "background", white, nullptr)
                            : vips_copy(rgb.get(), opaque.out(), nullptr);
  vips_area_unref(VIPS_AREA(white));
  if (flattened != 0 || vips_cast_uchar(opaque.get(), bytes.out(), nullptr) != 0) return image::vips_failed();
  if (bytes.get()->Bands != 3) return fail(ErrorCode::kUnsupportedFormat, "not a picture in red, green and blue");
  std::size_t size = 0;
  void* memory = vips_image_write_to_memory(bytes.get(), &size);
  if (memory == nullptr) return image::vips_failed();
  const auto* first = static_cast<const std::uint8_t*>(memory);
  Pixels pixels{.width_px = static_cast<std::uint32_t>(bytes.get()->Xsize),
                .height_px = static_cast<std::uint32_t>(bytes.get()->Ysize),
                .bytes = std::vector<std::uint8_t>(first, first + size)};
  g_free(memory);
  return pixels;
}

}  // namespace pixmill::bench
