// JobStore and Outbox on SQLite, for one process (DESIGN section 4). One writer connection on one thread, one
// query_only connection on another. The caller holds the data folder's lock (base/folder_lock.h), which excludes every
// other process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "jobs/model.h"
#include "jobs/recipe_store.h"
#include "jobs/stores.h"

namespace pixmill::jobs {

struct SqliteOptions {
  std::string path;        // the database file; its folder exists and is locked by the caller
  std::string master_key;  // 32 bytes; seals jobs' headers
  EventBody event_body;
  // append_rows answers kTooLarge above.
  std::uint64_t items_per_job_max = kItemsPerJobMax;
  std::uint64_t recipes_per_job_max = kRecipesPerJobMax;
  std::uint64_t saved_recipes_max = kSavedRecipesMax;  // save_recipe answers kTooLarge above
};

// Migrates. Blocking; call before the loop runs. `clock` must outlive the store.
// Errors: kConflict for a newer schema or a file that is not ours, kIo, kDiskFull.
[[nodiscard]] Result<Stores> open_sqlite_store(const Clock& clock, SqliteOptions options);

// The jobs in the database of another folder, newest first; another process may be using it. Blocking. Errors:
// kNotFound when there is none, kConflict when it belongs to another program or another version of this one; those of
// reading it.
[[nodiscard]] Result<std::vector<Job>> read_jobs(const std::string& path);

// For commands beside a server: the named recipes of its database, whether it runs or not; none where there is no
// database, or one from before there were any. Blocking. Errors: kConflict for a file that is not ours, kIo,
// kUnavailable.
[[nodiscard]] Result<std::vector<SavedRecipe>> read_saved_recipes(const std::string& path);
// For commands without a server: the verbs of RecipeStore on a database whose folder the caller has locked; it is made
// when it is missing. What a killed server held is left for its next start. Blocking. Errors: as open_sqlite_store and
// the verbs.
[[nodiscard]] Result<RecipeSaved> save_recipe_in(const std::string& path, const Clock& clock, const std::string& name,
                                                 const std::string& text);
[[nodiscard]] Result<void> remove_recipe_in(const std::string& path, const std::string& name);

}  // namespace pixmill::jobs
