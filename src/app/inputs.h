// What `pixmill run INPUT…` was given: tables, pictures, folders of pictures, or standard input. Blocking, before the
// loop runs.
#pragma once

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
  std::string table_path;              // "" for pictures; for "-" the spooled copy
  std::vector<LocalPicture> pictures;  // in byte order of their paths, within each argument
};

// `spool_folder` takes what "-" gives. Folders are searched to any depth; hidden files, symbolic links and files that
// are not pictures by name are left out. Errors: kNotFound, kInvalidArgument (a file that is neither table nor picture
// by name; an empty folder), kIo.
[[nodiscard]] Result<std::vector<InputSet>> collect_inputs(const std::vector<std::string>& arguments,
                                                           const std::string& spool_folder);

// True for .csv .tsv .jsonl .ndjson and those with .gz, in any case.
[[nodiscard]] bool is_table_name(const std::string& path);

// SHA-256 of the set's content: a table's bytes; for pictures their paths, sizes and modification times. Hexadecimal.
[[nodiscard]] Result<std::string> content_digest(const InputSet& set);

}  // namespace pixmill::app
