#include "app/preview.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>
#include <utility>

#include "app/commands/commands.h"
#include "app/commands/common.h"
#include "app/own_recipes.h"

namespace pixmill::app {

namespace {

ExitCode preview(PreviewOptions options, const std::string& data_folder) {
  WorkFlags work;
  work.log_level = "error";  // standard error is for what concerns the picture
  auto settings = settings_with(work);
  if (!settings) return refuse(settings.error());
  options.recipes = recipe_book_of({data_folder.empty() ? settings->data_folder : data_folder, settings->database_url});
  return preview_here(std::move(*settings), options);
}

}  // namespace

void add_preview_command(CLI::App& cli, Action& action) {
  const auto options = std::make_shared<PreviewOptions>();
  auto* command = cli.add_subcommand("preview", "Try a recipe on one picture of this machine");
  command->footer(
      "Examples:\n"
      "  pixmill preview photo.jpg -r \"resize=800x600 format=webp quality=80\" -o out.webp\n"
      "  pixmill preview photo.jpg -r product-set -o 'out-{rendition}.{ext}'\n"
      "  pixmill preview photo.jpg -r format=png -o - | display -\n"
      "  pixmill preview photo.jpg --watermark logo.png -r \"watermark=southeast:opacity=0.5:upload\" -o out.jpg\n\n"
      "The score is SSIMULACRA2 of each output against its pixels before they were encoded: 90 cannot be told apart,\n"
      "70 is high, 50 medium, 30 low quality.\n\n"
      "Exit codes: 0 ok, 2 usage, 3 some outputs could not be written, 5 picture not found, 6 picture refused,\n"
      "8 the picture crashed its decoder or took too long.");
  command->add_option("FILE", options->input, "A picture, or - for standard input")->required();
  command
      ->add_option("-o,--output", options->output,
                   "File, folder, a name with {rendition} and {ext}, or - for standard output")
      ->required();
  command
      ->add_option("-r,--recipe", options->recipe,
                   "What to do: \"format=webp quality=80 resize=800x600:cover\", JSON, or a name")
      ->capture_default_str();
  command
      ->add_option("--watermark", options->watermark,
                   "The picture that the recipe calls upload: -r \"watermark=southeast:scale=0.2:upload\"")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "Print sizes, format, quality, score and times as JSON");
  const auto data_folder = std::make_shared<std::string>();
  command->add_option("--data", *data_folder,
                      "The server's data folder with your named recipes (default: TMP_OUTPUT_PATH or ./pixmill-data)");
  command->callback(
      [options, data_folder, &action] { action = [options, data_folder] { return preview(*options, *data_folder); }; });
}

}  // namespace pixmill::app
