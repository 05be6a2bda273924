// Pictures of this machine as sources, for `pixmill run` on files and folders. Only `run` makes file: addresses, from
// what its user named on the command line; a table's rows can never hold one, because fetch::parse_source_url refuses
// them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "fetch/fetcher.h"

namespace pixmill::app {

[[nodiscard]] std::string file_address(const std::string& absolute_path);

// Serves file: addresses itself and hands everything else to `network`, which must outlive it.
// Errors of files: kNotFound, kTooLarge, kIo, kUnavailable when there is no memory for one in time.
[[nodiscard]] std::unique_ptr<fetch::Fetcher> make_local_files_fetcher(fetch::Fetcher& network,
                                                                       std::uint64_t bytes_max);

}  // namespace pixmill::app
