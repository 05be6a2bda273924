// What pages, exports and sweeps ask.
#include <algorithm>

#include "jobs/sqlite_internal.h"

namespace pixmill::jobs::sqlite {

namespace {

Result<std::vector<StoredJob>> collect_jobs(db::Statement& row) {
  std::vector<StoredJob> jobs;
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return jobs;
    PIXMILL_TRY(jobs.emplace_back(), read_job(row));
  }
}

Result<std::vector<std::uint64_t>> collect_numbers(db::Statement& row) {
  std::vector<std::uint64_t> numbers;
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return numbers;
    numbers.push_back(static_cast<std::uint64_t>(row.integer(0)));
  }
}

Result<std::uint64_t> only_count(db::Statement& row) {
  PIXMILL_TRY(const bool found, step(row));
  const auto count = found ? static_cast<std::uint64_t>(row.integer(0)) : 0;
  row.reset();
  return count;
}

}  // namespace

Result<Job> Reader::job(const JobId& id) {
  PIXMILL_TRY(auto stored, load_job(database_, id));
  return std::move(stored.job);
}

Result<std::vector<OriginHeader>> Reader::headers(const JobId& id) {
  PIXMILL_TRY(const auto stored, load_job(database_, id));
  if (stored.sealed_headers.empty()) return std::vector<OriginHeader>();
  return unseal_headers(master_key_, id, stored.sealed_headers);
}

Result<std::vector<NamedRecipe>> Reader::row_names(const JobId& id) {
  PIXMILL_TRY(const auto job_no, job_number(database_, id));
  std::vector<NamedRecipe> names;
  auto& row = database_.prepare(kRowNames).bind(job_no);
  while (true) {
    PIXMILL_TRY(const bool found, step(row));
    if (!found) return names;
    names.push_back({.written = row.text(0), .recipe = {.text = row.text(1), .name = row.text(2)}});
  }
}

Result<std::optional<Job>> Reader::job_by_digest(const std::string& digest) {
  if (digest.empty()) return std::nullopt;
  PIXMILL_TRY(auto found, collect_jobs(database_.prepare(kJobByDigest).bind(digest)));
  if (found.empty()) return std::nullopt;
  return std::move(found.front().job);
}

Result<JobPage> Reader::jobs(const JobQuery& query) {
  PIXMILL_TRY(const auto before, before_of(query));
  return snapshot([&]() -> Result<JobPage> {
    auto& row = database_.prepare(query.state ? kJobsInStateBefore : kJobsBefore);
    row.bind(before).bind(std::int64_t{query.limit} + 1);
    if (query.state) row.bind(to_text(*query.state));
    PIXMILL_TRY(auto found, collect_jobs(row));
    JobPage page;
    if (found.size() > query.limit) {
      found.pop_back();
      page.next = std::to_string(found.back().job_no);
    }
    for (auto& stored : found) page.jobs.push_back(std::move(stored.job));
    auto& counted = database_.prepare(query.state ? kCountJobsInState : kCountJobs);
    if (query.state) counted.bind(to_text(*query.state));
    PIXMILL_TRY(page.total, only_count(counted));
    return page;
  });
}

Result<std::vector<Job>> Reader::unfinished_ingests() {
  PIXMILL_TRY(auto found, collect_jobs(database_.prepare(kUnfinishedIngests)));
  std::vector<Job> jobs;
  for (auto& stored : found) jobs.push_back(std::move(stored.job));
  return jobs;
}

Result<std::vector<std::uint64_t>> Reader::items_in_state(std::int64_t job_no, const ItemQuery& query) {
  return collect_numbers(database_.prepare(kItemsInState)
                             .bind(job_no)
                             .bind(after_of(query))
                             .bind(std::int64_t{query.limit})
                             .bind(offset_of(query))
                             .bind(to_text(*query.state)));
}

// Without a state the few that may carry an error are read one after the other and merged.
Result<std::vector<std::uint64_t>> Reader::items_with_error(std::int64_t job_no, const ItemQuery& query) {
  const auto read = [&](ItemState state, std::int64_t limit, std::int64_t offset) {
    return collect_numbers(database_.prepare(kItemsInStateWithError)
                               .bind(job_no)
                               .bind(after_of(query))
                               .bind(limit)
                               .bind(offset)
                               .bind(to_text(state))
                               .bind(query.error_code));
  };
  if (query.state) return read(*query.state, std::int64_t{query.limit}, offset_of(query));
  std::vector<std::uint64_t> merged;
  for (const auto state : kStatesWithErrors) {
    PIXMILL_TRY(const auto numbers, read(state, std::int64_t{query.limit} + offset_of(query), 0));
    merged.insert(merged.end(), numbers.begin(), numbers.end());
  }
  std::ranges::sort(merged);
  const auto skipped = std::min<std::size_t>(query.offset.value_or(0), merged.size());
  merged.erase(merged.begin(), merged.begin() + static_cast<std::ptrdiff_t>(skipped));
  if (merged.size() > query.limit) merged.resize(query.limit);
  return merged;
}

Result<std::uint64_t> Reader::count_matching(const StoredJob& stored, const ItemQuery& query) {
  if (query.error_code.empty()) return query.state ? count_in_state(stored, *query.state) : stored.job.total;
  std::uint64_t total = 0;
  for (const auto state : kStatesWithErrors) {
    if (query.state && *query.state != state) continue;
    // Those that failed for good may be millions and are counted as they fail.
    auto& counted = database_.prepare(state == ItemState::kFailed ? kFailureCount : kCountInStateWithError);
    counted.bind(stored.job_no).bind(query.error_code);
    if (state != ItemState::kFailed) counted.bind(to_text(state));
    PIXMILL_TRY(const auto count, only_count(counted));
    total += count;
  }
  return total;
}

Result<ItemPage> Reader::items(const JobId& id, const ItemQuery& query) {
  if (query.limit < 1 || query.limit > kItemsPerPageMax) {
    return fail(ErrorCode::kInvalidArgument, "A page has 1 to 1,000 images.");
  }
  return snapshot([&]() -> Result<ItemPage> {
    PIXMILL_TRY(const auto stored, load_job(database_, id));
    ItemPage page;
    PIXMILL_TRY(page.total, count_matching(stored, query));
    if (!query.state && query.error_code.empty()) {
      // Items are numbered without gaps, so an offset is a number.
      const auto after = std::min<std::uint64_t>(query.offset.value_or(query.after), stored.job.total);
      PIXMILL_TRY(page.items, load_items(database_, stored.job_no, after + 1, after + query.limit));
      return page;
    }
    PIXMILL_TRY(const auto numbers, query.error_code.empty() ? items_in_state(stored.job_no, query)
                                                             : items_with_error(stored.job_no, query));
    for (const auto number : numbers) {
      PIXMILL_TRY(auto item, load_items(database_, stored.job_no, number, number));
      std::ranges::move(item, std::back_inserter(page.items));
    }
    return page;
  });
}

Result<std::vector<Row>> Reader::rows(const JobId& id, RowRange range) {
  if (range.rows_max < 1 || range.rows_max > kItemsPerPageMax) {
    return fail(ErrorCode::kInvalidArgument, "A page has 1 to 1,000 rows.");
  }
  return snapshot([&]() -> Result<std::vector<Row>> {
    PIXMILL_TRY(const auto job_no, job_number(database_, id));
    return load_rows(database_, job_no, range);
  });
}

Result<std::vector<FailureGroup>> Reader::failures(const JobId& id) {
  return snapshot([&]() -> Result<std::vector<FailureGroup>> {
    PIXMILL_TRY(const auto job_no, job_number(database_, id));
    std::vector<FailureGroup> groups;
    auto& row = database_.prepare(kFailureGroups).bind(job_no);
    while (true) {
      PIXMILL_TRY(const bool found, step(row));
      if (!found) return groups;
      groups.push_back(
          {.code = row.text(0), .count = static_cast<std::uint64_t>(row.integer(1)), .example = row.text(2)});
    }
  });
}

Result<std::vector<std::string>> Reader::unreferenced(const std::vector<std::string>& keys) {
  return snapshot([&]() -> Result<std::vector<std::string>> {
    std::vector<std::string> missing;
    for (const auto& key : keys) {
      auto& row = database_.prepare(kOutputWithKey).bind(static_cast<std::int64_t>(hash64(key))).bind(key);
      PIXMILL_TRY(const bool found, step(row));
      row.reset();
      if (!found) missing.push_back(key);
    }
    return missing;
  });
}

Result<JobStore::QueueDepth> Reader::depth() {
  auto& row = database_.prepare(kDepth);
  PIXMILL_TRY([[maybe_unused]] const bool found, step(row));
  const JobStore::QueueDepth depth{.pending = static_cast<std::uint64_t>(row.integer(0)),
                                   .leased = static_cast<std::uint64_t>(row.integer(1))};
  row.reset();
  return depth;
}

Result<void> Reader::ping() {
  // Touches the file, not only the connection.
  auto& row = database_.prepare(kPing);
  PIXMILL_TRY([[maybe_unused]] const bool found, step(row));
  row.reset();
  return {};
}

}  // namespace pixmill::jobs::sqlite
