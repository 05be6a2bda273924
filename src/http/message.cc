#include "http/message.h"

#include <fmt/format.h>

#include "base/text.h"

namespace pixmill::http {

void Headers::add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }

void Headers::set(std::string name, std::string value) {
  std::erase_if(fields_, [&](const auto& field) { return equals_ignoring_case(field.first, name); });
  add(std::move(name), std::move(value));
}

std::optional<std::string_view> Headers::get(std::string_view name) const {
  for (const auto& [field_name, value] : fields_) {
    if (equals_ignoring_case(field_name, name)) return value;
  }
  return std::nullopt;
}

std::optional<std::string> Request::query_value(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return std::nullopt;
}

Task<Result<std::string>> read_all(BodyReader& body, std::size_t limit_bytes) {
  std::string bytes;
  while (true) {
    PIXMILL_CO_TRY(const std::string_view piece, co_await body.next());
    if (piece.empty()) co_return bytes;
    if (piece.size() > limit_bytes - bytes.size()) {
      co_return fail(ErrorCode::kTooLarge, fmt::format("The body is larger than {} bytes", limit_bytes));
    }
    bytes += piece;
  }
}

namespace {

Response typed_response(int status, std::string body, std::string media_type) {
  Response response{.status = status, .headers = {}, .body = std::move(body)};
  response.headers.add("Content-Type", std::move(media_type));
  return response;
}

}  // namespace

Response text_response(int status, std::string body) {
  return typed_response(status, std::move(body), "text/plain; charset=utf-8");
}

Response html_response(int status, std::string body) {
  return typed_response(status, std::move(body), "text/html; charset=utf-8");
}

Response json_response(int status, std::string json) {
  return typed_response(status, std::move(json), "application/json");
}

}  // namespace pixmill::http
