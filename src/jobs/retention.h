// For how long jobs are kept, as people write it. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"

namespace pixmill::jobs {

// What may be written, for messages.
inline constexpr std::string_view kKeepForms = "a number and s, m, h, d or w, such as 30d, or forever";

// "90s", "30m", "12h", "30d", "4w": at most 100 years; "forever": kForever; "": nullopt. Errors: kInvalidArgument, with
// kKeepForms.
[[nodiscard]] Result<std::optional<milliseconds>> parse_keep(std::string_view text);

}  // namespace pixmill::jobs
