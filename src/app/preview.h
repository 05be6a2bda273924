// `pixmill preview`: one local picture through the sandboxed engines, to see what a recipe makes of it. No job, no
// database; the network only for a watermark that has an address. This process never decodes: what it says about the
// outputs comes from the engine and from their headers.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/exit_code.h"
#include "app/settings.h"
#include "image/recipe.h"
#include "image/render.h"
#include "jobs/recipe_book.h"

namespace pixmill::app {

struct PreviewOptions {
  std::string input;   // a file; "-": standard input
  std::string output;  // a file, a folder, a name with {rendition} and {ext}; "-": standard output
  std::string recipe = "compress";
  std::string watermark = {};  // a file for watermark=upload; "" for none
  bool json = false;
  std::shared_ptr<const jobs::RecipeBook> recipes = std::make_shared<const jobs::RecipeBook>();
};

// Whether `output` can take what the recipe makes, before anything is read. Errors: kInvalidArgument.
[[nodiscard]] Result<void> check_preview_output(const PreviewOptions& options, const image::Recipe& recipe);

// Where one rendition goes; `folder` says that `output` is one. "-" stays "-".
[[nodiscard]] std::string preview_path(const PreviewOptions& options, const image::Rendition& rendition, bool folder);

// 5 for a picture that is not there, 6 for one that is refused or does not fit the recipe, 8 for one that an engine
// failed on; else as every command.
[[nodiscard]] ExitCode preview_exit_code(ErrorCode code);

// Blocking: runs its own loop. Everything the user needs to know has been said when it returns.
[[nodiscard]] ExitCode preview_here(Settings settings, const PreviewOptions& options);

}  // namespace pixmill::app
