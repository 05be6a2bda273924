#include "app/backup.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "app/commands/commands.h"
#include "app/settings.h"
#include "base/env.h"
#include "base/text.h"

namespace pixmill::app {

namespace {

struct BackupFlags {
  std::string folder;
  std::string data_folder;
  bool no_results = false;
};

CopyOptions options_of(const BackupFlags& flags) {
  CopyOptions options{.with_results = !flags.no_results, .on_progress = {}};
  if (::isatty(STDERR_FILENO) != 0) {
    options.on_progress = [](const CopyReport& report) {
      std::fprintf(stderr, "\r%s files, %s ", format_count(report.files).c_str(), format_bytes(report.bytes).c_str());
    };
  }
  return options;
}

std::string told(const CopyReport& report) {
  std::string text = fmt::format("{} results, {}", format_count(report.files), format_bytes(report.bytes));
  if (report.linked > 0) text += fmt::format(" ({} as links, which take no space)", format_count(report.linked));
  if (report.missing > 0) {
    text += fmt::format("; {} that the database names were not there", format_count(report.missing));
    if (report.files == 0) text += " (those in a bucket stay there: --no-results says so)";
  }
  return text;
}

Result<std::string> data_folder_of(const BackupFlags& flags) {
  if (!flags.data_folder.empty()) return flags.data_folder;
  PIXMILL_TRY(const auto env, Env::load());
  return default_data_folder(env);
}

using Copy = Result<CopyReport> (*)(const std::string& from, const std::string& to, const CopyOptions& options);

ExitCode copy_folder(Copy copy, const std::string& from, const std::string& to, const BackupFlags& flags) {
  const auto report = copy(from, to, options_of(flags));
  if (!report) return refuse(report.error());
  if (::isatty(STDERR_FILENO) != 0) std::fputs("\r", stderr);
  std::printf("%s from %s to %s\n", flags.no_results ? "the database, without results," : told(*report).c_str(),
              from.c_str(), to.c_str());
  return report->missing == 0 ? ExitCode::kOk : ExitCode::kSomeFailed;
}

}  // namespace

void add_backup_commands(CLI::App& cli, Action& action) {
  const auto flags = std::make_shared<BackupFlags>();
  auto* backup = cli.add_subcommand("backup", "Copy a data folder, while a server works on it or not");
  backup->footer(
      "Example:\n"
      "  pixmill backup /backups/today --data /srv/pixmill\n\n"
      "The copy is a folder of its own: the database at one moment, the results that it names (links where the file\n"
      "system is the same), uploads that are still to be read, watermarks, and the keys that seal secrets: keep it as\n"
      "safely as the data folder. `pixmill restore` brings it back.");
  backup->add_option("TO", flags->folder, "The folder to make")->required();
  auto* restored = cli.add_subcommand("restore", "Make a data folder out of a backup");
  restored->footer(
      "Example:\n"
      "  pixmill restore /backups/today --data /srv/pixmill\n\n"
      "The data folder must not exist or be empty. Jobs go on where they stood when the backup was taken.");
  restored->add_option("FROM", flags->folder, "A folder that `pixmill backup` made")->required();
  for (auto* command : {backup, restored}) {
    command->add_option("--data", flags->data_folder, "The data folder (TMP_OUTPUT_PATH, ./pixmill-data)");
    command->add_flag("--no-results", flags->no_results, "The database without the results, which are kept elsewhere");
  }
  backup->callback([flags, &action] {
    action = [flags] {
      const auto data = data_folder_of(*flags);
      return data ? copy_folder(back_up, *data, flags->folder, *flags) : refuse(data.error());
    };
  });
  restored->callback([flags, &action] {
    action = [flags] {
      const auto data = data_folder_of(*flags);
      return data ? copy_folder(restore, flags->folder, *data, *flags) : refuse(data.error());
    };
  });
}

}  // namespace pixmill::app
