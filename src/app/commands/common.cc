#include "app/commands/common.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>

#include "app/commands/commands.h"
#include "base/text.h"

namespace pixmill::app {

void add_work_flags(CLI::App& command, WorkFlags& flags) {
  command
      .add_option("--allow", flags.allow,
                  "Also fetch from these networks, which are not public (CIDR, repeatable; FETCH_ALLOW)")
      ->type_name("CIDR");
  command
      .add_option("--per-host", flags.per_host, "Requests to one host at the same time (default 16; FETCH_PER_HOST)")
      ->check(CLI::Range(1, 256));
  command
      .add_option("--host-rate", flags.host_rate,
                  "Requests to one host per second (default: no limit; FETCH_HOST_RATE)")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--engines", flags.engines, "Sandboxed decoder processes (default: one per core; PIXMILL_ENGINES)")
      ->check(CLI::Range(1, 256));
  command.add_option("--log-format", flags.log_format, "text or json (LOG_FORMAT)")
      ->check(CLI::IsMember({"text", "json"}));
  command.add_option("--log-level", flags.log_level, "debug, info, warning or error (LOG_LEVEL)")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
}

Result<Settings> settings_with(const WorkFlags& flags) {
  PIXMILL_TRY(const auto env, Env::load());
  PIXMILL_TRY(auto settings, load_settings(env));
  for (const auto& network : flags.allow) settings.allow += (settings.allow.empty() ? "" : ",") + network;
  if (flags.per_host) settings.hosts.per_host = *flags.per_host;
  if (flags.host_rate) settings.hosts.requests_per_second = *flags.host_rate;
  if (flags.engines) settings.engines.engines = *flags.engines;
  if (!flags.log_format.empty())
    settings.log_format = flags.log_format == "json" ? log::Format::kJson : log::Format::kText;
  std::string level = flags.log_level;
  if (level.empty() && !env.get("LOG_LEVEL")) level = flags.default_log_level;
  if (level == "debug") settings.log_level = log::Level::kDebug;
  if (level == "info") settings.log_level = log::Level::kInfo;
  if (level == "warning") settings.log_level = log::Level::kWarning;
  if (level == "error") settings.log_level = log::Level::kError;
  log::configure(settings.log_level, settings.log_format);
  return settings;
}

ExitCode refuse(const Error& error) {
  std::fprintf(stderr, "pixmill: %s\n", error.message.c_str());
  return exit_code_for(error.code);
}

}  // namespace pixmill::app
