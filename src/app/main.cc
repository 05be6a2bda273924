// pixmill: the command line. `engine` is taken before anything else is set up, because an engine must not inherit or
// load more than it needs.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "app/commands/commands.h"
#include "base/version.h"
#include "engine/child.h"

namespace {

using pixmill::app::Action;
using pixmill::app::ExitCode;

bool is_command(const CLI::App& cli, const std::string& name) {
  const auto has_name = [&name](const CLI::App* command) { return command->get_name() == name; };
  return !cli.get_subcommands(has_name).empty();
}

int run_cli(int argc, char** argv) {
  CLI::App cli("Pixmill downloads, transforms and compresses images in bulk.");
  cli.name("pixmill");
  cli.require_subcommand(1);
  cli.set_version_flag("--version", "pixmill " + std::string(pixmill::kVersion));
  Action action;
  add_run_command(cli, action);
  add_doctor_command(cli, action);
  add_migrate_command(cli, action);
  add_preview_command(cli, action);
  add_serve_command(cli, action);
  add_work_command(cli, action);
  add_recipes_command(cli, action);
  add_validate_command(cli, action);
  add_webhooks_command(cli, action);
  add_audit_command(cli, action);
  add_backup_commands(cli, action);
  cli.add_subcommand("version", "Print the version")->callback([&action] {
    action = [] {
      std::printf("pixmill %.*s\n", static_cast<int>(pixmill::kVersion.size()), pixmill::kVersion.data());
      return ExitCode::kOk;
    };
  });
  if (argc >= 2 && argv[1][0] != '-' && !is_command(cli, argv[1])) {
    std::fprintf(stderr, "pixmill: there is no command '%s'; `pixmill --help` lists those there are\n", argv[1]);
    return static_cast<int>(ExitCode::kUsage);
  }
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  return static_cast<int>(action());
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  if (argc >= 2 && std::string_view(argv[1]) == "engine") {
    return pixmill::engine::run_child(std::vector<std::string>(argv + 2, argv + argc));
  }
  try {
    return run_cli(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pixmill: unexpected: %s\n", error.what());
    return static_cast<int>(ExitCode::kUnexpected);
  }
}
