// The database of a data folder as a copy that another process takes, whether a server runs or not, and what such a
// copy says about the files that belong to it. Blocking.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace pixmill::jobs {

// Errors: kNotFound when there is no database, kConflict for one that is not ours and when `to` exists, those of
// db::copy_database.
[[nodiscard]] Result<void> copy_sqlite_store(const std::string& path, const std::string& to);

struct StoredFile {
  std::string key;  // of the blob store
  std::uint64_t bytes = 0;
};
// Every result that the database names, in no order, a million at a time or a hundred million. Errors: those of
// opening; the first one of `each`, which ends it.
[[nodiscard]] Result<void> each_stored_file(const std::string& path,
                                            const std::function<Result<void>(const StoredFile&)>& each);

// Where the tables lie of jobs that are not read to their end.
[[nodiscard]] Result<std::vector<std::string>> unread_tables(const std::string& path);
// They lie in `folder` now, under the names they had. The database must be in use by nobody.
[[nodiscard]] Result<void> move_unread_tables(const std::string& path, const std::string& folder);

}  // namespace pixmill::jobs
