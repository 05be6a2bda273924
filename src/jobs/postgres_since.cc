// A job is compared with an earlier one.
#include <algorithm>

#include "jobs/postgres_internal.h"

namespace pixmill::jobs::postgres {

namespace {

std::int64_t number(std::uint64_t value) { return static_cast<std::int64_t>(value); }

}  // namespace

Result<std::optional<StoredJob>> Writer::earlier_job(const Job& job) {
  if (!job.since) return std::nullopt;
  auto stored = load_job(session_, *job.since);
  if (!stored && stored.error().code == ErrorCode::kNotFound) return std::nullopt;
  if (!stored) return std::unexpected(std::move(stored).error());
  return std::move(*stored);
}

Result<bool> Writer::remember_earlier(const StoredJob& stored, IngestMemory& memory) {
  if (!stored.job.since || (memory.since && memory.since->is_complete())) return false;
  PIXMILL_TRY(const auto earlier, earlier_job(stored.job));
  if (!earlier) {
    memory.since.emplace("", std::map<std::int64_t, std::string>());
    memory.since->complete();
    return false;
  }
  if (!memory.since) {
    std::map<std::int64_t, std::string> recipes;
    PIXMILL_TRY(const auto rows, session_.query(kRecipesOfJob, Params().add(earlier->job_no)));
    for (int i = 0; i < rows.size(); ++i) recipes.emplace(rows[i].integer(0), rows[i].text(1));
    memory.since.emplace(earlier->job.recipe, std::move(recipes));
  }
  const auto after = number(memory.since->items());
  PIXMILL_TRY(const auto rows,
              session_.query(kEarlierAfter, Params().add(earlier->job_no).add(after).add(number(kNamesPerSlice))));
  for (int i = 0; i < rows.size(); ++i) {
    memory.since->remember({.item = natural(rows[i], 0),
                            .url = rows[i].view(1),
                            .recipe_no = optional_integer<std::int64_t>(rows[i], 2),
                            .has_result = rows[i].integer(3) != 0});
  }
  const bool more = rows.size() == static_cast<int>(kNamesPerSlice);
  if (!more) memory.since->complete();
  return more;
}

// Those of the earlier job's items that have the URL beside them.
Result<std::set<std::int64_t>> Writer::earlier_with_urls(std::int64_t job_no,
                                                         const std::multimap<std::int64_t, std::string_view>& urls) {
  std::vector<std::int64_t> items;
  for (const auto& [item, url] : urls) {
    if (items.empty() || items.back() != item) items.push_back(item);
  }
  std::set<std::int64_t> found;
  if (items.empty()) return found;
  PIXMILL_TRY(const auto rows, session_.query(kEarlierUrls, Params().add(job_no).add(items)));
  for (int i = 0; i < rows.size(); ++i) {
    const auto item = rows[i].integer(0);
    const auto [begin, end] = urls.equal_range(item);
    if (std::any_of(begin, end, [&](const auto& entry) { return entry.second == rows[i].view(1); })) found.insert(item);
  }
  return found;
}

Result<void> Writer::match_earlier(const StoredJob& stored, Chunk& chunk, IngestMemory& memory) {
  PIXMILL_TRY(const auto earlier, earlier_job(stored.job));
  if (!earlier) return {};
  std::vector<SinceMemory::Match> matches;
  std::multimap<std::int64_t, std::string_view> wanted;
  for (std::size_t i = 0; i < chunk.item.size(); ++i) {
    const auto match = memory.since->find(chunk.urls[i], chunk.recipes[i]);
    if (match.first != 0) wanted.emplace(number(match.first), chunk.urls[i]);
    if (match.result != 0 && match.result != match.first) wanted.emplace(number(match.result), chunk.urls[i]);
    matches.push_back(match);
  }
  PIXMILL_TRY(const auto found, earlier_with_urls(earlier->job_no, wanted));
  for (std::size_t i = 0; i < chunk.item.size(); ++i) {
    const bool has_result = found.contains(number(matches[i].result));
    if (!has_result && !found.contains(number(matches[i].first))) continue;
    memory.since->name(chunk.urls[i]);
    chunk.since_item[i] = has_result ? number(matches[i].result) : kKnownWithoutResult;
  }
  return {};
}

Result<GoneStep> Writer::note_gone(const IngestLease& lease) {
  SinceMemory* since = nullptr;
  // Durable: what is behind `after` is not looked at again.
  const auto reached = transact(Durability::kDurable, [&]() -> Result<GoneReach> {
    PIXMILL_RETURN_IF_ERROR(hold_ingest(lease));
    PIXMILL_TRY(const auto stored, ingesting_job(lease.job, Lock::kNone));
    if (!stored.job.since) return GoneReach{};
    auto& memory = memories_.of(stored.job_no);
    if (!remembers_all(memory, stored.job)) return GoneReach{.step = GoneStep::kForgotten, .after = 0};
    since = &*memory.since;
    return note_gone_now(stored, *since);
  });
  if (!reached) return std::unexpected(reached.error());
  // Not before it is committed: a transaction may be tried again.
  if (reached->step == GoneStep::kMore) since->gone_after = reached->after;
  return reached->step;
}

Result<Writer::GoneReach> Writer::note_gone_now(const StoredJob& stored, const SinceMemory& since) {
  PIXMILL_TRY(const auto earlier, earlier_job(stored.job));
  if (!earlier) return GoneReach{};
  PIXMILL_TRY(const auto last, session_.query(kLastGone, Params().add(stored.job_no)));
  const auto after = std::max(number(since.gone_after), last[0].integer(0));
  PIXMILL_TRY(const auto rows,
              session_.query(kEarlierAfter, Params().add(earlier->job_no).add(after).add(kGonePerTransaction)));
  std::vector<std::int64_t> item, row_no, position;
  std::vector<std::string> urls;
  for (int i = 0; i < rows.size(); ++i) {
    if (!since.is_gone(natural(rows[i], 0), rows[i].view(1))) continue;
    item.push_back(rows[i].integer(0));
    row_no.push_back(rows[i].integer(4));
    position.push_back(rows[i].integer(5));
    urls.push_back(rows[i].text(1));
  }
  if (!item.empty()) {
    PIXMILL_TRY([[maybe_unused]] const auto inserted,
                run(session_, kInsertGone, Params().add(stored.job_no).add(item).add(row_no).add(position).add(urls)));
    PIXMILL_TRY([[maybe_unused]] const auto counted,
                run(session_, kCountGone, Params().add(stored.job_no).add(std::ssize(item))));
  }
  if (rows.size() < static_cast<int>(kGonePerTransaction)) return GoneReach{};
  return GoneReach{.step = GoneStep::kMore, .after = natural(rows[rows.size() - 1], 0)};
}

namespace {

// What kEarlierItems says of an item, if its result may serve `item`, whose job has `job_recipe`.
std::optional<EarlierItem> read_earlier(const db::pg::Row& row, const ClaimedItem& item,
                                        const std::string& job_recipe) {
  const auto state = parse_item_state(row.view(2));
  const bool has_result = (state == ItemState::kSucceeded || state == ItemState::kUnchanged) && !row.is_null(6);
  const std::string& recipe = item.recipe.empty() ? job_recipe : item.recipe;
  if (!has_result || row.view(1) != item.url || row.view(8) != recipe) return std::nullopt;
  EarlierItem earlier;
  earlier.bytes_in = natural(row, 3);
  earlier.source = read_source(row, 4);
  return earlier;
}

}  // namespace

Result<void> Writer::describe_earlier(std::vector<ClaimedItem>& items, const std::vector<std::int64_t>& since_items) {
  std::vector<std::int64_t> jobs;
  std::vector<std::size_t> asking;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (since_items[i] == kKnownWithoutResult || items[i].same_as) continue;
    asking.push_back(i);
    jobs.push_back(items[i].lease.job_no);
  }
  if (asking.empty()) return {};
  struct Compared {
    std::int64_t with = 0;
    std::string recipe;
  };
  std::map<std::int64_t, Compared> compared;
  PIXMILL_TRY(const auto found, session_.query(kEarlierJobs, Params().add(jobs)));
  for (int i = 0; i < found.size(); ++i) {
    compared[found[i].integer(0)] = {.with = found[i].integer(1), .recipe = found[i].text(2)};
  }
  std::erase_if(asking, [&](std::size_t i) { return !compared.contains(items[i].lease.job_no); });
  std::vector<std::int64_t> job_no, item_no;
  for (const auto i : asking) {
    job_no.push_back(compared[items[i].lease.job_no].with);
    item_no.push_back(since_items[i]);
  }
  if (asking.empty()) return {};
  PIXMILL_TRY(const auto rows, session_.query(kEarlierItems, Params().add(job_no).add(item_no)));
  std::map<std::int64_t, std::vector<std::int64_t>> with_outputs;
  for (int i = 0; i < rows.size(); ++i) {
    const auto at = static_cast<std::size_t>(rows[i].integer(0) - 1);
    auto& item = items[asking[at]];
    item.earlier = read_earlier(rows[i], item, compared[item.lease.job_no].recipe);
    if (item.earlier) with_outputs[job_no[at]].push_back(item_no[at]);
  }
  for (auto& [number_of_job, numbers_of_items] : with_outputs) {
    std::ranges::sort(numbers_of_items);
    PIXMILL_TRY(const auto outputs, load_outputs(session_, number_of_job, numbers_of_items));
    for (std::size_t at = 0; at < asking.size(); ++at) {
      auto& item = items[asking[at]];
      if (!item.earlier || job_no[at] != number_of_job) continue;
      if (const auto entry = outputs.find(static_cast<std::uint64_t>(item_no[at])); entry != outputs.end()) {
        item.earlier->outputs = entry->second;
      }
    }
  }
  return {};
}

Result<std::vector<GoneUrl>> Reader::gone(const JobId& id, std::uint64_t after, std::uint32_t limit) {
  PIXMILL_RETURN_IF_ERROR(check_page_limit(limit));
  return snapshot([&]() -> Result<std::vector<GoneUrl>> {
    PIXMILL_TRY(const auto job_no, job_number(session_, id));
    PIXMILL_TRY(const auto rows,
                session_.query(kGoneAfter, Params().add(job_no).add(bounded_number(after)).add(std::int64_t{limit})));
    std::vector<GoneUrl> urls;
    for (int i = 0; i < rows.size(); ++i) urls.push_back(read_gone(rows[i]));
    return urls;
  });
}

}  // namespace pixmill::jobs::postgres
