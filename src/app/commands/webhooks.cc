#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <memory>

#include "app/commands/commands.h"
#include "app/secrets.h"
#include "app/settings.h"
#include "base/env.h"
#include "jobs/postgres_store.h"

namespace pixmill::app {

namespace {

ExitCode show(const Result<WebhookSecret>& secret) {
  if (!secret) return refuse(secret.error());
  std::printf("%s\n", secret->text().c_str());
  return ExitCode::kOk;
}

ExitCode show_secret_of(const std::string& url, const Env& env, const std::string& data_flag) {
  const std::string folder = data_flag.empty() ? default_data_folder(env) : data_flag;
  auto key = find_master_key(folder, env.get_or("PIXMILL_MASTER_KEY", ""));
  if (!key) return refuse(key.error());
  jobs::PostgresOptions database;
  database.connect.url = url;
  database.master_key = std::move(*key);
  return show(read_webhook_secret(database));
}

ExitCode show_secret(const std::string& data_flag) {
  const auto env = Env::load();
  if (!env) return refuse(env.error());
  if (const auto url = env->get_or("DATABASE_URL", ""); !url.empty()) return show_secret_of(url, *env, data_flag);
  const std::string folder = data_flag.empty() ? default_data_folder(*env) : data_flag;
  if (!has_webhook_secret(folder)) {
    std::fprintf(stderr,
                 "pixmill: %s holds no webhook secret yet; it is made when `pixmill serve` first starts there\n",
                 folder.c_str());
    return ExitCode::kNotFound;
  }
  const auto key = load_master_key(folder, env->get_or("PIXMILL_MASTER_KEY", ""));
  if (!key) return refuse(key.error());
  return show(read_webhook_secret(folder, *key));
}

}  // namespace

void add_webhooks_command(CLI::App& cli, Action& action) {
  auto* command = cli.add_subcommand("webhooks", "The secret that signs webhooks");
  command->require_subcommand(1);
  const auto folder = std::make_shared<std::string>();
  auto* secret = command->add_subcommand("secret", "Print the secret that receivers verify signatures with");
  secret->add_option("--data", *folder, "The server's data folder (default: TMP_OUTPUT_PATH or ./pixmill-data)");
  secret->callback([folder, &action] { action = [folder] { return show_secret(*folder); }; });
}

}  // namespace pixmill::app
