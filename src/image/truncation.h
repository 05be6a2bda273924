// Tells a file that was cut off from one that is damaged, from its structure alone: the first is worth fetching again.
// Asked once a decoder has failed. Pure; the input is untrusted.
#pragma once

#include <string_view>

#include "image/format.h"

namespace pixmill::image {

// True when the file's own structure says that bytes are missing at its end.
[[nodiscard]] bool is_cut_off(std::string_view bytes, Format format);

}  // namespace pixmill::image
