// Standard Webhooks 1.0 signatures
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md). Pure; any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"

namespace pixmill {

// The symmetric key of one endpoint: 24 to 64 random bytes, written "whsec_" + base64.
class WebhookSecret {
 public:
  [[nodiscard]] static WebhookSecret random();  // 32 bytes
  // Errors: kInvalidArgument when the prefix, the base64 or the length is wrong.
  [[nodiscard]] static Result<WebhookSecret> parse(std::string_view text);

  [[nodiscard]] std::string text() const;  // shown to its owner; never logged

  // The value of the webhook-signature header: "v1,<base64>" of HMAC-SHA256(key, id "." unix_seconds "." body).
  [[nodiscard]] std::string sign(std::string_view id, std::int64_t unix_seconds, std::string_view body) const;

  // Errors: kInvalidArgument when no v1 entry of the space-separated `header` matches, or when the timestamp is further
  // than `tolerance` from `now`.
  [[nodiscard]] Result<void> verify(std::string_view id, std::int64_t unix_seconds, std::string_view body,
                                    std::string_view header, TimePoint now,
                                    std::chrono::seconds tolerance = std::chrono::minutes(5)) const;

 private:
  explicit WebhookSecret(std::string key) : key_(std::move(key)) {}
  std::string key_;
};

}  // namespace pixmill
