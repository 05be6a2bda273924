#include "api/errors.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "base/log.h"
#include "base/text.h"

namespace pixmill::api {

namespace json = boost::json;

namespace {

constexpr std::size_t kShownValueBytesMax = 200;
constexpr std::size_t kShownRowsMax = 1'000;

std::string_view title_of(int status) {
  switch (status) {
    case 400:
      return "Bad request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not found";
    case 405:
      return "Method not allowed";
    case 408:
      return "Request timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content too large";
    case 415:
      return "Unsupported media type";
    case 422:
      return "Unprocessable content";
    case 503:
      return "Service unavailable";
    case 507:
      return "Insufficient storage";
    default:
      return status < 500 ? "Bad request" : "Internal server error";
  }
}

json::array rows_json(const std::vector<jobs::RowProblem>& problems) {
  json::array rows;
  for (const auto& problem : problems) {
    if (rows.size() == kShownRowsMax) break;
    rows.push_back(json::object{{"row", problem.row},
                                {"column", replace_invalid_utf8(problem.column)},
                                {"message", replace_invalid_utf8(problem.message)}});
  }
  return rows;
}

void log_if_ours(const Problem& problem, const http::Request& request) {
  if (problem.status < 500) return;
  log::error("request_failed", {{"request_id", request.request_id},
                                {"code", problem.code},
                                {"message", problem.detail},
                                {"detail", problem.log_detail}});
}

http::Response with_common_headers(http::Response response, const Problem& problem) {
  if (!problem.allowed_methods.empty()) {
    response.headers.set("Allow", fmt::format("{}", fmt::join(problem.allowed_methods, ", ")));
  }
  if (problem.retry_after) response.headers.set("Retry-After", fmt::format("{}", problem.retry_after->count()));
  return response;
}

}  // namespace

int http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kInvalidUrl:
    case ErrorCode::kBlockedAddress:
    case ErrorCode::kRobotsDenied:
    case ErrorCode::kTruncated:  // the body, by its client
    case ErrorCode::kProtocol:
      return 400;
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kTimeout:
      return 408;
    case ErrorCode::kConflict:
      return 409;
    case ErrorCode::kTooLarge:
      return 413;
    case ErrorCode::kCancelled:
    case ErrorCode::kUnavailable:
      return 503;
    case ErrorCode::kDiskFull:
      return 507;
    default:
      return 500;
  }
}

std::string row_problems_json(const std::vector<jobs::RowProblem>& problems) {
  return json::serialize(rows_json(problems));
}

Problem problem_of(const Error& error) {
  Problem problem{
      .status = http_status(error.code), .code = std::string(code_name(error.code)), .detail = error.message};
  problem.log_detail = error.detail;
  if (problem.status == 503) problem.retry_after = std::chrono::seconds(5);
  if (problem.status == 507) {
    problem.retry_after = std::chrono::seconds(60);
    problem.hint = "Free space on the server's disk, then send it again.";
  }
  return problem;
}

Problem not_found(std::string detail) {
  return Problem{.status = 404, .code = "not_found", .detail = std::move(detail)};
}

Problem wrong_parameter(std::string name, std::string_view value, std::string allowed) {
  name = std::string(utf8_prefix(name, kShownValueBytesMax));
  std::string shown = replace_invalid_utf8(utf8_prefix(value, kShownValueBytesMax));
  std::string detail = fmt::format("{} is '{}'; allowed: {}", name, shown, allowed);
  return Problem{
      .status = 400,
      .code = "invalid_parameter",
      .detail = std::move(detail),
      .parameter = WrongParameter{.name = std::move(name), .value = std::move(shown), .allowed = std::move(allowed)}};
}

Problem bad_rows(const jobs::TableReport& report) {
  Problem problem{.status = 422, .code = "invalid_rows"};
  problem.detail = fmt::format("{} of {} rows cannot be processed; nothing was started", format_count(report.bad_rows),
                               format_count(report.rows));
  problem.hint = "Correct the rows and send the file again, or set skip_invalid=true to process the good ones.";
  problem.row_problems = report.problems;
  problem.rows = report.rows;
  problem.bad_rows = report.bad_rows;
  return problem;
}

http::Response problem_response(const Problem& problem, const http::Request& request) {
  log_if_ours(problem, request);
  // Texts may repeat what a client sent, and JSON is UTF-8.
  json::object body{{"type", "urn:pixmill:error:" + problem.code},
                    {"title", title_of(problem.status)},
                    {"status", problem.status},
                    {"detail", replace_invalid_utf8(problem.detail)},
                    {"code", problem.code}};
  if (!problem.hint.empty()) body["hint"] = problem.hint;
  body["request_id"] = request.request_id;
  if (problem.parameter) {
    body["parameter"] = replace_invalid_utf8(problem.parameter->name);
    body["value"] = problem.parameter->value;
    body["allowed"] = replace_invalid_utf8(problem.parameter->allowed);
  }
  if (!problem.row_problems.empty()) {
    body["rows"] = problem.rows;
    body["bad_rows"] = problem.bad_rows;
    body["errors"] = rows_json(problem.row_problems);
  }
  auto response = http::json_response(problem.status, json::serialize(body));
  response.headers.set("Content-Type", "application/problem+json");
  return with_common_headers(std::move(response), problem);
}

http::Response legacy_error_response(const Problem& problem, const http::Request& request) {
  log_if_ours(problem, request);
  json::object body;
  if (problem.status == 405) {
    body["detail"] = fmt::format("Method \"{}\" not allowed.", request.method);
  } else {
    body["error"] = replace_invalid_utf8(problem.detail);
    if (!problem.row_problems.empty()) body["errors"] = rows_json(problem.row_problems);
    if (!problem.hint.empty()) body["hint"] = problem.hint;
  }
  return with_common_headers(http::json_response(problem.status, json::serialize(body)), problem);
}

bool is_legacy_path(std::string_view path) { return path == "/imgproc" || path.starts_with("/imgproc/"); }

http::Response error_response(const Problem& problem, const http::Request& request) {
  return is_legacy_path(request.path) ? legacy_error_response(problem, request) : problem_response(problem, request);
}

}  // namespace pixmill::api
