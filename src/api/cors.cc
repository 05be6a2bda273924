#include "api/cors.h"

#include <algorithm>

#include "base/text.h"

namespace pixmill::api {

namespace {

// scheme://host[:port] in lower case.
std::string origin_of(std::string_view url) {
  const std::string lower = to_lower(trim(url));
  const auto scheme_end = lower.find("://");
  if (scheme_end == std::string::npos) return lower;
  return lower.substr(0, lower.find('/', scheme_end + 3));
}

// Beside those that every page may read.
constexpr const char* kExposed =
    "Content-Disposition, ETag, Idempotent-Replayed, Location, Pixmill-Note, Pixmill-Output, Pixmill-Score, "
    "Pixmill-Source, "
    "Retry-After, Server-Timing, X-Request-Id";

}  // namespace

Cors::Cors(std::string_view frontend_urls, bool allow_all, std::string_view own_base_url)
    : allow_all_(allow_all), own_origin_(origin_of(own_base_url)) {
  for (const auto url : split(frontend_urls, ',')) {
    if (!trim(url).empty()) origins_.push_back(origin_of(url));
  }
}

bool Cors::allowed(std::string_view origin) const {
  return std::ranges::find(origins_, to_lower(origin)) != origins_.end();
}

bool Cors::is_preflight(const http::Request& request) {
  return request.method == "OPTIONS" && request.headers.get("Origin") &&
         request.headers.get("Access-Control-Request-Method");
}

http::Response Cors::preflight_response(const http::Request& request) const {
  http::Response response{.status = 204, .headers = {}, .body = {}};
  const auto origin = request.headers.get("Origin").value_or("");
  if (!allow_all_ && !allowed(origin)) return response;
  response.headers.add("Access-Control-Allow-Methods", "DELETE, GET, OPTIONS, PATCH, POST, PUT");
  response.headers.add("Access-Control-Allow-Headers",
                       "accept, authorization, content-type, idempotency-key, last-event-id, user-agent, x-csrftoken, "
                       "x-requested-with");
  response.headers.add("Access-Control-Max-Age", "86400");
  return response;
}

void Cors::decorate(const http::Request& request, http::Response& response) const {
  const auto origin = request.headers.get("Origin");
  if (!allow_all_) response.headers.add("Vary", "Origin");
  if (!origin || (!allow_all_ && !allowed(*origin))) return;
  response.headers.set("Access-Control-Allow-Origin", allow_all_ ? "*" : std::string(*origin));
  response.headers.set("Access-Control-Expose-Headers", kExposed);
}

bool Cors::is_foreign_write(const http::Request& request) const {
  const bool reads = request.method == "GET" || request.method == "HEAD" || request.method == "OPTIONS";
  const auto origin = request.headers.get("Origin");
  if (reads || allow_all_ || !origin || allowed(*origin)) return false;
  const std::string lower = to_lower(*origin);
  const auto scheme_end = lower.find("://");
  const std::string_view authority =
      scheme_end == std::string::npos ? "" : std::string_view(lower).substr(scheme_end + 3);
  return lower != own_origin_ && authority != to_lower(request.headers.get("Host").value_or("-"));
}

}  // namespace pixmill::api
