// The two halves of the SQLite store, blocking, each for one thread: Writer changes, Reader reads. sqlite_store.cc puts
// them on their threads. Private to src/jobs/sqlite_*.cc and their tests.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "db/sqlite.h"
#include "jobs/claim_plan.h"
#include "jobs/ingest_memory.h"
#include "jobs/job_store.h"
#include "jobs/model.h"
#include "jobs/outbox.h"
#include "jobs/recipe_store.h"
#include "jobs/sqlite_checks.h"
#include "jobs/sqlite_recipes.h"
#include "jobs/sqlite_statements.h"
#include "jobs/sqlite_store.h"
#include "jobs/stored_rows.h"
#include "jobs/stored_values.h"
#include "jobs/upkeep.h"

namespace pixmill::jobs::sqlite {

// A broken constraint is a bug of this store, not a conflict that the caller could solve.
[[nodiscard]] Error as_internal(Error error);
[[nodiscard]] Result<bool> step(db::Statement& statement);
[[nodiscard]] Result<std::int64_t> run(db::Statement& statement);
// For both connections (sqlite_rows.cc).
[[nodiscard]] Result<StoredJob> load_job(db::Database& database, const JobId& id);       // kNotFound
[[nodiscard]] Result<StoredJob> load_job(db::Database& database, std::int64_t job_no);   // kNotFound
[[nodiscard]] Result<std::int64_t> job_number(db::Database& database, const JobId& id);  // kNotFound
// Items first to last of a job with their outputs.
[[nodiscard]] Result<std::vector<Item>> load_items(db::Database& database, std::int64_t job_no, std::uint64_t first,
                                                   std::uint64_t last);
[[nodiscard]] Result<std::vector<Output>> load_outputs(db::Database& database, std::int64_t job_no, std::uint64_t item);
// nullopt for the job's own, which has no number.
[[nodiscard]] Result<std::optional<RecipeChoice>> load_recipe(db::Database& database, std::int64_t job_no,
                                                              std::optional<std::int64_t> number);
[[nodiscard]] Result<std::vector<Row>> load_rows(db::Database& database, std::int64_t job_no, RowRange range);

enum class Durability : std::uint8_t {
  kProgress,  // survives kill -9; a power cut may take the last moments
  kDurable,   // on the disk when it returns
};

class Writer {
 public:
  Writer(const Clock& clock, db::Database database, SqliteOptions options)
      : clock_(clock), database_(std::move(database)), options_(std::move(options)) {}

  // Gives back every lease. What was leased.
  [[nodiscard]] Result<std::vector<ClaimedItem>> start();

  [[nodiscard]] Result<void> create_job(const NewJob& job);
  // Reads a slice of what an interrupted ingest had appended; true when there is more to read before append_rows.
  [[nodiscard]] Result<bool> remember_names(const IngestLease& lease);
  // Appends rows[from …] up to a bounded number of items; where to go on. `from` itself: remember_names() first.
  [[nodiscard]] Result<std::size_t> append_rows(const IngestLease& lease, const std::vector<std::string>& columns,
                                                const std::vector<NewRow>& rows, std::size_t from);
  // Notes some of what the earlier job had and this one has not; with kForgotten remember_names() comes first.
  [[nodiscard]] Result<GoneStep> note_gone(const IngestLease& lease);
  [[nodiscard]] Result<void> finish_ingest(const IngestLease& lease);
  [[nodiscard]] Result<void> reject_job(const IngestLease& lease, const Error& why);
  [[nodiscard]] Result<std::vector<TakenIngest>> claim_ingests(std::uint32_t limit, milliseconds lease);
  [[nodiscard]] Result<std::vector<IngestLease>> renew_ingests(const std::vector<IngestLease>& leases,
                                                               milliseconds lease);

  [[nodiscard]] Result<Claim> claim(const ClaimRequest& request);
  [[nodiscard]] Result<std::vector<Lease>> renew(const std::vector<Lease>& leases, milliseconds lease);
  // At most kOutcomesMax.
  [[nodiscard]] Result<void> release(const std::vector<Lease>& leases, std::optional<TimePoint> ready_at);
  [[nodiscard]] Result<FinishReport> finish(const std::vector<ItemOutcome>& outcomes);
  [[nodiscard]] Result<JobStore::RescueReport> rescue();

  [[nodiscard]] Result<Job> cancel(const JobId& id);
  // The first chunk of a retry; true when more of it is to be done by reopen_more().
  [[nodiscard]] Result<bool> retry(const JobId& id, const RetryFilter& filter);
  [[nodiscard]] Result<bool> reopen_more(const JobId& id);
  [[nodiscard]] Result<Job> pause(const JobId& id);
  [[nodiscard]] Result<Job> resume(const JobId& id);
  [[nodiscard]] Result<void> replace_headers(const JobId& id, const std::vector<OriginHeader>& headers);
  [[nodiscard]] Result<Job> job(const JobId& id);

  [[nodiscard]] Result<Job> remove_job(const JobId& id, CancelFirst cancel);
  [[nodiscard]] Result<std::uint64_t> expire_jobs(std::optional<milliseconds> keep);
  [[nodiscard]] Result<std::optional<Removal>> claim_removal(milliseconds lease);
  [[nodiscard]] Result<bool> renew_removal(const Removal& removal, milliseconds lease);
  [[nodiscard]] Result<RemovalStep> remove_slice(const Removal& removal, milliseconds lease);
  [[nodiscard]] Result<void> note_mark(const std::string& digest);
  [[nodiscard]] Result<std::optional<std::string>> claim_idle_mark(milliseconds idle, milliseconds lease);
  [[nodiscard]] Result<void> forget_mark(const std::string& digest);

  [[nodiscard]] Result<Outbox::Due> claim_deliveries(const DeliveryClaim& request);
  [[nodiscard]] Result<void> record_delivery(const DeliveryResult& result);
  [[nodiscard]] Result<void> resend(const std::string& event_id);
  [[nodiscard]] Result<void> set_setting(const std::string& name, const std::string& value);

  [[nodiscard]] Result<RecipeSaved> save_recipe(const std::string& name, const std::string& text);
  [[nodiscard]] Result<void> remove_recipe(const std::string& name);

  // sqlite_upkeep.cc
  [[nodiscard]] Result<bool> repair(const Violation& violation);
  [[nodiscard]] Result<bool> correct(const JobRecord& record, const JobTotals& truth);
  [[nodiscard]] Result<void> end_review(const Review& review);
  [[nodiscard]] Result<bool> begin_sweep(const JobRecord& record);
  [[nodiscard]] Result<void> end_sweep(const JobRecord& record);

 private:
  struct Batch;
  // jobs_finished of the transaction under way.
  using Finished = std::vector<JobId>;

  template <class Work>
  std::invoke_result_t<Work&> transact(Durability durability, Work work);
  template <class Work>
  std::invoke_result_t<Work&> transact_once(Work& work);
  [[nodiscard]] Result<void> sync_now();
  [[nodiscard]] std::int64_t now_ms() const { return to_unix_ms(clock_.now()); }

  // sqlite_ingest.cc
  [[nodiscard]] Result<void> note_marks(std::int64_t job_no, std::string_view recipe);
  [[nodiscard]] Result<std::size_t> append_now(const IngestLease& lease, const std::vector<std::string>& columns,
                                               const std::vector<NewRow>& rows, std::size_t from);
  struct EarlierJob;
  // `earlier`: null where there is nothing to compare with.
  [[nodiscard]] Result<void> insert_row(const StoredJob& stored, IngestMemory& memory, const NewRow& row,
                                        EarlierJob* earlier);
  [[nodiscard]] Result<void> insert_item(std::int64_t job_no, IngestMemory& memory, const NewRow& row,
                                         const NewItem& item, std::optional<std::int64_t> recipe,
                                         std::optional<std::int64_t> since_item);
  [[nodiscard]] Result<void> remember_recipes(std::int64_t job_no, IngestMemory& memory);
  // The number of the row's own recipe, written down if it is new.
  [[nodiscard]] Result<std::optional<std::int64_t>> recipe_number(std::int64_t job_no, IngestMemory& memory,
                                                                  const NewRow& row);
  [[nodiscard]] Result<StoredJob> ingesting_job(const IngestLease& lease);

  // sqlite_since.cc
  // The job that this one is compared with, in its own database; nullopt when it cannot be asked any more.
  struct EarlierJob {
    db::Database& database;
    StoredJob stored;
  };
  [[nodiscard]] Result<std::optional<EarlierJob>> earlier_job(const Job& job);
  [[nodiscard]] db::Database* earlier_database(const std::string& folder);
  // A slice of it; true when there is more to read.
  [[nodiscard]] Result<bool> remember_earlier(const StoredJob& stored, IngestMemory& memory);
  // The item of it that a new one has in its row.
  [[nodiscard]] Result<std::optional<std::int64_t>> match_earlier(EarlierJob& earlier, IngestMemory& memory,
                                                                  const std::string& url, const std::string& recipe);
  [[nodiscard]] Result<bool> earlier_has_url(EarlierJob& earlier, std::uint64_t item, const std::string& url);
  [[nodiscard]] Result<GoneStep> note_gone_now(const StoredJob& stored, IngestMemory& memory);
  // Fills in what the earlier job has of the item.
  [[nodiscard]] Result<void> describe_earlier(EarlierJob& earlier, const std::string& job_recipe, std::int64_t number,
                                              ClaimedItem& item);

  // sqlite_claims.cc
  [[nodiscard]] Result<Claim> claim_now(const ClaimRequest& request);
  [[nodiscard]] Result<std::vector<std::uint64_t>> ready_items(std::int64_t job_no, std::size_t limit);
  [[nodiscard]] Result<std::vector<Pick>> pick_items(const ClaimRequest& request,
                                                     std::optional<TimePoint>& next_ready_at);
  [[nodiscard]] Result<void> lease_items(const Pick& pick, const ClaimRequest& request,
                                         std::vector<ClaimedItem>& items);
  [[nodiscard]] Result<void> describe_original(std::int64_t job_no, std::uint64_t original, ClaimedItem& item);
  [[nodiscard]] Result<std::optional<TimePoint>> next_retry(std::int64_t job_no);
  // True when the lease was held; the item is pending then, or cancelled with its job.
  [[nodiscard]] Result<bool> give_back(const Lease& lease, std::int64_t not_before, JobState job_state);
  // The same for many, with counters and jobs that end by it; adds to `given_back` how many were held.
  [[nodiscard]] Result<void> give_back_all(const std::vector<Lease>& leases, std::int64_t not_before,
                                           Finished& finished, std::uint64_t& given_back);
  // Wakes a bounded number of those that wait for finished items; true when more wait.
  [[nodiscard]] Result<bool> wake_more_followers();

  // sqlite_finish.cc
  [[nodiscard]] Result<void> record(const ItemOutcome& outcome, Batch& batch, FinishReport& report);
  [[nodiscard]] Result<bool> record_success(const ItemOutcome& outcome, const ItemSuccess& success, Batch& batch);
  [[nodiscard]] Result<bool> record_failure(const ItemOutcome& outcome, const ItemFailure& failure, Batch& batch);
  [[nodiscard]] Result<void> wake_followers(std::int64_t job_no, std::uint64_t item);
  [[nodiscard]] Result<void> count(std::int64_t job_no, const CounterChange& change);
  [[nodiscard]] Result<void> end_if_done(std::int64_t job_no, Finished& finished);
  [[nodiscard]] Result<void> write_event(std::int64_t job_no, const Job& job);

  // sqlite_upkeep.cc
  [[nodiscard]] Result<bool> repair_now(const Violation& violation);
  [[nodiscard]] Result<bool> repair_job(const Violation& violation);
  [[nodiscard]] Result<bool> end_stalled(std::int64_t job_no);
  [[nodiscard]] Result<bool> recount(std::int64_t job_no);
  [[nodiscard]] Result<bool> recount_and_end(std::int64_t job_no);
  [[nodiscard]] Result<bool> settle_open_items(std::int64_t job_no);
  [[nodiscard]] Result<bool> write_missing_event(std::int64_t job_no);
  [[nodiscard]] Result<bool> write_missing_delivery(const Violation& violation);
  [[nodiscard]] Result<void> correct_failures(const StoredJob& stored, const JobTotals& truth);
  // When it has ended.
  [[nodiscard]] Result<void> note_review(std::int64_t job_no);
  // Errors: kUnavailable while files of the job are being removed.
  [[nodiscard]] Result<void> check_not_swept(std::int64_t job_no);

  // sqlite_control.cc
  [[nodiscard]] Result<std::int64_t> cancel_pending(std::int64_t job_no);
  [[nodiscard]] Result<bool> reopen_chunk(std::int64_t job_no, Finished& finished);
  [[nodiscard]] Result<void> reopen_item(std::int64_t job_no, std::uint64_t item, std::int64_t generation);
  [[nodiscard]] Result<bool> rescue_leases(Finished& finished, std::uint64_t& rescued);
  [[nodiscard]] Result<bool> rescue_cancelling(Finished& finished, std::uint64_t& cancelled);
  [[nodiscard]] Result<bool> rescue_reopening(Finished& finished);
  [[nodiscard]] Result<Job> cancel_now(StoredJob stored);
  [[nodiscard]] Result<Job> set_state(StoredJob stored, Result<JobState> state);
  [[nodiscard]] Result<void> forget_ingest(std::int64_t job_no);

  // sqlite_removal.cc
  [[nodiscard]] Result<void> note_removal(std::int64_t job_no);
  [[nodiscard]] Result<std::uint64_t> expire_some(std::string_view sql, std::int64_t until_ms);
  [[nodiscard]] Result<std::optional<Removal>> take_up_removal(std::int64_t job_no, milliseconds lease);
  [[nodiscard]] Result<RemovalStep> remove_more(std::int64_t job_no, std::int64_t after_item, std::int64_t after_row);
  [[nodiscard]] Result<void> remove_rest(std::int64_t job_no);

  const Clock& clock_;
  db::Database database_;
  SqliteOptions options_;
  IngestMemories memories_;
  std::map<std::string, std::unique_ptr<db::Database>> earlier_;  // of other folders; null where there is none to read
  std::int64_t turn_ = 0;
  bool event_written_ = false;  // in the transaction under way
};

class Reader {
 public:
  Reader(db::Database database, std::string master_key, const Clock& clock)
      : database_(std::move(database)), master_key_(std::move(master_key)), clock_(clock) {}

  [[nodiscard]] Result<Job> job(const JobId& id);
  [[nodiscard]] Result<std::vector<OriginHeader>> headers(const JobId& id);
  [[nodiscard]] Result<std::vector<NamedRecipe>> row_names(const JobId& id);
  [[nodiscard]] Result<std::optional<Job>> job_by_digest(const std::string& digest);
  [[nodiscard]] Result<JobPage> jobs(const JobQuery& query);
  [[nodiscard]] Result<std::vector<Job>> unfinished_ingests();
  [[nodiscard]] Result<ItemPage> items(const JobId& id, const ItemQuery& query);
  [[nodiscard]] Result<std::vector<Row>> rows(const JobId& id, RowRange range);
  [[nodiscard]] Result<std::vector<FailureGroup>> failures(const JobId& id);
  [[nodiscard]] Result<std::vector<GoneUrl>> gone(const JobId& id, std::uint64_t after, std::uint32_t limit);
  [[nodiscard]] Result<std::vector<std::string>> unreferenced(const std::vector<std::string>& keys);
  [[nodiscard]] Result<JobStore::QueueDepth> depth();
  [[nodiscard]] Result<void> ping();
  [[nodiscard]] Result<std::vector<Delivery>> deliveries(const JobId& id);
  [[nodiscard]] Result<std::uint64_t> open_deliveries();
  [[nodiscard]] Result<std::optional<std::string>> setting(const std::string& name);
  [[nodiscard]] Result<std::vector<SavedRecipe>> saved_recipes();

  // sqlite_upkeep.cc
  [[nodiscard]] static Result<bool> lead() { return true; }  // nobody else has the file
  [[nodiscard]] Result<std::vector<Violation>> violations(Invariant invariant, const CheckRange& range);
  [[nodiscard]] Result<JobRecord> record(const JobId& id);
  [[nodiscard]] Result<JobTotals> item_totals(const CheckRange& range);
  [[nodiscard]] Result<JobTotals> row_totals(const CheckRange& range);
  [[nodiscard]] Result<std::map<std::string, std::uint64_t>> failure_counts(std::int64_t job_no);
  [[nodiscard]] Result<std::int64_t> jobs_after(std::int64_t after, std::uint32_t count);
  [[nodiscard]] Result<std::vector<Review>> due_reviews(TimePoint until, std::uint32_t limit);

 private:
  template <class Work>
  std::invoke_result_t<Work&> snapshot(Work work);
  [[nodiscard]] db::Statement& bind_check(Invariant invariant, const CheckRange& range);
  [[nodiscard]] Result<std::vector<std::uint64_t>> items_in_state(std::int64_t job_no, const ItemQuery& query);
  [[nodiscard]] Result<std::vector<std::uint64_t>> items_with_error(std::int64_t job_no, const ItemQuery& query);
  [[nodiscard]] Result<std::uint64_t> count_matching(const StoredJob& stored, const ItemQuery& query);

  db::Database database_;
  std::string master_key_;
  const Clock& clock_;
};

// BEGIN IMMEDIATE … COMMIT around `work`. A transaction that ended a job is brought to the disk before its end is told.
template <class Work>
std::invoke_result_t<Work&> Writer::transact(Durability durability, Work work) {
  // SQLite refuses to change the level inside a transaction.
  if (durability == Durability::kDurable) PIXMILL_RETURN_IF_ERROR(database_.execute("PRAGMA synchronous=FULL"));
  event_written_ = false;
  auto result = transact_once(work);
  if (durability == Durability::kDurable) PIXMILL_RETURN_IF_ERROR(database_.execute("PRAGMA synchronous=NORMAL"));
  if (result && event_written_ && durability == Durability::kProgress) PIXMILL_RETURN_IF_ERROR(sync_now());
  return result;
}

template <class Work>
std::invoke_result_t<Work&> Writer::transact_once(Work& work) {
  PIXMILL_TRY(auto transaction, db::Transaction::begin(database_));
  auto result = work();
  if (!result) return result;
  PIXMILL_RETURN_IF_ERROR(transaction.commit());
  return result;
}

// A store's file that another process may be using, to read from. Errors: kConflict when it is not one of ours, or of
// another version than this program's; those of Database::open.
[[nodiscard]] Result<db::Database> open_to_read(const std::string& path);

// Other programs' files are told from ours by a number in the header. Errors: kConflict.
[[nodiscard]] Result<void> check_ours(db::Database& database);

template <class Work>
std::invoke_result_t<Work&> Reader::snapshot(Work work) {
  PIXMILL_TRY(auto transaction, db::Transaction::begin(database_));
  auto result = work();
  PIXMILL_RETURN_IF_ERROR(transaction.commit());
  return result;
}

}  // namespace pixmill::jobs::sqlite
