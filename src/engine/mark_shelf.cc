#include "engine/mark_shelf.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace pixmill::engine {

image::Mark* MarkShelf::find(const std::string& sha256) {
  const auto found = std::ranges::find(entries_, sha256, &Entry::sha256);
  if (found == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found);
  return &found->mark;
}

Result<void> MarkShelf::add(const std::string& sha256, std::string_view file, const image::Limits& limits) {
  if (find(sha256) != nullptr) return {};
  PIXMILL_TRY(image::Mark decoded, image::Mark::decode(file, limits));
  entries_.push_front({.sha256 = sha256, .mark = std::move(decoded)});
  return {};
}

std::optional<image::Marks> MarkShelf::marks_for(const std::vector<std::string>& digests) {
  image::Marks marks;
  for (const std::string& digest : digests) {
    image::Mark* const mark = find(digest);
    if (mark == nullptr) return std::nullopt;
    marks.emplace(std::string(image::kUploadedWatermark) + ":" + digest, mark);
  }
  return marks;
}

void MarkShelf::tidy() {
  std::size_t bytes = 0;
  for (const Entry& entry : entries_) bytes += entry.mark.bytes();
  while (bytes > kBytesMax) {
    // A large one goes before those that would all have to make room for it.
    const auto largest = std::ranges::find_if(entries_, [](const Entry& e) { return e.mark.bytes() > kBytesMax; });
    const auto goes = largest != entries_.end() ? largest : std::prev(entries_.end());
    bytes -= goes->mark.bytes();
    entries_.erase(goes);
  }
}

}  // namespace pixmill::engine
