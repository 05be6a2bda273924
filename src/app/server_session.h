// `pixmill serve`: HTTP, webhooks and a worker on one loop. Blocking: runs until SIGTERM or SIGINT, then drains.
#pragma once

#include <string>

#include "app/exit_code.h"
#include "app/settings.h"
#include "base/error.h"

namespace pixmill::app {

// There are no API keys yet, so only loopback is safe by default (PROMISES P51). Errors: kInvalidArgument when `host`
// is no literal address, reaches beyond this machine without `no_auth`, or is every address (0.0.0.0, ::), which no
// link can begin with, without a `public_base_url`.
[[nodiscard]] Result<void> check_listen_address(const std::string& host, bool no_auth,
                                                const std::string& public_base_url);

[[nodiscard]] ExitCode serve_here(Settings settings);

}  // namespace pixmill::app
