#include "app/backup.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

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

// What has to be done where the jobs are in PostgreSQL: its own tools know how to copy it.
constexpr std::string_view kWithPostgres =
    "DATABASE_URL is set, so the jobs are in PostgreSQL, which this command does not copy. Instead:\n"
    "  1. the database:   pg_dump --format=custom --schema=pixmill --no-owner --file=pixmill.dump \"$DATABASE_URL\"\n"
    "     and back:       pg_restore --no-owner --dbname=\"$DATABASE_URL\" pixmill.dump\n"
    "  2. after it, the results and watermarks: the bucket by its own means (versioning, replication), or the folders\n"
    "     that the servers share: files and watermarks in {}\n"
    "  3. the master key: PIXMILL_MASTER_KEY, or master.key in {}; without it the dump's secrets stay sealed\n"
    "docs/OPERATIONS.md says more. For a data folder with SQLite, run this without DATABASE_URL";

Result<std::string> data_folder_of(const BackupFlags& flags) {
  PIXMILL_TRY(const auto env, Env::load());
  if (env.get("DATABASE_URL")) {
    const auto folder = flags.data_folder.empty() ? default_data_folder(env) : flags.data_folder;
    return fail(ErrorCode::kInvalidArgument, fmt::format(kWithPostgres, folder, folder));
  }
  if (!flags.data_folder.empty()) return flags.data_folder;
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
      "safely as the data folder. `pixmill restore` brings it back. With DATABASE_URL it says what to do instead.");
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
