// `pixmill run`: the whole job in one process. For each input set: find its job in the folder's state or make it, work
// until it is final, write the result files. Lives on the loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/exit_code.h"
#include "app/inputs.h"
#include "app/progress.h"
#include "app/runtime.h"
#include "app/settings.h"
#include "base/task.h"
#include "jobs/recipe_book.h"
#include "jobs/result_files.h"
#include "storage/s3_address.h"

namespace pixmill::app {

struct RunOptions {
  std::vector<std::string> inputs;
  std::string output_folder;  // with `s3_output`: what is kept here in order to resume
  std::optional<storage::S3Location> s3_output = std::nullopt;  // where results go instead
  std::string recipe = "compress";
  std::string watermark = {};  // a picture's file, for a recipe that says watermark=upload; "" for none
  std::string name_template;   // "": {product}-{index} where there are products, else {source_stem}
  std::string url_column;
  std::vector<std::string> headers;  // "Host: Name: value"
  // Whose objects tables may name as s3://bucket/key: any, because the key and the table are one user's.
  std::vector<std::string> s3_source_buckets = {std::string(jobs::kEveryBucket)};
  bool skip_invalid = false;
  bool overrides = true;  // columns of a table may change the recipe row by row
  bool retry_failed = false;
  bool replace = false;    // forget another job that lies in the folder
  std::string since = {};  // a folder, or a job's id in this one, to be compared with; "" for none
  bool json = false;       // the final job document on standard output
  jobs::CellSafety cells = jobs::CellSafety::kSpreadsheet;
  ProgressMode progress = ProgressMode::kAuto;
  std::shared_ptr<const jobs::RecipeBook> recipes = std::make_shared<const jobs::RecipeBook>();
};

// Blocking: runs its own loop. Everything the user needs to know has been said when it returns.
[[nodiscard]] ExitCode run_job_here(Settings settings, RunOptions options);

}  // namespace pixmill::app
