#include "app/run_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "app/local_files.h"
#include "app/run_session.h"
#include "app/small_file.h"
#include "base/crypto.h"
#include "base/text.h"
#include "fetch/fetcher.h"
#include "image/recipe.h"
#include "pipeline/watermarks.h"

namespace pixmill::app {

namespace {

namespace fs = std::filesystem;

// Filled in for every item, whatever the columns are called.
constexpr std::string_view kBuiltIn[] = {"product", "index", "row",       "source_stem", "job",
                                         "sha",     "uuid",  "rendition", "ext"};

constexpr std::string_view kFolder = "folder ";  // + depth; a space, so that no user's template can name it by accident

Result<void> check_placeholders(const std::string& name_template, const std::vector<std::string>& columns) {
  PIXMILL_TRY(const auto names, storage::NameTemplate::parse(name_template));
  for (const auto& placeholder : names.placeholders()) {
    const auto is_it = [&](std::string_view name) { return equals_ignoring_case(name, placeholder); };
    if (std::ranges::any_of(kBuiltIn, is_it) || std::ranges::any_of(columns, is_it)) continue;
    std::string known;
    for (const auto& column : columns) known += fmt::format(", {{{}}}", column);
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format(
            "--name: there is no column '{}'. There are {{product}}, {{index}}, {{row}}, {{source_stem}}, {{sha}}, "
            "{{uuid}}, {{ext}}{}",
            placeholder, known));
  }
  return {};
}

Result<std::vector<jobs::OriginHeader>> parse_headers(const std::vector<std::string>& texts) {
  std::vector<jobs::OriginHeader> headers;
  for (const auto& text : texts) {
    PIXMILL_TRY(auto header, fetch::parse_host_header(text));
    headers.push_back({std::move(header.host), std::move(header.name), std::move(header.value)});
  }
  return headers;
}

jobs::TableOptions table_options(const InputSet& set, const RunOptions& options) {
  jobs::TableOptions table;
  table.url_column = options.url_column;
  table.file_name = fs::path(set.table_path).filename().string();
  table.overrides = options.overrides;
  table.recipes = options.recipes;
  table.s3_buckets = options.s3_source_buckets;
  return table;
}

}  // namespace

Result<std::shared_ptr<const engine::MarkFile>> read_watermark(const std::string& path, const image::Recipe& recipe) {
  const auto fits = pipeline::check_watermarks(recipe, !path.empty(), nullptr);
  if (!fits && path.empty() && pipeline::wants_upload(recipe)) {
    return fail(ErrorCode::kInvalidArgument, "the recipe says watermark=upload; name its file with --watermark FILE");
  }
  if (!fits) return std::unexpected(fits.error());
  if (path.empty()) return nullptr;
  PIXMILL_TRY(std::string bytes, read_file(path, pipeline::kMarkFileBytesMax));
  auto file = pipeline::mark_file(std::move(bytes));
  if (file) return file;
  Error error = std::move(file).error();
  error.message = fmt::format("--watermark {}: {}", path, error.message);
  return std::unexpected(std::move(error));
}

Result<RunRecipe> plan_recipe(const RunOptions& options) {
  RunRecipe plan;
  PIXMILL_TRY(plan.choice, options.recipes->resolve(options.recipe));
  PIXMILL_TRY(auto recipe, image::parse_recipe(plan.choice.text));
  PIXMILL_TRY(plan.watermark, read_watermark(options.watermark, recipe));
  if (!plan.watermark) return plan;
  pipeline::name_upload(recipe, plan.watermark->sha256);
  plan.choice.text = image::canonical_text(recipe);
  // It is read again for every picture, and digests make it longer.
  if (const auto readable = image::parse_recipe(plan.choice.text); !readable) return std::unexpected(readable.error());
  return plan;
}

Result<void> check_table_header(const InputSet& set, const RunOptions& options) {
  if (set.table_path.empty()) return {};
  PIXMILL_TRY(const auto table, jobs::TableReader::open(set.table_path, table_options(set, options)));
  return {};
}

Result<SetPlan> plan_set(const InputSet& set, const RunOptions& options, RunRecipe recipe, bool several) {
  SetPlan plan;
  plan.recipe = std::move(recipe);
  PIXMILL_TRY(plan.headers, parse_headers(options.headers));
  plan.blob_prefix = several ? set.name + "/images/" : "images/";
  plan.result_folder = several ? options.output_folder + "/" + set.name : options.output_folder;
  plan.name_template = options.name_template;
  std::vector<std::string> columns(1, "File");
  std::string default_name = "{source_stem}.{ext}";
  if (!set.table_path.empty()) {
    plan.table = table_options(set, options);
    plan.table.recipe = plan.recipe.choice;
    PIXMILL_TRY(const auto table, jobs::TableReader::open(set.table_path, plan.table));
    columns = table->columns();
    if (table->product_column() >= 0) default_name = "{product}-{index}.{ext}";
  }
  if (plan.name_template.empty()) plan.name_template = default_name;
  PIXMILL_RETURN_IF_ERROR(check_placeholders(plan.name_template, columns));
  return plan;
}

Result<std::string> set_digest(const InputSet& set, const SetPlan& plan, const RunOptions& options,
                               std::stop_token stop) {
  PIXMILL_TRY(const auto content, content_digest(set, std::move(stop)));
  // Jobs of folders from before there were overrides are known again.
  return to_hex(
      sha256(fmt::format("{}\n{}\n{}\n{}\n{}{}", content, plan.recipe.choice.text, plan.name_template,
                         options.url_column, options.skip_invalid, options.overrides ? "" : "\nno overrides")));
}

std::string state_folder_of(const storage::S3Location& target, std::string_view endpoint, std::string_view state_home,
                            std::string_view home) {
  constexpr std::size_t kDigits = 12;
  const std::string digest = to_hex(sha256(fmt::format("{}\n{}\n{}", endpoint, target.bucket, target.key)));
  std::string base = "./.pixmill-state";
  if (!home.empty()) base = fmt::format("{}/.local/state/pixmill", home);
  if (!state_home.empty()) base = fmt::format("{}/pixmill", state_home);
  return fmt::format("{}/runs/{}-{}", base, target.bucket, digest.substr(0, kDigits));
}

Result<jobs::NewRow> picture_row(const LocalPicture& picture, std::uint64_t row, const std::string& name_template) {
  // The folders it lay in come first, each made safe like any other value.
  const fs::path shown(picture.shown);
  const fs::path parent = shown.parent_path();
  std::vector<std::string> folders;
  for (const auto& folder : parent) folders.push_back(folder.string());
  std::string with_folders;
  for (std::size_t depth = 0; depth < folders.size(); ++depth) with_folders += fmt::format("{{{}{}}}/", kFolder, depth);
  PIXMILL_TRY(const auto names, storage::NameTemplate::parse(with_folders + name_template));
  const auto value_of = [&](std::string_view placeholder) -> std::optional<std::string> {
    if (placeholder.starts_with(kFolder)) {
      return folders[static_cast<std::size_t>(parse_integer(placeholder.substr(kFolder.size())).value_or(0))];
    }
    if (placeholder == "source_stem" || placeholder == "product") return shown.stem().string();
    if (placeholder == "row") return std::to_string(row);
    if (placeholder == "index") return "1";
    if (equals_ignoring_case(placeholder, "file")) return picture.shown;
    return std::nullopt;
  };
  jobs::NewItem item{.index = 1, .url = file_address(picture.absolute_path), .output_stem = names.expand(value_of)};
  return jobs::NewRow{.row = row, .cells = {picture.shown}, .problem = {}, .items = {std::move(item)}};
}

}  // namespace pixmill::app
