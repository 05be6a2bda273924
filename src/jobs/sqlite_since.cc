// A job is compared with an earlier one, which may be in another folder's database.
#include "base/log.h"
#include "jobs/sqlite_internal.h"

namespace pixmill::jobs::sqlite {

namespace {

constexpr std::size_t kEarlierDatabasesMax = 4;
constexpr std::string_view kDatabaseName = "/.pixmill.db";

}  // namespace

db::Database* Writer::earlier_database(const std::string& folder) {
  if (folder.empty()) return &database_;
  if (const auto found = earlier_.find(folder); found != earlier_.end()) return found->second.get();
  auto opened = open_to_read(folder + std::string(kDatabaseName));
  if (!opened) {
    log::warning("earlier_job_away", {{"folder", folder}, {"message", opened.error().message}});
    return nullptr;
  }
  if (earlier_.size() >= kEarlierDatabasesMax) earlier_.clear();
  return earlier_.emplace(folder, std::make_unique<db::Database>(std::move(*opened))).first->second.get();
}

Result<std::optional<Writer::EarlierJob>> Writer::earlier_job(const Job& job) {
  if (!job.since) return std::nullopt;
  auto* const database = earlier_database(job.since_folder);
  if (database == nullptr) return std::nullopt;
  auto stored = load_job(*database, *job.since);
  if (!stored && stored.error().code == ErrorCode::kNotFound) return std::nullopt;
  if (!stored) return std::unexpected(std::move(stored).error());
  return EarlierJob{.database = *database, .stored = std::move(*stored)};
}

Result<bool> Writer::remember_earlier(const StoredJob& stored, IngestMemory& memory) {
  if (!stored.job.since || (memory.since && memory.since->is_complete())) return false;
  PIXMILL_TRY(auto earlier, earlier_job(stored.job));
  if (!earlier) {
    memory.since.emplace("", std::map<std::int64_t, std::string>());
    memory.since->complete();
    return false;
  }
  if (!memory.since) {
    std::map<std::int64_t, std::string> recipes;
    auto& row = earlier->database.prepare(kRecipesOfJob).bind(earlier->stored.job_no);
    while (true) {
      PIXMILL_TRY(const bool found, step(row));
      if (!found) break;
      recipes.emplace(row.integer(0), row.text(1));
    }
    memory.since.emplace(earlier->stored.job.recipe, std::move(recipes));
  }
  auto& row = earlier->database.prepare(kEarlierAfter)
                  .bind(earlier->stored.job_no)
                  .bind(static_cast<std::int64_t>(memory.since->items()))
                  .bind(static_cast<std::int64_t>(kNamesPerSlice));
  std::uint64_t count = 0;
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) break;
    ++count;
    memory.since->remember({.item = natural(row, 0),
                            .url = row.view(1),
                            .recipe_no = optional_integer<std::int64_t>(row, 2),
                            .has_result = row.integer(3) != 0});
  }
  if (count < kNamesPerSlice) memory.since->complete();
  return count == kNamesPerSlice;
}

Result<bool> Writer::earlier_has_url(EarlierJob& earlier, std::uint64_t item, const std::string& url) {
  if (item == 0) return false;
  auto& row = earlier.database.prepare(kEarlierItem).bind(earlier.stored.job_no).bind(static_cast<std::int64_t>(item));
  PIXMILL_TRY(const bool found, step(row));
  const bool is_it = found && row.view(0) == url;
  row.reset();
  return is_it;
}

Result<std::optional<std::int64_t>> Writer::match_earlier(EarlierJob& earlier, IngestMemory& memory,
                                                          const std::string& url, const std::string& recipe) {
  const auto match = memory.since->find(url, recipe);
  PIXMILL_TRY(const bool has_result, earlier_has_url(earlier, match.result, url));
  bool has_url = has_result;
  if (!has_url) {
    PIXMILL_TRY(has_url, earlier_has_url(earlier, match.first, url));
  }
  if (!has_url) return std::nullopt;
  memory.since->name(url);
  return has_result ? static_cast<std::int64_t>(match.result) : kKnownWithoutResult;
}

Result<GoneStep> Writer::note_gone(const IngestLease& lease) {
  auto done = transact(Durability::kProgress, [&]() -> Result<GoneStep> {
    PIXMILL_TRY(const auto stored, ingesting_job(lease));
    if (!stored.job.since) return GoneStep::kDone;
    auto& memory = memories_.of(stored.job_no);
    if (!remembers_all(memory, stored.job)) return GoneStep::kForgotten;
    return note_gone_now(stored, memory);
  });
  // What was remembered of a step that was rolled back must be forgotten with it.
  if (!done) memories_.clear();
  return done;
}

Result<GoneStep> Writer::note_gone_now(const StoredJob& stored, IngestMemory& memory) {
  PIXMILL_TRY(auto earlier, earlier_job(stored.job));
  if (!earlier) return GoneStep::kDone;
  auto& since = *memory.since;
  if (!since.gone_begun) {
    auto& last = database_.prepare(kLastGone).bind(stored.job_no);
    PIXMILL_TRY([[maybe_unused]] const bool found, step(last));
    since.gone_after = natural(last, 0);
    since.gone_begun = true;
    last.reset();
  }
  auto& row = earlier->database.prepare(kEarlierAfter)
                  .bind(earlier->stored.job_no)
                  .bind(static_cast<std::int64_t>(since.gone_after))
                  .bind(kGonePerTransaction);
  std::int64_t seen = 0;
  std::int64_t gone = 0;
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) break;
    ++seen;
    since.gone_after = natural(row, 0);
    if (!since.is_gone(since.gone_after, row.view(1))) continue;
    ++gone;
    PIXMILL_TRY([[maybe_unused]] const auto inserted, run(database_.prepare(kInsertGone)
                                                              .bind(stored.job_no)
                                                              .bind(row.integer(0))
                                                              .bind(row.integer(4))
                                                              .bind(row.integer(5))
                                                              .bind(row.view(1))));
  }
  if (gone > 0) {
    PIXMILL_TRY([[maybe_unused]] const auto counted, run(database_.prepare(kCountGone).bind(stored.job_no).bind(gone)));
  }
  return seen < kGonePerTransaction ? GoneStep::kDone : GoneStep::kMore;
}

Result<void> Writer::describe_earlier(EarlierJob& earlier, const std::string& job_recipe, std::int64_t number,
                                      ClaimedItem& item) {
  auto& database = earlier.database;
  const auto job_no = earlier.stored.job_no;
  auto& row = database.prepare(kEarlierItem).bind(job_no).bind(number);
  PIXMILL_TRY(const bool found, step(row));
  const auto state = found ? parse_item_state(row.view(2)) : std::nullopt;
  const bool has_result = (state == ItemState::kSucceeded || state == ItemState::kUnchanged) && !row.is_null(6);
  if (!has_result || row.view(0) != item.url) {
    row.reset();
    return {};
  }
  EarlierItem result;
  result.bytes_in = natural(row, 3);
  result.source = read_source(row, 4);
  const auto recipe_no = optional_integer<std::int64_t>(row, 1);
  row.reset();
  PIXMILL_TRY(const auto recipe, load_recipe(database, job_no, recipe_no));
  const std::string& then = recipe ? recipe->text : earlier.stored.job.recipe;
  if (then != (item.recipe.empty() ? job_recipe : item.recipe)) return {};
  PIXMILL_TRY(result.outputs, load_outputs(database, job_no, static_cast<std::uint64_t>(number)));
  item.earlier = std::move(result);
  return {};
}

Result<std::vector<GoneUrl>> Reader::gone(const JobId& id, std::uint64_t after, std::uint32_t limit) {
  PIXMILL_RETURN_IF_ERROR(check_page_limit(limit));
  return snapshot([&]() -> Result<std::vector<GoneUrl>> {
    PIXMILL_TRY(const auto job_no, job_number(database_, id));
    std::vector<GoneUrl> urls;
    auto& row = database_.prepare(kGoneAfter).bind(job_no).bind(bounded_number(after)).bind(std::int64_t{limit});
    while (true) {
      PIXMILL_TRY(const bool found, step(row));
      if (!found) return urls;
      urls.push_back(read_gone(row));
    }
  });
}

}  // namespace pixmill::jobs::sqlite
