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

Result<std::optional<image::Marks>> MarkShelf::marks_for(const std::vector<MarkHead>& heads, std::string_view sent,
                                                         const image::Limits& limits) {
  image::Marks marks;
  for (const MarkHead& head : heads) {
    const std::string_view file = sent.substr(0, head.bytes);
    sent.remove_prefix(head.bytes);
    image::Mark* mark = find(head.sha256);
    if (mark == nullptr) {
      if (file.empty()) return std::nullopt;
      PIXMILL_TRY(image::Mark decoded, image::Mark::decode(file, limits));
      entries_.push_front({.sha256 = head.sha256, .mark = std::move(decoded)});
      mark = &entries_.front().mark;
    }
    marks.emplace(std::string(image::kUploadedWatermark) + ":" + head.sha256, mark);
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
