// Outcomes come in, and jobs end.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "jobs/postgres_internal.h"

namespace pixmill::jobs::postgres {

namespace {

std::int64_t number(std::uint64_t value) { return static_cast<std::int64_t>(value); }

using LeaseKey = std::tuple<std::int64_t, std::uint64_t, std::int64_t>;  // job number, item, token

LeaseKey key_of(const ItemOutcome& outcome) { return {outcome.lease.job_no, outcome.lease.item, outcome.lease.token}; }

// The columns of kRecord, one element per outcome.
struct RecordArrays {
  std::vector<std::int64_t> job_no, item, token, crashes, fetch_ms, transform_ms, store_ms;
  std::vector<std::string> states, codes, messages, validators, version_urls, digests, made_with;
  std::vector<std::optional<std::int64_t>> not_before, bytes_in;

  // `retry_ms`: by the database's clock; nullopt for an outcome that is not tried again.
  void add(const ItemOutcome& outcome, std::optional<std::int64_t> retry_ms) {
    job_no.push_back(outcome.lease.job_no);
    item.push_back(number(outcome.lease.item));
    token.push_back(outcome.lease.token);
    fetch_ms.push_back(outcome.times.fetch_ms);
    transform_ms.push_back(outcome.times.transform_ms);
    store_ms.push_back(outcome.times.store_ms);
    if (const auto* success = std::get_if<ItemSuccess>(&outcome.result)) {
      add(success->unchanged ? ItemState::kUnchanged : ItemState::kSucceeded, std::nullopt, ItemFailure{});
      add(success->source);
      bytes_in.emplace_back(number(success->bytes_in));
      return;
    }
    add(SourceFacts{});
    const auto& failure = std::get<ItemFailure>(outcome.result);
    add(failure.retry_at ? ItemState::kPending : ItemState::kFailed, retry_ms, failure);
    bytes_in.emplace_back();
  }

 private:
  void add(const SourceFacts& source) {
    validators.push_back(source.validator);
    version_urls.push_back(source.version_url);
    // What is no digest would make the statement fail.
    digests.push_back(digest_bytes(source.sha256).empty() ? std::string() : source.sha256);
    made_with.push_back(source.made_with);
  }
  void add(ItemState state, std::optional<std::int64_t> retry_ms, const ItemFailure& failure) {
    states.emplace_back(to_text(state));
    not_before.push_back(retry_ms);
    codes.push_back(failure.code);
    messages.emplace_back(bounded(failure.message, kErrorMessageBytesMax));
    crashes.push_back(std::int64_t{failure.engine_crash});
  }
};

}  // namespace

// The outcomes whose lease was theirs, in the order of their locks.
struct Writer::Held {
  std::map<LeaseKey, ItemState> states;
  std::map<LeaseKey, std::int64_t> since_items;  // of those that have one
  std::vector<const ItemOutcome*> successes, failures;
};

Result<FinishReport> Writer::finish(const std::vector<ItemOutcome>& outcomes) {
  if (outcomes.size() > kOutcomesMax) return fail(ErrorCode::kInvalidArgument, "At most 64 outcomes at a time.");
  return transact(Durability::kDurable, [&]() -> Result<FinishReport> {
    FinishReport report;
    PIXMILL_TRY(const auto held, record(outcomes));
    Changes changes;
    std::set<LeaseKey> counted;
    for (const auto& outcome : outcomes) {
      const auto found = held.states.find(key_of(outcome));
      const auto* success = std::get_if<ItemSuccess>(&outcome.result);
      if (found == held.states.end() || !counted.insert(key_of(outcome)).second) {
        report.fenced.push_back(outcome.lease);
        continue;
      }
      ++report.recorded;
      auto& change = changes[outcome.lease.job_no];
      --change.leased;
      if (found->second == ItemState::kPending) continue;
      --change.remaining;
      if (found->second == ItemState::kCancelled) ++change.cancelled;
      if (found->second == ItemState::kFailed) ++change.failed;
      if (success == nullptr) continue;
      ++change.succeeded;
      const auto since_item = held.since_items.find(found->first);
      count_since(success->unchanged,
                  since_item == held.since_items.end() ? std::nullopt : std::optional(since_item->second), change);
      change.bytes_in += number(success->bytes_in);
      for (const auto& output : success->outputs) change.bytes_out += number(output.bytes);
    }
    PIXMILL_RETURN_IF_ERROR(insert_outputs(held.successes));
    PIXMILL_RETURN_IF_ERROR(wake_followers(held));
    PIXMILL_RETURN_IF_ERROR(count_failures(held.failures));
    PIXMILL_RETURN_IF_ERROR(count(changes, report.jobs_finished));
    // What they stored lies there without a row.
    PIXMILL_RETURN_IF_ERROR(note_fenced(report.fenced));
    return report;
  });
}

// One statement for all of them. Of several outcomes of one lease the first counts.
Result<Writer::Held> Writer::record(const std::vector<ItemOutcome>& outcomes) {
  std::map<LeaseKey, const ItemOutcome*> first;
  for (const auto& outcome : outcomes) first.try_emplace(key_of(outcome), &outcome);
  RecordArrays arrays;
  for (const auto& [key, outcome] : first) {
    const auto* failure = std::get_if<ItemFailure>(&outcome->result);
    std::optional<std::int64_t> retry_ms;
    if (failure != nullptr && failure->retry_at) retry_ms = database_ms(*failure->retry_at);
    arrays.add(*outcome, retry_ms);
  }
  Held held;
  if (first.empty()) return held;
  Params params;
  params.add(arrays.job_no).add(arrays.item).add(arrays.token).add(arrays.states).add(arrays.not_before);
  params.add(arrays.codes).add(arrays.messages).add(arrays.bytes_in).add(arrays.crashes).add(arrays.fetch_ms);
  params.add(arrays.transform_ms).add(arrays.store_ms).add(now_ms());
  params.add(arrays.validators).add(arrays.version_urls).add(arrays.digests).add(arrays.made_with);
  PIXMILL_TRY(const auto rows, session_.query(kRecord, params));
  for (int i = 0; i < rows.size(); ++i) {
    const auto state = parse_item_state(rows[i].view(3));
    if (!state) return broken_row("item state");
    const LeaseKey key{rows[i].integer(0), natural(rows[i], 1), rows[i].integer(2)};
    held.states[key] = *state;
    if (!rows[i].is_null(4)) held.since_items[key] = rows[i].integer(4);
  }
  for (const auto& [key, state] : held.states) {
    if (state == ItemState::kSucceeded || state == ItemState::kUnchanged) held.successes.push_back(first[key]);
    if (state == ItemState::kFailed) held.failures.push_back(first[key]);
  }
  return held;
}

Result<void> Writer::insert_outputs(const std::vector<const ItemOutcome*>& successes) {
  std::vector<std::int64_t> job_no, item, position, key_hash, bytes, width_px, height_px, quality;
  std::vector<std::string> renditions, keys, formats, digests, notes;
  for (const auto* outcome : successes) {
    std::int64_t at = 0;
    for (const auto& output : std::get<ItemSuccess>(outcome->result).outputs) {
      job_no.push_back(outcome->lease.job_no);
      item.push_back(number(outcome->lease.item));
      position.push_back(++at);
      renditions.push_back(output.rendition);
      keys.push_back(output.key);
      key_hash.push_back(number(hash64(output.key)));
      bytes.push_back(number(output.bytes));
      width_px.push_back(std::int64_t{output.width_px});
      height_px.push_back(std::int64_t{output.height_px});
      formats.push_back(output.format);
      quality.push_back(std::int64_t{output.quality});
      digests.push_back(output.sha256);
      notes.push_back(output.note);
    }
  }
  if (job_no.empty()) return {};
  Params params;
  params.add(job_no).add(item).add(position).add(renditions).add(keys).add(key_hash).add(bytes).add(width_px);
  params.add(height_px).add(formats).add(quality).add(digests).add(notes);
  PIXMILL_TRY([[maybe_unused]] const auto inserted, run(session_, kInsertOutputs, params));
  return {};
}

Result<void> Writer::count_failures(const std::vector<const ItemOutcome*>& failures) {
  if (failures.empty()) return {};
  struct Group {
    std::int64_t count = 0;
    std::string example;
  };
  std::map<std::pair<std::int64_t, std::string>, Group> groups;
  for (const auto* outcome : failures) {
    const auto& failure = std::get<ItemFailure>(outcome->result);
    auto& group = groups[{outcome->lease.job_no, failure.code}];
    if (group.count++ == 0) group.example = bounded(failure.message, kErrorMessageBytesMax);
  }
  std::vector<std::int64_t> job_no, counts;
  std::vector<std::string> codes, examples;
  for (const auto& [key, group] : groups) {
    job_no.push_back(key.first);
    codes.push_back(key.second);
    counts.push_back(group.count);
    examples.push_back(group.example);
  }
  PIXMILL_TRY([[maybe_unused]] const auto counted,
              run(session_, kCountFailures, Params().add(job_no).add(codes).add(counts).add(examples)));
  return {};
}

Result<void> Writer::wake_followers(const Held& held) {
  std::vector<std::int64_t> job_no, item;
  for (const auto& [key, state] : held.states) {
    if (state != ItemState::kSucceeded && state != ItemState::kUnchanged && state != ItemState::kFailed) continue;
    job_no.push_back(std::get<0>(key));
    item.push_back(number(std::get<1>(key)));
  }
  if (item.empty()) return {};
  PIXMILL_TRY([[maybe_unused]] const auto noted,
              run(session_, kWakeFollowers, Params().add(job_no).add(item).add(kWakesPerLeader)));
  return {};
}

Result<void> Writer::count(const Changes& changes, Finished& finished) {
  if (changes.empty()) return {};
  std::vector<std::int64_t> job_no, leased, remaining, succeeded, failed, cancelled, bytes_in, bytes_out, unchanged,
      changed;
  for (const auto& [number, change] : changes) {
    job_no.push_back(number);
    leased.push_back(change.leased);
    remaining.push_back(change.remaining);
    succeeded.push_back(change.succeeded);
    failed.push_back(change.failed);
    cancelled.push_back(change.cancelled);
    bytes_in.push_back(change.bytes_in);
    bytes_out.push_back(change.bytes_out);
    unchanged.push_back(change.unchanged);
    changed.push_back(change.changed);
  }
  Params params;
  params.add(job_no).add(leased).add(remaining).add(succeeded).add(failed).add(cancelled).add(bytes_in);
  PIXMILL_TRY(const auto rows, session_.query(kCountChanges, params.add(bytes_out).add(unchanged).add(changed)));
  std::set<std::int64_t> done;
  for (int i = 0; i < rows.size(); ++i) {
    if (rows[i].integer(1) == 0) done.insert(rows[i].integer(0));
  }
  for (const auto number : done) PIXMILL_RETURN_IF_ERROR(end_if_done(number, finished));
  return {};
}

Result<void> Writer::end_if_done(std::int64_t job_no, Finished& finished) {
  PIXMILL_TRY(auto stored, load_job(session_, job_no, Lock::kForUpdate));
  auto& job = stored.job;
  if (is_terminal(job.state) || job.is_being_read || job.remaining > 0) return {};
  PIXMILL_TRY(const auto reopening, session_.query(kIsReopening, Params().add(job_no)));
  if (!reopening.empty()) return {};
  job.state = end_of(job);
  job.finished_at = from_unix_ms(now_ms());
  PIXMILL_TRY([[maybe_unused]] const auto ended,
              run(session_, kEndJob, Params().add(job_no).add(to_text(job.state)).add(to_unix_ms(*job.finished_at))));
  PIXMILL_RETURN_IF_ERROR(write_event(job_no, job));
  PIXMILL_RETURN_IF_ERROR(note_reviews({job_no}));
  finished.push_back(job.id);
  return {};
}

Result<void> Writer::write_event(std::int64_t job_no, const Job& job) {
  const auto type = event_type(job.state);
  std::vector<Row> rows;
  if (job.origin == JobOrigin::kLegacyUpload) {
    const RowRange first{.after_row = 0, .rows_max = kEventRowsMax, .items_max = kEventItemsMax};
    PIXMILL_TRY(rows, load_rows(session_, job_no, first));
  }
  const auto body = options_.event_body ? options_.event_body(type, job, rows) : std::string("{}");
  const auto event_id = fmt::format("evt_{}", Uuid::random().text());
  PIXMILL_TRY(
      const auto event,
      session_.query(
          kInsertEvent,
          Params().add(event_id).add(job_no).add(std::int64_t{job.generation}).add(type).add(body).add(now_ms())));
  if (job.webhook_url.empty()) return {};
  PIXMILL_TRY([[maybe_unused]] const auto queued, run(session_, kInsertDelivery,
                                                      Params()
                                                          .add(event_id)
                                                          .add(event[0].integer(0))
                                                          .add(job.webhook_url)
                                                          .add(origin_of(job.webhook_url))
                                                          .add(now_ms())));
  PIXMILL_TRY([[maybe_unused]] const auto told, session_.query(kNotifyEvent, Params()));
  return {};
}

}  // namespace pixmill::jobs::postgres
