// What goes wrong, as HTTP says it: the only place that turns an ErrorCode into a status. Two shapes: problem+json (RFC
// 9457) everywhere, and the original platform's {"error": …} under /imgproc/. Pure; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "http/message.h"
#include "jobs/table_reader.h"

namespace pixmill::api {

struct WrongParameter {
  std::string name;
  std::string value;    // as it came, shortened
  std::string allowed;  // for people: "a whole number from 1 to 500"
};

// Everything an error answer may say. `code` is stable; the type is "urn:pixmill:error:<code>".
struct Problem {
  int status = 500;
  std::string code = "internal";
  std::string detail = {};
  std::string hint = {};        // what to do about it; "": nothing more to say
  std::string log_detail = {};  // not shown
  std::optional<WrongParameter> parameter = std::nullopt;
  std::vector<std::string> allowed_methods = {};  // with 405
  std::optional<std::chrono::seconds> retry_after = std::nullopt;
  // Of a table: the first of its bad rows, and how many there are in all.
  std::vector<jobs::RowProblem> row_problems = {};
  std::uint64_t rows = 0;
  std::uint64_t bad_rows = 0;
};

template <class T>
using Checked = std::expected<T, Problem>;

[[nodiscard]] inline std::unexpected<Problem> refuse(Problem problem) { return std::unexpected(std::move(problem)); }

[[nodiscard]] int http_status(ErrorCode code);
[[nodiscard]] Problem problem_of(const Error& error);
[[nodiscard]] Problem not_found(std::string detail);
[[nodiscard]] Problem wrong_parameter(std::string name, std::string_view value, std::string allowed);
// A JSON list of at most 1,000 of them.
[[nodiscard]] std::string row_problems_json(const std::vector<jobs::RowProblem>& problems);
[[nodiscard]] Problem bad_rows(const jobs::TableReport& report);

// What a 5xx hides from the client goes to the log here.
[[nodiscard]] http::Response problem_response(const Problem& problem, const http::Request& request);
// {"error": detail, "errors": [...]}; 405 is {"detail": "Method \"GET\" not allowed."}.
[[nodiscard]] http::Response legacy_error_response(const Problem& problem, const http::Request& request);
// The one of the two that `path` calls for.
[[nodiscard]] http::Response error_response(const Problem& problem, const http::Request& request);
[[nodiscard]] bool is_legacy_path(std::string_view path);

}  // namespace pixmill::api

// PIXMILL_API_TRY(auto x, checked_expression): as PIXMILL_CO_TRY, for coroutines that return Checked.
#define PIXMILL_API_TRY(declaration, ...) \
  PIXMILL_TRY_WITH(co_return, PIXMILL_CONCAT(checked_, __COUNTER__), declaration, __VA_ARGS__)
