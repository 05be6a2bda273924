// From a form to a job in the store, the same for both doors: what the fields say is checked, the table is checked, and
// only then does anything exist. Lives on the loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/context.h"
#include "engine/pool.h"
#include "fetch/address_policy.h"
#include "jobs/model.h"
#include "jobs/recipe_book.h"
#include "jobs/table_reader.h"
#include "pipeline/watermarks.h"

namespace pixmill::api {

// What `text` stands for. Problem: 400 naming the field.
[[nodiscard]] Checked<jobs::RecipeChoice> check_recipe(std::string_view text, const jobs::RecipeBook& recipes);
// What a job is made with: its recipe, in which the uploaded watermark is named by its digest.
struct SettledRecipe {
  std::string text;                                   // canonical
  std::shared_ptr<const engine::MarkFile> watermark;  // null for none
  std::shared_ptr<void> place;                        // of the upload
};
// Nothing is stored yet. Problems: 400 for watermarks that cannot be fetched or do not fit what was uploaded, and for a
// recipe that is too long with the digest in it, 422 for a file that is no picture, 500.
[[nodiscard]] Task<Checked<SettledRecipe>> settle_watermark(Context& context, std::string recipe,
                                                            std::optional<UploadedMark> watermark);
// Adds to the report what is wrong with the watermarks of rows' own recipes, as of the first row that has each:
// addresses that cannot be fetched, as far as their spelling says, and uploads that are not there. `store` is told that
// those are wanted; null where nobody removes any. Where bad rows are
// skipped those rows stay, and their pictures fail. Errors: kStoreFailed.
[[nodiscard]] Task<Result<void>> check_row_watermarks(jobs::JobStore* store, pipeline::Watermarks& watermarks,
                                                      const fetch::AddressPolicy& policy, jobs::TableReport& report);
// An http(s) address that the policy does not forbid by its spelling alone; names are resolved and checked at every
// delivery. Problem: 400.
[[nodiscard]] Checked<std::string> check_webhook_url(std::string_view text, const fetch::AddressPolicy& policy);
// "Host: Name: value" lines. Problem: 400, which does not repeat the line: it may hold a secret.
[[nodiscard]] Checked<std::vector<jobs::OriginHeader>> check_headers(std::string_view lines);
// Problem: 400 for a template that cannot be read or names a column that `columns` does not have.
[[nodiscard]] Checked<void> check_name_template(std::string_view text, const std::vector<std::string>& columns);

// 503 when too many uploads wait to be read.
[[nodiscard]] Checked<void> check_room(const Context& context);

// The columns of a table on disk. Problems: as TableReader::open, as 422.
[[nodiscard]] Task<Checked<std::vector<std::string>>> table_columns(Context& context, std::string path,
                                                                    jobs::TableOptions options);

// How the job's table is read: as the form said.
[[nodiscard]] jobs::TableOptions table_options(const Context& context, const jobs::NewJob& job,
                                               const UploadedFile& file,
                                               std::shared_ptr<const jobs::RecipeBook> recipes);

// Stores the watermark, if there is one, and the job, and starts to read its table. The spool file is the job's from
// then on. Where servers share tables it is first put where all find it. Problems: 503 when that cannot be done now,
// 507, 500.
[[nodiscard]] Task<Checked<jobs::Job>> start_job(Context& context, jobs::NewJob job, UploadedFile file,
                                                 std::shared_ptr<const engine::MarkFile> watermark);

// An uploaded watermark that cannot be one: 422, 413, or what the disk had to say.
[[nodiscard]] Problem watermark_problem(const Error& error);

// A table that cannot be read at all, for /v1: 422, 413 or what the disk had to say.
[[nodiscard]] Problem table_problem(const Error& error);

}  // namespace pixmill::api
