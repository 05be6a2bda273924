#include "jobs/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/text.h"
#include "jobs/outbox.h"

namespace pixmill::jobs {

namespace {

template <class State>
struct Word {
  State state;
  std::string_view text;
};
// clang 16, which builds the fuzz targets, does not deduce an aggregate's arguments by itself.
template <class State>
Word(State, std::string_view) -> Word<State>;

constexpr std::array kJobStates = {
    Word{JobState::kReceiving, "receiving"},
    Word{JobState::kIngesting, "ingesting"},
    Word{JobState::kRunning, "running"},
    Word{JobState::kPaused, "paused"},
    Word{JobState::kCancelling, "cancelling"},
    Word{JobState::kCompleted, "completed"},
    Word{JobState::kCompletedWithErrors, "completed_with_errors"},
    Word{JobState::kFailed, "failed"},
    Word{JobState::kCancelled, "cancelled"},
    Word{JobState::kRejected, "rejected"},
    Word{JobState::kDeleting, "deleting"},
};
constexpr std::array kItemStates = {
    Word{ItemState::kPending, "pending"},     Word{ItemState::kLeased, "leased"},
    Word{ItemState::kSucceeded, "succeeded"}, Word{ItemState::kFailed, "failed"},
    Word{ItemState::kUnchanged, "unchanged"}, Word{ItemState::kCancelled, "cancelled"},
};
constexpr std::array kOrigins = {
    Word{JobOrigin::kLegacyUpload, "legacy_upload"},
    Word{JobOrigin::kApi, "api"},
    Word{JobOrigin::kRun, "run"},
};
constexpr std::array kDeliveryStates = {
    Word{DeliveryState::kPending, "pending"},
    Word{DeliveryState::kLeased, "leased"},
    Word{DeliveryState::kDelivered, "delivered"},
    Word{DeliveryState::kExhausted, "exhausted"},
    Word{DeliveryState::kEndpointGone, "endpoint_gone"},
};

template <class State>
std::string_view text_of(std::span<const Word<State>> words, State state) {
  const auto found = std::ranges::find(words, state, &Word<State>::state);
  PIXMILL_CHECK(found != words.end());
  return found->text;
}

template <class State>
std::optional<State> state_of(std::span<const Word<State>> words, std::string_view text) {
  const auto found = std::ranges::find(words, text, &Word<State>::text);
  if (found == words.end()) return std::nullopt;
  return found->state;
}

}  // namespace

Error too_many_images(std::uint64_t images_max) {
  return {.code = ErrorCode::kTooLarge,
          .message = fmt::format("A job has at most {} images; split the table.", format_count(images_max)),
          .detail = {}};
}

Error too_many_recipes(std::uint64_t recipes_max) {
  return {.code = ErrorCode::kTooLarge,
          .message = fmt::format("The rows of a job have at most {} different recipes, {} of text in all; split the "
                                 "table, or give its rows fewer different sizes.",
                                 format_count(recipes_max), format_bytes(kRecipeBytesPerJobMax)),
          .detail = {}};
}

std::vector<std::string> uploads_named_in(std::string_view recipe) {
  constexpr std::string_view kBefore = "upload:";
  constexpr std::size_t kDigestChars = 64;
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  std::vector<std::string> digests;
  for (auto at = recipe.find(kBefore); at != std::string_view::npos; at = recipe.find(kBefore, at + 1)) {
    const auto digest = recipe.substr(at + kBefore.size(), kDigestChars);
    const bool is_whole =
        digest.size() == kDigestChars && digest.find_first_not_of(kHexDigits) == std::string_view::npos;
    if (is_whole && std::ranges::find(digests, digest) == digests.end()) digests.emplace_back(digest);
  }
  return digests;
}

std::string_view to_text(JobState state) { return text_of<JobState>(kJobStates, state); }
std::string_view to_text(ItemState state) { return text_of<ItemState>(kItemStates, state); }
std::string_view to_text(JobOrigin origin) { return text_of<JobOrigin>(kOrigins, origin); }
std::string_view to_text(DeliveryState state) { return text_of<DeliveryState>(kDeliveryStates, state); }

std::optional<JobState> parse_job_state(std::string_view text) { return state_of<JobState>(kJobStates, text); }
std::optional<ItemState> parse_item_state(std::string_view text) { return state_of<ItemState>(kItemStates, text); }
std::optional<JobOrigin> parse_job_origin(std::string_view text) { return state_of<JobOrigin>(kOrigins, text); }

bool is_terminal(JobState state) {
  switch (state) {
    case JobState::kReceiving:
    case JobState::kIngesting:
    case JobState::kRunning:
    case JobState::kPaused:
    case JobState::kCancelling:
      return false;
    case JobState::kCompleted:
    case JobState::kCompletedWithErrors:
    case JobState::kFailed:
    case JobState::kCancelled:
    case JobState::kRejected:
    case JobState::kDeleting:
      return true;
  }
  return true;
}

bool is_terminal(ItemState state) { return state != ItemState::kPending && state != ItemState::kLeased; }

std::string_view legacy_status(JobState state) {
  switch (state) {
    case JobState::kReceiving:
    case JobState::kIngesting:
      return "pending";
    case JobState::kRunning:
    case JobState::kPaused:
    case JobState::kCancelling:
      return "processing";
    case JobState::kCompleted:
    case JobState::kCompletedWithErrors:
      return "completed";
    case JobState::kFailed:
    case JobState::kCancelled:
    case JobState::kRejected:
    case JobState::kDeleting:
      return "failed";
  }
  return "failed";
}

}  // namespace pixmill::jobs
