// From a database's rows to the model's values: the columns that both databases have, in one order. A Row is anything
// with integer(), text(), view() and is_null() of a column. Private to src/jobs/{sqlite,postgres}_*.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/crypto.h"
#include "base/error.h"
#include "base/time.h"
#include "jobs/model.h"
#include "jobs/stored_values.h"

namespace pixmill::jobs {

// The order of columns is that of read_job(), read_item() and read_output().
#define PIXMILL_JOB_COLUMNS                                                                                            \
  "job_no, id, state, origin, generation, name, recipe, webhook_url, name_template, blob_prefix, source_path, "        \
  "source_digest, url_column, invalid_rows, column_names, row_count, invalid, total, remaining, succeeded, failed,"    \
  " cancelled, bytes_in, bytes_out, error_code, error_message, created_at, started_at, finished_at, leased, headers, " \
  "recipe_name, overrides, row_recipes, since, since_folder, since_files, results_at, unchanged, changed, gone, "      \
  "keep_ms, (SELECT COUNT(*) FROM ingests WHERE ingests.job_no = jobs.job_no)"
#define PIXMILL_ITEM_COLUMNS                                                                                       \
  "item, row_no, position, url, state, attempts, generation, error_code, error_message, not_before, leased_until," \
  " same_as, bytes_in, fetch_ms, transform_ms, store_ms, finished_at, recipe_no"
inline constexpr int kItemRecipeColumn = 17;
#define PIXMILL_OUTPUT_COLUMNS "item, rendition, key, bytes, width_px, height_px, format, quality, sha256, note"

// Of jobs: those under way, and those that are not.
#define PIXMILL_ACTIVE_STATES "('ingesting', 'running', 'paused', 'cancelling')"
#define PIXMILL_ENDED_STATES "('completed', 'completed_with_errors', 'failed', 'cancelled', 'rejected')"
// Of items: those with work to come, and those with a result.
#define PIXMILL_OPEN_STATES "('pending', 'leased')"
#define PIXMILL_KEPT_STATES "('succeeded', 'unchanged')"

template <class T, class Row>
std::optional<T> optional_integer(const Row& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return static_cast<T>(row.integer(column));
}

template <class Row>
std::optional<TimePoint> optional_time(const Row& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return from_unix_ms(row.integer(column));
}

template <class Row>
std::uint64_t natural(const Row& row, int column) {
  return static_cast<std::uint64_t>(row.integer(column));
}

// Columns 0 to 14 of PIXMILL_JOB_COLUMNS: what was asked for.
template <class Row>
Result<void> read_request(const Row& row, StoredJob& stored) {
  auto& job = stored.job;
  stored.job_no = row.integer(0);
  const auto id = Uuid::parse(row.view(1));
  const auto state = parse_job_state(row.view(2));
  const auto origin = parse_job_origin(row.view(3));
  if (!id || !state || !origin) return broken_row("job");
  job.id = JobId{*id};
  job.state = *state;
  job.origin = *origin;
  job.generation = static_cast<int>(row.integer(4));
  job.name = row.text(5);
  job.recipe = row.text(6);
  job.webhook_url = row.text(7);
  job.name_template = row.text(8);
  job.blob_prefix = row.text(9);
  job.source_path = row.text(10);
  job.source_digest = row.text(11);
  job.url_column = row.text(12);
  job.invalid_rows = row.view(13) == "skip" ? InvalidRows::kSkip : InvalidRows::kReject;
  PIXMILL_TRY(job.columns, texts_from_json(row.view(14)));
  return {};
}

// Columns 34 to 40: what it is compared with, and how that came out.
template <class Row>
Result<void> read_since(const Row& row, Job& job) {
  if (!row.view(34).empty()) {
    const auto since = Uuid::parse(row.view(34));
    if (!since) return broken_row("job id");
    job.since = JobId{*since};
  }
  job.since_folder = row.text(35);
  job.since_files = row.text(36);
  job.results_at = row.text(37);
  job.unchanged = natural(row, 38);
  job.changed = natural(row, 39);
  job.gone = natural(row, 40);
  return {};
}

template <class Row>
Result<StoredJob> read_job(const Row& row) {
  StoredJob stored;
  PIXMILL_RETURN_IF_ERROR(read_request(row, stored));
  auto& job = stored.job;
  job.rows = natural(row, 15);
  job.invalid = natural(row, 16);
  job.total = natural(row, 17);
  job.remaining = natural(row, 18);
  job.succeeded = natural(row, 19);
  job.failed = natural(row, 20);
  job.cancelled = natural(row, 21);
  job.bytes_in = natural(row, 22);
  job.bytes_out = natural(row, 23);
  job.error_code = row.text(24);
  job.error_message = row.text(25);
  job.created_at = from_unix_ms(row.integer(26));
  job.started_at = optional_time(row, 27);
  job.finished_at = optional_time(row, 28);
  stored.leased = natural(row, 29);
  stored.sealed_headers = row.text(30);
  job.recipe_name = row.text(31);
  job.overrides = row.integer(32) != 0;
  job.row_recipes = natural(row, 33);
  PIXMILL_RETURN_IF_ERROR(read_since(row, job));
  job.is_being_read = row.integer(42) != 0;
  if (const auto keep_ms = optional_integer<std::int64_t>(row, 41)) job.keep = milliseconds(*keep_ms);
  return stored;
}

template <class Row>
Result<Item> read_item(const Row& row) {
  Item item;
  item.item = natural(row, 0);
  item.row = natural(row, 1);
  item.index = static_cast<std::uint32_t>(row.integer(2));
  item.url = row.text(3);
  const auto state = parse_item_state(row.view(4));
  if (!state) return broken_row("item state");
  item.state = *state;
  item.attempts = static_cast<int>(row.integer(5));
  item.generation = static_cast<int>(row.integer(6));
  item.error_code = row.text(7);
  item.error_message = row.text(8);
  if (row.integer(9) > 0) item.retry_at = from_unix_ms(row.integer(9));
  item.leased_until = optional_time(row, 10);
  item.same_as = optional_integer<std::uint64_t>(row, 11);
  item.bytes_in = natural(row, 12);
  item.times = {.fetch_ms = row.integer(13), .transform_ms = row.integer(14), .store_ms = row.integer(15)};
  item.finished_at = optional_time(row, 16);
  return item;
}

template <class Row>
Output read_output(const Row& row) {
  return {.rendition = row.text(1),
          .key = row.text(2),
          .bytes = natural(row, 3),
          .width_px = static_cast<std::uint32_t>(row.integer(4)),
          .height_px = static_cast<std::uint32_t>(row.integer(5)),
          .format = row.text(6),
          .quality = static_cast<int>(row.integer(7)),
          .sha256 = row.text(8),
          .note = row.text(9)};
}

// validator, version_url, source_sha256, made_with, from `column` on.
template <class Row>
SourceFacts read_source(const Row& row, int column) {
  const auto digest = row.view(column + 2);
  return {.validator = row.text(column),
          .version_url = row.text(column + 1),
          .sha256 = to_hex(std::span(reinterpret_cast<const std::uint8_t*>(digest.data()), digest.size())),
          .made_with = row.text(column + 3)};
}

// item, row_no, position, url
template <class Row>
GoneUrl read_gone(const Row& row) {
  return {.item = natural(row, 0),
          .row = natural(row, 1),
          .index = static_cast<std::uint32_t>(row.integer(2)),
          .url = row.text(3)};
}

// name, version, recipe, created_at, removed
template <class Row>
SavedRecipe read_saved_recipe(const Row& row) {
  return {.name = row.text(0),
          .version = static_cast<int>(row.integer(1)),
          .text = row.text(2),
          .created_at = from_unix_ms(row.integer(3)),
          .removed = row.integer(4) != 0};
}

}  // namespace pixmill::jobs
