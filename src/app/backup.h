// A data folder as a copy from which it can be brought back: taken while a server works on it, or while none does.
// Blocking.
//
// The copy is a folder: pixmill.db at one moment, every file that it names, uploads and watermarks that are still
// wanted, and the sealing keys, so it is to be kept as safely as the data folder itself.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"

namespace pixmill::app {

struct CopyReport {
  std::uint64_t files = 0;    // results
  std::uint64_t bytes = 0;    // of results
  std::uint64_t linked = 0;   // of the files: on the same file system a link, which takes no space
  std::uint64_t missing = 0;  // results that the database names and that are not there
};

struct CopyOptions {
  bool with_results = true;
  std::function<void(const CopyReport&)> on_progress;  // now and then
};

// `to` must not exist, or be empty; it appears when it is whole. Errors: kNotFound when there is no database in
// `data_folder`, kConflict for `to`, kUnavailable when another try may do, kDiskFull, kIo.
[[nodiscard]] Result<CopyReport> back_up(const std::string& data_folder, const std::string& to,
                                         const CopyOptions& options);

// `data_folder` must not exist, or be empty. Errors: kNotFound when `from` is no backup, kConflict for `data_folder`,
// kDiskFull, kIo also when the copy is damaged.
[[nodiscard]] Result<CopyReport> restore(const std::string& from, const std::string& data_folder,
                                         const CopyOptions& options);

}  // namespace pixmill::app
