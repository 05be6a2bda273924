#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "app/commands/commands.h"
#include "app/doctor.h"
#include "app/settings.h"
#include "base/env.h"
#include "base/log.h"

namespace pixmill::app {

namespace {

namespace json = boost::json;

struct DoctorFlags {
  std::string data_folder;
  bool json = false;
};

const char* colour_of(Health health) {
  switch (health) {
    case Health::kOk:
      return "\033[32m";
    case Health::kWarning:
      return "\033[33m";
    case Health::kBroken:
      break;
  }
  return "\033[31m";
}

void print(const Finding& finding, bool coloured) {
  const std::string word(to_text(finding.health));
  const std::string shown = finding.health == Health::kBroken ? "BROKEN" : word;
  std::printf("%s%-7s%s  %-12s  %s\n", coloured ? colour_of(finding.health) : "", shown.c_str(),
              coloured ? "\033[0m" : "", finding.name.c_str(), finding.found.c_str());
  if (!finding.advice.empty()) std::printf("%23s→ %s\n", "", finding.advice.c_str());
  std::fflush(stdout);
}

void print_json(const std::vector<Finding>& findings, bool ok) {
  json::array checks;
  for (const auto& finding : findings) {
    checks.push_back(json::object{{"name", finding.name},
                                  {"status", to_text(finding.health)},
                                  {"found", finding.found},
                                  {"advice", finding.advice}});
  }
  const json::object report{{"ok", ok}, {"checks", std::move(checks)}};
  std::printf("%s\n", json::serialize(report).c_str());
}

std::vector<Finding> look(const DoctorFlags& flags, const std::function<void(const Finding&)>& say) {
  const auto unreadable = [&say](const Error& error) {
    Finding finding{"settings", Health::kBroken, error.message, "correct it in the environment or in .env"};
    say(finding);
    return std::vector<Finding>(1, std::move(finding));
  };
  const auto env = Env::load();
  if (!env) return unreadable(env.error());
  auto settings = load_settings(*env);
  if (!settings) return unreadable(settings.error());
  if (!flags.data_folder.empty()) settings->data_folder = flags.data_folder;
  return examine(*settings, say);
}

ExitCode examine_everything(const DoctorFlags& flags) {
  log::configure(log::Level::kError, log::Format::kText);
  const bool coloured = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  const auto findings = look(flags, [&](const Finding& finding) {
    if (!flags.json) print(finding, coloured);
  });
  const auto count = [&findings](Health health) {
    return std::ranges::count(findings, health, [](const Finding& finding) { return finding.health; });
  };
  const auto broken = count(Health::kBroken), warnings = count(Health::kWarning);
  if (flags.json) {
    print_json(findings, broken == 0);
  } else {
    std::printf("\n%td checks: %td broken, %td warnings\n", std::ssize(findings), broken, warnings);
  }
  return broken == 0 ? ExitCode::kOk : ExitCode::kUnexpected;
}

}  // namespace

void add_doctor_command(CLI::App& cli, Action& action) {
  const auto flags = std::make_shared<DoctorFlags>();
  auto* command = cli.add_subcommand("doctor", "Check what Pixmill rests on here, and say what to do");
  command->footer(
      "Looks at the data folder, the database, Redis, the bucket (puts, reads and removes an object), engines and "
      "their\n"
      "sandbox, name servers, clocks and limits, with the settings that `pixmill serve` would have here. Exit code 1 "
      "when\n"
      "something is broken. A server may be running meanwhile.");
  command->add_option("--data", flags->data_folder, "The data folder (TMP_OUTPUT_PATH, ./pixmill-data)");
  command->add_flag("--json", flags->json, "Print the findings as JSON");
  command->callback([flags, &action] { action = [flags] { return examine_everything(*flags); }; });
}

}  // namespace pixmill::app
