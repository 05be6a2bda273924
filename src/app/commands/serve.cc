#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/address.hpp>
#include <cstdio>
#include <memory>
#include <optional>

#include "app/commands/commands.h"
#include "app/commands/common.h"
#include "app/server_session.h"

namespace pixmill::app {

namespace {

struct ServeFlags {
  WorkFlags work;
  std::string host;
  std::optional<std::uint16_t> port;
  std::string data_folder;
  std::string webhook_secret;
  std::uint32_t workers = 1;
  std::string keep;
  bool no_auth = false;
};

Error nobody_works() {
  return {.code = ErrorCode::kInvalidArgument,
          .message =
              "--workers 0 leaves the work to `pixmill work`, and only processes on one PostgreSQL share their "
              "jobs: set DATABASE_URL=postgres://user@host/name, or leave --workers out",
          .detail = {}};
}

ExitCode serve(const ServeFlags& flags) {
  auto settings = settings_with(flags.work);
  if (!settings) return refuse(settings.error());
  if (!flags.host.empty()) settings->host = flags.host;
  if (flags.port) settings->port = *flags.port;
  if (!flags.data_folder.empty()) settings->data_folder = flags.data_folder;
  if (!flags.webhook_secret.empty()) settings->webhook_secret = flags.webhook_secret;
  if (flags.workers == 0) {
    if (settings->database_url.empty()) return refuse(nobody_works());
    settings->works = false;
    settings->engines.engines = 1;  // for previews
  }
  if (!flags.keep.empty()) {
    if (const auto set = set_keep(flags.keep, "--keep", *settings); !set) return refuse(set.error());
  }
  const auto allowed = check_listen_address(settings->host, flags.no_auth, settings->public_base_url);
  if (!allowed) return refuse(allowed.error());
  return serve_here(std::move(*settings));
}

}  // namespace

void add_serve_command(CLI::App& cli, Action& action) {
  const auto flags = std::make_shared<ServeFlags>();
  auto* command = cli.add_subcommand("serve", "HTTP API, webhooks and a worker in one process");
  command->footer(
      "Example:\n"
      "  pixmill serve --data /srv/pixmill\n"
      "  curl -F file=@products.csv -F webhook_url=https://shop.example/hook http://127.0.0.1:8000/v1/jobs\n\n"
      "Settings come from the environment and a .env file here; docs/OPERATIONS.md lists them.");
  command->add_option("--host", flags->host,
                      "Address to listen on (default 127.0.0.1); 0.0.0.0 and :: need PUBLIC_BASE_URL");
  command->add_option("--port", flags->port, "Port to listen on, 0 for any free one (default 8000)");
  command->add_option("--data", flags->data_folder,
                      "Folder for the database and the results (TMP_OUTPUT_PATH, ./pixmill-data)");
  command->add_option("--webhook-secret", flags->webhook_secret,
                      "Sign webhooks with this secret, whsec_… (WEBHOOK_SECRET)");
  command
      ->add_option("--workers", flags->workers,
                   "0: API and webhooks alone, for a fleet whose pictures `pixmill work` does (default 1)")
      ->check(CLI::Range(0, 1));
  command->add_option("--keep", flags->keep,
                      "Remove jobs and their files so long after their end: 30d, 12h, forever (PIXMILL_KEEP; forever)");
  command->add_flag("--no-auth", flags->no_auth,
                    "Listen beyond this machine although anyone who reaches it may use it");
  add_work_flags(*command, flags->work);
  command->callback([flags, &action] { action = [flags] { return serve(*flags); }; });
}

}  // namespace pixmill::app
