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
#include "jobs/job_store.h"
#include "jobs/key_table.h"
#include "jobs/model.h"
#include "jobs/outbox.h"
#include "jobs/recipe_store.h"
#include "jobs/sqlite_recipes.h"
#include "jobs/sqlite_statements.h"
#include "jobs/sqlite_store.h"

namespace pixmill::jobs::sqlite {

// How much one transaction does at most, so that none holds the writer for more than 50 ms.
inline constexpr std::uint32_t kRowsPerAppendMax = 1'000;
inline constexpr std::uint64_t kItemsPerTransactionMax = 2'000;  // of an append: a row may hold thousands of URLs
inline constexpr std::uint32_t kOutcomesMax = 64;
inline constexpr std::uint32_t kClaimMax = 64;
inline constexpr std::uint64_t kNamesPerSlice = 10'000;
inline constexpr std::int64_t kLeasesPerRescue = 1'000;
inline constexpr std::int64_t kCancelsPerTransaction = 5'000;
inline constexpr std::int64_t kReopensPerTransaction = 2'000;
inline constexpr std::int64_t kWakesPerTransaction =
    2'000;                                            // of those that wait for a finished item with the same URL …
inline constexpr std::int64_t kWakesPerLeader = 100;  // … and how many of them already when it finishes
inline constexpr std::uint64_t kItemsPerRowPage = 20'000;   // loaded at once for rows(), whatever its limit
inline constexpr std::size_t kBytesPerRowPage = 16u << 20;  // of cells
inline constexpr std::uint32_t kEventRowsMax = 200;
inline constexpr std::uint64_t kEventItemsMax = 2'000;
inline constexpr std::size_t kErrorMessageBytesMax = 1'000;
inline constexpr std::size_t kAnswerBytesMax = 8'192;
// No lease, retry or delivery is set this far ahead: such a time was written before the clock was put back.
inline constexpr milliseconds kStrandedAfter = std::chrono::hours(48);

// A broken constraint is a bug of this store, not a conflict that the caller could solve.
[[nodiscard]] Error as_internal(Error error);
[[nodiscard]] Result<bool> step(db::Statement& statement);
[[nodiscard]] Result<std::int64_t> run(db::Statement& statement);
// The first 8 bytes of SHA-256: nobody can make many texts collide to slow a job down.
[[nodiscard]] std::uint64_t hash64(std::string_view text);
// At most `bytes_max` bytes, cut between characters.
[[nodiscard]] std::string_view bounded(std::string_view text, std::size_t bytes_max);
[[nodiscard]] std::string to_json(const std::vector<std::string>& texts);
[[nodiscard]] Result<std::vector<std::string>> texts_from_json(std::string_view json);
[[nodiscard]] std::string seal_headers(std::string_view master_key, const JobId& job,
                                       const std::vector<OriginHeader>& headers);
// Errors: kInvalidArgument when they were sealed under another key.
[[nodiscard]] Result<std::vector<OriginHeader>> unseal_headers(std::string_view master_key, const JobId& job,
                                                               std::string_view sealed);
[[nodiscard]] std::unexpected<Error> no_such_job();

struct StoredJob {
  std::int64_t job_no = 0;
  Job job;
  std::uint64_t leased = 0;
  std::string sealed_headers;
};

// For both connections (sqlite_rows.cc).
[[nodiscard]] Result<StoredJob> read_job(const db::Statement& row);
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
struct RowRange {
  std::uint64_t after_row = 0;
  std::uint32_t rows_max = 0;
  std::uint64_t items_max = 0;               // fewer rows are returned when they hold more,
  std::size_t bytes_max = kBytesPerRowPage;  // or have more text in their cells, at least one
};
[[nodiscard]] Result<std::vector<Row>> load_rows(db::Database& database, std::int64_t job_no, RowRange range);

// What ingest remembers of one job: its URLs and its output names. Made from the database again when it is lost.
struct IngestMemory {
  KeyTable urls{32};              // to the first item with it
  KeyTable names{20};             // case-folded, to the suffix to try next
  bool numbered_folders = false;  // a name of the first 10,000 looks like one that fan_out() makes
  std::uint64_t items = 0;        // covered so far
  // Numbers of the recipes of rows, by a hash of the recipe; nullopt until they have been read.
  std::optional<std::map<std::uint64_t, std::int64_t>> recipes;
  std::uint64_t recipe_bytes = 0;
  std::uint64_t last_use = 0;
};

// What one transaction changes in a job's counters.
struct CounterChange {
  std::int64_t leased = 0;
  std::int64_t remaining = 0;
  std::int64_t succeeded = 0;
  std::int64_t failed = 0;
  std::int64_t cancelled = 0;
  std::int64_t bytes_in = 0;
  std::int64_t bytes_out = 0;
};

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
  [[nodiscard]] Result<bool> remember_names(const JobId& id);
  // Appends rows[from …] up to a bounded number of items; where to go on. `from` itself: remember_names() first.
  [[nodiscard]] Result<std::size_t> append_rows(const JobId& id, const std::vector<std::string>& columns,
                                                const std::vector<NewRow>& rows, std::size_t from);
  [[nodiscard]] Result<void> finish_ingest(const JobId& id);
  [[nodiscard]] Result<void> reject_job(const JobId& id, const Error& why);

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
  [[nodiscard]] Result<void> replace_headers(const JobId& id, const std::vector<OriginHeader>& headers);
  [[nodiscard]] Result<Job> job(const JobId& id);

  [[nodiscard]] Result<Outbox::Due> claim_deliveries(const DeliveryClaim& request);
  [[nodiscard]] Result<void> record_delivery(const DeliveryResult& result);
  [[nodiscard]] Result<void> resend(const std::string& event_id);
  [[nodiscard]] Result<void> set_setting(const std::string& name, const std::string& value);

  [[nodiscard]] Result<RecipeSaved> save_recipe(const std::string& name, const std::string& text);
  [[nodiscard]] Result<void> remove_recipe(const std::string& name);

 private:
  struct Batch;
  struct Pick;
  // jobs_finished of the transaction under way.
  using Finished = std::vector<JobId>;

  template <class Work>
  std::invoke_result_t<Work&> transact(Durability durability, Work work);
  template <class Work>
  std::invoke_result_t<Work&> transact_once(Work& work);
  [[nodiscard]] Result<void> sync_now();
  [[nodiscard]] std::int64_t now_ms() const { return to_unix_ms(clock_.now()); }

  // sqlite_ingest.cc
  [[nodiscard]] Result<std::size_t> append_now(const JobId& id, const std::vector<std::string>& columns,
                                               const std::vector<NewRow>& rows, std::size_t from);
  [[nodiscard]] Result<void> insert_row(std::int64_t job_no, IngestMemory& memory, const NewRow& row);
  [[nodiscard]] Result<void> insert_item(std::int64_t job_no, IngestMemory& memory, const NewRow& row,
                                         const NewItem& item, std::optional<std::int64_t> recipe);
  [[nodiscard]] Result<void> remember_recipes(std::int64_t job_no, IngestMemory& memory);
  // The number of the row's own recipe, written down if it is new.
  [[nodiscard]] Result<std::optional<std::int64_t>> recipe_number(std::int64_t job_no, IngestMemory& memory,
                                                                  const NewRow& row);
  [[nodiscard]] Result<StoredJob> ingesting_job(const JobId& id);
  IngestMemory& memory_of(std::int64_t job_no);

  // sqlite_claims.cc
  [[nodiscard]] Result<Claim> claim_now(const ClaimRequest& request);
  [[nodiscard]] Result<bool> pick_band(const std::vector<std::int64_t>& jobs, std::uint32_t limit,
                                       std::vector<Pick>& picks);
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

  // sqlite_control.cc
  [[nodiscard]] Result<std::int64_t> cancel_pending(std::int64_t job_no);
  [[nodiscard]] Result<bool> reopen_chunk(std::int64_t job_no, Finished& finished);
  [[nodiscard]] Result<void> reopen_item(std::int64_t job_no, std::uint64_t item, std::int64_t generation);
  [[nodiscard]] Result<bool> rescue_leases(Finished& finished, std::uint64_t& rescued);
  [[nodiscard]] Result<bool> rescue_cancelling(Finished& finished, std::uint64_t& cancelled);
  [[nodiscard]] Result<bool> rescue_reopening(Finished& finished);

  const Clock& clock_;
  db::Database database_;
  SqliteOptions options_;
  std::map<std::int64_t, std::unique_ptr<IngestMemory>> memories_;  // by job number; a few
  std::uint64_t memory_uses_ = 0;
  std::int64_t turn_ = 0;
  bool event_written_ = false;  // in the transaction under way
};

class Reader {
 public:
  Reader(db::Database database, std::string master_key)
      : database_(std::move(database)), master_key_(std::move(master_key)) {}

  [[nodiscard]] Result<Job> job(const JobId& id);
  [[nodiscard]] Result<std::vector<OriginHeader>> headers(const JobId& id);
  [[nodiscard]] Result<std::vector<NamedRecipe>> row_names(const JobId& id);
  [[nodiscard]] Result<std::optional<Job>> job_by_digest(const std::string& digest);
  [[nodiscard]] Result<JobPage> jobs(const JobQuery& query);
  [[nodiscard]] Result<std::vector<Job>> unfinished_ingests();
  [[nodiscard]] Result<ItemPage> items(const JobId& id, const ItemQuery& query);
  [[nodiscard]] Result<std::vector<Row>> rows(const JobId& id, RowRange range);
  [[nodiscard]] Result<std::vector<FailureGroup>> failures(const JobId& id);
  [[nodiscard]] Result<std::vector<std::string>> unreferenced(const std::vector<std::string>& keys);
  [[nodiscard]] Result<JobStore::QueueDepth> depth();
  [[nodiscard]] Result<void> ping();
  [[nodiscard]] Result<std::vector<Delivery>> deliveries(const JobId& id);
  [[nodiscard]] Result<std::uint64_t> open_deliveries();
  [[nodiscard]] Result<std::optional<std::string>> setting(const std::string& name);
  [[nodiscard]] Result<std::vector<SavedRecipe>> saved_recipes();

 private:
  template <class Work>
  std::invoke_result_t<Work&> snapshot(Work work);
  [[nodiscard]] Result<std::vector<std::uint64_t>> items_in_state(std::int64_t job_no, const ItemQuery& query);
  [[nodiscard]] Result<std::vector<std::uint64_t>> items_with_error(std::int64_t job_no, const ItemQuery& query);
  [[nodiscard]] Result<std::uint64_t> count_matching(const StoredJob& stored, const ItemQuery& query);

  db::Database database_;
  std::string master_key_;
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
