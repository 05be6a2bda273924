// A job as one JSON document instead of a form: {"rows": [{"url": "https://…"}, "https://…"], "recipe": "web", …}.
// Rows become JSON Lines, character by character as they came, so that the result table repeats numbers as they were
// written. Pure; any thread; fuzzed.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "api/errors.h"

namespace pixmill::api {

inline constexpr std::size_t kJsonUploadBytesMax = 8u << 20;  // larger ones are sent as a file
inline constexpr std::size_t kJsonFieldBytesMax = 64u << 10;  // of everything but `rows`

struct JsonUpload {
  // As a form has them: `headers` as lines, a recipe that is an object as JSON.
  std::map<std::string, std::string> fields;
  std::string table;  // a line for each row
};

// Problem: 400 for what is no JSON object, has no list `rows`, a row that is neither an object nor a text (an address),
// or another member that is not of its kind: `priority` is a whole number, `skip_invalid` and `overrides` are true or
// false, `headers` is a list of texts, a recipe is an object or a text as everything else.
[[nodiscard]] Checked<JsonUpload> read_json_upload(std::string_view body);

}  // namespace pixmill::api
