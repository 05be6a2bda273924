#include "jobs/stored_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <limits>

#include "base/crypto.h"
#include "base/text.h"
#include "jobs/recipe_store.h"
#include "jobs/upkeep.h"

namespace pixmill::jobs {

namespace json = boost::json;

std::uint64_t hash64(std::string_view text) {
  const auto digest = sha256(text);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(value); ++i) value = value << 8 | digest[i];
  return value;
}

std::string_view bounded(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  while (bytes_max > 0 && (static_cast<unsigned char>(text[bytes_max]) & 0xc0) == 0x80) --bytes_max;
  return text.substr(0, bytes_max);
}

std::unexpected<Error> no_such_job() { return fail(ErrorCode::kNotFound, "There is no such job."); }

std::string to_json(const std::vector<std::string>& texts) {
  std::string result = "[";
  for (const auto& text : texts) {
    if (result.size() > 1) result += ',';
    result += json::serialize(json::string_view(text.data(), text.size()));
  }
  return result + ']';
}

std::int64_t sweep_fence(std::int64_t now_ms) { return (now_ms + kSweepFence.count()) / 2 * 2; }

std::unexpected<Error> job_is_swept() {
  return fail(ErrorCode::kUnavailable,
              "Files of this job that no image names are being removed. Try again in a few seconds.");
}

std::unexpected<Error> broken_row(std::string_view what) {
  return fail(ErrorCode::kInternal, "The database holds a value that Pixmill did not write.", std::string(what));
}

Result<std::vector<std::string>> texts_from_json(std::string_view text) {
  boost::system::error_code error;
  const auto value = json::parse(json::string_view(text.data(), text.size()), error);
  if (error || !value.is_array()) return broken_row("not a JSON array");
  std::vector<std::string> texts;
  texts.reserve(value.get_array().size());
  for (const auto& element : value.get_array()) {
    if (!element.is_string()) return broken_row("not a JSON string");
    texts.emplace_back(element.get_string().data(), element.get_string().size());
  }
  return texts;
}

std::string seal_headers(std::string_view master_key, const JobId& job, const std::vector<OriginHeader>& headers) {
  std::vector<std::string> texts;
  for (const auto& header : headers) texts.insert(texts.end(), {header.host, header.name, header.value});
  return seal(master_key, to_json(texts), job.text());
}

Result<std::vector<OriginHeader>> unseal_headers(std::string_view master_key, const JobId& job,
                                                 std::string_view sealed) {
  auto plain = unseal(master_key, sealed, job.text());
  if (!plain) {
    return fail(ErrorCode::kInvalidArgument,
                "The job's headers were sealed under another master key; start Pixmill with that one.",
                plain.error().message);
  }
  PIXMILL_TRY(const auto texts, texts_from_json(*plain));
  std::vector<OriginHeader> headers;
  for (std::size_t i = 0; i + 2 < texts.size(); i += 3) headers.push_back({texts[i], texts[i + 1], texts[i + 2]});
  return headers;
}

std::string seal_context(std::string_view name) { return "setting:" + std::string(name); }

std::optional<DeliveryState> parse_delivery_state(std::string_view text) {
  for (const auto state : {DeliveryState::kPending, DeliveryState::kLeased, DeliveryState::kDelivered,
                           DeliveryState::kExhausted, DeliveryState::kEndpointGone}) {
    if (to_text(state) == text) return state;
  }
  return std::nullopt;
}

// How a job ends that has nothing left to do.
JobState end_of(const Job& job) {
  if (job.state == JobState::kCancelling) return job.error_code.empty() ? JobState::kCancelled : JobState::kRejected;
  if (job.succeeded == 0) return JobState::kFailed;
  return job.failed > 0 || job.invalid > 0 || job.cancelled > 0 ? JobState::kCompletedWithErrors : JobState::kCompleted;
}

// Scheme and authority of a URL as it is spelt: "https://example.com:8443".
std::string_view origin_of(std::string_view url) {
  const auto scheme = url.find("://");
  const auto authority = scheme == std::string_view::npos ? 0 : scheme + 3;
  return url.substr(0, url.find_first_of("/?#", authority));
}

std::string event_type(JobState state) { return fmt::format("job.{}", to_text(state)); }

namespace {

// Counters that were damaged must not become 2^64.
std::uint64_t difference(std::uint64_t whole, std::uint64_t part) { return whole - std::min(whole, part); }

}  // namespace

std::uint64_t count_in_state(const StoredJob& stored, ItemState state) {
  const auto& job = stored.job;
  switch (state) {
    case ItemState::kPending:
      return difference(job.remaining, stored.leased);
    case ItemState::kLeased:
      return stored.leased;
    case ItemState::kSucceeded:
      return difference(job.succeeded, job.unchanged);
    case ItemState::kFailed:
      return job.failed;
    case ItemState::kCancelled:
      return job.cancelled;
    case ItemState::kUnchanged:
      return job.unchanged;
  }
  return 0;
}

void count_since(bool unchanged, std::optional<std::int64_t> since_item, CounterChange& change) {
  if (unchanged) {
    ++change.unchanged;
  } else if (since_item) {
    ++change.changed;
  }
}

std::string digest_bytes(std::string_view hex) {
  constexpr std::size_t kHexDigits = 64;
  std::string bytes;
  if (hex.size() != kHexDigits) return bytes;
  const auto nibble = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(nibble(hex[i]) << 4 | nibble(hex[i + 1]));
  return bytes;
}

namespace {

constexpr std::uint64_t kBeyondEveryItem = std::uint64_t{1} << 40;

}  // namespace

std::int64_t bounded_number(std::uint64_t item) { return static_cast<std::int64_t>(std::min(item, kBeyondEveryItem)); }

Result<void> check_page_limit(std::uint32_t limit) {
  if (limit >= 1 && limit <= kItemsPerPageMax) return {};
  return fail(ErrorCode::kInvalidArgument, "A page has 1 to 1,000 images.");
}

std::int64_t after_of(const ItemQuery& query) { return query.offset ? 0 : bounded_number(query.after); }
std::int64_t offset_of(const ItemQuery& query) {
  return static_cast<std::int64_t>(std::min(query.offset.value_or(0), kBeyondEveryItem));
}

Result<std::int64_t> before_of(const JobQuery& query) {
  if (query.limit < 1 || query.limit > kJobsPerPageMax) {
    return fail(ErrorCode::kInvalidArgument, "A page has 1 to 500 jobs.");
  }
  if (!query.before) return std::numeric_limits<std::int64_t>::max();
  const auto cursor = parse_integer(*query.before);
  if (!cursor || *cursor < 1) return fail(ErrorCode::kInvalidArgument, "The cursor is not one of a page of jobs.");
  return *cursor;
}

Result<void> check_chunk(const std::vector<NewRow>& rows) {
  if (rows.size() > kRowsPerAppendMax) {
    return fail(ErrorCode::kInvalidArgument, "A chunk has at most 1,000 rows.");
  }
  const bool in_order = std::ranges::is_sorted(rows, std::ranges::less_equal(), &NewRow::row);
  if (!in_order) return fail(ErrorCode::kInvalidArgument, "The rows of a chunk must ascend.");
  return {};
}

Result<void> check_ingesting(const Job& job) {
  switch (job.state) {
    case JobState::kIngesting:
      return {};
    case JobState::kPaused:
      if (job.is_being_read) return {};
      return fail(ErrorCode::kConflict, "The job takes no more rows.");
    case JobState::kCancelling:
    case JobState::kCancelled:
      return fail(ErrorCode::kCancelled, "The job was cancelled.");
    default:
      return fail(ErrorCode::kConflict, "The job takes no more rows.");
  }
}

std::unexpected<Error> read_by_another() {
  return fail(ErrorCode::kConflict, "Another process reads the table by now.");
}

Result<JobState> paused_state(const Job& job) {
  switch (job.state) {
    case JobState::kIngesting:
    case JobState::kRunning:
    case JobState::kPaused:
      return JobState::kPaused;
    default:
      return fail(ErrorCode::kConflict, fmt::format("The job is {}: there is nothing to pause.", to_text(job.state)));
  }
}

Result<JobState> resumed_state(const Job& job) {
  switch (job.state) {
    case JobState::kIngesting:
    case JobState::kRunning:
      return job.state;
    case JobState::kPaused:
      return job.is_being_read ? JobState::kIngesting : JobState::kRunning;
    default:
      return fail(ErrorCode::kConflict, fmt::format("The job is {}: it is not paused.", to_text(job.state)));
  }
}

Result<void> check_retryable(JobState state) {
  if (!is_terminal(state)) return fail(ErrorCode::kConflict, "The job has not ended yet.");
  if (state == JobState::kCancelled || state == JobState::kRejected) {
    return fail(ErrorCode::kConflict, fmt::format("The job was {}; that is final.", to_text(state)));
  }
  return {};
}

std::unexpected<Error> mark_going() {
  return fail(ErrorCode::kUnavailable, "The watermark is being removed at this moment; try again.");
}

Result<void> check_removable(JobState state) {
  if (is_terminal(state)) return {};
  return fail(ErrorCode::kConflict, fmt::format("The job is {}: it has to be cancelled first.", to_text(state)));
}

Result<void> check_recipe_room(std::uint64_t count, std::uint64_t bytes, std::uint64_t recipes_max,
                               std::string_view text) {
  if (count < recipes_max && bytes + text.size() <= kSavedRecipeBytesMax) return {};
  return fail(ErrorCode::kTooLarge,
              fmt::format("There is no room for another recipe: at most {} versions of all names are kept, {} of text.",
                          format_count(recipes_max), format_bytes(kSavedRecipeBytesMax)));
}

Result<void> check_delivery(const DeliveryResult& result) {
  if (result.state == DeliveryState::kLeased || (result.state == DeliveryState::kPending && !result.next_at)) {
    return fail(ErrorCode::kInvalidArgument, "A delivery that was tried ends, or is tried again at a time.");
  }
  return {};
}

}  // namespace pixmill::jobs
