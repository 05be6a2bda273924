// A job comes in.
#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "jobs/postgres_internal.h"

namespace pixmill::jobs::postgres {

namespace {

std::int64_t number(std::uint64_t value) { return static_cast<std::int64_t>(value); }

constexpr std::int64_t kAtOnce = 0;  // not_before of an item that waits for nothing

std::unexpected<Error> read_again() {
  return fail(
      ErrorCode::kUnavailable,
      "The database lost its last moments in a crash, or another process reads the same table; it is read again.");
}

}  // namespace

Result<void> Writer::create_job(const NewJob& job) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    std::optional<std::string> sealed;
    if (!job.headers.empty()) sealed = seal_headers(options_.master_key, job.id, job.headers);
    Params params;
    params.add(job.id.text()).add(to_text(job.origin)).add(std::int64_t{job.priority}).add(job.name).add(job.recipe);
    params.add(job.webhook_url).add_bytes(sealed).add(job.name_template).add(job.blob_prefix).add(job.source_path);
    params.add(job.source_digest).add(job.url_column).add(job.invalid_rows == InvalidRows::kSkip ? "skip" : "reject");
    params.add(now_ms()).add(job.recipe_name).add(std::int64_t{job.overrides}).add(options_.server);
    params.add(job.since ? job.since->text() : std::string()).add(job.since_folder).add(job.since_files);
    params.add(job.results_at);
    params.add(job.keep ? std::optional(std::int64_t{job.keep->count()}) : std::nullopt);
    PIXMILL_TRY(const auto inserted, session_.query(kInsertJob, params));
    if (inserted.empty()) return fail(ErrorCode::kConflict, "A job with this id exists.");
    std::vector<std::string> written;
    std::vector<std::string> recipes;
    std::vector<std::string> names;
    for (const auto& named : job.row_names) {
      written.push_back(named.written);
      recipes.push_back(named.recipe.text);
      names.push_back(named.recipe.name);
    }
    PIXMILL_TRY(
        [[maybe_unused]] const auto begun,
        run(session_, kInsertIngest,
            Params().add(inserted[0].integer(0)).add(now_ms() + job.ingest_lease.count()).add(options_.server)));
    PIXMILL_RETURN_IF_ERROR(note_marks(inserted[0].integer(0), {job.recipe}));
    if (job.row_names.empty()) return {};
    PIXMILL_RETURN_IF_ERROR(note_marks(inserted[0].integer(0), recipes));
    PIXMILL_TRY(
        [[maybe_unused]] const auto named,
        run(session_, kInsertRowNames, Params().add(inserted[0].integer(0)).add(written).add(recipes).add(names)));
    return {};
  });
}

Result<void> Writer::note_marks(std::int64_t job_no, const std::vector<std::string>& recipes) {
  std::vector<std::string> digests;
  for (const auto& recipe : recipes) {
    for (auto& digest : uploads_named_in(recipe)) digests.push_back(std::move(digest));
  }
  if (digests.empty()) return {};
  std::ranges::sort(digests);
  digests.erase(std::ranges::unique(digests).begin(), digests.end());
  PIXMILL_TRY([[maybe_unused]] const auto noted, run(session_, kInsertMarkUses, Params().add(job_no).add(digests)));
  return {};
}

Result<StoredJob> Writer::ingesting_job(const JobId& id, Lock lock) {
  PIXMILL_TRY(auto stored, load_job(session_, id, lock));
  if (auto ingesting = check_ingesting(stored.job); !ingesting) {
    rows_told_.erase(stored.job_no);
    return std::unexpected(std::move(ingesting).error());
  }
  const auto told = rows_told_.find(stored.job_no);
  if (told == rows_told_.end() || told->second <= stored.job.rows) return stored;
  rows_told_.erase(told);
  memories_.forget(stored.job_no);
  return read_again();
}

Result<bool> Writer::remember_names(const IngestLease& lease) {
  const JobId& id = lease.job;
  // As append_rows left it; should that have been taken back, append_rows finds out.
  if (appending_ && appending_->job == id && memories_.of(appending_->job_no).items == appending_->items) return false;
  return session_.snapshot([&]() -> Result<bool> {
    PIXMILL_TRY(const auto stored, ingesting_job(id, Lock::kNone));
    auto& memory = memories_.of(stored.job_no);
    PIXMILL_TRY(const bool more_of_earlier, remember_earlier(stored, memory));
    if (more_of_earlier) return true;
    if (memory.items >= stored.job.total) return false;
    PIXMILL_TRY(
        const auto rows,
        session_.query(kNamesAfter, Params().add(stored.job_no).add(number(memory.items)).add(number(kNamesPerSlice))));
    for (int i = 0; i < rows.size(); ++i) {
      const auto row = rows[i];
      const auto item = natural(row, 0);
      if (row.is_null(3)) memory.urls.insert(url_key(row.view(1), optional_integer<std::int64_t>(row, 4)), item);
      if (!row.is_null(5) && memory.since) memory.since->name(row.view(1));
      remember_item(memory, item, row.view(2));
    }
    return memory.items < stored.job.total;
  });
}

Result<std::size_t> Writer::append_rows(const IngestLease& lease, const std::vector<std::string>& columns,
                                        const std::vector<NewRow>& rows, std::size_t from) {
  PIXMILL_RETURN_IF_ERROR(check_chunk(rows));
  Appended appended;
  const auto append = [&]() -> Result<void> {
    PIXMILL_TRY(appended, append_now(lease, columns, rows, from));
    return {};
  };
  if (auto done = transact(Durability::kProgress, append); !done) {
    // What was remembered of rows that were rolled back must be forgotten with them.
    memories_.clear();
    appending_.reset();
    return std::unexpected(std::move(done).error());
  }
  if (appended.next > from) rows_told_[appended.job_no] = appended.last_row;
  appending_ = {.job = lease.job, .job_no = appended.job_no, .items = appended.items};
  return appended.next;
}

// The job's row is not locked until the end, so that its pictures can be worked on meanwhile; whether it still takes
// rows is asked again there.
Result<Writer::Appended> Writer::append_now(const IngestLease& lease, const std::vector<std::string>& columns,
                                            const std::vector<NewRow>& rows, std::size_t from) {
  PIXMILL_RETURN_IF_ERROR(hold_ingest(lease));
  PIXMILL_TRY(const auto stored, ingesting_job(lease.job, Lock::kNone));
  Appended appended{.job_no = stored.job_no, .next = from, .last_row = stored.job.rows, .items = stored.job.total};
  auto& memory = memories_.of(stored.job_no);
  if (memory.items != stored.job.total || !remembers_all(memory, stored.job)) {
    // Pushed out by other jobs since remember_names(), or of a transaction that was rolled back.
    if (memory.items > stored.job.total) memories_.forget(stored.job_no);
    return appended;
  }
  PIXMILL_RETURN_IF_ERROR(remember_recipes(stored.job_no, memory));
  Chunk chunk;
  chunk.last_row = stored.job.rows;
  if (stored.job.rows == 0 && !columns.empty()) chunk.columns = to_json(columns);
  std::size_t at = from;
  for (; at < rows.size() && memory.items - stored.job.total < kItemsPerTransactionMax; ++at) {
    const auto& row = rows[at];
    if (row.row <= chunk.last_row) continue;
    if (row.row != chunk.last_row + 1) {
      return fail(ErrorCode::kInvalidArgument, "A row is missing before this chunk.");
    }
    if (memory.items + row.items.size() > options_.items_per_job_max) {
      return std::unexpected(too_many_images(options_.items_per_job_max));
    }
    PIXMILL_RETURN_IF_ERROR(add_row(chunk, memory, stored.job, row));
  }
  PIXMILL_RETURN_IF_ERROR(match_leaders(stored.job_no, chunk));
  PIXMILL_RETURN_IF_ERROR(match_earlier(stored, chunk, memory));
  PIXMILL_RETURN_IF_ERROR(insert_chunk(stored, chunk));
  const auto items = std::ssize(chunk.item);
  PIXMILL_TRY(const auto counted, run(session_, kCountRows,
                                      Params()
                                          .add(stored.job_no)
                                          .add(number(chunk.last_row))
                                          .add(chunk.invalid)
                                          .add(items)
                                          .add(static_cast<std::int64_t>(memory.recipes->size()))
                                          .add(chunk.columns)
                                          .add(number(stored.job.rows))));
  if (counted == 0) {
    PIXMILL_TRY([[maybe_unused]] const auto now, ingesting_job(lease.job, Lock::kNone));
    return read_again();
  }
  appended.next = at;
  appended.items = memory.items;
  appended.last_row = chunk.last_row;
  return appended;
}

Result<void> Writer::remember_recipes(std::int64_t job_no, IngestMemory& memory) {
  if (memory.recipes) return {};
  std::map<std::uint64_t, std::int64_t> recipes;
  memory.recipe_bytes = 0;
  PIXMILL_TRY(const auto rows, session_.query(kRecipesOfJob, Params().add(job_no)));
  for (int i = 0; i < rows.size(); ++i) {
    const RecipeChoice recipe{.text = rows[i].text(1), .name = rows[i].text(2)};
    memory.recipe_bytes += recipe.text.size();
    recipes.emplace(recipe_key(recipe), rows[i].integer(0));
  }
  memory.recipes = std::move(recipes);
  return {};
}

Result<void> Writer::add_row(Chunk& chunk, IngestMemory& memory, const Job& job, const NewRow& row) const {
  chunk.row_no.push_back(number(row.row));
  chunk.cells.push_back(to_json(row.cells));
  chunk.problems.push_back(row.problem);
  chunk.first_item.push_back(number(memory.items + 1));
  chunk.item_count.push_back(std::ssize(row.items));
  chunk.last_row = row.row;
  if (!row.problem.empty()) ++chunk.invalid;
  PIXMILL_TRY(const auto recipe, recipe_number(chunk, memory, row));
  for (const auto& item : row.items) {
    const auto this_item = ++memory.items;
    const auto key = url_key(item.url, recipe);
    const auto earlier = memory.urls.find(key);
    if (!earlier) memory.urls.insert(key, this_item);
    chunk.item.push_back(number(this_item));
    chunk.item_row.push_back(number(row.row));
    chunk.position.push_back(std::int64_t{item.index});
    chunk.urls.push_back(item.url);
    chunk.stems.push_back(take_name(memory, item.output_stem, this_item));
    chunk.same_as.push_back(earlier ? std::optional(number(*earlier)) : std::nullopt);
    chunk.not_before.emplace_back(kAtOnce);
    chunk.recipe_no.push_back(recipe);
    chunk.since_item.emplace_back();
    if (job.since) chunk.recipes.push_back(row.recipe ? row.recipe->text : job.recipe);
  }
  return {};
}

// The number of the row's own recipe, written down if it is new.
Result<std::optional<std::int64_t>> Writer::recipe_number(Chunk& chunk, IngestMemory& memory, const NewRow& row) const {
  if (!row.recipe || row.items.empty()) return std::nullopt;
  auto& recipes = *memory.recipes;
  const auto [entry, is_new] = recipes.try_emplace(recipe_key(*row.recipe), std::ssize(recipes) + 1);
  if (!is_new) return entry->second;
  memory.recipe_bytes += row.recipe->text.size();
  if (recipes.size() > options_.recipes_per_job_max || memory.recipe_bytes > kRecipeBytesPerJobMax) {
    return std::unexpected(too_many_recipes(options_.recipes_per_job_max));
  }
  chunk.new_recipe_no.push_back(entry->second);
  chunk.new_recipes.push_back(row.recipe->text);
  chunk.new_recipe_names.push_back(row.recipe->name);
  return entry->second;
}

// same_as holds whose address has the same key: now it is compared, and whether that item is still to end.
Result<void> Writer::match_leaders(std::int64_t job_no, Chunk& chunk) {
  struct Leader {
    std::string url;
    std::optional<std::int64_t> recipe_no;
    bool is_over = false;
  };
  const auto first = chunk.item.empty() ? 0 : chunk.item.front();
  std::vector<std::int64_t> earlier;
  for (const auto& same_as : chunk.same_as) {
    if (same_as && *same_as < first) earlier.push_back(*same_as);
  }
  std::ranges::sort(earlier);
  earlier.erase(std::ranges::unique(earlier).begin(), earlier.end());
  std::map<std::int64_t, Leader> leaders;
  if (!earlier.empty()) {
    PIXMILL_TRY(const auto rows, session_.query(kLeaders, Params().add(job_no).add(earlier)));
    for (int i = 0; i < rows.size(); ++i) {
      const auto state = parse_item_state(rows[i].view(2));
      leaders[rows[i].integer(0)] = {.url = rows[i].text(1),
                                     .recipe_no = optional_integer<std::int64_t>(rows[i], 3),
                                     .is_over = state && is_terminal(*state)};
    }
  }
  for (std::size_t i = 0; i < chunk.item.size(); ++i) {
    auto& same_as = chunk.same_as[i];
    if (!same_as) continue;
    Leader leader;
    if (*same_as >= first) {
      const auto at = static_cast<std::size_t>(*same_as - first);
      leader = {.url = chunk.urls[at], .recipe_no = chunk.recipe_no[at]};
    } else {
      leader = leaders[*same_as];
    }
    if (leader.url != chunk.urls[i] || leader.recipe_no != chunk.recipe_no[i]) {
      same_as.reset();
    } else if (!leader.is_over) {
      chunk.not_before[i].reset();
    }
  }
  return {};
}

Result<void> Writer::insert_chunk(const StoredJob& stored, const Chunk& chunk) {
  const auto job_no = stored.job_no;
  if (!chunk.new_recipe_no.empty()) {
    PIXMILL_TRY([[maybe_unused]] const auto recipes,
                run(session_, kInsertRecipes,
                    Params().add(job_no).add(chunk.new_recipe_no).add(chunk.new_recipes).add(chunk.new_recipe_names)));
    PIXMILL_RETURN_IF_ERROR(note_marks(job_no, chunk.new_recipes));
  }
  if (!chunk.row_no.empty()) {
    PIXMILL_TRY([[maybe_unused]] const auto rows, run(session_, kInsertRows,
                                                      Params()
                                                          .add(job_no)
                                                          .add(chunk.row_no)
                                                          .add(chunk.cells)
                                                          .add(chunk.problems)
                                                          .add(chunk.first_item)
                                                          .add(chunk.item_count)));
  }
  if (chunk.item.empty()) return {};
  Params items;
  items.add(job_no).add(chunk.item).add(chunk.item_row).add(chunk.position).add(chunk.urls).add(chunk.stems);
  items.add(chunk.same_as).add(chunk.not_before).add(chunk.recipe_no).add(chunk.since_item);
  PIXMILL_TRY([[maybe_unused]] const auto inserted, run(session_, kInsertItems, items));
  return {};
}

// The job, locked, whose note is gone: its table is not read any more.
Result<StoredJob> Writer::ingest_to_end(const IngestLease& lease) {
  PIXMILL_RETURN_IF_ERROR(hold_ingest(lease));
  PIXMILL_TRY(auto stored, ingesting_job(lease.job, Lock::kForUpdate));
  PIXMILL_TRY([[maybe_unused]] const auto forgotten, run(session_, kForgetIngest, Params().add(stored.job_no)));
  return stored;
}

Result<void> Writer::hold_ingest(const IngestLease& lease) {
  PIXMILL_TRY(const auto job_no, job_number(session_, lease.job));
  PIXMILL_TRY(const auto note, session_.query(kLockIngest, Params().add(job_no)));
  // Without a note the job takes no more rows, as its state says better.
  if (note.empty() || note[0].integer(0) == lease.token) return {};
  rows_told_.erase(job_no);
  return read_by_another();
}

Result<std::vector<TakenIngest>> Writer::claim_ingests(std::uint32_t limit, milliseconds lease) {
  // Durable: a token that a crash of the server takes back would be given out twice.
  return transact(Durability::kDurable, [&]() -> Result<std::vector<TakenIngest>> {
    const auto now = now_ms();
    Params idle_now;
    idle_now.add(now).add(now + kStrandedAfter.count()).add(options_.server).add(std::int64_t{limit});
    PIXMILL_TRY(const auto idle, numbers(session_, kIdleIngests, idle_now));
    std::vector<TakenIngest> taken;
    for (const auto job_no : idle) {
      PIXMILL_TRY(const auto leased,
                  session_.query(kLeaseIngest, Params().add(job_no).add(now + lease.count()).add(options_.server)));
      PIXMILL_TRY(auto stored, load_job(session_, job_no));
      const JobId id = stored.job.id;
      taken.push_back({.job = std::move(stored.job), .lease = {id, leased[0].integer(0)}});
    }
    return taken;
  });
}

Result<std::vector<IngestLease>> Writer::renew_ingests(const std::vector<IngestLease>& leases, milliseconds lease) {
  std::vector<std::string> jobs;
  std::vector<std::int64_t> tokens;
  for (const auto& held : leases) {
    jobs.push_back(held.job.text());
    tokens.push_back(held.token);
  }
  return transact(Durability::kProgress, [&]() -> Result<std::vector<IngestLease>> {
    PIXMILL_TRY(const auto rows,
                session_.query(kRenewIngests, Params().add(jobs).add(tokens).add(now_ms() + lease.count())));
    std::set<std::pair<std::string, std::int64_t>> held;
    for (int i = 0; i < rows.size(); ++i) held.emplace(rows[i].text(0), rows[i].integer(1));
    std::vector<IngestLease> lost;
    std::ranges::copy_if(leases, std::back_inserter(lost), [&](const IngestLease& one) {
      return !held.contains({one.job.text(), one.token});
    });
    return lost;
  });
}

Result<void> Writer::finish_ingest(const IngestLease& lease) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto stored, ingest_to_end(lease));
    if (stored.job.state == JobState::kIngesting) {
      PIXMILL_TRY([[maybe_unused]] const auto set,
                  run(session_, kSetState, Params().add(stored.job_no).add(to_text(JobState::kRunning))));
    }
    memories_.forget(stored.job_no);
    rows_told_.erase(stored.job_no);
    Finished finished;
    return end_if_done(stored.job_no, finished);
  });
}

// Pictures of the readable part may be under way: the job goes through `cancelling`, and ends as rejected because it
// carries an error.
Result<void> Writer::reject_job(const IngestLease& lease, const Error& why) {
  return transact(Durability::kDurable, [&]() -> Result<void> {
    PIXMILL_TRY(const auto stored, ingest_to_end(lease));
    PIXMILL_TRY([[maybe_unused]] const auto noted,
                run(session_, kNoteRejection,
                    Params().add(stored.job_no).add(code_text(why)).add(bounded(why.message, kErrorMessageBytesMax))));
    memories_.forget(stored.job_no);
    rows_told_.erase(stored.job_no);
    Finished finished;
    PIXMILL_TRY([[maybe_unused]] const auto cancelled, cancel_pending(stored.job_no, finished));
    return {};
  });
}

}  // namespace pixmill::jobs::postgres
