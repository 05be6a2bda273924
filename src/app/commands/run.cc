#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdlib>
#include <memory>

#include "app/commands/commands.h"
#include "app/commands/common.h"
#include "app/own_recipes.h"
#include "app/run_plan.h"
#include "app/run_session.h"

namespace pixmill::app {

namespace {

struct RunFlags {
  RunOptions run;
  WorkFlags work;
  std::string progress = "auto";
  bool raw_csv = false;
  bool no_input = false;
  std::string data_folder;
  std::string state_folder;
};

std::string default_state_folder(const storage::S3Location& target, const Settings& settings) {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string_view(value == nullptr ? "" : value);
  };
  return state_folder_of(target, settings.s3.endpoint, variable("XDG_STATE_HOME"), variable("HOME"));
}

// -o s3://…: results go there, and what is needed to resume stays in a folder of this machine.
Result<void> settle_output(const RunFlags& flags, const Settings& settings, RunOptions& options) {
  if (!options.output_folder.starts_with("s3://")) {
    if (flags.state_folder.empty()) return {};
    return fail(ErrorCode::kInvalidArgument, "--state is for results that go to s3://; others keep it beside them");
  }
  auto target = storage::parse_s3_location(options.output_folder);
  if (!target) return fail(ErrorCode::kInvalidArgument, fmt::format("-o {}", target.error().message));
  options.output_folder = flags.state_folder;
  if (options.output_folder.empty()) options.output_folder = default_state_folder(*target, settings);
  options.s3_output = std::move(*target);
  return {};
}

// --since s3://…: what was kept here of the run that went there.
Result<void> settle_since(const RunFlags& flags, const Settings& settings, RunOptions& options) {
  if (!options.since.starts_with("s3://")) return {};
  const auto bare = [](std::string_view address) {
    while (address.ends_with('/')) address.remove_suffix(1);
    return address;
  };
  if (bare(options.since) == bare(flags.run.output_folder)) {
    options.since = options.output_folder;
    return {};
  }
  const auto target = storage::parse_s3_location(options.since);
  if (!target) return fail(ErrorCode::kInvalidArgument, fmt::format("--since {}", target.error().message));
  options.since = default_state_folder(*target, settings);
  return {};
}

ExitCode run(const RunFlags& flags) {
  auto work = flags.work;
  // The log and the progress share standard error: a run speaks through its progress unless told otherwise.
  work.default_log_level = "error";
  auto settings = settings_with(work);
  if (!settings) return refuse(settings.error());
  RunOptions options = flags.run;
  if (const auto settled = settle_output(flags, *settings, options); !settled) return refuse(settled.error());
  if (const auto settled = settle_since(flags, *settings, options); !settled) return refuse(settled.error());
  if (settings->s3.source_buckets) options.s3_source_buckets = *settings->s3.source_buckets;
  options.progress = parse_progress_mode(flags.progress).value_or(ProgressMode::kAuto);
  options.cells = flags.raw_csv ? jobs::CellSafety::kExact : jobs::CellSafety::kSpreadsheet;
  options.recipes =
      recipe_book_of({flags.data_folder.empty() ? settings->data_folder : flags.data_folder, settings->database_url});
  return run_job_here(std::move(*settings), std::move(options));
}

}  // namespace

void add_run_command(CLI::App& cli, Action& action) {
  const auto flags = std::make_shared<RunFlags>();
  auto* command = cli.add_subcommand("run", "Do one bulk job here and now, without a server; run it again to resume");
  command->footer(
      "Examples:\n"
      "  pixmill run products.csv -o out/\n"
      "  pixmill run products.csv -o out/ -r \"resize=1600x1600:inside format=webp quality=80\"\n"
      "  pixmill run photos/ -o small/ -r \"resize=800x800\"\n"
      "  pixmill run products.csv -o s3://bucket/prefix\n"
      "  pixmill run products.csv -o out/ --since out/      (again: only what has changed)\n"
      "  zcat feed.csv.gz | pixmill run - -o out/\n\n"
      "Exit codes: 0 all ok, 2 usage, 3 some pictures failed, 5 input not found, 6 input rejected, 8 all failed,\n"
      "9 folder in use or holding another job, 130 interrupted (the first Ctrl-C finishes what is under way).");
  command
      ->add_option("INPUT", flags->run.inputs,
                   "CSV, TSV or JSONL of image URLs (also .gz), pictures, folders, pipes, or - for stdin")
      ->required();
  command
      ->add_option("-o,--output", flags->run.output_folder,
                   "Folder for pictures, result.csv and images.csv, or s3://bucket/prefix")
      ->required();
  command->add_option("--state", flags->state_folder,
                      "With -o s3://…: the folder that keeps what is needed to resume (default: one per target below "
                      "~/.local/state/pixmill)");
  command
      ->add_option("-r,--recipe", flags->run.recipe,
                   "What to do: \"format=webp quality=80 resize=800x600:cover\", JSON, or a name")
      ->capture_default_str();
  command
      ->add_option("--watermark", flags->run.watermark,
                   "The picture that the recipe calls upload: -r \"watermark=southeast:scale=0.2:upload\"")
      ->type_name("FILE");
  command->add_option(
      "--name", flags->run.name_template,
      "Output names, e.g. '{product}-{index}.{ext}'; also {row} {source_stem} {sha} {uuid} and any column");
  command->add_option("--url-column", flags->run.url_column, "The column that holds the image URLs");
  command
      ->add_option("--header", flags->run.headers,
                   "Send a header to one host: 'Host: Name: value' (repeatable); on a resumed job these replace its "
                   "headers")
      ->type_name("HEADER");
  command->add_flag("--skip-invalid", flags->run.skip_invalid, "Do the good rows when some are invalid");
  command->add_flag("!--no-overrides", flags->run.overrides,
                    "Columns called recipe, width, height, format, quality and name mean nothing special");
  command->add_flag("--retry-failed", flags->run.retry_failed, "Try the failed pictures of a finished job again");
  command
      ->add_option("--since", flags->run.since,
                   "Compare with an earlier run: a folder (also the output folder), s3://bucket/prefix, or a job's id; "
                   "pictures whose source has not changed keep their result")
      ->type_name("PREVIOUS");
  command->add_flag("--replace", flags->run.replace,
                    "Start anew in a folder that holds another job's or finished results");
  command->add_option("--progress", flags->progress, "auto, bar, plain, json or none, on standard error")
      ->check(CLI::IsMember({"auto", "bar", "plain", "json", "none"}))
      ->capture_default_str();
  command->add_flag("--json", flags->run.json, "Print the finished job as JSON on standard output");
  command->add_flag("--raw-csv", flags->raw_csv,
                    "Write cells byte for byte, also those a spreadsheet would run as formulas");
  command->add_option("--data", flags->data_folder,
                      "The server's data folder with your named recipes (default: TMP_OUTPUT_PATH or ./pixmill-data)");
  command->add_flag("--no-input", flags->no_input, "Never ask; accepted for scripts, since Pixmill never does");
  add_work_flags(*command, flags->work);
  command->callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace pixmill::app
