#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "app/commands/commands.h"
#include "app/inputs.h"
#include "app/own_recipes.h"
#include "app/settings.h"
#include "base/env.h"
#include "base/text.h"
#include "jobs/table_reader.h"

namespace pixmill::app {

namespace {

constexpr std::size_t kProblemsMax = 100'000;

struct ValidateFlags {
  std::string file;
  std::string url_column;
  bool original = false;
  bool overrides = false;     // of --original, which has none unless asked
  bool no_overrides = false;  // of the others
  bool json = false;
  std::string data_folder;
};

void print_json(const jobs::TableReport& report) {
  boost::json::array problems;
  for (const auto& problem : report.problems) {
    problems.push_back(
        boost::json::object{{"row", problem.row}, {"column", problem.column}, {"message", problem.message}});
  }
  const boost::json::object document{{"rows", report.rows},
                                     {"images", report.images},
                                     {"bad_rows", report.bad_rows},
                                     {"problems", std::move(problems)}};
  std::printf("%s\n", boost::json::serialize(document).c_str());
}

ExitCode validate(const ValidateFlags& flags) {
  jobs::TableOptions options;
  options.dialect = flags.original ? jobs::TableDialect::kOriginal : jobs::TableDialect::kAny;
  options.url_column = flags.url_column;
  options.overrides = flags.original ? flags.overrides : !flags.no_overrides;
  options.file_name = std::filesystem::path(flags.file).filename().string();
  options.s3_buckets.emplace_back(jobs::kEveryBucket);
  const auto env = Env::load();
  if (!env) return refuse(env.error());
  options.recipes = recipe_book_of(recipe_place(*env, flags.data_folder));
  const bool is_stdin = flags.file == "-";
  if (is_stdin) options.file_name = "";
  const auto report = jobs::check_table(is_stdin ? "/dev/stdin" : flags.file, options, kProblemsMax);
  if (!report) {
    auto why = report.error();
    why.message = fmt::format("{}: {}", is_stdin ? "standard input" : flags.file, why.message);
    refuse(why);
    return why.code == ErrorCode::kNotFound ? ExitCode::kNotFound : ExitCode::kInputRejected;
  }
  if (flags.json) {
    print_json(*report);
  } else {
    for (const auto& problem : report->problems) std::printf("%s\n", problem.message.c_str());
    std::printf("%s rows, %s images, %s invalid rows\n", format_count(report->rows).c_str(),
                format_count(report->images).c_str(), format_count(report->bad_rows).c_str());
  }
  return report->bad_rows == 0 ? ExitCode::kOk : ExitCode::kInputRejected;
}

}  // namespace

void add_validate_command(CLI::App& cli, Action& action) {
  const auto flags = std::make_shared<ValidateFlags>();
  auto* command =
      cli.add_subcommand("validate", "Check a table without fetching anything; exit 6 when a row is invalid");
  command->add_option("FILE", flags->file, "CSV, TSV or JSONL of image URLs (also .gz), or - for stdin")->required();
  command->add_option("--url-column", flags->url_column, "The column that holds the image URLs");
  command->add_flag("--original", flags->original,
                    "Ask for S.No., Product Name and Input Image Urls, as /imgproc/upload does");
  auto* on = command->add_flag("--overrides", flags->overrides,
                               "With --original: check columns called recipe, width, height, format, quality, name");
  command->add_flag("--no-overrides", flags->no_overrides, "Without --original: do not check those columns")
      ->excludes(on);
  command->add_option("--data", flags->data_folder,
                      "The server's data folder with your named recipes (default: TMP_OUTPUT_PATH or ./pixmill-data)");
  command->add_flag("--json", flags->json, "Print the report as JSON");
  command->callback([flags, &action] { action = [flags] { return validate(*flags); }; });
}

}  // namespace pixmill::app
