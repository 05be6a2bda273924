// What the processes of one installation have to agree on, kept in their common database: servers say it at their
// start, workers ask. Blocking, before the loop runs.
#pragma once

#include <memory>
#include <string>

#include "app/settings.h"
#include "base/error.h"
#include "jobs/job_document.h"
#include "jobs/postgres_store.h"
#include "storage/s3_bucket.h"

namespace pixmill::app {

struct FleetFacts {
  std::string base_url;  // how links to our own server begin, without a final slash
  // Where results lie: "s3 https://endpoint bucket/prefix", or "folder" and the name of the folder, which lies in it,
  // for several machines may reach one folder by different paths.
  std::string results;
};

// Whose sealed settings `master_key` opens.
[[nodiscard]] jobs::PostgresOptions database_of(const Settings& settings, const std::string& master_key);

// Where this process would keep results. Errors: kIo when the folder cannot be given a name.
[[nodiscard]] Result<std::string> results_place(const Settings& settings);

// Replaces what is there; a change of place is logged, for older results stay where they were. Errors: those of the
// database.
[[nodiscard]] Result<void> tell_fleet(const jobs::PostgresOptions& database, const FleetFacts& facts);

// Errors: kNotFound when no server has started there yet, and those of the database.
[[nodiscard]] Result<FleetFacts> ask_fleet(const jobs::PostgresOptions& database);

// As result files and events show results. `bucket` is null when they lie on disk.
[[nodiscard]] jobs::Links make_links(const Settings& settings, const std::string& base_url,
                                     const std::shared_ptr<storage::S3Bucket>& bucket);

}  // namespace pixmill::app
