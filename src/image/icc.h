// The little that Pixmill reads of an ICC profile itself (ICC.1:2022): whether it is sRGB, so that no transform is
// needed. Pure; the input is untrusted.
#pragma once

#include <string_view>

namespace pixmill::image {

// True for RGB profiles whose description says sRGB, and for the tiny sRGB profiles ("c2", "c2ci") that some sites
// embed.
[[nodiscard]] bool is_srgb_profile(std::string_view profile);

}  // namespace pixmill::image
