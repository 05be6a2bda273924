// What `pixmill run` decides about one input set before anything is opened: names, folders, identity. Blocking reads of
// the table's header; otherwise pure.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "app/inputs.h"
#include "base/error.h"
#include "engine/pool.h"
#include "image/recipe.h"
#include "jobs/model.h"
#include "jobs/table_reader.h"
#include "storage/object_name.h"
#include "storage/s3_address.h"

namespace pixmill::app {

struct RunOptions;

// What all sets are made with.
struct RunRecipe {
  jobs::RecipeChoice choice;
  std::shared_ptr<const engine::MarkFile> watermark;  // which the recipe names by its digest; null for none
};

struct SetPlan {
  RunRecipe recipe;
  std::string name_template;
  std::string blob_prefix;    // below the output folder: "images/"
  std::string result_folder;  // where result.csv goes
  std::vector<jobs::OriginHeader> headers;
  jobs::TableOptions table;
};

// The file of --watermark, null where `path` is "". Errors: kInvalidArgument when the recipe has no use for it, wants
// one that is not there, or has an address that cannot be fetched; those of read_file and pipeline::mark_file.
[[nodiscard]] Result<std::shared_ptr<const engine::MarkFile>> read_watermark(const std::string& path,
                                                                             const image::Recipe& recipe);

// Errors: kInvalidArgument for a recipe that is wrong, or too long with the watermark's digest in it; those of
// read_watermark.
[[nodiscard]] Result<RunRecipe> plan_recipe(const RunOptions& options);

// Opens the set's table, if it is one, and reads its header. Errors: those of jobs::TableReader::open.
[[nodiscard]] Result<void> check_table_header(const InputSet& set, const RunOptions& options);

// `several`: each set gets a folder of its own. Errors: kInvalidArgument for a header or name template that is wrong
// (an unknown column is named, with those there are), and those of reading the table's header.
[[nodiscard]] Result<SetPlan> plan_set(const InputSet& set, const RunOptions& options, RunRecipe recipe, bool several);

// The set's identity: same input, recipe and names, same job. Blocking, as long as reading the whole input takes; stops
// early with kCancelled once `stop` was asked for. Errors: those of content_digest.
[[nodiscard]] Result<std::string> set_digest(const InputSet& set, const SetPlan& plan, const RunOptions& options,
                                             std::stop_token stop = {});

// Where `run` keeps what it needs to resume a job whose results go to a bucket: a folder of its own for each target.
// `state_home`: XDG_STATE_HOME, `home`: HOME; without either it is in the working directory.
[[nodiscard]] std::string state_folder_of(const storage::S3Location& target, std::string_view endpoint,
                                          std::string_view state_home, std::string_view home);

// The row of one local picture: its path, one item, and the folders it lay in kept below the output folder.
// Errors: kInvalidArgument when the template is malformed.
[[nodiscard]] Result<jobs::NewRow> picture_row(const LocalPicture& picture, std::uint64_t row,
                                               const std::string& name_template);

}  // namespace pixmill::app
