// Dates and delays as HTTP headers write them (RFC 9110 sections 5.6.7 and 10.2.3). Pure; any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "base/time.h"

namespace pixmill {

// "Sun, 06 Nov 1994 08:49:37 GMT" and its two obsolete forms; nullopt for anything else.
[[nodiscard]] std::optional<TimePoint> parse_http_date(std::string_view text);

// Retry-After: whole seconds, or a date that is compared with `now`. In [0, max]; nullopt when it is neither.
[[nodiscard]] std::optional<std::chrono::seconds> parse_retry_after(std::string_view value, TimePoint now,
                                                                    std::chrono::seconds max);

}  // namespace pixmill
