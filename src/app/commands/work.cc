#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "app/commands/commands.h"
#include "app/commands/common.h"
#include "app/worker_session.h"

namespace pixmill::app {

void add_work_command(CLI::App& cli, Action& action) {
  struct Flags {
    WorkFlags work;
    std::string data_folder;
    bool drain = false;
    double time_max_s = 0;
  };
  const auto flags = std::make_shared<Flags>();
  auto* command = cli.add_subcommand("work", "Join a fleet: do the work of its jobs, with no API in front");
  command->footer(
      "Examples:\n"
      "  DATABASE_URL=postgres://pixmill@db/pixmill pixmill work\n"
      "  pixmill work --drain --max-time 50s     # from cron, every minute\n\n"
      "It needs the DATABASE_URL, PIXMILL_MASTER_KEY, REDIS_URL and AWS_… that the servers of the fleet have.\n"
      "SIGTERM: it claims no more, ends what it can within 6 s and gives the rest back.");
  command->add_option(
      "--data", flags->data_folder,
      "A folder of this worker's own (TMP_OUTPUT_PATH, ./pixmill-data); results without AWS_… go to its\n"
      "`files`, which must then be the servers' one");
  command->add_flag("--drain", flags->drain,
                    "End when nothing is left that could be claimed, now or at a later attempt");
  command
      ->add_option("--max-time", flags->time_max_s, "End after so long, such as 50s, 10m or 2h; seconds without a unit")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"s", 1}, {"m", 60}, {"h", 3600}},
                                        CLI::AsNumberWithUnit::CASE_SENSITIVE))
      ->check(CLI::Range(1.0, 30 * 86400.0))
      ->option_text("TIME");
  add_work_flags(*command, flags->work);
  command->callback([flags, &action] {
    action = [flags] {
      auto settings = settings_with(flags->work);
      if (!settings) return refuse(settings.error());
      if (!flags->data_folder.empty()) settings->data_folder = flags->data_folder;
      WorkOptions options{.drain = flags->drain, .time_max = {}};
      if (flags->time_max_s > 0) {
        options.time_max = milliseconds(static_cast<std::int64_t>(flags->time_max_s * 1000));
      }
      return work_here(std::move(*settings), options);
    };
  });
}

}  // namespace pixmill::app
