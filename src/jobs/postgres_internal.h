// The two halves of the PostgreSQL store, blocking, each for one thread: Writer changes, Reader reads.
// postgres_store.cc puts two Writers and a Reader on their threads. Private to src/jobs/postgres_*.cc and their tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "db/postgres.h"
#include "db/postgres_session.h"
#include "jobs/claim_plan.h"
#include "jobs/ingest_memory.h"
#include "jobs/job_store.h"
#include "jobs/model.h"
#include "jobs/outbox.h"
#include "jobs/postgres_checks.h"
#include "jobs/postgres_statements.h"
#include "jobs/postgres_store.h"
#include "jobs/recipe_store.h"
#include "jobs/stored_rows.h"
#include "jobs/stored_values.h"
#include "jobs/upkeep.h"

namespace pixmill::jobs::postgres {

using db::pg::Durability;
using db::pg::Params;
using db::pg::Session;

// Inside a transaction of the session (postgres_rows.cc).
enum class Lock : std::uint8_t { kNone, kForUpdate };
[[nodiscard]] Result<StoredJob> load_job(Session& session, const JobId& id, Lock lock = Lock::kNone);      // kNotFound
[[nodiscard]] Result<StoredJob> load_job(Session& session, std::int64_t job_no, Lock lock = Lock::kNone);  // kNotFound
[[nodiscard]] Result<std::int64_t> job_number(Session& session, const JobId& id);                          // kNotFound
// How many rows a statement touched.
[[nodiscard]] Result<std::int64_t> run(Session& session, std::string_view sql, const Params& params);
// The first column of every row.
[[nodiscard]] Result<std::vector<std::int64_t>> numbers(Session& session, std::string_view sql, const Params& params);
// Items first to last of a job, or those named (ascending), with their outputs and recipes.
[[nodiscard]] Result<std::vector<Item>> load_items(Session& session, std::int64_t job_no, std::uint64_t first,
                                                   std::uint64_t last);
[[nodiscard]] Result<std::vector<Item>> load_items(Session& session, std::int64_t job_no,
                                                   const std::vector<std::int64_t>& items);
[[nodiscard]] Result<std::map<std::uint64_t, std::vector<Output>>> load_outputs(Session& session, std::int64_t job_no,
                                                                                const std::vector<std::int64_t>& items);
[[nodiscard]] Result<std::vector<Row>> load_rows(Session& session, std::int64_t job_no, RowRange range);

// Leases as three arrays, in the order in which their rows are locked.
struct LeaseArrays {
  explicit LeaseArrays(std::vector<Lease> leases);
  std::vector<std::int64_t> job_no, item, token;
};

// What one transaction of an ingest inserts, column by column.
struct Chunk {
  std::vector<std::int64_t> row_no, first_item, item_count;
  std::vector<std::string> cells, problems;

  std::vector<std::int64_t> item, item_row, position;
  std::vector<std::string> urls, stems, recipes;  // `recipes`: in words, where the job is compared with another
  std::vector<std::optional<std::int64_t>> same_as, not_before, recipe_no, since_item;

  std::vector<std::int64_t> new_recipe_no;
  std::vector<std::string> new_recipes, new_recipe_names;

  std::uint64_t last_row = 0;
  std::int64_t invalid = 0;
  std::string columns;  // JSON; "" to leave them
};

class Writer {
 public:
  Writer(const Clock& clock, db::pg::SessionOptions session, db::pg::StopSignal& stop, const PostgresOptions& options)
      : clock_(clock), session_(std::move(session), stop), options_(options) {}

  // Gives back what the process before held that had the same data folder. What was leased.
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
  [[nodiscard]] Result<void> release(const std::vector<Lease>& leases, std::optional<TimePoint> ready_at);
  // At most kOutcomesMax.
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
  [[nodiscard]] Result<void> set_setting_once(const std::string& name, const std::string& value);

  [[nodiscard]] Result<RecipeSaved> save_recipe(const std::string& name, const std::string& text);
  [[nodiscard]] Result<void> remove_recipe(const std::string& name);

  // postgres_upkeep.cc
  [[nodiscard]] Result<bool> lead();
  [[nodiscard]] Result<std::vector<Violation>> violations(Invariant invariant, const CheckRange& range);
  [[nodiscard]] Result<JobRecord> record(const JobId& id);
  [[nodiscard]] Result<JobTotals> item_totals(const CheckRange& range);
  [[nodiscard]] Result<JobTotals> row_totals(const CheckRange& range);
  [[nodiscard]] Result<std::map<std::string, std::uint64_t>> failure_counts(std::int64_t job_no);
  [[nodiscard]] Result<std::int64_t> jobs_after(std::int64_t after, std::uint32_t count);
  [[nodiscard]] Result<std::vector<Review>> due_reviews(TimePoint until, std::uint32_t limit);
  [[nodiscard]] Result<bool> repair(const Violation& violation);
  [[nodiscard]] Result<bool> correct(const JobRecord& record, const JobTotals& truth);
  [[nodiscard]] Result<void> end_review(const Review& review);
  [[nodiscard]] Result<bool> begin_sweep(const JobRecord& record);
  [[nodiscard]] Result<void> end_sweep(const JobRecord& record);

 private:
  struct Held;
  struct Appended {
    std::int64_t job_no = 0;
    std::size_t next = 0;  // of the rows given
    std::uint64_t last_row = 0;
    std::uint64_t items = 0;  // of the job
  };
  struct Appending {
    JobId job;
    std::int64_t job_no = 0;
    std::uint64_t items = 0;
  };
  using Finished = std::vector<JobId>;                    // jobs that ended in the transaction under way
  using Changes = std::map<std::int64_t, CounterChange>;  // by job number

  template <class Work>
  std::invoke_result_t<Work&> transact(Durability durability, Work work) {
    return session_.transact(durability, std::move(work));
  }
  // The database's clock is the fleet's: what one process sets falls due for all, whatever their own clocks say. Inside
  // a transaction.
  [[nodiscard]] std::int64_t database_ms(TimePoint at) const {
    return std::max<std::int64_t>(to_unix_ms(at + session_.server_ahead()), 0);
  }
  [[nodiscard]] std::int64_t now_ms() const { return database_ms(clock_.now()); }
  // By our own clock.
  [[nodiscard]] TimePoint here(std::int64_t database_ms) const {
    return from_unix_ms(database_ms) - session_.server_ahead();
  }

  // postgres_ingest.cc
  [[nodiscard]] Result<void> note_marks(std::int64_t job_no, const std::vector<std::string>& recipes);
  [[nodiscard]] Result<StoredJob> ingesting_job(const JobId& id, Lock lock);
  [[nodiscard]] Result<StoredJob> ingest_to_end(const IngestLease& lease);
  // Nobody takes the table over until the transaction ends. Errors: kConflict when the lease is another's.
  [[nodiscard]] Result<void> hold_ingest(const IngestLease& lease);
  [[nodiscard]] Result<Appended> append_now(const IngestLease& lease, const std::vector<std::string>& columns,
                                            const std::vector<NewRow>& rows, std::size_t from);
  [[nodiscard]] Result<void> remember_recipes(std::int64_t job_no, IngestMemory& memory);
  [[nodiscard]] Result<void> add_row(Chunk& chunk, IngestMemory& memory, const Job& job, const NewRow& row) const;
  [[nodiscard]] Result<std::optional<std::int64_t>> recipe_number(Chunk& chunk, IngestMemory& memory,
                                                                  const NewRow& row) const;
  [[nodiscard]] Result<void> match_leaders(std::int64_t job_no, Chunk& chunk);
  [[nodiscard]] Result<void> insert_chunk(const StoredJob& stored, const Chunk& chunk);

  // postgres_since.cc
  // The number of the job that this one is compared with; nullopt when it is not there any more.
  [[nodiscard]] Result<std::optional<StoredJob>> earlier_job(const Job& job);
  // A slice of it; true when there is more to read.
  [[nodiscard]] Result<bool> remember_earlier(const StoredJob& stored, IngestMemory& memory);
  // The items of it that new ones have in their rows.
  [[nodiscard]] Result<void> match_earlier(const StoredJob& stored, Chunk& chunk, IngestMemory& memory);
  [[nodiscard]] Result<std::set<std::int64_t>> earlier_with_urls(
      std::int64_t job_no, const std::multimap<std::int64_t, std::string_view>& urls);
  struct GoneReach {
    GoneStep step = GoneStep::kDone;
    std::uint64_t after = 0;
  };
  [[nodiscard]] Result<GoneReach> note_gone_now(const StoredJob& stored, const SinceMemory& since);
  // Fills in what the earlier jobs have of the items; `since_items` are those of the rows, beside `items`.
  [[nodiscard]] Result<void> describe_earlier(std::vector<ClaimedItem>& items,
                                              const std::vector<std::int64_t>& since_items);

  // postgres_claims.cc
  [[nodiscard]] Result<Claim> claim_now(const ClaimRequest& request);
  [[nodiscard]] Result<std::vector<RunnableJob>> runnable_jobs(const ClaimRequest& request, Claim& claim);
  [[nodiscard]] Result<std::vector<std::uint64_t>> ready_items(std::int64_t job_no, std::size_t limit);
  [[nodiscard]] Result<void> lease_items(const std::vector<Pick>& picks, const ClaimRequest& request,
                                         std::vector<ClaimedItem>& items);
  [[nodiscard]] Result<void> describe_originals(std::vector<ClaimedItem>& items);
  [[nodiscard]] Result<void> serve_jobs(const std::vector<Pick>& picks);
  // Those of `leases` that are held go back to pending, or end with their job; how many.
  [[nodiscard]] Result<std::uint64_t> give_back(std::vector<Lease> leases, std::int64_t not_before, Finished& finished);
  [[nodiscard]] Result<bool> wake_more_followers();

  // postgres_finish.cc
  [[nodiscard]] Result<Held> record(const std::vector<ItemOutcome>& outcomes);
  [[nodiscard]] Result<void> insert_outputs(const std::vector<const ItemOutcome*>& successes);
  [[nodiscard]] Result<void> count_failures(const std::vector<const ItemOutcome*>& failures);
  [[nodiscard]] Result<void> wake_followers(const Held& held);
  // The last step of a transaction: the jobs' rows are locked from here on. Ends those that have nothing left.
  [[nodiscard]] Result<void> count(const Changes& changes, Finished& finished);
  [[nodiscard]] Result<void> end_if_done(std::int64_t job_no, Finished& finished);
  [[nodiscard]] Result<void> write_event(std::int64_t job_no, const Job& job);

  // postgres_upkeep.cc
  [[nodiscard]] Result<bool> repair_now(const Violation& violation);
  [[nodiscard]] Result<bool> repair_job(const Violation& violation);
  [[nodiscard]] Result<bool> end_stalled(std::int64_t job_no);
  [[nodiscard]] Result<bool> recount(std::int64_t job_no);
  [[nodiscard]] Result<bool> recount_and_end(std::int64_t job_no);
  [[nodiscard]] Result<bool> settle_open_items(std::int64_t job_no);
  [[nodiscard]] Result<bool> write_missing_event(std::int64_t job_no);
  [[nodiscard]] Result<bool> write_missing_delivery(const Violation& violation);
  [[nodiscard]] Result<void> correct_failures(std::int64_t job_no, const JobTotals& truth);
  // Those of them that have ended. After everything else: nobody holds a review and wants a job.
  [[nodiscard]] Result<void> note_reviews(const std::vector<std::int64_t>& jobs);
  [[nodiscard]] Result<void> note_fenced(const std::vector<Lease>& fenced);
  // Errors: kUnavailable while files of the job are being removed.
  [[nodiscard]] Result<void> check_not_swept(std::int64_t job_no);

  // postgres_control.cc
  [[nodiscard]] Result<std::int64_t> cancel_pending(std::int64_t job_no, Finished& finished);
  [[nodiscard]] Result<bool> reopen_chunk(std::int64_t job_no, Finished& finished);
  [[nodiscard]] Result<std::int64_t> reopen_items(const StoredJob& stored, const db::pg::Rows& failed);
  [[nodiscard]] Result<std::map<std::int64_t, ItemState>> originals(std::int64_t job_no,
                                                                    const std::vector<std::int64_t>& items);
  [[nodiscard]] Result<bool> rescue_leases(JobStore::RescueReport& report);
  [[nodiscard]] Result<bool> rescue_cancelling(JobStore::RescueReport& report);
  [[nodiscard]] Result<bool> rescue_reopening(JobStore::RescueReport& report);
  [[nodiscard]] Result<Job> cancel_now(StoredJob stored);
  [[nodiscard]] Result<Job> set_state(StoredJob stored, Result<JobState> state);
  // Takes the locks that come before the job's.
  [[nodiscard]] Result<void> forget_notes(std::int64_t job_no);

  // postgres_removal.cc
  [[nodiscard]] Result<void> start_removal(const std::vector<std::int64_t>& jobs);
  [[nodiscard]] Result<std::uint64_t> expire_some(std::string_view sql, std::int64_t until_ms);
  [[nodiscard]] Result<std::optional<Removal>> take_up_removal(std::int64_t job_no, milliseconds lease);
  [[nodiscard]] Result<RemovalStep> remove_more(std::int64_t job_no, std::int64_t after_item, std::int64_t after_row);
  [[nodiscard]] Result<void> remove_rest(std::int64_t job_no);

  const Clock& clock_;
  Session session_;
  PostgresOptions options_;
  IngestMemories memories_;
  std::optional<Appending> appending_;  // the job appended to last
  // How far append_rows said it was, by job number. Appending does not wait for the server's disk, so a crash of the
  // server may take back what the reader of the table is already beyond: then the table is read again.
  std::map<std::int64_t, std::uint64_t> rows_told_;
};

class Reader {
 public:
  Reader(db::pg::SessionOptions session, db::pg::StopSignal& stop, const PostgresOptions& options)
      : session_(std::move(session), stop), master_key_(options.master_key), server_(options.server) {}

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

 private:
  template <class Work>
  std::invoke_result_t<Work&> snapshot(Work work) {
    return session_.snapshot(std::move(work));
  }
  [[nodiscard]] Result<std::vector<std::int64_t>> items_with_error(std::int64_t job_no, const ItemQuery& query);
  [[nodiscard]] Result<std::uint64_t> count_matching(const StoredJob& stored, const ItemQuery& query);

  Session session_;
  std::string master_key_;
  std::string server_;
};

}  // namespace pixmill::jobs::postgres
