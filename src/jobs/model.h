// Jobs, rows, items and deliveries as the database knows them. Plain values; any thread.
//
//   JOB   receiving ► ingesting ► running ► completed | completed_with_errors | failed (nothing succeeded)
//             └ rejected   └──────────────► cancelling ► cancelled          paused ◄► running
//         any end ► deleting, in which no verb but those of its removal knows it
//   ITEM  pending ─ claim(token+1) ► leased ─ compare-and-set(token) ► succeeded | unchanged | failed | pending(retry
//   at T)
//             ▲                        └ rescuer: lease expired            pending, leased ► cancelled with the job
//
// A job has rows (lines of its table) and items (pictures), numbered from 1 within the job in input order; a row may
// hold several. An item whose URL an earlier item of the same job has too, under the same recipe, waits for that one
// (`same_as`) and copies its outcome. A job may be compared with an earlier one (`since`): what that made of the same
// URL under the same recipe is used again when the source has not changed, and the item is `unchanged`.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/time.h"

namespace pixmill::jobs {

enum class JobState : std::uint8_t {
  kReceiving,
  kIngesting,
  kRunning,
  kPaused,
  kCancelling,
  kCompleted,
  kCompletedWithErrors,
  kFailed,
  kCancelled,
  kRejected,
  kDeleting,
};
enum class ItemState : std::uint8_t { kPending, kLeased, kSucceeded, kFailed, kUnchanged, kCancelled };
// Through which door a job came: /imgproc/upload, /v1/jobs, or `pixmill run`.
enum class JobOrigin : std::uint8_t { kLegacyUpload, kApi, kRun };

// The stable texts of the API, the database and the result files ("completed_with_errors").
[[nodiscard]] std::string_view to_text(JobState state);
[[nodiscard]] std::string_view to_text(ItemState state);
[[nodiscard]] std::string_view to_text(JobOrigin origin);
[[nodiscard]] std::optional<JobState> parse_job_state(std::string_view text);
[[nodiscard]] std::optional<ItemState> parse_item_state(std::string_view text);
[[nodiscard]] std::optional<JobOrigin> parse_job_origin(std::string_view text);
[[nodiscard]] bool is_terminal(JobState state);
[[nodiscard]] bool is_terminal(ItemState state);
// The original platform's four words: pending, processing, completed, failed.
[[nodiscard]] std::string_view legacy_status(JobState state);

// What is to be done to pictures, and what it is called.
struct RecipeChoice {
  std::string text;  // canonical
  std::string name;  // "shop@2": the named recipe that it came from; "" for one in words
  bool operator==(const RecipeChoice&) const = default;
};

// One version of a recipe that a user gave a name to. It never changes, but for being removed.
struct SavedRecipe {
  std::string name;
  int version = 1;   // from 1
  std::string text;  // canonical
  TimePoint created_at;
  bool removed = false;  // the name no longer stands for it
  bool operator==(const SavedRecipe&) const = default;
};

// What a table's rows call a recipe, and what that stood for when the job came in.
struct NamedRecipe {
  std::string written;  // "shop"
  RecipeChoice recipe;
  bool operator==(const NamedRecipe&) const = default;
};

// The SHA-256 of the uploaded watermarks that a recipe's text names ("upload:" and the digest), each once.
[[nodiscard]] std::vector<std::string> uploads_named_in(std::string_view recipe);

// Rows may ask for recipes of their own; a job keeps each of them once.
inline constexpr std::uint64_t kRecipesPerJobMax = 10'000;
inline constexpr std::uint64_t kRecipeBytesPerJobMax = 8ULL << 20;
// kTooLarge, in words for the table's owner.
[[nodiscard]] Error too_many_recipes(std::uint64_t recipes_max);

// While a job is ingested its names and addresses are remembered, in about 30 bytes per image.
inline constexpr std::uint64_t kItemsPerJobMax = 16'000'000;
// kTooLarge, in words for the table's owner.
[[nodiscard]] Error too_many_images(std::uint64_t images_max);

struct OriginHeader {
  std::string host;
  std::string name;
  std::string value;
  bool operator==(const OriginHeader&) const = default;
};

enum class InvalidRows : std::uint8_t { kReject, kSkip };

// How a source_path begins that names no file: the table lies where every server of the fleet finds it.
inline constexpr std::string_view kSharedTable = "shared:";
[[nodiscard]] inline bool is_shared_table(std::string_view source_path) {
  return source_path.starts_with(kSharedTable);
}

// For how long a job is kept after its end.
inline constexpr milliseconds kForever{-1};

// What a caller asks for; stored whole before it is answered.
struct NewJob {
  JobId id;
  JobOrigin origin = JobOrigin::kApi;
  std::string name;                   // shown to people; the file's name by default
  std::string recipe;                 // canonical text
  std::string webhook_url;            // "" for none
  std::vector<OriginHeader> headers;  // sealed before they are written
  std::string name_template;          // storage/object_name
  std::string blob_prefix;            // keys of this job begin with it: "<job id>/" for a server, "images/" for run
  std::string source_path;            // the spooled table, read again when ingest is resumed after a kill; kSharedTable
  std::string source_digest;          // hex SHA-256 of the inputs: `run` recognises its job by it, a server what
                                      // came with an Idempotency-Key; "" elsewhere
  std::string url_column;             // "" to find it by header
  InvalidRows invalid_rows = InvalidRows::kReject;
  int priority = 0;
  std::string recipe_name = {};             // RecipeChoice::name of `recipe`
  bool overrides = false;                   // columns of the table may change the recipe row by row
  std::vector<NamedRecipe> row_names = {};  // that its rows ask for: they mean the same however often the table is read
  std::optional<JobId> since = {};          // an ended job that this one is compared with
  std::string since_folder = {};            // whose database has that job; "": it is in this one
  std::string since_files = {};             // where that job's results lie; "": where this one's do
  std::string results_at = {};              // where this job's lie, of `run`: "s3://…"; "": with the database
  std::optional<milliseconds> keep = std::nullopt;  // after its end; kForever; unset: as the server says
  milliseconds ingest_lease{0};                     // for so long nobody but its creator reads its table (IngestLease)
};

struct Job {
  JobId id;
  JobState state = JobState::kReceiving;
  JobOrigin origin = JobOrigin::kApi;
  int generation = 1;  // raised by each retry of failed items
  std::string name;
  std::string recipe;
  std::string recipe_name;        // RecipeChoice::name of `recipe`
  bool overrides = false;         // columns of the table may change the recipe row by row
  std::uint64_t row_recipes = 0;  // how many different ones its rows have besides `recipe`
  std::string webhook_url;
  std::string name_template;
  std::string blob_prefix;
  std::string source_path;
  std::string source_digest;
  std::string url_column;
  InvalidRows invalid_rows = InvalidRows::kReject;
  std::vector<std::string> columns;  // of the input, in order
  std::uint64_t rows = 0;            // ingested so far, invalid ones included
  std::uint64_t invalid = 0;         // rows skipped as invalid
  std::uint64_t total = 0;           // items
  std::uint64_t remaining = 0;       // items without a final state
  std::uint64_t succeeded = 0;       // unchanged ones included
  std::uint64_t failed = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t bytes_in = 0;  // of succeeded items
  std::uint64_t bytes_out = 0;
  std::string error_code;  // of a rejected job
  std::string error_message;
  TimePoint created_at;
  std::optional<TimePoint> started_at;   // first claim
  std::optional<TimePoint> finished_at;  // of the current generation
  std::optional<JobId> since;            // as in NewJob, like the three below
  std::string since_folder;
  std::string since_files;
  std::string results_at;
  std::uint64_t unchanged = 0;  // of `succeeded`: made by the earlier job
  std::uint64_t changed = 0;    // of `succeeded`: made anew, though the earlier job had the URL; the others are new
  std::uint64_t gone = 0;       // URLs of the earlier job that are not in this one; counted once the table is read
  std::optional<milliseconds> keep;  // NewJob::keep
  bool is_being_read = false;        // its table is not all in yet; also while it is paused
};

struct NewItem {
  std::uint32_t index = 1;  // of the URL within its row, from 1
  std::string url;
  std::string output_stem;  // expanded; made unique within the job by the store (storage::with_suffix)
};

struct NewRow {
  std::uint64_t row = 0;  // from 1
  std::vector<std::string> cells;
  std::string problem;  // why the row is skipped; "" for a good one
  std::vector<NewItem> items;
  std::optional<RecipeChoice> recipe = std::nullopt;  // where it is not the job's
};

struct Output {
  std::string rendition;
  std::string key;
  std::uint64_t bytes = 0;
  std::uint32_t width_px = 0;
  std::uint32_t height_px = 0;
  std::string format;
  int quality = 0;
  std::string sha256;
  std::string note;
};

struct ItemTimes {
  std::int64_t fetch_ms = 0;
  std::int64_t transform_ms = 0;
  std::int64_t store_ms = 0;
};

// What a success was made from, kept for the jobs that are compared with this one.
struct SourceFacts {
  std::string validator;    // of the source's version, as its server names it; "" for none
  std::string version_url;  // that it belongs to; "": the item's own
  std::string sha256;       // of the source's bytes, in hexadecimal digits; "" when nothing is known
  std::string made_with;    // what else the result depends on
  bool operator==(const SourceFacts&) const = default;
};

// What an earlier job has of an item: its outputs' keys are that job's.
struct EarlierItem {
  SourceFacts source;
  std::uint64_t bytes_in = 0;
  std::vector<Output> outputs;
};

// A URL of the earlier job that is not in the one that is compared with it.
struct GoneUrl {
  std::uint64_t item = 0;  // of the earlier job, like row and index
  std::uint64_t row = 0;
  std::uint32_t index = 1;
  std::string url;
  bool operator==(const GoneUrl&) const = default;
};

// Names one lease: a write with an old token changes nothing.
struct Lease {
  std::int64_t job_no = 0;  // the store's own number of the job
  std::uint64_t item = 0;   // from 1 within the job
  std::int64_t token = 0;
  bool operator==(const Lease&) const = default;
};

struct ClaimedItem {
  Lease lease;
  JobId job;
  std::uint64_t row = 0;
  std::uint32_t index = 1;
  std::string url;
  std::string output_stem;  // fanned out and unique; Job::blob_prefix goes before it
  int attempt = 1;          // this one included
  int engine_crashes = 0;   // so far
  std::string recipe;       // canonical, where the row has one of its own; "" for Job::recipe
  // Of the item that fetched the same address before, when it has a final state: its outputs, or why it failed for
  // good.
  std::optional<std::uint64_t> same_as;
  std::vector<Output> same_as_outputs;
  std::uint64_t same_as_bytes_in = 0;
  std::string same_as_error_code;
  std::string same_as_error_message;
  bool same_as_unchanged = false;
  std::optional<EarlierItem> earlier = std::nullopt;  // of the same URL and recipe, when its result may still serve
};

// The right to append a job's rows: a verb with an old token changes nothing. Whoever creates a job has the first.
struct IngestLease {
  static constexpr std::int64_t kCreators = 1;
  IngestLease(JobId of, std::int64_t its_token = kCreators) : job(of), token(its_token) {}
  JobId job;
  std::int64_t token;
  bool operator==(const IngestLease&) const = default;
};

struct TakenIngest {
  Job job;
  IngestLease lease;
};

struct ItemSuccess {
  std::uint64_t bytes_in = 0;
  std::vector<Output> outputs;
  SourceFacts source = {};
  bool unchanged = false;
};

struct ItemFailure {
  std::string code;  // code_text()
  std::string message;
  bool engine_crash = false;
  std::optional<TimePoint> retry_at;  // set: back to pending; unset: final
};

struct ItemOutcome {
  Lease lease;
  std::variant<ItemSuccess, ItemFailure> result;
  ItemTimes times;
};

struct FinishReport {
  std::uint64_t recorded = 0;
  std::vector<Lease> fenced;         // their lease was not theirs any more: nothing was changed
  std::vector<JobId> jobs_finished;  // reached a terminal state in this transaction
};

// One picture as pages and exports show it.
struct Item {
  std::uint64_t item = 0;
  std::uint64_t row = 0;
  std::uint32_t index = 1;
  std::string url;
  ItemState state = ItemState::kPending;
  int attempts = 0;
  int generation = 1;
  std::string error_code;  // of the last failure, also while a retry waits
  std::string error_message;
  std::optional<TimePoint> retry_at;  // pending after a failure
  std::optional<TimePoint> leased_until;
  std::optional<std::uint64_t> same_as;
  std::uint64_t bytes_in = 0;
  ItemTimes times;
  std::optional<TimePoint> finished_at;
  std::vector<Output> outputs;
  std::optional<RecipeChoice> recipe = std::nullopt;  // where it is not the job's
};

// One line of the input with its pictures, for result files.
struct Row {
  std::uint64_t row = 0;
  std::vector<std::string> cells;
  std::string problem;
  std::vector<Item> items;  // in the order of the URLs
};

struct FailureGroup {
  std::string code;
  std::uint64_t count = 0;
  std::string example;  // a message
};

}  // namespace pixmill::jobs
