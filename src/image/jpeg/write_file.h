// Writes a whole JPEG file (ITU T.81 annex B, JFIF 1.01) with Huffman codes made for it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "image/jpeg/coded_picture.h"
#include "image/jpeg/read_source.h"

namespace pixmill::image::jpeg {

// What stands beside the picture. Empty means none; what does not fit its segments is left out.
struct FileHead {
  Density density;
  std::string_view exif;  // a TIFF structure, at most 65,527 bytes
  std::string_view xmp;   // a packet, at most 65,504 bytes
  std::string_view icc;   // a profile, at most 255 × 65,519 bytes
};

// One scan of everything. Throws std::bad_alloc.
[[nodiscard]] std::string write_baseline(const CodedPicture& picture, const FileHead& head);

// Several scans: means; luma's two lowest frequencies; its others; Cb; Cr. Each has a code of its own, which is what
// saves bytes; showing a coarse picture early is a gift. Throws std::bad_alloc.
[[nodiscard]] std::string write_progressive(const CodedPicture& picture, const FileHead& head);

}  // namespace pixmill::image::jpeg
