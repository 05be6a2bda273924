// JobStore, Outbox and RecipeStore on PostgreSQL, for any number of processes. Three connections, each on its thread:
// jobs that come in and control, work (claims, outcomes, deliveries), and reading. What a process holds when it dies
// comes back when its leases run out.
//
// A verb waits a few seconds for a server that is away and then answers kUnavailable. None takes effect twice, whatever
// is lost with a connection (db/postgres_session.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/time.h"
#include "db/postgres.h"
#include "db/postgres_migrate.h"
#include "jobs/model.h"
#include "jobs/recipe_store.h"
#include "jobs/stores.h"

namespace pixmill::jobs {

struct PostgresOptions {
  db::pg::ConnectOptions connect;
  // 32 bytes; seals jobs' headers; the same for every process on one database. "" for commands that seal nothing.
  std::string master_key;
  EventBody event_body;
  // Names the data folder that this process holds, so that it finds what its predecessor there was doing: tables in its
  // spool (unfinished_ingests() gives those alone) and leases. "" for none.
  std::string server;
  bool migrate = true;  // otherwise the schema must be right already
  // append_rows answers kTooLarge above.
  std::uint64_t items_per_job_max = kItemsPerJobMax;
  std::uint64_t recipes_per_job_max = kRecipesPerJobMax;
  std::uint64_t saved_recipes_max = kSavedRecipesMax;  // save_recipe answers kTooLarge above
};

// Migrates, or checks the schema, and that the master key is the one of all other processes. Blocking. Errors: those of
// migrate_postgres(), kInvalidArgument when the database's secrets are sealed under another master key.
[[nodiscard]] Result<void> prepare_postgres(const Clock& clock, const PostgresOptions& options);

// Prepares. Blocking; call before the loop runs. `clock` must outlive the store. Errors: those of prepare_postgres().
[[nodiscard]] Result<Stores> open_postgres_store(const Clock& clock, PostgresOptions options);

// Brings the schema up to what this binary knows. Blocking. Errors: as db::pg::migrate.
[[nodiscard]] Result<db::pg::MigrationReport> migrate_postgres(const db::pg::ConnectOptions& connect);

// Whether the schema is what this binary needs, without changing anything. Errors: as db::pg::check_schema.
[[nodiscard]] Result<void> check_postgres_schema(const db::pg::ConnectOptions& connect);

// For commands without a server, and before there is a store. Blocking; `options` needs connect and master_key. The
// schema must be there. Errors: as the verbs of RecipeStore and Outbox.
[[nodiscard]] Result<std::vector<SavedRecipe>> read_saved_recipes(const PostgresOptions& options);
[[nodiscard]] Result<RecipeSaved> save_recipe_in(const PostgresOptions& options, const Clock& clock,
                                                 const std::string& name, const std::string& text);
[[nodiscard]] Result<void> remove_recipe_in(const PostgresOptions& options, const Clock& clock,
                                            const std::string& name);
[[nodiscard]] Result<std::optional<std::string>> read_setting(const PostgresOptions& options, const std::string& name);
// What all processes agree on: sets the setting, where `replace` or there is none yet, and says what it is then.
[[nodiscard]] Result<std::string> agree_on_setting(const PostgresOptions& options, const Clock& clock,
                                                   const std::string& name, const std::string& value, bool replace);

}  // namespace pixmill::jobs
