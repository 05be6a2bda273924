// The little that Pixmill reads of an ICC profile itself (ICC.1:2022): whether it is sRGB, so that no transform is
// needed. Pure; the input is untrusted.
#pragma once

#include <string_view>

namespace pixmill::image {

// True for RGB profiles with sRGB's primaries and curve, by their numbers: names say what people like, such as "linear
// sRGB". Profiles that only hold lookup tables count as others.
[[nodiscard]] bool is_srgb_profile(std::string_view profile);

}  // namespace pixmill::image
