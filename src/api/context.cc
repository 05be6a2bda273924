#include "api/context.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crypto.h"
#include "base/text.h"

namespace pixmill::api {

namespace {

constexpr std::string_view kStyle =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2433;"
    "background:#fff}h1{font-size:1.5rem}table{border-collapse:collapse;width:100%}"
    "th,td{border:1px solid #c9d0dc;padding:.4rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "code,pre{font:14px/1.5 ui-monospace,monospace;background:#f1f3f7;border-radius:4px}code{padding:.1rem .3rem}"
    "pre{padding:.8rem 1rem;overflow-x:auto}a{color:#0b57d0}"
    "@media(prefers-color-scheme:dark){body{color:#e3e7ef;background:#14171d}th,td{border-color:#3a4150}"
    "code,pre{background:#222731}a{color:#8ab4f8}}";

std::string page_policy(std::string_view style) {
  const auto digest = sha256(style);
  return fmt::format(
      "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      to_base64(std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size())));
}

}  // namespace

Task<Checked<std::shared_ptr<const jobs::RecipeBook>>> recipe_book(Context& context) {
  const auto saved = co_await context.parts.recipes.saved_recipes();
  if (!saved) co_return refuse(problem_of(saved.error()));
  co_return std::make_shared<const jobs::RecipeBook>(*saved);
}

Checked<JobId> job_id_of(const http::Request& request) {
  const auto found = request.params.find("id");
  auto uuid = found == request.params.end() ? std::nullopt : Uuid::parse(found->second);
  if (!uuid) return refuse(not_found("There is no such job"));
  return JobId{std::move(*uuid)};
}

Checked<std::uint64_t> number_parameter(const http::Request& request, const std::string& name, std::uint64_t fallback,
                                        std::uint64_t min, std::uint64_t max) {
  const auto text = request.query_value(name);
  if (!text) return fallback;
  const auto value = parse_integer(*text);
  if (!value || *value < 0 || static_cast<std::uint64_t>(*value) < min || static_cast<std::uint64_t>(*value) > max) {
    return refuse(wrong_parameter(name, *text, fmt::format("a whole number from {} to {}", min, max)));
  }
  return static_cast<std::uint64_t>(*value);
}

Checked<bool> parse_flag(const std::string& name, std::string_view text) {
  const std::string lower = to_lower(trim(text));
  for (const std::string_view yes : {"1", "true", "yes", "on"}) {
    if (lower == yes) return true;
  }
  for (const std::string_view no : {"", "0", "false", "no", "off"}) {
    if (lower == no) return false;
  }
  return refuse(wrong_parameter(name, text, "true or false"));
}

std::string attachment_disposition(std::string_view file_name) {
  std::string plain;
  for (const char c : file_name) {
    const bool safe = c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '/';
    plain += safe ? c : '_';
  }
  std::string value = fmt::format("attachment; filename=\"{}\"", plain);
  if (plain == file_name) return value;
  std::string encoded = percent_encode_path(file_name);
  std::erase(encoded, '/');
  return value + "; filename*=UTF-8''" + encoded;
}

http::Response page_response(int status, std::string_view title, std::string_view body, std::string_view more_style) {
  const std::string style = fmt::format("{}{}", kStyle, more_style);
  auto response =
      http::html_response(status, fmt::format("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                                              "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                                              "<title>{}</title><style>{}</style></head>\n<body>\n{}\n</body></html>\n",
                                              html_escape(title), style, body));
  response.headers.set("Content-Security-Policy", page_policy(style));
  return response;
}

}  // namespace pixmill::api
