// Reading what a client says about itself: Accept and If-None-Match. Pure; any thread.
#pragma once

#include <string_view>

namespace pixmill::api {

// Whether a client would rather have HTML than JSON (RFC 9110 section 12.5.1): text/html has the higher quality, or the
// same one and is named before application/json. No preference, an empty header, or */* alone is JSON.
[[nodiscard]] bool prefers_html(std::string_view accept);

// Whether an ETag list (If-None-Match) names `etag`, weakly compared, or is "*".
[[nodiscard]] bool etag_listed(std::string_view list, std::string_view etag);

}  // namespace pixmill::api
