// The product's version, as --version, the User-Agent and /v1/system say it.
#pragma once

#include <string_view>

namespace pixmill {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace pixmill
