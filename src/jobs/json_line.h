// One line of JSON Lines as keys and cells. Internal to table_reader. Pure; fuzzed through it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace pixmill::jobs {

struct JsonMember {
  std::string key;
  std::string cell;                              // strings decoded; numbers and nested values as the file writes them
  std::optional<std::vector<std::string>> list;  // of a list of strings
};

// The members in order; of equal keys the last one. Errors: kInvalidArgument when it is not an object, kTooLarge for
// more than `columns_max` keys or a cell above `cell_bytes_max`.
[[nodiscard]] Result<std::vector<JsonMember>> parse_json_line(std::string_view line, std::size_t columns_max,
                                                              std::size_t cell_bytes_max);

}  // namespace pixmill::jobs
