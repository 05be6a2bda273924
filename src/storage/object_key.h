// What every store takes as a key, whatever it is made of. Pure; any thread.
#pragma once

#include <string_view>

#include "base/error.h"

namespace pixmill::storage {

inline constexpr std::size_t kKeyBytesMax = 1'024;  // as S3 has it

// Relative, '/'-separated, without empty, "." and ".." segments and NUL bytes. Errors: kInvalidArgument.
[[nodiscard]] Result<void> check_key(std::string_view key);

// The same, and a '/'. Errors: kInvalidArgument.
[[nodiscard]] Result<void> check_folder_key(std::string_view prefix);

[[nodiscard]] std::unexpected<Error> refused_key(std::string_view why);

}  // namespace pixmill::storage
