// A job comes in.
#include "jobs/sqlite_internal.h"

namespace pixmill::jobs::sqlite {

Result<void> Writer::create_job(const NewJob& job) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    auto& existing = database_.prepare(kIsTaken).bind(job.id.text());
    PIXMILL_TRY(const bool is_taken, step(existing));
    existing.reset();
    if (is_taken) return fail(ErrorCode::kConflict, "A job with this id exists.");
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
    statement.bind(job.since ? job.since->text() : std::string()).bind(job.since_folder).bind(job.since_files);
    statement.bind(job.results_at);
    statement.bind(job.keep ? std::optional(std::int64_t{job.keep->count()}) : std::nullopt);
    PIXMILL_TRY([[maybe_unused]] const auto changed, run(statement));
    PIXMILL_TRY(const auto job_no, job_number(database_, job.id));
    PIXMILL_TRY([[maybe_unused]] const auto begun,
                run(database_.prepare(kInsertIngest).bind(job_no).bind(now_ms() + job.ingest_lease.count()).bind("")));
    PIXMILL_RETURN_IF_ERROR(note_marks(job_no, job.recipe));
    for (const auto& [written, recipe] : job.row_names) {
      PIXMILL_RETURN_IF_ERROR(note_marks(job_no, recipe.text));
      auto& name = database_.prepare(kInsertRowName).bind(job_no).bind(written).bind(recipe.text).bind(recipe.name);
      PIXMILL_TRY([[maybe_unused]] const auto inserted, run(name));
    }
    return {};
  });
}

Result<void> Writer::note_marks(std::int64_t job_no, std::string_view recipe) {
  for (const auto& digest : uploads_named_in(recipe)) {
    PIXMILL_TRY([[maybe_unused]] const auto noted, run(database_.prepare(kInsertMarkUse).bind(digest).bind(job_no)));
  }
  return {};
}

Result<StoredJob> Writer::ingesting_job(const IngestLease& lease) {
  PIXMILL_TRY(auto stored, load_job(database_, lease.job));
  PIXMILL_RETURN_IF_ERROR(check_ingesting(stored.job));
  auto& held = database_.prepare(kIngestToken).bind(stored.job_no);
  PIXMILL_TRY([[maybe_unused]] const bool found, step(held));
  const auto token = held.integer(0);
  held.reset();
  if (token != lease.token) return read_by_another();
  return stored;
}

Result<bool> Writer::remember_names(const IngestLease& lease) {
  PIXMILL_TRY(const auto stored, ingesting_job(lease));
  auto& memory = memories_.of(stored.job_no);
  PIXMILL_TRY(const bool more_of_earlier, remember_earlier(stored, memory));
  if (more_of_earlier) return true;
  if (memory.items >= stored.job.total) return false;
  auto& row = database_.prepare(kNamesAfter)
                  .bind(stored.job_no)
                  .bind(static_cast<std::int64_t>(memory.items))
                  .bind(static_cast<std::int64_t>(kNamesPerSlice));
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return memory.items < stored.job.total;
    const auto item = static_cast<std::uint64_t>(row.integer(0));
    if (row.is_null(3)) memory.urls.insert(url_key(row.view(1), optional_integer<std::int64_t>(row, 4)), item);
    if (!row.is_null(5) && memory.since) memory.since->name(row.view(1));
    remember_item(memory, item, row.view(2));
  }
}

Result<std::size_t> Writer::append_rows(const IngestLease& lease, const std::vector<std::string>& columns,
                                        const std::vector<NewRow>& rows, std::size_t from) {
  PIXMILL_RETURN_IF_ERROR(check_chunk(rows));
  auto next = transact(Durability::kProgress, [&] { return append_now(lease, columns, rows, from); });
  if (!next) {
    // What was remembered of rows that were rolled back must be forgotten with them.
    const auto job_no = job_number(database_, lease.job);
    if (job_no) memories_.forget(*job_no);
    if (!job_no && job_no.error().code != ErrorCode::kNotFound) memories_.clear();
  }
  return next;
}

Result<std::size_t> Writer::append_now(const IngestLease& lease, const std::vector<std::string>& columns,
                                       const std::vector<NewRow>& rows, std::size_t from) {
  PIXMILL_TRY(const auto stored, ingesting_job(lease));
  auto& memory = memories_.of(stored.job_no);
  if (!remembers_all(memory, stored.job)) return from;  // pushed out by other jobs since remember_names()
  PIXMILL_TRY(auto earlier, earlier_job(stored.job));
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
    PIXMILL_RETURN_IF_ERROR(insert_row(stored, memory, row, earlier ? &*earlier : nullptr));
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

Result<void> Writer::insert_row(const StoredJob& stored, IngestMemory& memory, const NewRow& row, EarlierJob* earlier) {
  const auto job_no = stored.job_no;
  PIXMILL_TRY([[maybe_unused]] const auto inserted, run(database_.prepare(kInsertRow)
                                                            .bind(job_no)
                                                            .bind(static_cast<std::int64_t>(row.row))
                                                            .bind(to_json(row.cells))
                                                            .bind(row.problem)
                                                            .bind(static_cast<std::int64_t>(memory.items + 1))
                                                            .bind(static_cast<std::int64_t>(row.items.size()))));
  PIXMILL_TRY(const auto recipe, recipe_number(job_no, memory, row));
  for (const auto& item : row.items) {
    std::optional<std::int64_t> since_item;
    if (earlier != nullptr) {
      PIXMILL_TRY(since_item,
                  match_earlier(*earlier, memory, item.url, row.recipe ? row.recipe->text : stored.job.recipe));
    }
    PIXMILL_RETURN_IF_ERROR(insert_item(job_no, memory, row, item, recipe, since_item));
  }
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
  PIXMILL_RETURN_IF_ERROR(note_marks(job_no, row.recipe->text));
  return entry->second;
}

Result<void> Writer::insert_item(std::int64_t job_no, IngestMemory& memory, const NewRow& row, const NewItem& item,
                                 std::optional<std::int64_t> recipe, std::optional<std::int64_t> since_item) {
  const auto number = memory.items + 1;
  const auto key = url_key(item.url, recipe);
  std::optional<std::int64_t> same_as;
  std::optional<std::int64_t> not_before = 0;
  if (const auto earlier = memory.urls.find(key)) {
    auto& original = database_.prepare(kSameUrl).bind(job_no).bind(static_cast<std::int64_t>(*earlier));
    PIXMILL_TRY(const bool found, step(original));
    if (found && original.view(0) == item.url && optional_integer<std::int64_t>(original, 2) == recipe) {
      same_as = static_cast<std::int64_t>(*earlier);
      const auto state = parse_item_state(original.view(1));
      if (state && !is_terminal(*state)) not_before.reset();
    }
    original.reset();
  } else {
    memory.urls.insert(key, number);
  }
  const auto stem = take_name(memory, item.output_stem, number);
  PIXMILL_TRY([[maybe_unused]] const auto inserted, run(database_.prepare(kInsertItem)
                                                            .bind(job_no)
                                                            .bind(static_cast<std::int64_t>(number))
                                                            .bind(static_cast<std::int64_t>(row.row))
                                                            .bind(std::int64_t{item.index})
                                                            .bind(item.url)
                                                            .bind(stem)
                                                            .bind(same_as)
                                                            .bind(not_before)
                                                            .bind(recipe)
                                                            .bind(since_item)));
  memory.items = number;
  return {};
}

Result<std::vector<TakenIngest>> Writer::claim_ingests(std::uint32_t limit, milliseconds lease) {
  return transact(Durability::kProgress, [&]() -> Result<std::vector<TakenIngest>> {
    const auto now = now_ms();
    std::vector<std::int64_t> idle;
    PIXMILL_TRY([[maybe_unused]] const auto stranded,
                run(database_.prepare(kStrandedIngests).bind(now + kStrandedAfter.count())));
    auto& row = database_.prepare(kIdleIngests).bind(now).bind(std::int64_t{limit});
    while (true) {
      PIXMILL_TRY(const bool found, step(row));
      if (!found) break;
      idle.push_back(row.integer(0));
    }
    std::vector<TakenIngest> taken;
    for (const auto job_no : idle) {
      auto& leased = database_.prepare(kLeaseIngest).bind(job_no).bind(now + lease.count());
      PIXMILL_TRY([[maybe_unused]] const bool found, step(leased));
      const auto token = leased.integer(0);
      leased.reset();
      PIXMILL_TRY(auto stored, load_job(database_, job_no));
      const JobId id = stored.job.id;
      taken.push_back({.job = std::move(stored.job), .lease = {id, token}});
    }
    return taken;
  });
}

Result<std::vector<IngestLease>> Writer::renew_ingests(const std::vector<IngestLease>& leases, milliseconds lease) {
  return transact(Durability::kProgress, [&]() -> Result<std::vector<IngestLease>> {
    std::vector<IngestLease> lost;
    for (const auto& held : leases) {
      PIXMILL_TRY(
          const auto renewed,
          run(database_.prepare(kRenewIngest).bind(held.job.text()).bind(held.token).bind(now_ms() + lease.count())));
      if (renewed == 0) lost.push_back(held);
    }
    return lost;
  });
}

Result<void> Writer::finish_ingest(const IngestLease& lease) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto stored, ingesting_job(lease));
    if (stored.job.state == JobState::kIngesting) {
      PIXMILL_TRY([[maybe_unused]] const auto set,
                  run(database_.prepare(kSetState).bind(stored.job_no).bind(to_text(JobState::kRunning))));
    }
    PIXMILL_RETURN_IF_ERROR(forget_ingest(stored.job_no));
    Finished finished;
    return end_if_done(stored.job_no, finished);
  });
}

// Pictures of the readable part may be under way: the job goes through `cancelling`, and ends as rejected because it
// carries an error.
Result<void> Writer::reject_job(const IngestLease& lease, const Error& why) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto stored, ingesting_job(lease));
    PIXMILL_TRY([[maybe_unused]] const auto noted, run(database_.prepare(kNoteRejection)
                                                           .bind(stored.job_no)
                                                           .bind(code_text(why))
                                                           .bind(bounded(why.message, kErrorMessageBytesMax))));
    PIXMILL_RETURN_IF_ERROR(forget_ingest(stored.job_no));
    PIXMILL_TRY([[maybe_unused]] const auto cancelled, cancel_pending(stored.job_no));
    Finished finished;
    return end_if_done(stored.job_no, finished);
  });
}

}  // namespace pixmill::jobs::sqlite
