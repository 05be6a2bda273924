#include "storage/sigv4.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/crypto.h"
#include "base/text.h"

namespace pixmill::storage {

namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::size_t kDayLength = 8;  // of "20130524T000000Z"

// RFC 3986 unreserved characters stay, a slash does not.
std::string encode(std::string_view text) {
  std::string encoded;
  for (std::size_t i = 0;; ++i) {
    const auto slash = text.find('/', i);
    encoded += percent_encode_path(text.substr(i, slash - i));
    if (slash == std::string_view::npos) return encoded;
    encoded += "%2F";
    i = slash;
  }
}

// Blanks around a value go, those within it become one.
std::string trimmed(std::string_view value) {
  std::string text;
  for (const char c : trim(value)) {
    const bool is_blank = c == ' ' || c == '\t';
    if (is_blank && text.ends_with(' ')) continue;
    text += is_blank ? ' ' : c;
  }
  return text;
}

// By lower-case name; values of one name in their order, joined by commas.
std::map<std::string, std::string> canonical_headers(const RequestToSign& request) {
  std::map<std::string, std::string> headers;
  headers["host"] = request.host;
  for (const auto& [name, value] : request.headers) {
    auto [at, is_new] = headers.try_emplace(to_lower(name));
    if (!is_new) at->second += ',';
    at->second += trimmed(value);
  }
  return headers;
}

std::string joined_names(const std::map<std::string, std::string>& headers) {
  std::string names;
  for (const auto& [name, value] : headers) {
    if (!names.empty()) names += ';';
    names += name;
  }
  return names;
}

std::string_view as_text(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string scope_text(std::string_view day, const SigningScope& scope) {
  return fmt::format("{}/{}/{}/aws4_request", day, scope.region, scope.service);
}

std::string signature(const RequestToSign& request, const std::string& secret, const SigningScope& scope,
                      const std::string& date) {
  const std::string day = date.substr(0, kDayLength);
  const auto by_day = hmac_sha256("AWS4" + secret, day);
  const auto by_region = hmac_sha256(as_text(by_day), scope.region);
  const auto by_service = hmac_sha256(as_text(by_region), scope.service);
  const auto key = hmac_sha256(as_text(by_service), "aws4_request");
  const std::string to_sign = fmt::format("{}\n{}\n{}\n{}", kAlgorithm, date, scope_text(day, scope),
                                          to_hex(sha256(canonical_request(request))));
  return to_hex(hmac_sha256(as_text(key), to_sign));
}

}  // namespace

std::string amz_date(TimePoint at) {
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(at - day));
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

std::string canonical_query(const NameValues& query) {
  NameValues encoded;
  encoded.reserve(query.size());
  for (const auto& [name, value] : query) encoded.emplace_back(encode(name), encode(value));
  std::ranges::sort(encoded);
  std::string text;
  for (const auto& [name, value] : encoded) {
    if (!text.empty()) text += '&';
    text += name;
    text += '=';
    text += value;
  }
  return text;
}

std::string canonical_request(const RequestToSign& request) {
  const auto headers = canonical_headers(request);
  std::string text =
      fmt::format("{}\n{}\n{}\n", request.method, percent_encode_path(request.path), canonical_query(request.query));
  for (const auto& [name, value] : headers) text += fmt::format("{}:{}\n", name, value);
  text += fmt::format("\n{}\n{}", joined_names(headers), request.payload);
  return text;
}

NameValues signed_headers(RequestToSign request, const AwsCredentials& credentials, const SigningScope& scope,
                          TimePoint at) {
  const std::string date = amz_date(at);
  request.headers.emplace_back("x-amz-date", date);
  if (!credentials.session_token.empty()) {
    request.headers.emplace_back("x-amz-security-token", credentials.session_token);
  }
  std::string authorization =
      fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm, credentials.access_key_id,
                  scope_text(date.substr(0, kDayLength), scope), joined_names(canonical_headers(request)),
                  signature(request, credentials.secret_access_key, scope, date));
  auto headers = std::move(request.headers);
  headers.emplace_back("Authorization", std::move(authorization));
  return headers;
}

std::string presigned_query(RequestToSign request, const AwsCredentials& credentials, const SigningScope& scope,
                            std::chrono::seconds valid_for, TimePoint at) {
  const std::string date = amz_date(at);
  auto& query = request.query;
  query.emplace_back("X-Amz-Algorithm", kAlgorithm);
  query.emplace_back("X-Amz-Credential",
                     fmt::format("{}/{}", credentials.access_key_id, scope_text(date.substr(0, kDayLength), scope)));
  query.emplace_back("X-Amz-Date", date);
  const auto seconds_valid = std::clamp(valid_for, std::chrono::seconds(1), kPresignedMax);
  query.emplace_back("X-Amz-Expires", std::to_string(seconds_valid.count()));
  if (!credentials.session_token.empty()) query.emplace_back("X-Amz-Security-Token", credentials.session_token);
  query.emplace_back("X-Amz-SignedHeaders", joined_names(canonical_headers(request)));
  request.payload = kUnsignedPayload;
  const std::string signed_by = signature(request, credentials.secret_access_key, scope, date);
  return fmt::format("{}&X-Amz-Signature={}", canonical_query(query), signed_by);
}

}  // namespace pixmill::storage
