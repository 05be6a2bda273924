#include "jobs/since_memory.h"

#include <fmt/format.h>

#include <utility>

#include "jobs/model.h"
#include "jobs/stored_values.h"

namespace pixmill::jobs {

namespace {

constexpr int kItemBits = 24;
constexpr std::uint64_t kItemMask = (std::uint64_t{1} << kItemBits) - 1;
constexpr std::uint64_t kNamed = std::uint64_t{1} << kItemBits;
constexpr std::uint64_t kHasResult = std::uint64_t{2} << kItemBits;
constexpr int kValueBits = kItemBits + 2;
static_assert(kItemsPerJobMax <= kItemMask);

std::uint64_t result_key(std::string_view url, std::string_view recipe) {
  return hash64(fmt::format("{}\n{}", recipe, url));
}

}  // namespace

SinceMemory::SinceMemory(std::string recipe, std::map<std::int64_t, std::string> row_recipes)
    : recipe_(std::move(recipe)), row_recipes_(std::move(row_recipes)), urls_(kValueBits), results_(kItemBits) {}

const std::string& SinceMemory::recipe_of(std::optional<std::int64_t> number) const {
  const auto found = number ? row_recipes_.find(*number) : row_recipes_.end();
  return found == row_recipes_.end() ? recipe_ : found->second;
}

void SinceMemory::remember(const Entry& entry) {
  items_ = entry.item;
  if (entry.item > kItemMask) return;
  const auto key = hash64(entry.url);
  const std::uint64_t result = entry.has_result ? kHasResult : 0;
  urls_.insert(key, entry.item | result);
  if (entry.has_result && !row_recipes_.empty()) {
    results_.insert(result_key(entry.url, recipe_of(entry.recipe_no)), entry.item);
  }
}

SinceMemory::Match SinceMemory::find(std::string_view url, std::string_view recipe) const {
  Match match;
  const auto value = urls_.find(hash64(url));
  if (!value) return match;
  match.first = *value & kItemMask;
  if (!row_recipes_.empty()) {
    match.result = results_.find(result_key(url, recipe)).value_or(0);
  } else if ((*value & kHasResult) != 0 && recipe == recipe_) {
    match.result = match.first;
  }
  return match;
}

void SinceMemory::name(std::string_view url) {
  const auto key = hash64(url);
  if (const auto value = urls_.find(key)) urls_.set(key, *value | kNamed);
}

bool SinceMemory::is_gone(std::uint64_t item, std::string_view url) const {
  const auto value = urls_.find(hash64(url));
  return value && (*value & kItemMask) == item && (*value & kNamed) == 0;
}

}  // namespace pixmill::jobs
