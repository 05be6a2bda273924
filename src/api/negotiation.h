// Reading what a client says about itself: Accept, Host and Origin. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pixmill::api {

// Whether a client would rather have HTML than JSON (RFC 9110 section 12.5.1): text/html has the higher quality, or the
// same one and is named before application/json. No preference, an empty header, or */* alone is JSON.
[[nodiscard]] bool prefers_html(std::string_view accept);

// `host_header` against ALLOWED_HOSTS as Django reads it: names without case and port, ".example.com" for a domain with
// its subdomains, "*" for all. An empty list allows all.
[[nodiscard]] bool host_allowed(const std::vector<std::string>& allowed, std::string_view host_header);

// Whether an ETag list (If-None-Match) names `etag`, weakly compared, or is "*".
[[nodiscard]] bool etag_listed(std::string_view list, std::string_view etag);

}  // namespace pixmill::api
