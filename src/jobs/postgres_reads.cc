// What pages, exports and sweeps ask.
#include <algorithm>

#include "jobs/postgres_internal.h"

namespace pixmill::jobs::postgres {

using db::pg::Rows;

namespace {

Result<std::vector<StoredJob>> jobs_of(const Rows& rows) {
  std::vector<StoredJob> jobs;
  for (int i = 0; i < rows.size(); ++i) {
    PIXMILL_TRY(jobs.emplace_back(), read_job(rows[i]));
  }
  return jobs;
}

Result<std::uint64_t> only_count(Session& session, std::string_view sql, const Params& params) {
  PIXMILL_TRY(const auto rows, session.query(sql, params));
  return rows.empty() ? 0 : natural(rows[0], 0);
}

}  // namespace

Result<Job> Reader::job(const JobId& id) {
  return snapshot([&]() -> Result<Job> {
    PIXMILL_TRY(auto stored, load_job(session_, id));
    return std::move(stored.job);
  });
}

Result<std::vector<OriginHeader>> Reader::headers(const JobId& id) {
  return snapshot([&]() -> Result<std::vector<OriginHeader>> {
    PIXMILL_TRY(const auto stored, load_job(session_, id));
    if (stored.sealed_headers.empty()) return std::vector<OriginHeader>();
    return unseal_headers(master_key_, id, stored.sealed_headers);
  });
}

Result<std::vector<NamedRecipe>> Reader::row_names(const JobId& id) {
  return snapshot([&]() -> Result<std::vector<NamedRecipe>> {
    PIXMILL_TRY(const auto job_no, job_number(session_, id));
    PIXMILL_TRY(const auto rows, session_.query(kRowNames, Params().add(job_no)));
    std::vector<NamedRecipe> names;
    for (int i = 0; i < rows.size(); ++i) {
      names.push_back({.written = rows[i].text(0), .recipe = {.text = rows[i].text(1), .name = rows[i].text(2)}});
    }
    // The database may have another idea of the order of texts.
    std::ranges::sort(names, {}, &NamedRecipe::written);
    return names;
  });
}

Result<std::optional<Job>> Reader::job_by_digest(const std::string& digest) {
  if (digest.empty()) return std::nullopt;
  return snapshot([&]() -> Result<std::optional<Job>> {
    PIXMILL_TRY(const auto rows, session_.query(kJobByDigest, Params().add(digest)));
    if (rows.empty()) return std::nullopt;
    PIXMILL_TRY(auto stored, read_job(rows[0]));
    return std::move(stored.job);
  });
}

Result<JobPage> Reader::jobs(const JobQuery& query) {
  PIXMILL_TRY(const auto before, before_of(query));
  return snapshot([&]() -> Result<JobPage> {
    Params params;
    params.add(before).add(std::int64_t{query.limit} + 1);
    if (query.state) params.add(to_text(*query.state));
    PIXMILL_TRY(const auto rows, session_.query(query.state ? kJobsInStateBefore : kJobsBefore, params));
    PIXMILL_TRY(auto found, jobs_of(rows));
    JobPage page;
    if (found.size() > query.limit) {
      found.pop_back();
      page.next = std::to_string(found.back().job_no);
    }
    for (auto& stored : found) page.jobs.push_back(std::move(stored.job));
    Params counted;
    if (query.state) counted.add(to_text(*query.state));
    PIXMILL_TRY(page.total, only_count(session_, query.state ? kCountJobsInState : kCountJobs, counted));
    return page;
  });
}

Result<std::vector<Job>> Reader::unfinished_ingests() {
  return snapshot([&]() -> Result<std::vector<Job>> {
    PIXMILL_TRY(const auto rows, session_.query(kUnfinishedIngests, Params().add(server_)));
    PIXMILL_TRY(auto found, jobs_of(rows));
    std::vector<Job> jobs;
    for (auto& stored : found) jobs.push_back(std::move(stored.job));
    return jobs;
  });
}

// Without a state the few that may carry an error are read one after the other and merged.
Result<std::vector<std::int64_t>> Reader::items_with_error(std::int64_t job_no, const ItemQuery& query) {
  const auto read = [&](ItemState state, std::int64_t limit, std::int64_t offset) {
    return numbers(
        session_, kItemsInStateWithError,
        Params().add(job_no).add(after_of(query)).add(limit).add(offset).add(to_text(state)).add(query.error_code));
  };
  if (query.state) return read(*query.state, std::int64_t{query.limit}, offset_of(query));
  std::vector<std::int64_t> merged;
  for (const auto state : kStatesWithErrors) {
    PIXMILL_TRY(const auto some, read(state, std::int64_t{query.limit} + offset_of(query), 0));
    merged.insert(merged.end(), some.begin(), some.end());
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
    Params params;
    params.add(stored.job_no).add(query.error_code);
    // Those that failed for good may be millions and are counted as they fail.
    const bool is_counted = state == ItemState::kFailed;
    if (!is_counted) params.add(to_text(state));
    PIXMILL_TRY(const auto count, only_count(session_, is_counted ? kFailureCount : kCountInStateWithError, params));
    total += count;
  }
  return total;
}

Result<ItemPage> Reader::items(const JobId& id, const ItemQuery& query) {
  if (query.limit < 1 || query.limit > kItemsPerPageMax) {
    return fail(ErrorCode::kInvalidArgument, "A page has 1 to 1,000 images.");
  }
  return snapshot([&]() -> Result<ItemPage> {
    PIXMILL_TRY(const auto stored, load_job(session_, id));
    ItemPage page;
    PIXMILL_TRY(page.total, count_matching(stored, query));
    if (!query.state && query.error_code.empty()) {
      // Items are numbered without gaps, so an offset is a number.
      const auto after = std::min<std::uint64_t>(query.offset.value_or(query.after), stored.job.total);
      PIXMILL_TRY(page.items, load_items(session_, stored.job_no, after + 1, after + query.limit));
      return page;
    }
    std::vector<std::int64_t> found;
    if (query.error_code.empty()) {
      PIXMILL_TRY(found, numbers(session_, kItemsInState,
                                 Params()
                                     .add(stored.job_no)
                                     .add(after_of(query))
                                     .add(std::int64_t{query.limit})
                                     .add(offset_of(query))
                                     .add(to_text(*query.state))));
    } else {
      PIXMILL_TRY(found, items_with_error(stored.job_no, query));
    }
    if (found.empty()) return page;
    PIXMILL_TRY(page.items, load_items(session_, stored.job_no, found));
    return page;
  });
}

Result<std::vector<Row>> Reader::rows(const JobId& id, RowRange range) {
  if (range.rows_max < 1 || range.rows_max > kItemsPerPageMax) {
    return fail(ErrorCode::kInvalidArgument, "A page has 1 to 1,000 rows.");
  }
  return snapshot([&]() -> Result<std::vector<Row>> {
    PIXMILL_TRY(const auto job_no, job_number(session_, id));
    return load_rows(session_, job_no, range);
  });
}

Result<std::vector<FailureGroup>> Reader::failures(const JobId& id) {
  return snapshot([&]() -> Result<std::vector<FailureGroup>> {
    PIXMILL_TRY(const auto job_no, job_number(session_, id));
    PIXMILL_TRY(const auto rows, session_.query(kFailureGroups, Params().add(job_no)));
    std::vector<FailureGroup> groups;
    for (int i = 0; i < rows.size(); ++i) {
      groups.push_back({.code = rows[i].text(0), .count = natural(rows[i], 1), .example = rows[i].text(2)});
    }
    return groups;
  });
}

Result<std::vector<std::string>> Reader::unreferenced(const std::vector<std::string>& keys) {
  std::vector<std::int64_t> hashes;
  for (const auto& key : keys) hashes.push_back(static_cast<std::int64_t>(hash64(key)));
  return snapshot([&]() -> Result<std::vector<std::string>> {
    PIXMILL_TRY(const auto rows, session_.query(kUnreferenced, Params().add(keys).add(hashes)));
    std::vector<std::string> missing;
    for (int i = 0; i < rows.size(); ++i) missing.push_back(rows[i].text(0));
    return missing;
  });
}

Result<JobStore::QueueDepth> Reader::depth() {
  return snapshot([&]() -> Result<JobStore::QueueDepth> {
    PIXMILL_TRY(const auto rows, session_.query(kDepth, Params()));
    return JobStore::QueueDepth{.pending = natural(rows[0], 0), .leased = natural(rows[0], 1)};
  });
}

Result<void> Reader::ping() {
  return snapshot([&]() -> Result<void> {
    // Touches a table, not only the connection.
    PIXMILL_TRY([[maybe_unused]] const auto rows, session_.query(kPing, Params()));
    return {};
  });
}

}  // namespace pixmill::jobs::postgres
