#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "app/commands/commands.h"
#include "app/commands/common.h"
#include "app/own_recipes.h"
#include "base/env.h"
#include "base/time.h"
#include "jobs/recipe_document.h"

namespace pixmill::app {

namespace {

struct RecipeFlags {
  std::string data_folder;
  std::string name;
  std::string recipe;
  bool json = false;
};

Result<RecipePlace> place_of(const RecipeFlags& flags) {
  PIXMILL_TRY(const auto env, Env::load());
  return recipe_place(env, flags.data_folder);
}

void print(const std::string& text) { std::fputs(text.c_str(), stdout); }

ExitCode list(const RecipeFlags& flags) {
  const auto place = place_of(flags);
  if (!place) return refuse(place.error());
  const auto saved = read_own_recipes(*place);
  if (!saved) return refuse(saved.error());
  const auto entries = jobs::list_recipes(*saved);
  if (flags.json) {
    print(jobs::recipe_list_document(entries) + "\n");
    return ExitCode::kOk;
  }
  std::size_t width = 0;
  for (const auto& entry : entries) width = std::max(width, entry.recipe.name.size());
  for (const auto& entry : entries) {
    print(fmt::format("{:<{}}  @{:<3}  {:<8}  {}\n", entry.recipe.name, width, entry.recipe.version,
                      entry.built_in ? "built in" : "own", entry.built_in ? entry.summary : entry.recipe.text));
  }
  return ExitCode::kOk;
}

ExitCode show(const RecipeFlags& flags) {
  const auto place = place_of(flags);
  if (!place) return refuse(place.error());
  const auto saved = read_own_recipes(*place);
  if (!saved) return refuse(saved.error());
  const auto reference = jobs::parse_recipe_reference(flags.name);
  const auto found = reference ? jobs::find_recipe(*saved, reference->name, reference->version)
                               : jobs::find_recipe(*saved, flags.name, std::nullopt);
  if (!found) return refuse(found.error());
  if (flags.json) {
    print(jobs::recipe_document(*found) + "\n");
    return ExitCode::kOk;
  }
  const auto& recipe = found->recipe;
  const std::string origin = found->built_in
                                 ? ", built in: " + found->summary
                                 : fmt::format(", saved {}{}; versions 1 to {}", to_rfc3339(recipe.created_at),
                                               recipe.removed ? ", removed since" : "", found->versions.back());
  print(fmt::format("{}{}\n{}\n", jobs::versioned_name(recipe.name, recipe.version), origin, recipe.text));
  return ExitCode::kOk;
}

ExitCode save(const RecipeFlags& flags) {
  const auto place = place_of(flags);
  if (!place) return refuse(place.error());
  const auto saved = save_own_recipe(*place, flags.name, flags.recipe);
  if (!saved) return refuse(saved.error());
  print(fmt::format("{}{}\n{}\n", jobs::versioned_name(saved->recipe.name, saved->recipe.version),
                    saved->is_new ? " is saved" : " says that already", saved->recipe.text));
  return ExitCode::kOk;
}

ExitCode remove(const RecipeFlags& flags) {
  const auto place = place_of(flags);
  if (!place) return refuse(place.error());
  const auto removed = remove_own_recipe(*place, flags.name);
  if (!removed) return refuse(removed.error());
  print(fmt::format("{0} is removed; jobs keep what they were made with, and {0}@1 still names its first version\n",
                    flags.name));
  return ExitCode::kOk;
}

}  // namespace

void add_recipes_command(CLI::App& cli, Action& action) {
  const auto flags = std::make_shared<RecipeFlags>();
  auto* command = cli.add_subcommand("recipes", "The named recipes: built in, and your own with their versions");
  command->footer(
      "Examples:\n"
      "  pixmill recipes\n"
      "  pixmill recipes save shop \"format=webp quality=80 resize=1200x1200\"\n"
      "  pixmill recipes show shop@1\n"
      "  pixmill recipes rm shop\n\n"
      "Saving a name again makes its next version; `shop` is the latest, `shop@1` stays what it was.");
  command->require_subcommand(0, 1);
  const auto add_common = [flags](CLI::App* to, bool json) {
    to->add_option("--data", flags->data_folder,
                   "The server's data folder (default: TMP_OUTPUT_PATH or ./pixmill-data); unused with DATABASE_URL");
    if (json) to->add_flag("--json", flags->json, "Print as JSON");
  };
  add_common(command, true);
  command->callback([flags, command, &action] {
    if (command->get_subcommands().empty()) action = [flags] { return list(*flags); };
  });
  auto* shown = command->add_subcommand("show", "What a recipe says");
  shown->add_option("NAME", flags->name, "A name, or one version of it such as shop@1")->required();
  add_common(shown, true);
  shown->callback([flags, &action] { action = [flags] { return show(*flags); }; });
  auto* saved = command->add_subcommand("save", "Save a recipe under a name, as its next version");
  saved->add_option("NAME", flags->name, "Lower-case letters, digits, '-' and '_'")->required();
  saved->add_option("RECIPE", flags->recipe, "\"format=webp quality=80\", JSON, or another recipe's name")->required();
  add_common(saved, false);
  saved->callback([flags, &action] { action = [flags] { return save(*flags); }; });
  auto* removed = command->add_subcommand("rm", "Remove a name; jobs keep what they were made with");
  removed->add_option("NAME", flags->name, "One of your own")->required();
  add_common(removed, false);
  removed->callback([flags, &action] { action = [flags] { return remove(*flags); }; });
}

}  // namespace pixmill::app
