#include "api/intake.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "base/text.h"
#include "fetch/fetcher.h"
#include "fetch/source_url.h"
#include "image/recipe.h"
#include "storage/object_name.h"

namespace pixmill::api {

namespace {

// Filled in for every item, whatever the columns are called.
constexpr std::string_view kBuiltInPlaceholders[] = {"product", "index", "row",       "source_stem", "job",
                                                     "sha",     "uuid",  "rendition", "ext"};
constexpr std::size_t kHeaderLinesMax = 50;
constexpr std::size_t kRowProblemsMax = 1'000;

// A parameter whose wrongness somebody else has put into words.
Problem wrong(std::string name, std::string_view value, const Error& error, std::string allowed) {
  Problem problem = wrong_parameter(std::move(name), value, std::move(allowed));
  const std::string prefix = problem.parameter->name + ": ";
  problem.detail = error.message.starts_with(prefix) ? error.message : prefix + error.message;
  return problem;
}

// The table cannot be put where every server finds it: whoever sends it again later may have more luck.
Problem not_kept(const Error& error) {
  Problem problem = problem_of(error);
  problem.detail = "The upload cannot be stored: " + error.message;
  problem.hint = "Nothing was started; send it again later.";
  if (problem.status != 507) {
    problem.status = 503;
    problem.code = "unavailable";
    problem.retry_after = std::chrono::seconds(15);
  }
  return problem;
}

// To be said before it is looked whether they are there, or they are stored.
Task<Result<void>> note_marks(jobs::JobStore& store, std::string recipe) {
  for (const auto& digest : jobs::uploads_named_in(recipe)) {
    PIXMILL_CO_RETURN_IF_ERROR(co_await store.note_mark(digest));
  }
  co_return Result<void>();
}

}  // namespace

Checked<jobs::RecipeChoice> check_recipe(std::string_view text, const jobs::RecipeBook& recipes) {
  const auto recipe = recipes.resolve(text);
  if (recipe) return *recipe;
  return refuse(
      wrong("recipe", text, recipe.error(),
            "a name such as web or shop@2, the compact form (format=jpeg quality=50 resize=800x600:inside) or JSON"));
}

Task<Checked<SettledRecipe>> settle_watermark(Context& context, std::string recipe,
                                              std::optional<UploadedMark> watermark) {
  auto parsed = image::parse_recipe(recipe);
  if (!parsed) co_return refuse(problem_of(parsed.error()));
  const auto usable = pipeline::check_watermarks(*parsed, watermark.has_value(), &context.parts.policy);
  if (!usable) {
    co_return refuse(wrong("recipe", recipe, usable.error(),
                           "as image of a watermark: an address, or upload with the picture as the part 'watermark'"));
  }
  const auto noted = co_await note_marks(context.parts.store, recipe);
  if (!noted) co_return refuse(problem_of(noted.error()));
  const auto kept = co_await context.parts.watermarks.check_kept(*parsed);
  if (!kept && kept.error().code == ErrorCode::kNotFound) {
    co_return refuse(wrong("recipe", recipe, kept.error(), "upload, with the picture as the part 'watermark'"));
  }
  if (!kept) co_return refuse(problem_of(kept.error()));
  SettledRecipe settled{.text = recipe, .watermark = nullptr, .place = nullptr};
  if (!watermark) co_return settled;
  auto file = pipeline::mark_file(std::move(watermark->bytes));
  if (!file) co_return refuse(watermark_problem(file.error()));
  pipeline::name_upload(*parsed, (*file)->sha256);
  settled.text = image::canonical_text(*parsed);
  // It is read again for every picture, and digests make it longer.
  if (const auto readable = image::parse_recipe(settled.text); !readable) {
    co_return refuse(wrong("recipe", recipe, readable.error(),
                           "a recipe that leaves room for the watermark's SHA-256 in every output that has it"));
  }
  settled.watermark = std::move(*file);
  settled.place = std::move(watermark->place);
  co_return settled;
}

Task<Result<void>> check_row_watermarks(jobs::JobStore* store, pipeline::Watermarks& watermarks,
                                        const fetch::AddressPolicy& policy, jobs::TableReport& report) {
  for (const auto& [image, row, column] : report.watermarks) {
    image::Recipe recipe;
    recipe.outputs.front().watermark.emplace().image = image;
    auto usable = pipeline::check_watermarks(recipe, false, &policy);
    if (usable && store != nullptr) usable = co_await note_marks(*store, image);
    if (usable) usable = co_await watermarks.check_kept(recipe);
    if (usable) continue;
    const bool its_fault =
        usable.error().code == ErrorCode::kInvalidArgument || usable.error().code == ErrorCode::kNotFound;
    if (!its_fault) co_return std::unexpected(std::move(usable.error()));
    ++report.bad_rows;
    if (report.problems.size() >= kRowProblemsMax) break;
    report.problems.push_back(
        {.row = row,
         .column = column,
         .message = fmt::format("Invalid recipe found at row {}: {} ({})", row, image, usable.error().message)});
  }
  co_return Result<void>();
}

Problem watermark_problem(const Error& error) {
  Problem problem = problem_of(error);
  problem.detail = "The watermark: " + problem.detail;
  const bool its_fault = error.code == ErrorCode::kNotAnImage || error.code == ErrorCode::kUnsupportedFormat ||
                         error.code == ErrorCode::kTruncated || error.code == ErrorCode::kDecodeFailed;
  if (its_fault) problem.status = 422;
  return problem;
}

Checked<std::string> check_webhook_url(std::string_view text, const fetch::AddressPolicy& policy) {
  constexpr std::string_view kAllowed = "a public http:// or https:// address";
  const std::string_view trimmed = trim(text);
  if (trimmed.empty()) return std::string();
  const auto url = fetch::parse_source_url(trimmed);
  if (!url) return refuse(wrong("webhook_url", trimmed, url.error(), std::string(kAllowed)));
  if (url->literal) {
    const auto checked = policy.check(*url->literal, url->port);
    if (!checked) return refuse(wrong("webhook_url", trimmed, checked.error(), std::string(kAllowed)));
  }
  return url->text();
}

Checked<std::vector<jobs::OriginHeader>> check_headers(std::string_view lines) {
  std::vector<jobs::OriginHeader> headers;
  for (const auto line : split(lines, '\n')) {
    if (trim(line).empty()) continue;
    auto header = fetch::parse_host_header(trim(line));
    if (!header || headers.size() == kHeaderLinesMax) {
      const Error too_many{.code = ErrorCode::kInvalidArgument, .message = "too many lines", .detail = {}};
      return refuse(wrong("headers", "(not shown)", header ? too_many : header.error(),
                          fmt::format("at most {} lines of the form Host: Name: value", kHeaderLinesMax)));
    }
    headers.push_back({std::move(header->host), std::move(header->name), std::move(header->value)});
  }
  return headers;
}

Checked<void> check_name_template(std::string_view text, const std::vector<std::string>& columns) {
  std::string allowed = fmt::format("text with {{{}}}", fmt::join(kBuiltInPlaceholders, "}, {"));
  for (const auto& column : columns) allowed += fmt::format(", {{{}}}", column);
  const auto names = storage::NameTemplate::parse(text);
  if (!names) return refuse(wrong("name_template", text, names.error(), allowed));
  for (const auto& placeholder : names->placeholders()) {
    const auto is_it = [&](std::string_view name) { return equals_ignoring_case(name, placeholder); };
    if (std::ranges::any_of(kBuiltInPlaceholders, is_it) || std::ranges::any_of(columns, is_it)) continue;
    const Error unknown{.code = ErrorCode::kInvalidArgument,
                        .message = fmt::format("the table has no column '{}'", placeholder),
                        .detail = {}};
    return refuse(wrong("name_template", text, unknown, allowed));
  }
  return {};
}

Checked<void> check_room(const Context& context) {
  if (context.ingests.has_room()) return {};
  return refuse(problem_of(Error{.code = ErrorCode::kUnavailable,
                                 .message = "Too many uploads are waiting to be read, or the server is stopping",
                                 .detail = {}}));
}

Task<Checked<std::vector<std::string>>> table_columns(Context& context, std::string path, jobs::TableOptions options) {
  auto read = [path = std::move(path), options = std::move(options)]() -> Result<std::vector<std::string>> {
    PIXMILL_TRY(const auto table, jobs::TableReader::open(path, options));
    return table->columns();
  };
  auto columns = co_await context.files.run(std::move(read));
  if (!columns) co_return refuse(table_problem(columns.error()));
  co_return std::move(*columns);
}

jobs::TableOptions table_options(const Context& context, const jobs::NewJob& job, const UploadedFile& file,
                                 std::shared_ptr<const jobs::RecipeBook> recipes) {
  const bool is_original = job.origin == jobs::JobOrigin::kLegacyUpload;
  jobs::TableOptions table;
  table.dialect = is_original ? jobs::TableDialect::kOriginal : jobs::TableDialect::kAny;
  table.url_column = job.url_column;
  table.file_name = file.name;
  table.overrides = job.overrides;
  table.recipe = {.text = job.recipe, .name = job.recipe_name};
  table.recipes = std::move(recipes);
  table.s3_buckets = context.options.s3_source_buckets;
  return table;
}

Task<Checked<jobs::Job>> start_job(Context& context, jobs::NewJob job, UploadedFile file,
                                   std::shared_ptr<const engine::MarkFile> watermark) {
  if (watermark) {
    const auto noted = co_await context.parts.store.note_mark(watermark->sha256);
    if (!noted) co_return refuse(problem_of(noted.error()));
    const auto kept = co_await context.parts.watermarks.keep(std::move(watermark));
    if (!kept) co_return refuse(watermark_problem(kept.error()));
  }
  const JobId id = job.id;
  job.blob_prefix = id.text() + "/";
  job.source_path = file.spool.path();
  job.ingest_lease = context.options.ingest_lease;
  if (context.depot != nullptr) {
    // Of several requests with one Idempotency-Key.
    std::string stamp = job.source_digest.empty() ? "" : Uuid::random().text();
    auto shared = co_await context.depot->put(id, file.spool.path(), std::move(stamp));
    if (!shared) co_return refuse(not_kept(shared.error()));
    job.source_path = std::move(*shared);
  }
  std::string source_path = job.source_path;
  if (job.name.empty()) job.name = file.name;
  log::info("job_accepted", {{"job", id.text()}, {"origin", jobs::to_text(job.origin)}, {"bytes", file.bytes}});
  const auto created = co_await context.parts.store.create_job(std::move(job));
  if (!created) {
    // It may have come through all the same. Whoever reads tables in finds out, and removes the file of no job.
    if (created.error().code == ErrorCode::kUnavailable) {
      context.ingests.add(id, std::move(source_path), file.spool.hand_over());
    } else if (context.depot != nullptr) {
      co_await context.depot->remove(std::move(source_path));
    }
    co_return refuse(problem_of(created.error()));
  }
  context.ingests.add(id, std::move(source_path), file.spool.hand_over());
  auto stored = co_await context.parts.store.job(id);
  if (!stored) co_return refuse(problem_of(stored.error()));
  co_return std::move(*stored);
}

Problem table_problem(const Error& error) {
  Problem problem = problem_of(error);
  const bool callers_fault = error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kTooLarge ||
                             error.code == ErrorCode::kTruncated;
  if (!callers_fault) return problem;
  problem.status = 422;
  problem.code = "invalid_table";
  problem.hint =
      "The first line names the columns; one of them holds the URLs: Input Image Urls, url, image_url, image or src.";
  problem.row_problems.push_back({.row = 0, .column = {}, .message = error.message});
  return problem;
}

}  // namespace pixmill::api
