// Writes a whole JPEG file (ITU T.81 annex B, JFIF 1.01) with Huffman codes made for it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "image/jpeg/coded_picture.h"
#include "image/jpeg/read_source.h"

namespace pixmill::image::jpeg {

struct FileHead {
  Density density;
};

// One scan of everything. Throws std::bad_alloc.
[[nodiscard]] std::string write_baseline(const CodedPicture& picture, const FileHead& head);

}  // namespace pixmill::image::jpeg
