// `pixmill work`: joins a fleet. Claims items of a shared database and does them, with no API and no webhooks in front.
// Blocking: runs until SIGTERM or SIGINT, or as the options say; what is still under way then is given back, so that
// others can claim it at once.
#pragma once

#include <optional>

#include "app/exit_code.h"
#include "app/settings.h"
#include "base/time.h"

namespace pixmill::app {

struct WorkOptions {
  bool drain = false;                    // end as soon as no item is pending, nor under way here
  std::optional<milliseconds> time_max;  // claim nothing more after so long, and end
};

[[nodiscard]] ExitCode work_here(Settings settings, WorkOptions options);

}  // namespace pixmill::app
