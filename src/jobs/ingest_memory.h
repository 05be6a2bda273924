// What ingest remembers of one job: which addresses and names it has had, so that a row costs no question to the
// database. Made from the database again when it is lost. Lives on one thread of a store. Private to
// src/jobs/{sqlite,postgres}_*.cc.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "jobs/key_table.h"
#include "jobs/model.h"
#include "jobs/since_memory.h"

namespace pixmill::jobs {

// What ingest remembers of one job: its URLs and its output names. Made from the database again when it is lost.
struct IngestMemory {
  KeyTable urls{32};              // to the first item with it
  KeyTable names{20};             // case-folded, to the suffix to try next
  bool numbered_folders = false;  // a name of the first 10,000 looks like one that fan_out() makes
  std::uint64_t items = 0;        // covered so far
  // Numbers of the recipes of rows, by a hash of the recipe; nullopt until they have been read.
  std::optional<std::map<std::uint64_t, std::int64_t>> recipes;
  std::uint64_t recipe_bytes = 0;
  std::optional<SinceMemory> since;  // of a job that is compared with another
  std::uint64_t last_use = 0;
};

// Everything that is in of the job is remembered, and all of the one that it is compared with.
[[nodiscard]] bool remembers_all(const IngestMemory& memory, const Job& job);

// Which items are the same: those with one address under one recipe.
[[nodiscard]] std::uint64_t url_key(std::string_view url, std::optional<std::int64_t> recipe_no);
[[nodiscard]] std::uint64_t recipe_key(const RecipeChoice& recipe);

// The name of item `item`, unique within the job and fanned out into folders, which is remembered: `stem`, or the first
// of "-2", "-3" … that is free; "-<item>" when many natural names are in the way, so that a million equal names cost a
// million steps.
[[nodiscard]] std::string take_name(IngestMemory& memory, const std::string& stem, std::uint64_t item);
// Of an item that is in the database: what take_name() gave.
void remember_item(IngestMemory& memory, std::uint64_t item, std::string_view fanned_out_stem);

// The memories of the jobs that are ingested at the same time; the one not used for longest is dropped.
class IngestMemories {
 public:
  IngestMemory& of(std::int64_t job_no);
  void forget(std::int64_t job_no) { memories_.erase(job_no); }
  void clear() { memories_.clear(); }

 private:
  std::map<std::int64_t, std::unique_ptr<IngestMemory>> memories_;  // by job number; a few
  std::uint64_t uses_ = 0;
};

}  // namespace pixmill::jobs
