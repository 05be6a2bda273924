#include "api/files.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "api/checked_handler.h"
#include "api/negotiation.h"
#include "base/http_time.h"
#include "base/text.h"

namespace pixmill::api {

namespace {

struct MediaType {
  std::string_view ending;
  std::string_view type;
};

constexpr MediaType kMediaTypes[] = {
    {".jpg", "image/jpeg"}, {".jpeg", "image/jpeg"}, {".png", "image/png"},   {".webp", "image/webp"},
    {".gif", "image/gif"},  {".avif", "image/avif"}, {".heic", "image/heic"}, {".heif", "image/heif"},
    {".tif", "image/tiff"}, {".tiff", "image/tiff"}, {".csv", "text/csv"},    {".json", "application/json"},
};

bool unchanged(const http::Request& request, std::string_view etag, std::int64_t modified_unix_seconds) {
  if (const auto tags = request.headers.get("If-None-Match")) return etag_listed(*tags, etag);
  const auto since = request.headers.get("If-Modified-Since");
  const auto at = since ? parse_http_date(*since) : std::nullopt;
  return at && to_unix_ms(*at) / 1000 >= modified_unix_seconds;
}

}  // namespace

std::string_view media_type_of(std::string_view key) {
  const std::string lower = to_lower(key);
  for (const auto& [ending, type] : kMediaTypes) {
    if (lower.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

bool is_servable_key(std::string_view key) {
  const bool odd =
      std::ranges::any_of(key, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\'; });
  if (odd || !is_valid_utf8(key)) return false;
  return std::ranges::none_of(split(key, '/'), [](std::string_view segment) {
    return segment.empty() || segment == "." || segment == ".." || segment.starts_with(".pixmill-");
  });
}

void Files::add_routes(http::Router& router) { router.add("GET", "/files/{key...}", checked(this, &Files::get)); }

// Where the store serves its files itself. What is not there is said here, in our own words.
Task<Checked<http::Response>> Files::lead_to(std::string key, std::string link) {
  const auto there = co_await context_.parts.blobs.head(std::move(key));
  if (!there && there.error().code == ErrorCode::kNotFound) co_return refuse(not_found("There is no such file"));
  if (!there) co_return refuse(problem_of(there.error()));
  http::Response response{.status = 302, .headers = {}, .body = {}};
  response.headers.set("Location", std::move(link));
  response.headers.set("Cache-Control", "private, max-age=60");
  co_return response;
}

Task<Checked<http::Response>> Files::get(http::Request& request) {
  const std::string& key = request.params["key"];
  if (is_servable_key(key)) {
    if (const auto link = context_.parts.blobs.link(key)) co_return co_await lead_to(key, *link);
  }
  const auto path = is_servable_key(key) ? context_.parts.blobs.local_path(key) : std::nullopt;
  struct stat status {};
  if (!path || ::stat(path->c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    co_return refuse(not_found("There is no such file"));
  }
  const std::string etag =
      fmt::format("\"{:x}-{:x}-{:x}\"", status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  http::Response response{.status = 200, .headers = {}, .body = {}};
  response.headers.set("ETag", etag);
  // Keys carry a digest of their bytes unless a job names its files itself; then one day is what a stale picture may
  // last.
  response.headers.set("Cache-Control", "private, max-age=86400");
  // A picture's name is a user's text and its bytes came from elsewhere: nothing in it may run on this origin.
  response.headers.set("Content-Security-Policy", "sandbox");
  if (unchanged(request, etag, status.st_mtim.tv_sec)) {
    response.status = 304;
    co_return response;
  }
  response.headers.set("Content-Type", std::string(media_type_of(key)));
  response.body = http::FileBody{.path = *path, .bytes = static_cast<std::uint64_t>(status.st_size)};
  co_return response;
}

}  // namespace pixmill::api
