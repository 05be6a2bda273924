#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>

#include "app/commands/commands.h"
#include "app/settings.h"
#include "base/env.h"
#include "db/postgres.h"
#include "jobs/postgres_store.h"

namespace pixmill::app {

namespace {

ExitCode migrate() {
  const auto env = Env::load();
  if (!env) return refuse(env.error());
  const auto settings = load_settings(*env);
  if (!settings) return refuse(settings.error());
  if (settings->database_url.empty()) {
    std::printf("DATABASE_URL is not set: SQLite in the data folder is migrated when a server starts there\n");
    return ExitCode::kOk;
  }
  db::pg::ConnectOptions connect;
  connect.url = settings->database_url;
  connect.application_name = "pixmill migrate";
  const auto report = jobs::migrate_postgres(connect);
  if (!report) return refuse(report.error());
  for (const auto& name : report->applied) std::printf("applied %s\n", name.c_str());
  std::printf("%s: schema version %d%s\n", db::pg::describe_url(connect.url).c_str(), report->after,
              report->applied.empty() ? ", nothing to do" : "");
  return ExitCode::kOk;
}

}  // namespace

void add_migrate_command(CLI::App& cli, Action& action) {
  auto* command = cli.add_subcommand("migrate", "Bring the database of DATABASE_URL up to this version's schema");
  command->footer(
      "`pixmill serve` does it at its start too; before a roll-out it is better done once, with a user that may make\n"
      "tables. Safe to repeat, to interrupt, and to run in several places at once.");
  command->callback([&action] { action = [] { return migrate(); }; });
}

}  // namespace pixmill::app
