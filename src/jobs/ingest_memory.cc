#include "jobs/ingest_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "jobs/stored_values.h"
#include "storage/object_name.h"

namespace pixmill::jobs {

namespace {

constexpr std::size_t kMemoriesMax = 8;  // jobs that are ingested at the same time without reading their names again
constexpr int kSuffixTriesMax = 64;      // natural names in the way of "-2", "-3" …
constexpr std::uint64_t kFirstSuffix = 2;

std::uint64_t name_key(std::string_view name) { return hash64(to_lower(name)); }

// "{name}" as a placeholder: a literal "{name}" is written "{{name}}" in a stem.
bool has_placeholder(std::string_view stem, std::string_view placeholder) {
  for (auto at = stem.find(placeholder); at != std::string_view::npos; at = stem.find(placeholder, at + 1)) {
    std::size_t braces = 0;
    while (braces < at && stem[at - braces - 1] == '{') ++braces;
    if (braces % 2 == 0) return true;
  }
  return false;
}

// Names that end up with a digest of their own content or identity cannot clash, and a suffix would spoil them.
bool is_unique_by_itself(std::string_view stem) {
  return has_placeholder(stem, "{uuid}") || has_placeholder(stem, "{sha}");
}

// True for "0001/…": such a name among the first items may meet a folder that fan_out() makes for later ones.
bool looks_fanned_out(std::string_view stem) {
  const auto digits = std::min(stem.find_first_not_of("0123456789"), stem.size());
  return digits >= 4 && digits < stem.size() && stem[digits] == '/';
}

bool is_taken(const IngestMemory& memory, std::string_view stem, std::uint64_t item) {
  if (memory.names.find(name_key(stem))) return true;
  return memory.numbered_folders && memory.names.find(name_key(storage::fan_out("", item, stem)));
}

void remember_name(IngestMemory& memory, std::string_view stem) {
  memory.names.insert(name_key(stem), kFirstSuffix);
  memory.numbered_folders = memory.numbered_folders || looks_fanned_out(stem);
}

std::string unique_name(IngestMemory& memory, const std::string& stem, std::uint64_t item) {
  if (is_unique_by_itself(stem)) return stem;
  if (!is_taken(memory, stem, item)) {
    remember_name(memory, stem);
    return stem;
  }
  const auto key = name_key(stem);
  auto suffix = memory.names.find(key).value_or(kFirstSuffix);
  std::string name;
  bool found = false;
  for (int i = 0; i < kSuffixTriesMax && !found; ++i) {
    name = storage::with_suffix(stem, suffix);
    found = !is_taken(memory, name, item);
    if (suffix < memory.names.value_max()) ++suffix;
  }
  if (memory.names.find(key)) memory.names.set(key, suffix);
  constexpr std::uint64_t kBeyondItemNumbers = 10'000'000'000;
  for (auto number = item; !found; number += kBeyondItemNumbers) {
    name = storage::with_suffix(stem, number);
    found = !is_taken(memory, name, item);
  }
  remember_name(memory, name);
  return name;
}

// What unique_name() gave before fan_out() put a folder in front.
std::string_view without_fan_out(std::string_view stem, std::uint64_t item) {
  const auto folder = storage::fan_out("", item, "");
  return stem.starts_with(folder) ? stem.substr(folder.size()) : stem;
}

}  // namespace

bool remembers_all(const IngestMemory& memory, const Job& job) {
  const bool knows_since = !job.since || (memory.since && memory.since->is_complete());
  return memory.items >= job.total && knows_since;
}

std::uint64_t url_key(std::string_view url, std::optional<std::int64_t> recipe_no) {
  return recipe_no ? hash64(fmt::format("{} {}", *recipe_no, url)) : hash64(url);
}

std::uint64_t recipe_key(const RecipeChoice& recipe) { return hash64(fmt::format("{}\n{}", recipe.text, recipe.name)); }

std::string take_name(IngestMemory& memory, const std::string& stem, std::uint64_t item) {
  return storage::fan_out("", item, unique_name(memory, stem, item));
}

void remember_item(IngestMemory& memory, std::uint64_t item, std::string_view fanned_out_stem) {
  const auto name = without_fan_out(fanned_out_stem, item);
  if (!is_unique_by_itself(name)) remember_name(memory, name);
  memory.items = item;
}

IngestMemory& IngestMemories::of(std::int64_t job_no) {
  auto& memory = memories_[job_no];
  if (!memory) memory = std::make_unique<IngestMemory>();
  memory->last_use = ++uses_;
  auto& kept = *memory;
  if (memories_.size() > kMemoriesMax) {
    const auto by_use = [](const auto& a, const auto& b) { return a.second->last_use < b.second->last_use; };
    memories_.erase(std::ranges::min_element(memories_, by_use));
  }
  return kept;
}

}  // namespace pixmill::jobs
