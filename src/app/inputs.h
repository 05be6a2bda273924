// What `pixmill run INPUT…` was given: tables, pictures, folders of pictures, or standard input. Blocking, before the
// loop runs.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "base/error.h"

namespace pixmill::app {

struct LocalPicture {
  std::string absolute_path;
  std::string shown;  // as the user knows it: below the folder that was named
};

// One job: a table, or all pictures of the command line together.
struct InputSet {
  std::string name;                    // shown, and the subfolder when there are several sets
  std::string table_path;              // "" for pictures; for "-" and pipes the spooled copy
  std::vector<LocalPicture> pictures;  // in byte order of their paths, within each argument
};

struct InputOptions {
  std::string spool_folder;   // takes what can be read only once: standard input, pipes
  std::string output_folder;  // left out where it lies in a folder that is searched
  std::uint64_t free_bytes_min = 0;
  std::uint64_t spool_bytes_max = 64ULL << 30;  // what a table may unpack to
};

// A file is a table or a picture by its name, else by what is in it. Folders are searched to any depth; hidden files,
// symbolic links and files that are not pictures by name are left out. Errors: kNotFound, kInvalidArgument (a file that
// is neither table nor picture; an empty folder; a folder that is the output folder), kIo; of spooling also kTooLarge,
// and kDiskFull when less than free_bytes_min would be left.
[[nodiscard]] Result<std::vector<InputSet>> collect_inputs(const std::vector<std::string>& arguments,
                                                           const InputOptions& options);

// True for .csv .tsv .jsonl .ndjson and those with .gz, in any case.
[[nodiscard]] bool is_table_name(const std::string& path);

// SHA-256 of the set's content: a table's bytes; for pictures their paths, sizes and modification times. Hexadecimal.
// Errors: kNotFound, kIo, kCancelled once `stop` was asked for.
[[nodiscard]] Result<std::string> content_digest(const InputSet& set, std::stop_token stop = {});

}  // namespace pixmill::app
