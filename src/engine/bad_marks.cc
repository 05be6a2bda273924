#include "engine/bad_marks.h"

#include <algorithm>
#include <utility>

namespace pixmill::engine {

std::optional<Error> BadMarks::find(const std::string& sha256) const {
  const auto found = std::ranges::find(entries_, sha256, &Entry::sha256);
  return found == entries_.end() ? std::nullopt : found->why;
}

BadMarks::Entry& BadMarks::entry_of(const std::string& sha256) {
  const auto found = std::ranges::find(entries_, sha256, &Entry::sha256);
  if (found != entries_.end()) return *found;
  if (entries_.size() >= kMarksKept) entries_.pop_front();
  return entries_.emplace_back(Entry{.sha256 = sha256});
}

void BadMarks::refuse(const std::string& sha256, Error why) { entry_of(sha256).why = std::move(why); }

void BadMarks::lose_engine(const std::string& sha256, ErrorCode how) {
  Entry& entry = entry_of(sha256);
  if (++entry.losses < kLossesMax) return;
  // Not the code of the loss, which asks for another try.
  entry.why =
      Error{.code = ErrorCode::kDecodeFailed,
            .message = how == ErrorCode::kEngineTimeout ? "it takes too long to decode" : "the decoder crashes on it",
            .detail = {}};
}

void BadMarks::forget(const std::string& sha256) {
  std::erase_if(entries_, [&](const Entry& entry) { return entry.sha256 == sha256; });
}

}  // namespace pixmill::engine
