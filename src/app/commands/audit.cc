#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "app/commands/commands.h"
#include "app/commands/common.h"
#include "app/own_audit.h"
#include "base/ids.h"

namespace pixmill::app {

namespace {

struct AuditFlags {
  std::string data_folder;
  std::string job;
  bool repair = false;
  bool deep = false;
  bool json = false;
};

ExitCode audit(const AuditFlags& flags) {
  const auto id = Uuid::parse(flags.job);
  if (!id) return refuse(fail(ErrorCode::kInvalidArgument, "JOB must be a job's id, not '" + flags.job + "'").error());
  WorkFlags work;
  work.default_log_level = "error";
  auto settings = settings_with(work);
  if (!settings) return refuse(settings.error());
  if (!flags.data_folder.empty()) settings->data_folder = flags.data_folder;
  const AuditRequest request{.job = JobId{*id}, .repair = flags.repair, .deep = flags.deep};
  const auto document = audit_own_job(*settings, request);
  if (!document) return refuse(document.error());
  const auto text = audit_text(*document);
  if (!text) return refuse(text.error());
  std::printf("%s\n", flags.json ? document->c_str() : text->substr(0, text->size() - 1).c_str());
  const auto clean = audit_is_clean(*document);
  return clean && *clean ? ExitCode::kOk : ExitCode::kSomeFailed;
}

}  // namespace

void add_audit_command(CLI::App& cli, Action& action) {
  const auto flags = std::make_shared<AuditFlags>();
  auto* command = cli.add_subcommand("audit", "Check that nothing of a job is lost, doubled, orphaned or dangling");
  command->footer(
      "Examples:\n"
      "  pixmill audit 6f9619ff-8b86-4d01-b42d-00cf4fc964ff\n"
      "  pixmill audit 6f9619ff-8b86-4d01-b42d-00cf4fc964ff --deep --json\n"
      "  pixmill audit 6f9619ff-8b86-4d01-b42d-00cf4fc964ff --repair\n\n"
      "lost: a picture without its one result; doubled: two where there should be one; orphan: a file that no result\n"
      "names; dangling: a result whose file is missing or another. Ends with 0 when the job is clean, with 3 when\n"
      "something is left to be put right. With DATABASE_URL the database is asked; otherwise the data folder, through\n"
      "its server when one runs.");
  command->add_option("JOB", flags->job, "The job's id")->required();
  command->add_option("--data", flags->data_folder,
                      "The server's data folder (default: TMP_OUTPUT_PATH or ./pixmill-data)");
  command->add_flag("--repair", flags->repair, "Put right what can be; remove orphans of a job that has ended");
  command->add_flag("--deep", flags->deep, "Read every file and compare its SHA-256");
  command->add_flag("--json", flags->json, "Print as JSON");
  command->callback([flags, &action] { action = [flags] { return audit(*flags); }; });
}

}  // namespace pixmill::app
