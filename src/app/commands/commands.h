// The subcommands of `pixmill`. Each adds itself to the command line; the one that was chosen runs after parsing.
#pragma once

#include <functional>
#include <string>

#include "app/exit_code.h"

namespace CLI {
class App;
}

namespace pixmill::app {

// Set by the chosen subcommand's callback; runs once the whole command line is known to be good.
using Action = std::function<ExitCode()>;

void add_audit_command(CLI::App& cli, Action& action);
void add_backup_commands(CLI::App& cli, Action& action);
void add_doctor_command(CLI::App& cli, Action& action);
void add_migrate_command(CLI::App& cli, Action& action);
void add_preview_command(CLI::App& cli, Action& action);
void add_recipes_command(CLI::App& cli, Action& action);
void add_run_command(CLI::App& cli, Action& action);
void add_serve_command(CLI::App& cli, Action& action);
void add_validate_command(CLI::App& cli, Action& action);
void add_webhooks_command(CLI::App& cli, Action& action);
void add_work_command(CLI::App& cli, Action& action);

// "pixmill: <message>" and what to do about it, on standard error. Returns the exit code that fits.
ExitCode refuse(const Error& error);

}  // namespace pixmill::app
