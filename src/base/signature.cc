#include "base/signature.h"

#include <fmt/format.h>

#include "base/crypto.h"
#include "base/text.h"

namespace pixmill {

namespace {

constexpr std::string_view kPrefix = "whsec_";
constexpr std::size_t kKeyBytesMin = 24;
constexpr std::size_t kKeyBytesMax = 64;
constexpr std::size_t kRandomKeyBytes = 32;

}  // namespace

WebhookSecret WebhookSecret::random() { return WebhookSecret(random_bytes(kRandomKeyBytes)); }

Result<WebhookSecret> WebhookSecret::parse(std::string_view text) {
  if (!text.starts_with(kPrefix)) {
    return fail(ErrorCode::kInvalidArgument, "a webhook secret begins with whsec_");
  }
  auto key = from_base64(text.substr(kPrefix.size()));
  if (!key) return fail(ErrorCode::kInvalidArgument, "a webhook secret is whsec_ and padded base64");
  if (key->size() < kKeyBytesMin || key->size() > kKeyBytesMax) {
    return fail(ErrorCode::kInvalidArgument, "a webhook secret holds 24 to 64 bytes");
  }
  return WebhookSecret(std::move(*key));
}

std::string WebhookSecret::text() const { return std::string(kPrefix) + to_base64(key_); }

std::string WebhookSecret::sign(std::string_view id, std::int64_t unix_seconds, std::string_view body) const {
  const auto digest = hmac_sha256(key_, fmt::format("{}.{}.{}", id, unix_seconds, body));
  return "v1," + to_base64(std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

Result<void> WebhookSecret::verify(std::string_view id, std::int64_t unix_seconds, std::string_view body,
                                   std::string_view header, TimePoint now, std::chrono::seconds tolerance) const {
  const std::int64_t now_seconds = std::chrono::floor<seconds>(now).time_since_epoch().count();
  // Compared without subtracting from the sender's number, which may be anything and would overflow.
  if (unix_seconds < now_seconds - tolerance.count() || unix_seconds > now_seconds + tolerance.count()) {
    return fail(ErrorCode::kInvalidArgument, "the webhook's timestamp is too far from now");
  }
  const std::string expected = sign(id, unix_seconds, body);
  bool matched = false;
  for (const auto entry : split(header, ' ')) {
    if (constant_time_equal(entry, expected)) matched = true;
  }
  if (!matched) return fail(ErrorCode::kInvalidArgument, "the webhook's signature does not match");
  return {};
}

}  // namespace pixmill
