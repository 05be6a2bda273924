// A job comes in.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "jobs/sqlite_internal.h"
#include "storage/object_name.h"

namespace pixmill::jobs::sqlite {

namespace {

constexpr std::size_t kMemoriesMax = 8;  // jobs that are ingested at the same time without reading their names again
constexpr int kSuffixTriesMax = 64;      // natural names in the way of "-2", "-3" …
constexpr std::uint64_t kFirstSuffix = 2;

std::uint64_t name_key(std::string_view name) { return hash64(to_lower(name)); }

// "{name}" as a placeholder: a literal "{name}" is written "{{name}}" in a stem.
bool has_placeholder(std::string_view stem, std::string_view placeholder) {
  for (auto at = stem.find(placeholder); at != std::string_view::npos; at = stem.find(placeholder, at + 1)) {
    std::size_t braces = 0;
    while (braces < at && stem[at - braces - 1] == '{') ++braces;
    if (braces % 2 == 0) return true;
  }
  return false;
}

// Names that end up with a digest of their own content or identity cannot clash, and a suffix would spoil them.
bool is_unique_by_itself(std::string_view stem) {
  return has_placeholder(stem, "{uuid}") || has_placeholder(stem, "{sha}");
}

// True for "0001/…": such a name among the first items may meet a folder that fan_out() makes for later ones.
bool looks_fanned_out(std::string_view stem) {
  const auto digits = std::min(stem.find_first_not_of("0123456789"), stem.size());
  return digits >= 4 && digits < stem.size() && stem[digits] == '/';
}

// Which items are the same: those with one address under one recipe.
std::uint64_t url_key(std::string_view url, std::optional<std::int64_t> recipe_no) {
  return recipe_no ? hash64(fmt::format("{} {}", *recipe_no, url)) : hash64(url);
}

std::optional<std::int64_t> optional_number(const db::Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return row.integer(column);
}

std::uint64_t recipe_key(const RecipeChoice& recipe) { return hash64(fmt::format("{}\n{}", recipe.text, recipe.name)); }

bool is_taken(const IngestMemory& memory, std::string_view stem, std::uint64_t item) {
  if (memory.names.find(name_key(stem))) return true;
  return memory.numbered_folders && memory.names.find(name_key(storage::fan_out("", item, stem)));
}

void remember_name(IngestMemory& memory, std::string_view stem) {
  memory.names.insert(name_key(stem), kFirstSuffix);
  memory.numbered_folders = memory.numbered_folders || looks_fanned_out(stem);
}

// `stem` or the first of "-2", "-3" … that is free; "-<item>" when many natural names are in the way, so that a million
// equal names cost a million steps.
std::string unique_name(IngestMemory& memory, const std::string& stem, std::uint64_t item) {
  if (is_unique_by_itself(stem)) return stem;
  if (!is_taken(memory, stem, item)) {
    remember_name(memory, stem);
    return stem;
  }
  const auto key = name_key(stem);
  auto suffix = memory.names.find(key).value_or(kFirstSuffix);
  std::string name;
  bool found = false;
  for (int i = 0; i < kSuffixTriesMax && !found; ++i) {
    name = storage::with_suffix(stem, suffix);
    found = !is_taken(memory, name, item);
    if (suffix < memory.names.value_max()) ++suffix;
  }
  if (memory.names.find(key)) memory.names.set(key, suffix);
  constexpr std::uint64_t kBeyondItemNumbers = 10'000'000'000;
  for (auto number = item; !found; number += kBeyondItemNumbers) {
    name = storage::with_suffix(stem, number);
    found = !is_taken(memory, name, item);
  }
  remember_name(memory, name);
  return name;
}

// What unique_name() gave before fan_out() put a folder in front.
std::string_view without_fan_out(std::string_view stem, std::uint64_t item) {
  const auto folder = storage::fan_out("", item, "");
  return stem.starts_with(folder) ? stem.substr(folder.size()) : stem;
}

Result<void> check_chunk(const std::vector<NewRow>& rows) {
  if (rows.size() > kRowsPerAppendMax) {
    return fail(ErrorCode::kInvalidArgument, "A chunk has at most 1,000 rows.");
  }
  const bool in_order = std::ranges::is_sorted(rows, std::ranges::less_equal(), &NewRow::row);
  if (!in_order) return fail(ErrorCode::kInvalidArgument, "The rows of a chunk must ascend.");
  return {};
}

}  // namespace

Result<void> Writer::create_job(const NewJob& job) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    const auto existing = job_number(database_, job.id);
    if (existing) return fail(ErrorCode::kConflict, "A job with this id exists.");
    if (existing.error().code != ErrorCode::kNotFound) return std::unexpected(existing.error());
    auto& statement = database_.prepare(kInsertJob);
    statement.bind(job.id.text()).bind(to_text(job.origin)).bind(std::int64_t{job.priority});
    statement.bind(job.name).bind(job.recipe).bind(job.webhook_url);
    if (job.headers.empty()) {
      statement.bind_null();
    } else {
      statement.bind_blob(seal_headers(options_.master_key, job.id, job.headers));
    }
    statement.bind(job.name_template).bind(job.blob_prefix).bind(job.source_path).bind(job.source_digest);
    statement.bind(job.url_column).bind(job.invalid_rows == InvalidRows::kSkip ? "skip" : "reject").bind(now_ms());
    statement.bind(job.recipe_name).bind(std::int64_t{job.overrides});
    PIXMILL_TRY([[maybe_unused]] const auto changed, run(statement));
    PIXMILL_TRY(const auto job_no, job_number(database_, job.id));
    for (const auto& [written, recipe] : job.row_names) {
      auto& name = database_.prepare(kInsertRowName).bind(job_no).bind(written).bind(recipe.text).bind(recipe.name);
      PIXMILL_TRY([[maybe_unused]] const auto inserted, run(name));
    }
    return {};
  });
}

Result<StoredJob> Writer::ingesting_job(const JobId& id) {
  PIXMILL_TRY(auto stored, load_job(database_, id));
  switch (stored.job.state) {
    case JobState::kIngesting:
      return stored;
    case JobState::kCancelling:
    case JobState::kCancelled:
      return fail(ErrorCode::kCancelled, "The job was cancelled.");
    default:
      return fail(ErrorCode::kConflict, "The job takes no more rows.");
  }
}

IngestMemory& Writer::memory_of(std::int64_t job_no) {
  auto& memory = memories_[job_no];
  if (!memory) memory = std::make_unique<IngestMemory>();
  memory->last_use = ++memory_uses_;
  auto& kept = *memory;
  if (memories_.size() > kMemoriesMax) {
    const auto by_use = [](const auto& a, const auto& b) { return a.second->last_use < b.second->last_use; };
    memories_.erase(std::ranges::min_element(memories_, by_use));
  }
  return kept;
}

Result<bool> Writer::remember_names(const JobId& id) {
  PIXMILL_TRY(const auto stored, ingesting_job(id));
  auto& memory = memory_of(stored.job_no);
  if (memory.items >= stored.job.total) return false;
  auto& row = database_.prepare(kNamesAfter)
                  .bind(stored.job_no)
                  .bind(static_cast<std::int64_t>(memory.items))
                  .bind(static_cast<std::int64_t>(kNamesPerSlice));
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return memory.items < stored.job.total;
    const auto item = static_cast<std::uint64_t>(row.integer(0));
    if (row.is_null(3)) memory.urls.insert(url_key(row.view(1), optional_number(row, 4)), item);
    const auto name = without_fan_out(row.view(2), item);
    if (!is_unique_by_itself(name)) remember_name(memory, name);
    memory.items = item;
  }
}

Result<std::size_t> Writer::append_rows(const JobId& id, const std::vector<std::string>& columns,
                                        const std::vector<NewRow>& rows, std::size_t from) {
  PIXMILL_RETURN_IF_ERROR(check_chunk(rows));
  auto next = transact(Durability::kProgress, [&] { return append_now(id, columns, rows, from); });
  if (!next) {
    // What was remembered of rows that were rolled back must be forgotten with them.
    const auto job_no = job_number(database_, id);
    if (job_no) memories_.erase(*job_no);
    if (!job_no && job_no.error().code != ErrorCode::kNotFound) memories_.clear();
  }
  return next;
}

Result<std::size_t> Writer::append_now(const JobId& id, const std::vector<std::string>& columns,
                                       const std::vector<NewRow>& rows, std::size_t from) {
  PIXMILL_TRY(const auto stored, ingesting_job(id));
  auto& memory = memory_of(stored.job_no);
  if (memory.items < stored.job.total) return from;  // pushed out by other jobs since remember_names()
  if (stored.job.rows == 0 && !columns.empty()) {
    PIXMILL_TRY([[maybe_unused]] const auto set,
                run(database_.prepare(kSetColumns).bind(stored.job_no).bind(to_json(columns))));
  }
  PIXMILL_RETURN_IF_ERROR(remember_recipes(stored.job_no, memory));
  auto last_row = stored.job.rows;
  std::int64_t invalid = 0;
  std::size_t at = from;
  for (; at < rows.size() && memory.items - stored.job.total < kItemsPerTransactionMax; ++at) {
    const auto& row = rows[at];
    if (row.row <= last_row) continue;
    if (row.row != last_row + 1) return fail(ErrorCode::kInvalidArgument, "A row is missing before this chunk.");
    if (memory.items + row.items.size() > options_.items_per_job_max) {
      return std::unexpected(too_many_images(options_.items_per_job_max));
    }
    PIXMILL_RETURN_IF_ERROR(insert_row(stored.job_no, memory, row));
    last_row = row.row;
    if (!row.problem.empty()) ++invalid;
  }
  PIXMILL_TRY([[maybe_unused]] const auto counted,
              run(database_.prepare(kCountRows)
                      .bind(stored.job_no)
                      .bind(static_cast<std::int64_t>(last_row))
                      .bind(invalid)
                      .bind(static_cast<std::int64_t>(memory.items - stored.job.total))
                      .bind(std::ssize(*memory.recipes))));
  return at;
}

Result<void> Writer::insert_row(std::int64_t job_no, IngestMemory& memory, const NewRow& row) {
  PIXMILL_TRY([[maybe_unused]] const auto inserted, run(database_.prepare(kInsertRow)
                                                            .bind(job_no)
                                                            .bind(static_cast<std::int64_t>(row.row))
                                                            .bind(to_json(row.cells))
                                                            .bind(row.problem)
                                                            .bind(static_cast<std::int64_t>(memory.items + 1))
                                                            .bind(static_cast<std::int64_t>(row.items.size()))));
  PIXMILL_TRY(const auto recipe, recipe_number(job_no, memory, row));
  for (const auto& item : row.items) PIXMILL_RETURN_IF_ERROR(insert_item(job_no, memory, row, item, recipe));
  return {};
}

Result<void> Writer::remember_recipes(std::int64_t job_no, IngestMemory& memory) {
  if (memory.recipes) return {};
  std::map<std::uint64_t, std::int64_t> recipes;
  auto& row = database_.prepare(kRecipesOfJob).bind(job_no);
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) break;
    const RecipeChoice recipe{.text = row.text(1), .name = row.text(2)};
    memory.recipe_bytes += recipe.text.size();
    recipes.emplace(recipe_key(recipe), row.integer(0));
  }
  memory.recipes = std::move(recipes);
  return {};
}

Result<std::optional<std::int64_t>> Writer::recipe_number(std::int64_t job_no, IngestMemory& memory,
                                                          const NewRow& row) {
  if (!row.recipe || row.items.empty()) return std::nullopt;
  auto& recipes = *memory.recipes;
  const auto [entry, is_new] = recipes.try_emplace(recipe_key(*row.recipe), std::ssize(recipes) + 1);
  if (!is_new) return entry->second;
  memory.recipe_bytes += row.recipe->text.size();
  if (recipes.size() > options_.recipes_per_job_max || memory.recipe_bytes > kRecipeBytesPerJobMax) {
    return std::unexpected(too_many_recipes(options_.recipes_per_job_max));
  }
  auto& statement = database_.prepare(kInsertRecipe).bind(job_no).bind(entry->second);
  PIXMILL_TRY([[maybe_unused]] const auto inserted, run(statement.bind(row.recipe->text).bind(row.recipe->name)));
  return entry->second;
}

Result<void> Writer::insert_item(std::int64_t job_no, IngestMemory& memory, const NewRow& row, const NewItem& item,
                                 std::optional<std::int64_t> recipe) {
  const auto number = memory.items + 1;
  const auto key = url_key(item.url, recipe);
  std::optional<std::int64_t> same_as;
  std::optional<std::int64_t> not_before = 0;
  if (const auto earlier = memory.urls.find(key)) {
    auto& original = database_.prepare(kSameUrl).bind(job_no).bind(static_cast<std::int64_t>(*earlier));
    PIXMILL_TRY(const bool found, step(original));
    if (found && original.view(0) == item.url && optional_number(original, 2) == recipe) {
      same_as = static_cast<std::int64_t>(*earlier);
      const auto state = parse_item_state(original.view(1));
      if (state && !is_terminal(*state)) not_before.reset();
    }
    original.reset();
  } else {
    memory.urls.insert(key, number);
  }
  const auto stem = storage::fan_out("", number, unique_name(memory, item.output_stem, number));
  PIXMILL_TRY([[maybe_unused]] const auto inserted, run(database_.prepare(kInsertItem)
                                                            .bind(job_no)
                                                            .bind(static_cast<std::int64_t>(number))
                                                            .bind(static_cast<std::int64_t>(row.row))
                                                            .bind(std::int64_t{item.index})
                                                            .bind(item.url)
                                                            .bind(stem)
                                                            .bind(same_as)
                                                            .bind(not_before)
                                                            .bind(recipe)));
  memory.items = number;
  return {};
}

Result<void> Writer::finish_ingest(const JobId& id) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto stored, ingesting_job(id));
    PIXMILL_TRY([[maybe_unused]] const auto set,
                run(database_.prepare(kSetState).bind(stored.job_no).bind(to_text(JobState::kRunning))));
    memories_.erase(stored.job_no);
    Finished finished;
    return end_if_done(stored.job_no, finished);
  });
}

// Pictures of the readable part may be under way: the job goes through `cancelling`, and ends as rejected because it
// carries an error.
Result<void> Writer::reject_job(const JobId& id, const Error& why) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto stored, ingesting_job(id));
    PIXMILL_TRY([[maybe_unused]] const auto noted, run(database_.prepare(kNoteRejection)
                                                           .bind(stored.job_no)
                                                           .bind(code_text(why))
                                                           .bind(bounded(why.message, kErrorMessageBytesMax))));
    memories_.erase(stored.job_no);
    PIXMILL_TRY([[maybe_unused]] const auto cancelled, cancel_pending(stored.job_no));
    Finished finished;
    return end_if_done(stored.job_no, finished);
  });
}

}  // namespace pixmill::jobs::sqlite
