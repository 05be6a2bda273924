// Writes the pairs of tests/support/quality_pairs as PNG files, NAME.original.png and NAME.distorted.png, so that any
// implementation of a metric can be asked about them. Build: `ninja quality_pairs`; run: `quality_pairs FOLDER`.
#include <fmt/format.h>
#include <vips/vips.h>

#include <string>

#include "image/vips_runtime.h"
#include "tests/support/quality_pairs.h"

namespace {

using pixmill::testing::RgbPicture;

bool write_png(const RgbPicture& picture, const std::string& path) {
  VipsImage* image =
      vips_image_new_from_memory(picture.bytes.data(), picture.bytes.size(), static_cast<int>(picture.width_px),
                                 static_cast<int>(picture.height_px), 3, VIPS_FORMAT_UCHAR);
  if (image == nullptr) return false;
  image->Type = VIPS_INTERPRETATION_sRGB;
  const bool written = vips_pngsave(image, path.c_str(), nullptr) == 0;
  g_object_unref(image);
  return written;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: quality_pairs FOLDER\n");
    return 2;
  }
  if (vips_init(argv[0]) != 0) {
    fmt::print(stderr, "{}\n", pixmill::image::take_vips_message());
    return 1;
  }
  for (const auto& pair : pixmill::testing::quality_pairs()) {
    const std::string stem = fmt::format("{}/{}", argv[1], pair.name);
    if (!write_png(make_original(pair), stem + ".original.png") ||
        !write_png(make_distorted(pair), stem + ".distorted.png")) {
      fmt::print(stderr, "{}: {}\n", stem, pixmill::image::take_vips_message());
      return 1;
    }
    fmt::print("{}\n", pair.name);
  }
  return 0;
}
