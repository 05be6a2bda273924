// The installation's two secrets, kept beside its data: the master key and the webhook secret sealed under it.
// Blocking, at start.
#pragma once

#include <string>

#include "base/error.h"
#include "base/signature.h"

namespace pixmill::app {

// `from_environment` (base64 of 32 bytes), else <folder>/master.key, which is made with mode 0600 when it is missing.
// Errors: kInvalidArgument when the key is malformed, kIo.
[[nodiscard]] Result<std::string> load_master_key(const std::string& folder, const std::string& from_environment);

// `given` ("whsec_…", stored for the next start), else the one stored in <folder>/webhook.secret, else a new one,
// stored. Errors: kInvalidArgument when `given` is malformed or the stored one was sealed under another master key,
// kIo.
[[nodiscard]] Result<WebhookSecret> load_webhook_secret(const std::string& folder, const std::string& master_key,
                                                        const std::string& given);

[[nodiscard]] bool has_webhook_secret(const std::string& folder);

// The stored one, for `pixmill webhooks secret`. Errors: kNotFound, and as above.
[[nodiscard]] Result<WebhookSecret> read_webhook_secret(const std::string& folder, const std::string& master_key);

}  // namespace pixmill::app
