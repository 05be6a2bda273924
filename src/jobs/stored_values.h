// What is the same whichever database holds the jobs: how much one transaction does, and the texts and numbers that are
// computed from a model's values before they are written or after they were read. Pure; any thread. Private to
// src/jobs/{sqlite,postgres}_*.cc and their tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "jobs/job_store.h"
#include "jobs/model.h"
#include "jobs/outbox.h"

namespace pixmill::jobs {

// How much one transaction does at most, so that none holds its connection for more than 50 ms.
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
inline constexpr std::uint32_t kJobsPerPageMax = 500;
inline constexpr std::uint32_t kItemsPerPageMax = 1'000;
inline constexpr std::uint32_t kDeliveriesPerClaimMax = 64;
inline constexpr std::uint64_t kItemsPerRowPage = 20'000;   // loaded at once for rows(), whatever its limit
inline constexpr std::size_t kBytesPerRowPage = 16u << 20;  // of cells
inline constexpr std::uint32_t kEventRowsMax = 200;
inline constexpr std::uint64_t kEventItemsMax = 2'000;
inline constexpr std::int64_t kExpiresPerTransaction = 100;
inline constexpr std::int64_t kRemovalsLookedAt = 16;  // by one claim: some may still have to wait
// A job that is to be removed waits for its end, then for its webhooks; it is looked at again after so long.
inline constexpr milliseconds kRemovalWait = std::chrono::seconds(2);
inline constexpr std::size_t kErrorMessageBytesMax = 1'000;
inline constexpr std::size_t kAnswerBytesMax = 8'192;
// No lease, retry or delivery is set this far ahead: such a time was written before the clock was put back.
inline constexpr milliseconds kStrandedAfter = std::chrono::hours(48);

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
// kUnavailable, in words for whoever retries the job.
// Of a sweep that finds no other: an even number (kBeginSweep).
[[nodiscard]] std::int64_t sweep_fence(std::int64_t now_ms);
[[nodiscard]] std::unexpected<Error> job_is_swept();
// kInternal: somebody else wrote into the database.
[[nodiscard]] std::unexpected<Error> broken_row(std::string_view what);

// What an open item of a job that has ended is told to have failed for.
inline constexpr std::string_view kLeftOpenMessage =
    "Its job ended without a result for this image. Retry it: the job's other results are not touched.";

struct StoredJob {
  std::int64_t job_no = 0;
  Job job;
  std::uint64_t leased = 0;
  std::string sealed_headers;
};

// The settings' context under the master key.
[[nodiscard]] std::string seal_context(std::string_view setting_name);
[[nodiscard]] std::optional<DeliveryState> parse_delivery_state(std::string_view text);
// How a job ends that has nothing left to do.
[[nodiscard]] JobState end_of(const Job& job);
// Scheme and authority of a URL as it is spelt: "https://example.com:8443".
[[nodiscard]] std::string_view origin_of(std::string_view url);
[[nodiscard]] std::string event_type(JobState state);

struct RowRange {
  std::uint64_t after_row = 0;
  std::uint32_t rows_max = 0;
  std::uint64_t items_max = 0;               // fewer rows are returned when they hold more,
  std::size_t bytes_max = kBytesPerRowPage;  // or have more text in their cells, at least one
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
  std::int64_t unchanged = 0;  // of `succeeded`, like `changed`
  std::int64_t changed = 0;
};

// How a success counts in a job that is compared with another; `since_item` is the item's, if it has one.
void count_since(bool unchanged, std::optional<std::int64_t> since_item, CounterChange& change);
// SourceFacts::sha256 as 32 bytes; "" for anything else.
[[nodiscard]] std::string digest_bytes(std::string_view hex);

// What note_gone() did: all is noted; there is more to do; what it needs to know has to be read first.
enum class GoneStep : std::uint8_t { kDone, kMore, kForgotten };
inline constexpr std::int64_t kGonePerTransaction = 5'000;  // items of the earlier job that are looked at

// Keyset and offset are one for SQL: numbers above `after`, the first `offset` of them left out.
[[nodiscard]] std::int64_t after_of(const ItemQuery& query);
// An item's number that somebody asks for, as SQL takes it.
[[nodiscard]] std::int64_t bounded_number(std::uint64_t item);
// Errors: kInvalidArgument.
[[nodiscard]] Result<void> check_page_limit(std::uint32_t limit);
[[nodiscard]] std::int64_t offset_of(const ItemQuery& query);
[[nodiscard]] std::uint64_t count_in_state(const StoredJob& stored, ItemState state);
// The states in which an item may carry the code of a failure.
inline constexpr ItemState kStatesWithErrors[] = {ItemState::kPending, ItemState::kLeased, ItemState::kFailed,
                                                  ItemState::kCancelled};

// The cursor of a page of jobs: the number before which it begins. Errors: kInvalidArgument.
[[nodiscard]] Result<std::int64_t> before_of(const JobQuery& query);
// Ascending rows, not too many. Errors: kInvalidArgument.
[[nodiscard]] Result<void> check_chunk(const std::vector<NewRow>& rows);
// Whether a job may be ingested further. Errors: kCancelled, kConflict.
[[nodiscard]] Result<void> check_ingesting(const Job& job);
// kConflict.
[[nodiscard]] std::unexpected<Error> read_by_another();
// The state of a job after pausing it, and after going on with it. Errors: kConflict.
[[nodiscard]] Result<JobState> paused_state(const Job& job);
[[nodiscard]] Result<JobState> resumed_state(const Job& job);
// Whether a job may be retried. Errors: kConflict.
[[nodiscard]] Result<void> check_retryable(JobState state);
// kUnavailable.
[[nodiscard]] std::unexpected<Error> mark_going();
// Whether a job in this state may be removed as it is. Errors: kConflict.
[[nodiscard]] Result<void> check_removable(JobState state);
// Whether `text` fits beside so many saved recipes of so many bytes. Errors: kTooLarge.
[[nodiscard]] Result<void> check_recipe_room(std::uint64_t count, std::uint64_t bytes, std::uint64_t recipes_max,
                                             std::string_view text);
// Whether a delivery's result is one. Errors: kInvalidArgument.
[[nodiscard]] Result<void> check_delivery(const DeliveryResult& result);

}  // namespace pixmill::jobs
