#include "api/legacy.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <iterator>

#include "api/intake.h"
#include "api/negotiation.h"
#include "base/text.h"

namespace pixmill::api {

namespace json = boost::json;

namespace {

constexpr std::string_view kNoCsvText = "Invalid file format. Please upload a CSV.";
constexpr std::uint32_t kPageRowsMax = 200;

Problem bad_upload(std::string text) {
  return Problem{.status = 400, .code = "invalid_table", .detail = std::move(text)};
}

// What the original has no words for.
Problem unexpected(const Problem& problem) {
  return bad_upload(fmt::format("An unexpected error occurred: {}", problem.detail));
}

// The first problem is the text; all of them stand beside it.
Problem bad_table(const jobs::TableReport& report) {
  Problem problem = bad_rows(report);
  problem.status = 400;
  problem.hint.clear();
  problem.detail = report.problems.empty() ? std::string(jobs::kBrokenTableText) : report.problems.front().message;
  return problem;
}

json::object status_json(const jobs::Job& job, const jobs::Links& links) {
  json::object body{{"status", jobs::legacy_status(job.state)},
                    {"request_id", job.id.text()},
                    {"state", jobs::to_text(job.state)},
                    {"total", job.total},
                    {"succeeded", job.succeeded},
                    {"failed", job.failed},
                    {"remaining", job.remaining}};
  if (!job.error_message.empty()) body["error"] = job.error_message;
  body["job"] = fmt::format("{}/v1/jobs/{}", links.base_url, job.id.text());
  body["result_csv"] = fmt::format("{}/v1/jobs/{}/result.csv", links.base_url, job.id.text());
  return body;
}

}  // namespace

void Legacy::add_routes(http::Router& router) {
  router.add(
      "POST", "/imgproc/upload", [this](http::Request& request) { return upload(request); }, true);
  router.add(
      "GET", "/imgproc/status/{id}", [this](http::Request& request) { return status(request); }, true);
  router.add(
      "GET", "/imgproc/hello",
      [](http::Request&) -> Task<http::Response> { co_return http::text_response(200, "Hello World"); }, true);
  router.add(
      "GET", "/imgproc/check_db_connection", [this](http::Request& request) { return check_db_connection(request); },
      true);
}

Task<http::Response> Legacy::upload(http::Request& request) {
  const auto accepted = co_await accept(request);
  if (!accepted) co_return legacy_error_response(accepted.error(), request);
  const json::object body{{"request_id", accepted->text()}, {"message", "File uploaded successfully"}};
  auto response = http::json_response(201, json::serialize(body));
  response.headers.set("Location",
                       fmt::format("{}/imgproc/status/{}/", context_.options.links.base_url, accepted->text()));
  co_return response;
}

Task<Checked<JobId>> Legacy::accept(http::Request& request) {
  if (const auto room = check_room(context_); !room) co_return refuse(room.error());
  const JobId id{Uuid::random()};
  auto upload = co_await context_.uploads.receive(request, id, UploadForms::kMultipart);
  if (!upload && upload.error().status == 415) co_return refuse(bad_upload(std::string(kNoCsvText)));
  if (!upload && upload.error().status == 400) co_return refuse(unexpected(upload.error()));
  if (!upload) co_return refuse(upload.error());
  if (!upload->file || !to_lower(upload->file->name).ends_with(".csv")) {
    co_return refuse(bad_upload(std::string(kNoCsvText)));
  }

  jobs::NewJob job;
  job.id = id;
  job.origin = jobs::JobOrigin::kLegacyUpload;
  job.name_template = context_.options.legacy_name_template;
  const std::string recipe = upload->field("recipe");
  PIXMILL_API_TRY(const auto recipes, co_await recipe_book(context_));
  PIXMILL_API_TRY(auto choice, check_recipe(recipe.empty() ? context_.options.default_recipe : recipe, *recipes));
  job.recipe = std::move(choice.text);
  job.recipe_name = std::move(choice.name);
  // Tables that were made for the original may have such columns for their own ends.
  PIXMILL_API_TRY(job.overrides, parse_flag("overrides", upload->field("overrides")));
  PIXMILL_API_TRY(job.webhook_url, check_webhook_url(upload->field("webhook_url"), context_.parts.policy));

  PIXMILL_API_TRY(auto settled, co_await settle_watermark(context_, job.recipe, std::move(upload->watermark)));
  job.recipe = std::move(settled.text);
  auto table = table_options(context_, job, *upload->file, recipes);
  auto report = co_await context_.parts.ingest.check(upload->file->spool.path(), std::move(table));
  if (!report) {
    const Problem problem = table_problem(report.error());
    co_return refuse(problem.status == 422 ? bad_upload(report.error().message) : problem);
  }
  const auto marks =
      co_await check_row_watermarks(&context_.parts.store, context_.parts.watermarks, context_.parts.policy, *report);
  if (!marks) co_return refuse(problem_of(marks.error()));
  if (report->bad_rows > 0) co_return refuse(bad_table(*report));
  job.row_names = std::move(report->named_recipes);

  PIXMILL_API_TRY(const auto created,
                  co_await start_job(context_, std::move(job), std::move(*upload->file), std::move(settled.watermark)));
  co_return created.id;
}

Task<http::Response> Legacy::status(http::Request& request) {
  const auto id = job_id_of(request);
  if (!id) co_return legacy_error_response(id.error(), request);
  auto job = co_await context_.parts.store.job(*id);
  if (!job && job.error().code == ErrorCode::kNotFound) {
    co_return legacy_error_response(not_found("There is no such job"), request);
  }
  if (!job) co_return legacy_error_response(problem_of(job.error()), request);
  const bool page = prefers_html(request.headers.get("Accept").value_or(""));
  if (page && jobs::legacy_status(job->state) == "completed")
    co_return co_await completed_page(request, std::move(*job));
  auto response = http::json_response(200, json::serialize(status_json(*job, context_.options.links)));
  response.headers.add("Vary", "Accept");
  co_return response;
}

Task<http::Response> Legacy::completed_page(http::Request& request, jobs::Job job) {
  std::vector<jobs::Row> rows;
  while (rows.size() < kPageRowsMax) {
    const std::uint64_t after = rows.empty() ? 0 : rows.back().row;
    const auto wanted = static_cast<std::uint32_t>(kPageRowsMax - rows.size());
    auto more = co_await context_.parts.store.rows(job.id, after, wanted);
    if (!more) co_return legacy_error_response(problem_of(more.error()), request);
    if (more->empty()) break;
    std::ranges::move(*more, std::back_inserter(rows));
  }
  const std::string title = job.name.empty() ? "Processed images" : job.name;
  auto response = page_response(
      200, title,
      fmt::format("<h1>{}</h1>\n{}", html_escape(title), jobs::legacy_table(job, rows, context_.options.links)));
  response.headers.add("Vary", "Accept");
  co_return response;
}

Task<http::Response> Legacy::check_db_connection(http::Request&) {
  const auto answered = co_await context_.store_ping.answer(context_.options.ready_deadline);
  const json::object body{{"db_status", answered ? "connected" : "error"}};
  co_return http::json_response(answered ? 200 : 500, json::serialize(body));
}

}  // namespace pixmill::api
