// Everything that looks at a file's bytes without decoding them: both the engine and its parent run this on hostile
// input.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "image/format.h"
#include "image/icc.h"
#include "image/jpeg_segments.h"
#include "image/strip_metadata.h"
#include "image/tiff_directory.h"
#include "image/truncation.h"

using namespace pixmill;
using namespace pixmill::image;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);  // its own memory: reads past the end are seen
  const auto header = read_header(bytes);
  if (header) PIXMILL_CHECK(header->width_px > 0 && header->height_px > 0 && header->frames > 0);
  const JpegMetadata metadata = read_jpeg_metadata(bytes);
  const int orientation = exif_orientation(bytes);
  PIXMILL_CHECK(orientation >= 1 && orientation <= 8);
  const std::string upright = exif_made_upright(bytes);
  PIXMILL_CHECK(upright.size() == bytes.size() && exif_orientation(upright) == 1);
  static_cast<void>(is_srgb_profile(bytes));
  static_cast<void>(is_srgb_profile(metadata.icc));
  const auto format = sniff(bytes);
  if (!format) return 0;
  static_cast<void>(is_cut_off(bytes, *format));
  const auto stripped = strip_metadata(bytes, *format, ColourProfile::kDrop);
  if (!stripped) return 0;
  PIXMILL_CHECK(stripped->size() <= bytes.size() + 1);
  const auto again = sniff(*stripped);
  PIXMILL_CHECK(again && *again == *format);
  // Nothing is left to be taken out.
  PIXMILL_CHECK(strip_metadata(*stripped, *format, ColourProfile::kDrop) == stripped);
  return 0;
}
