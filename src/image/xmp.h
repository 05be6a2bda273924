// The little that Pixmill changes in an XMP packet (ISO 16684-1). Pure; the input is untrusted.
#pragma once

#include <string>
#include <string_view>

namespace pixmill::image {

// The same packet with tiff:Orientation 1, for a picture that has been turned upright.
[[nodiscard]] std::string xmp_made_upright(std::string_view packet);

}  // namespace pixmill::image
