// What ingest remembers of the job that a new one is compared with: which of its items had a URL, and which of its
// results may serve again, in about 15 bytes per item (30 when its rows have recipes of their own). Made from the
// database again when it is lost. Lives on one thread of a store. Private to src/jobs/{sqlite,postgres}_*.cc and their
// tests.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "jobs/key_table.h"

namespace pixmill::jobs {

class SinceMemory {
 public:
  // The recipes of that job: its own, and those of rows by their numbers.
  SinceMemory(std::string recipe, std::map<std::int64_t, std::string> row_recipes);

  struct Entry {
    std::uint64_t item = 0;  // ascending from 1
    std::string_view url;
    std::optional<std::int64_t> recipe_no;
    bool has_result = false;
  };
  void remember(const Entry& entry);
  // All of it has been read.
  void complete() { is_complete_ = true; }
  [[nodiscard]] bool is_complete() const { return is_complete_; }
  [[nodiscard]] std::uint64_t items() const { return items_; }  // remembered so far

  // Items of that job that are to be looked at: their URLs are probably the one asked for. 0 for none.
  struct Match {
    std::uint64_t first = 0;   // with the URL, whatever became of it
    std::uint64_t result = 0;  // whose result has the recipe too
  };
  [[nodiscard]] Match find(std::string_view url, std::string_view recipe) const;
  // The new job has the URL, which one of that job's items has too.
  void name(std::string_view url);
  // Whether `item` is the first of that job with its URL, which the new job does not have.
  [[nodiscard]] bool is_gone(std::uint64_t item, std::string_view url) const;

  std::uint64_t gone_after = 0;  // as far as it is noted what is gone
  bool gone_begun = false;

 private:
  [[nodiscard]] const std::string& recipe_of(std::optional<std::int64_t> number) const;

  std::string recipe_;
  std::map<std::int64_t, std::string> row_recipes_;
  KeyTable urls_;     // to the first item, and whether it is named and has a result
  KeyTable results_;  // of a URL and a recipe, to an item; unused while there is one recipe
  std::uint64_t items_ = 0;
  bool is_complete_ = false;
};

// What the row of an item says of the earlier job.
inline constexpr std::int64_t kKnownWithoutResult = 0;  // its URL was there; any other number is the item's to be used

}  // namespace pixmill::jobs
