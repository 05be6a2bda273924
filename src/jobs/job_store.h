// The truth about jobs: a seam of domain verbs over SQLite and, later, PostgreSQL. Every implementation passes
// tests/conformance/job_store_suite.h. Called from the loop; SQL runs on threads of the implementation.
//
// Errors of every verb: kUnavailable (closing, or the database is away), kDiskFull, kIo, kInternal; others are named.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "jobs/model.h"

namespace pixmill::jobs {

struct ClaimRequest {
  std::string worker;        // for people: who holds the lease
  std::uint32_t limit = 64;  // 1 to 64
  milliseconds lease{30'000};
  std::optional<JobId> only = std::nullopt;  // items of this job alone; of every runnable job by default
};

struct Claim {
  std::vector<ClaimedItem> items;          // of the runnable jobs by priority, then in turns, then in input order
  std::optional<TimePoint> next_ready_at;  // when nothing was claimable: when the earliest retry falls due
};

struct JobQuery {
  std::optional<JobState> state;
  std::uint32_t limit = 50;           // 1 to 500
  std::optional<std::string> before;  // cursor from JobPage::next; newest first
};
struct JobPage {
  std::vector<Job> jobs;
  std::uint64_t total = 0;
  std::optional<std::string> next;
};

struct ItemQuery {
  std::optional<ItemState> state;
  std::string error_code;               // "" for any; also of items whose retry is still to come
  std::uint64_t after = 0;              // item number; keyset
  std::optional<std::uint64_t> offset;  // instead of `after`
  std::uint32_t limit = 100;            // 1 to 1,000
};
struct ItemPage {
  std::vector<Item> items;
  std::uint64_t total = 0;  // matching state and code
};

struct RetryFilter {
  std::string error_code;  // "" for every failed item
};

// A job whose end has come to be removed, and the lease under which one process does it.
struct Removal {
  JobId job;
  std::int64_t job_no = 0;  // the store's own
  std::int64_t token = 0;
  std::string blob_prefix;  // Job::blob_prefix
  std::string source_path;
};

enum class CancelFirst : std::uint8_t { kNo, kYes };

enum class RemovalStep : std::uint8_t {
  kMore,  // a slice is gone
  kDone,  // nothing is left
  kLost,  // the lease is another process's by now
};

class JobStore {
 public:
  virtual ~JobStore() = default;

  // --- A job comes in ---
  // Durable when it returns (synchronous=FULL): the job is `ingesting`, and its creator has the lease to append its
  // rows. Errors: kConflict when the id exists.
  [[nodiscard]] virtual Task<Result<void>> create_job(NewJob job) = 0;
  // The next chunk of rows, in one transaction with the note that they are in; `columns` with the first. Rows at or
  // below what is already in are skipped, so a resumed ingest may repeat itself. Items can be claimed at once. At most
  // 1,000 rows; those with very many items are spread over several transactions. Errors: kNotFound, kCancelled once the
  // job was cancelled, kConflict when it takes no more rows or the lease is another's, kInvalidArgument when there are
  // more, they do not ascend, or one before them is missing, kTooLarge when the job would have more items, or its rows
  // more different recipes, than the implementation can hold.
  [[nodiscard]] virtual Task<Result<void>> append_rows(IngestLease lease, std::vector<std::string> columns,
                                                       std::vector<NewRow> rows) = 0;
  // ingesting ► running, or on to its end when nothing remains. Notes first, in transactions of their own, which URLs
  // of the earlier job are gone. Durable. Errors: kNotFound, kCancelled, kConflict as above.
  [[nodiscard]] virtual Task<Result<void>> finish_ingest(IngestLease lease) = 0;
  // ingesting ► rejected, with an event: the table turned out to be unreadable. What it had of items is cancelled
  // first, as rescue() goes on with. Durable. Errors: as finish_ingest.
  [[nodiscard]] virtual Task<Result<void>> reject_job(IngestLease lease, Error why) = 0;
  // Jobs whose tables nobody reads, the longest left first, at most `limit`: `lease` long they are the caller's, and
  // whoever read them before can append nothing any more. Tables that lie on another server's disk are left to that
  // one.
  [[nodiscard]] virtual Task<Result<std::vector<TakenIngest>>> claim_ingests(std::uint32_t limit,
                                                                             milliseconds lease) = 0;
  // Those of `leases` that are still held now end `lease` from now; the others are returned.
  [[nodiscard]] virtual Task<Result<std::vector<IngestLease>>> renew_ingests(std::vector<IngestLease> leases,
                                                                             milliseconds lease) = 0;

  // --- Work ---
  [[nodiscard]] virtual Task<Result<Claim>> claim(ClaimRequest request) = 0;
  // Those of `leases` that are still held now end `lease` from now; the others are returned. Also returned: leases of
  // jobs that are being cancelled, whose items should be dropped before they are fetched.
  [[nodiscard]] virtual Task<Result<std::vector<Lease>>> renew(std::vector<Lease> leases, milliseconds lease) = 0;
  // Gives items back unfinished, claimable at `ready_at` (at once by default), without counting an attempt.
  [[nodiscard]] virtual Task<Result<void>> release(std::vector<Lease> leases, std::optional<TimePoint> ready_at) = 0;
  // At most 64 outcomes in one transaction with the jobs' counters, terminal states and terminal events.
  [[nodiscard]] virtual Task<Result<FinishReport>> finish(std::vector<ItemOutcome> outcomes) = 0;
  // Expired leases go back to pending; cancelling jobs lose a chunk of pending items and end when none is left.
  // Returns how many items moved; call again at once when `more`.
  struct RescueReport {
    std::uint64_t rescued = 0;
    std::uint64_t cancelled = 0;
    std::vector<JobId> jobs_finished;
    bool more = false;
  };
  [[nodiscard]] virtual Task<Result<RescueReport>> rescue() = 0;

  // --- Control ---
  // A terminal job stays as it is (and is returned). Errors: kNotFound.
  [[nodiscard]] virtual Task<Result<Job>> cancel(JobId job) = 0;
  // Its items are not claimed from now on; those under way end as they end, and its table is read on. One whose last
  // item ends meanwhile ends with it. Durable. The job as it stands, also when it was paused already. Errors:
  // kNotFound, kConflict when it is being cancelled or has ended.
  [[nodiscard]] virtual Task<Result<Job>> pause(JobId job) = 0;
  // As it was before pause(). Durable. The job as it stands, also when it was not paused. Errors: as pause.
  [[nodiscard]] virtual Task<Result<Job>> resume(JobId job) = 0;
  // Opens generation g+1 of failed items. Errors: kNotFound, kConflict when the job is not terminal, was cancelled or
  // rejected (which is final), or has none of them; kUnavailable while a sweep removes files of it (jobs/upkeep.h).
  [[nodiscard]] virtual Task<Result<Job>> retry(JobId job, RetryFilter filter) = 0;

  // What is sent with the job's fetches from now on, in place of what was. Durable. Errors: kNotFound.
  [[nodiscard]] virtual Task<Result<void>> replace_headers(JobId job, std::vector<OriginHeader> headers) = 0;

  // --- Removal ---
  // A job that has ended becomes `deleting`: no other verb knows it from then on. One that has not is cancelled when
  // `cancel_first`, and removed once it has ended, as claim_removal() finds out. The job as it stands. Durable. Errors:
  // kNotFound, kConflict when it has not ended and is not to be cancelled.
  [[nodiscard]] virtual Task<Result<Job>> remove_job(JobId job, CancelFirst cancel) = 0;
  // The same for jobs that ended longer ago than they are kept, by NewJob::keep or, unset, by `keep` (unset: for ever),
  // and whose webhooks are delivered or given up. At most 100 at a time; how many.
  [[nodiscard]] virtual Task<Result<std::uint64_t>> expire_jobs(std::optional<milliseconds> keep) = 0;
  // One that has ended, has no webhook under way, and that nobody else removes: `lease` long it is the caller's.
  [[nodiscard]] virtual Task<Result<std::optional<Removal>>> claim_removal(milliseconds lease) = 0;
  // Once more `lease` from now; false when it is another's.
  [[nodiscard]] virtual Task<Result<bool>> renew_removal(Removal removal, milliseconds lease) = 0;
  // The next slice of the job's rows, in one short transaction that also renews the lease. Its files must be gone.
  [[nodiscard]] virtual Task<Result<RemovalStep>> remove_slice(Removal removal, milliseconds lease) = 0;

  // --- Uploaded watermarks ---
  // A job is about to name the watermark with this SHA-256: nobody removes it for as long as claim_idle_mark() is told
  // that it must be idle. To be said before it is stored, or looked for. Durable. Errors: kUnavailable while it is
  // being removed.
  [[nodiscard]] virtual Task<Result<void>> note_mark(std::string digest) = 0;
  // One that perhaps nothing has named for `idle`, and nothing does: its bytes are the caller's to remove, `lease`
  // long.
  [[nodiscard]] virtual Task<Result<std::optional<std::string>>> claim_idle_mark(milliseconds idle,
                                                                                 milliseconds lease) = 0;
  // The bytes of a claimed one are gone.
  [[nodiscard]] virtual Task<Result<void>> forget_mark(std::string digest) = 0;

  // --- Reading ---
  [[nodiscard]] virtual Task<Result<Job>> job(JobId job) = 0;  // kNotFound
  // What the job's fetches send; apart from the job, so that nobody unseals what he does not need. Errors: kNotFound,
  // kInvalidArgument when they were sealed under another master key.
  [[nodiscard]] virtual Task<Result<std::vector<OriginHeader>>> headers(JobId job) = 0;
  // NewJob::row_names, for reading its table again. Errors: kNotFound.
  [[nodiscard]] virtual Task<Result<std::vector<NamedRecipe>>> row_names(JobId job) = 0;
  [[nodiscard]] virtual Task<Result<std::optional<Job>>> job_by_digest(std::string source_digest) = 0;  // newest
  [[nodiscard]] virtual Task<Result<JobPage>> jobs(JobQuery query) = 0;
  [[nodiscard]] virtual Task<Result<std::vector<Job>>> unfinished_ingests() = 0;       // tables on this disk
  [[nodiscard]] virtual Task<Result<ItemPage>> items(JobId job, ItemQuery query) = 0;  // kNotFound
  // Rows after `after_row` with their items and outputs, at most `limit` (1 to 1,000). Rows with thousands of items or
  // megabytes of cells come fewer at a time: only an empty answer is the end. Errors: kNotFound.
  [[nodiscard]] virtual Task<Result<std::vector<Row>>> rows(JobId job, std::uint64_t after_row,
                                                            std::uint32_t limit) = 0;
  [[nodiscard]] virtual Task<Result<std::vector<FailureGroup>>> failures(
      JobId job) = 0;  // most frequent first; kNotFound
  // Of a job that is compared with an earlier one: what of that is gone, in its order, behind item `after` of it; at
  // most `limit` (1 to 1,000). Errors: kNotFound, kInvalidArgument.
  [[nodiscard]] virtual Task<Result<std::vector<GoneUrl>>> gone(JobId job, std::uint64_t after,
                                                                std::uint32_t limit) = 0;
  // Which of `keys` no succeeded item names: what a sweep may delete.
  [[nodiscard]] virtual Task<Result<std::vector<std::string>>> unreferenced(std::vector<std::string> keys) = 0;
  struct QueueDepth {
    std::uint64_t pending = 0;
    std::uint64_t leased = 0;
  };
  [[nodiscard]] virtual Task<Result<QueueDepth>> depth() = 0;
  // A trivial query, for /readyz and /imgproc/check_db_connection.
  [[nodiscard]] virtual Task<Result<void>> ping() = 0;
};

}  // namespace pixmill::jobs
