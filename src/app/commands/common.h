// What several commands share: settings from the environment with the command line on top.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/settings.h"
#include "base/error.h"

namespace CLI {
class App;
}

namespace pixmill::app {

// Flags of every command that fetches and renders; unset ones leave the environment's value.
struct WorkFlags {
  std::vector<std::string> allow;
  std::optional<std::uint32_t> per_host;
  std::optional<double> host_rate;
  std::optional<std::uint32_t> engines;
  std::string log_format;
  std::string log_level;
  std::string default_log_level = "info";  // where neither the flag nor LOG_LEVEL says one
};

void add_work_flags(CLI::App& command, WorkFlags& flags);

// Loads .env and the environment, applies the flags, configures the log. Errors: kInvalidArgument.
[[nodiscard]] Result<Settings> settings_with(const WorkFlags& flags);

}  // namespace pixmill::app
