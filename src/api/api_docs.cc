#include "api/api_docs.h"

#include <fmt/format.h>

#include <span>
#include <string>
#include <string_view>

#include "api/context.h"
#include "api/negotiation.h"
#include "api_description.h"
#include "base/crypto.h"

namespace pixmill::api {

namespace {

std::string joined(std::span<const std::string_view> pieces) {
  std::string whole;
  for (const auto piece : pieces) whole += piece;
  return whole;
}

// Clients keep the answer and ask each time whether it is still the one: another version of the program has another.
http::Response kept_by_clients(http::Response response) {
  const auto digest = sha256(std::get<std::string>(response.body));
  response.headers.set("ETag", fmt::format("\"{}\"", to_hex(digest)));
  response.headers.set("Cache-Control", "no-cache");
  return response;
}

http::Response answer(const http::Request& request, const http::Response& whole) {
  const auto tags = request.headers.get("If-None-Match");
  const bool has_it = tags && etag_listed(*tags, whole.headers.get("ETag").value_or(""));
  if (!has_it) return whole;
  return http::Response{.status = 304, .headers = whole.headers, .body = {}};
}

}  // namespace

ApiDocs::ApiDocs()
    : json_(kept_by_clients(http::json_response(200, joined(generated::k_api_json)))),
      page_(kept_by_clients(
          page_response(200, "Pixmill API", joined(generated::k_api_page), joined(generated::k_api_page_style)))) {}

void ApiDocs::add_routes(http::Router& router) {
  router.add("GET", "/openapi.json", [this](http::Request& request) { return json(request); });
  router.add(
      "GET", "/docs/api", [this](http::Request& request) { return page(request); }, true);
}

Task<http::Response> ApiDocs::json(http::Request& request) { co_return answer(request, json_); }

Task<http::Response> ApiDocs::page(http::Request& request) { co_return answer(request, page_); }

}  // namespace pixmill::api
