// Outcomes come in, and jobs end.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "jobs/sqlite_internal.h"

namespace pixmill::jobs::sqlite {

namespace {

void bind_source(db::Statement& statement, const SourceFacts& source) {
  const auto bind_text = [&](const std::string& text) { text.empty() ? statement.bind_null() : statement.bind(text); };
  bind_text(source.validator);
  bind_text(source.version_url);
  const auto digest = digest_bytes(source.sha256);
  digest.empty() ? statement.bind_null() : statement.bind_blob(digest);
  bind_text(source.made_with);
}

}  // namespace

// The jobs that a batch of outcomes touches.
struct Writer::Batch {
  struct Entry {
    JobState state = JobState::kRunning;
    CounterChange change;
  };
  std::map<std::int64_t, Entry> jobs;
};

Result<FinishReport> Writer::finish(const std::vector<ItemOutcome>& outcomes) {
  if (outcomes.size() > kOutcomesMax) return fail(ErrorCode::kInvalidArgument, "At most 64 outcomes at a time.");
  return transact(Durability::kProgress, [&]() -> Result<FinishReport> {
    FinishReport report;
    Batch batch;
    for (const auto& outcome : outcomes) PIXMILL_RETURN_IF_ERROR(record(outcome, batch, report));
    for (const auto& [job_no, entry] : batch.jobs) {
      PIXMILL_RETURN_IF_ERROR(count(job_no, entry.change));
      PIXMILL_RETURN_IF_ERROR(end_if_done(job_no, report.jobs_finished));
    }
    // What they stored lies there without a row.
    std::set<std::int64_t> fenced;
    for (const auto& lease : report.fenced) fenced.insert(lease.job_no);
    for (const auto job_no : fenced) PIXMILL_RETURN_IF_ERROR(note_review(job_no));
    return report;
  });
}

Result<void> Writer::record(const ItemOutcome& outcome, Batch& batch, FinishReport& report) {
  const auto job_no = outcome.lease.job_no;
  if (!batch.jobs.contains(job_no)) {
    auto stored = load_job(database_, job_no);
    if (!stored && stored.error().code == ErrorCode::kNotFound) {
      report.fenced.push_back(outcome.lease);
      return {};
    }
    if (!stored) return std::unexpected(stored.error());
    batch.jobs[job_no].state = stored->job.state;
  }
  const auto* success = std::get_if<ItemSuccess>(&outcome.result);
  PIXMILL_TRY(const bool held, success != nullptr
                                   ? record_success(outcome, *success, batch)
                                   : record_failure(outcome, std::get<ItemFailure>(outcome.result), batch));
  if (!held) {
    report.fenced.push_back(outcome.lease);
    return {};
  }
  ++report.recorded;
  return {};
}

Result<bool> Writer::record_success(const ItemOutcome& outcome, const ItemSuccess& success, Batch& batch) {
  const auto& lease = outcome.lease;
  const auto item = static_cast<std::int64_t>(lease.item);
  auto& row = database_.prepare(kSucceed).bind(lease.job_no).bind(item).bind(lease.token);
  row.bind(static_cast<std::int64_t>(success.bytes_in)).bind(outcome.times.fetch_ms).bind(outcome.times.transform_ms);
  row.bind(outcome.times.store_ms).bind(now_ms());
  row.bind(to_text(success.unchanged ? ItemState::kUnchanged : ItemState::kSucceeded));
  bind_source(row, success.source);
  PIXMILL_TRY(const bool held, step(row));
  if (!held) return false;
  const auto since_item = optional_integer<std::int64_t>(row, 0);
  PIXMILL_TRY([[maybe_unused]] const bool another, step(row));
  auto& change = batch.jobs[lease.job_no].change;
  count_since(success.unchanged, since_item, change);
  std::int64_t position = 0;
  for (const auto& output : success.outputs) {
    PIXMILL_TRY([[maybe_unused]] const auto inserted, run(database_.prepare(kInsertOutput)
                                                              .bind(lease.job_no)
                                                              .bind(item)
                                                              .bind(++position)
                                                              .bind(output.rendition)
                                                              .bind(output.key)
                                                              .bind(static_cast<std::int64_t>(hash64(output.key)))
                                                              .bind(static_cast<std::int64_t>(output.bytes))
                                                              .bind(std::int64_t{output.width_px})
                                                              .bind(std::int64_t{output.height_px})
                                                              .bind(output.format)
                                                              .bind(std::int64_t{output.quality})
                                                              .bind(output.sha256)
                                                              .bind(output.note)));
    change.bytes_out += static_cast<std::int64_t>(output.bytes);
  }
  --change.leased;
  --change.remaining;
  ++change.succeeded;
  change.bytes_in += static_cast<std::int64_t>(success.bytes_in);
  PIXMILL_RETURN_IF_ERROR(wake_followers(lease.job_no, lease.item));
  return true;
}

Result<bool> Writer::record_failure(const ItemOutcome& outcome, const ItemFailure& failure, Batch& batch) {
  const auto& lease = outcome.lease;
  auto& [job_state, change] = batch.jobs[lease.job_no];
  auto state = failure.retry_at ? ItemState::kPending : ItemState::kFailed;
  if (failure.retry_at && job_state == JobState::kCancelling) state = ItemState::kCancelled;
  auto& statement = database_.prepare(kFail);
  statement.bind(lease.job_no).bind(static_cast<std::int64_t>(lease.item)).bind(lease.token).bind(to_text(state));
  if (state == ItemState::kPending) {
    statement.bind(std::max<std::int64_t>(to_unix_ms(*failure.retry_at), 0)).bind_null();
  } else {
    statement.bind_null().bind(now_ms());
  }
  const auto message = bounded(failure.message, kErrorMessageBytesMax);
  statement.bind(std::int64_t{failure.engine_crash}).bind(failure.code).bind(message);
  statement.bind(outcome.times.fetch_ms).bind(outcome.times.transform_ms).bind(outcome.times.store_ms);
  PIXMILL_TRY(const auto held, run(statement));
  if (held == 0) return false;
  --change.leased;
  if (state == ItemState::kPending) return true;
  --change.remaining;
  if (state == ItemState::kCancelled) {
    ++change.cancelled;
    return true;
  }
  ++change.failed;
  PIXMILL_TRY(
      [[maybe_unused]] const auto counted,
      run(database_.prepare(kCountFailures).bind(lease.job_no).bind(failure.code).bind(std::int64_t{1}).bind(message)));
  PIXMILL_RETURN_IF_ERROR(wake_followers(lease.job_no, lease.item));
  return true;
}

Result<void> Writer::wake_followers(std::int64_t job_no, std::uint64_t item) {
  const auto leader = static_cast<std::int64_t>(item);
  PIXMILL_TRY(const auto woken, run(database_.prepare(kWakeFollowers).bind(job_no).bind(leader).bind(kWakesPerLeader)));
  if (woken < kWakesPerLeader) return {};
  PIXMILL_TRY([[maybe_unused]] const auto noted, run(database_.prepare(kNoteLeader).bind(job_no).bind(leader)));
  return {};
}

Result<bool> Writer::wake_more_followers() {
  auto& row = database_.prepare(kLeaderDue);
  PIXMILL_TRY(const bool found, step(row));
  if (!found) return false;
  const auto job_no = row.integer(0);
  const auto leader = row.integer(1);
  row.reset();
  PIXMILL_TRY(const auto woken,
              run(database_.prepare(kWakeFollowers).bind(job_no).bind(leader).bind(kWakesPerTransaction)));
  if (woken == kWakesPerTransaction) return true;
  PIXMILL_TRY([[maybe_unused]] const auto forgotten, run(database_.prepare(kForgetLeader).bind(job_no).bind(leader)));
  return true;
}

Result<void> Writer::count(std::int64_t job_no, const CounterChange& change) {
  PIXMILL_TRY([[maybe_unused]] const auto counted, run(database_.prepare(kCountChange)
                                                           .bind(job_no)
                                                           .bind(change.leased)
                                                           .bind(change.remaining)
                                                           .bind(change.succeeded)
                                                           .bind(change.failed)
                                                           .bind(change.cancelled)
                                                           .bind(change.bytes_in)
                                                           .bind(change.bytes_out)
                                                           .bind(change.unchanged)
                                                           .bind(change.changed)));
  return {};
}

Result<void> Writer::end_if_done(std::int64_t job_no, Finished& finished) {
  PIXMILL_TRY(auto stored, load_job(database_, job_no));
  auto& job = stored.job;
  if (is_terminal(job.state) || job.is_being_read || job.remaining > 0) return {};
  auto& reopening = database_.prepare(kReopening).bind(job_no);
  PIXMILL_TRY(const bool is_reopening, step(reopening));
  reopening.reset();
  if (is_reopening) return {};
  job.state = end_of(job);
  job.finished_at = clock_.now();
  PIXMILL_TRY([[maybe_unused]] const auto ended,
              run(database_.prepare(kEndJob).bind(job_no).bind(to_text(job.state)).bind(to_unix_ms(*job.finished_at))));
  PIXMILL_TRY([[maybe_unused]] const auto forgotten, run(database_.prepare(kForgetLeaders).bind(job_no)));
  PIXMILL_RETURN_IF_ERROR(write_event(job_no, job));
  PIXMILL_RETURN_IF_ERROR(note_review(job_no));
  finished.push_back(job.id);
  return {};
}

Result<void> Writer::write_event(std::int64_t job_no, const Job& job) {
  event_written_ = true;
  const auto type = event_type(job.state);
  std::vector<Row> rows;
  if (job.origin == JobOrigin::kLegacyUpload) {
    const RowRange first{.after_row = 0, .rows_max = kEventRowsMax, .items_max = kEventItemsMax};
    PIXMILL_TRY(rows, load_rows(database_, job_no, first));
  }
  const auto body = options_.event_body ? options_.event_body(type, job, rows) : std::string("{}");
  const auto event_id = fmt::format("evt_{}", Uuid::random().text());
  PIXMILL_TRY([[maybe_unused]] const auto inserted, run(database_.prepare(kInsertEvent)
                                                            .bind(event_id)
                                                            .bind(job_no)
                                                            .bind(std::int64_t{job.generation})
                                                            .bind(type)
                                                            .bind(body)
                                                            .bind(now_ms())));
  if (job.webhook_url.empty()) return {};
  PIXMILL_TRY([[maybe_unused]] const auto queued, run(database_.prepare(kInsertDelivery)
                                                          .bind(event_id)
                                                          .bind(database_.last_insert_rowid())
                                                          .bind(job.webhook_url)
                                                          .bind(origin_of(job.webhook_url))
                                                          .bind(now_ms())));
  return {};
}

Result<void> Writer::sync_now() {
  PIXMILL_RETURN_IF_ERROR(database_.execute("PRAGMA synchronous=FULL"));
  const auto mark = [&]() -> Result<void> {
    PIXMILL_TRY([[maybe_unused]] const auto marked, run(database_.prepare(kSyncMark)));
    return {};
  };
  auto synced = transact_once(mark);
  PIXMILL_RETURN_IF_ERROR(database_.execute("PRAGMA synchronous=NORMAL"));
  return synced;
}

}  // namespace pixmill::jobs::sqlite
