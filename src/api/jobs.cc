#include "api/jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_from.hpp>

#include "api/checked_handler.h"
#include "api/intake.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/retention.h"

namespace pixmill::api {

namespace json = boost::json;

namespace {

constexpr std::string_view kFields[] = {"recipe",     "webhook_url",  "name",     "name_template",
                                        "url_column", "skip_invalid", "priority", "headers",
                                        "overrides",  "since",        "keep"};
constexpr std::size_t kNameBytesMax = 200;
constexpr std::int64_t kPriorityMax = 100;
constexpr std::size_t kControlBodyBytesMax = 64u << 10;

Checked<void> check_fields(const Upload& upload) {
  for (const auto& [name, value] : upload.fields) {
    if (std::ranges::find(kFields, name) != std::end(kFields)) continue;
    Problem problem = wrong_parameter(name, value, fmt::format("file, watermark, {}", fmt::join(kFields, ", ")));
    problem.detail = fmt::format("The form has a field '{}' that does not exist", replace_invalid_utf8(name));
    return refuse(std::move(problem));
  }
  return {};
}

Checked<int> parse_priority(const std::string& text) {
  if (text.empty()) return 0;
  const auto value = parse_integer(text);
  if (value && *value >= -kPriorityMax && *value <= kPriorityMax) return static_cast<int>(*value);
  return refuse(
      wrong_parameter("priority", text, fmt::format("a whole number from {} to {}", -kPriorityMax, kPriorityMax)));
}

Checked<std::optional<milliseconds>> parse_keep(const std::string& text) {
  auto keep = jobs::parse_keep(text);
  if (keep) return *keep;
  return refuse(wrong_parameter("keep", text, std::string(jobs::kKeepForms)));
}

Checked<std::optional<jobs::JobState>> parse_state(const http::Request& request) {
  const auto text = request.query_value("state");
  if (!text || text->empty()) return std::nullopt;
  const auto state = jobs::parse_job_state(*text);
  if (state && *state != jobs::JobState::kDeleting) return state;
  std::string allowed;
  for (int i = 0; i <= static_cast<int>(jobs::JobState::kRejected); ++i) {
    allowed += fmt::format("{}{}", i == 0 ? "" : ", ", jobs::to_text(static_cast<jobs::JobState>(i)));
  }
  return refuse(wrong_parameter("state", *text, std::move(allowed)));
}

// {"code": "timeout"}, {} or nothing.
Checked<jobs::RetryFilter> parse_retry(const std::string& body) {
  if (trim(body).empty()) return jobs::RetryFilter{};
  boost::system::error_code error;
  const json::value parsed = json::parse(body, error);
  const json::object* object = error ? nullptr : parsed.if_object();
  if (object == nullptr) {
    return refuse(wrong_parameter("body", body, R"(a JSON object such as {"code": "timeout"}, or nothing)"));
  }
  jobs::RetryFilter filter;
  for (const auto& [key, value] : *object) {
    if (key != "code" || !value.is_string()) {
      return refuse(wrong_parameter(std::string(key), json::serialize(value), "code, with an error code as text"));
    }
    filter.error_code = std::string(value.as_string());
  }
  return filter;
}

bool is_accepted(const jobs::NewJob& job, const jobs::TableReport& report) {
  const bool some_good = report.bad_rows < report.rows;
  return report.bad_rows == 0 || (job.invalid_rows == jobs::InvalidRows::kSkip && some_good);
}

std::string validation_document(const jobs::NewJob& job, const std::vector<std::string>& columns,
                                const jobs::TableReport& report) {
  const json::object body{{"accepted", is_accepted(job, report)}, {"rows", report.rows},
                          {"bad_rows", report.bad_rows},          {"images", report.images},
                          {"columns", json::value_from(columns)}, {"recipe", job.recipe},
                          {"recipe_name", job.recipe_name}};
  std::string text = json::serialize(body);
  text.pop_back();
  return text + R"(,"errors":)" + row_problems_json(report.problems) + "}";
}

}  // namespace

void Jobs::add_routes(http::Router& router) {
  router.add("POST", "/v1/jobs", checked(this, &Jobs::create), true);
  router.add("POST", "/v1/jobs/validate", checked(this, &Jobs::validate), true);
  router.add("GET", "/v1/jobs", checked(this, &Jobs::list), true);
  router.add("GET", "/v1/jobs/{id}", checked(this, &Jobs::show), true);
  router.add("DELETE", "/v1/jobs/{id}", checked(this, &Jobs::remove), true);
  router.add("POST", "/v1/jobs/{id}/cancel", checked(this, &Jobs::cancel), true);
  router.add("POST", "/v1/jobs/{id}/pause", checked(this, &Jobs::pause), true);
  router.add("POST", "/v1/jobs/{id}/resume", checked(this, &Jobs::resume), true);
  router.add("POST", "/v1/jobs/{id}/retry", checked(this, &Jobs::retry), true);
  router.add("GET", "/v1/jobs/{id}/deliveries", checked(this, &Jobs::deliveries), true);
  router.add("POST", "/v1/jobs/{id}/deliveries/{event}/resend", checked(this, &Jobs::resend), true);
}

http::Response Jobs::document(int status, const jobs::Job& job) const {
  return http::json_response(status, jobs::job_document(job, context_.options.links));
}

Checked<jobs::NewJob> Jobs::read_form(const Upload& upload, const jobs::RecipeBook& recipes) const {
  if (!upload.file || upload.file->name.empty()) {
    return refuse(wrong_parameter("file", "", "a part with a file name: CSV, TSV or JSON Lines, plain or gzipped"));
  }
  if (const auto known = check_fields(upload); !known) return refuse(known.error());
  jobs::NewJob job;
  job.origin = jobs::JobOrigin::kApi;
  const std::string recipe = upload.field("recipe");
  PIXMILL_TRY(auto choice, check_recipe(recipe.empty() ? context_.options.default_recipe : recipe, recipes));
  job.recipe = std::move(choice.text);
  job.recipe_name = std::move(choice.name);
  const std::string overrides = upload.field("overrides");
  PIXMILL_TRY(job.overrides, parse_flag("overrides", overrides.empty() ? "true" : overrides));
  PIXMILL_TRY(job.webhook_url, check_webhook_url(upload.field("webhook_url"), context_.parts.policy));
  PIXMILL_TRY(job.headers, check_headers(upload.field("headers")));
  PIXMILL_TRY(job.priority, parse_priority(upload.field("priority")));
  PIXMILL_TRY(job.keep, parse_keep(upload.field("keep")));
  PIXMILL_TRY(const bool skip_invalid, parse_flag("skip_invalid", upload.field("skip_invalid")));
  job.invalid_rows = skip_invalid ? jobs::InvalidRows::kSkip : jobs::InvalidRows::kReject;
  job.name = upload.field("name");
  if (job.name.size() > kNameBytesMax || !is_valid_utf8(job.name)) {
    return refuse(wrong_parameter("name", job.name, fmt::format("UTF-8 text of at most {} bytes", kNameBytesMax)));
  }
  job.url_column = upload.field("url_column");
  const std::string name_template = upload.field("name_template");
  job.name_template = name_template.empty() ? context_.options.name_template : name_template;
  return job;
}

// The job that the new one is compared with: only one that has ended knows all of its URLs and results.
Task<Checked<std::optional<JobId>>> Jobs::check_since(std::string text) {
  if (text.empty()) co_return std::nullopt;
  constexpr std::string_view kAllowed = "the id of a job that has ended";
  const auto parsed = Uuid::parse(text);
  if (!parsed) co_return refuse(wrong_parameter("since", text, std::string(kAllowed)));
  const JobId id{*parsed};
  const auto job = co_await context_.parts.store.job(id);
  if (!job && job.error().code == ErrorCode::kNotFound) {
    Problem problem = wrong_parameter("since", text, std::string(kAllowed));
    problem.detail = fmt::format("since: there is no job {}", text);
    co_return refuse(std::move(problem));
  }
  if (!job) co_return refuse(problem_of(job.error()));
  if (jobs::is_terminal(job->state)) co_return id;
  Problem problem = wrong_parameter("since", text, std::string(kAllowed));
  problem.detail = fmt::format("since: the job {} is still {}", text, jobs::to_text(job->state));
  co_return refuse(std::move(problem));
}

Task<Checked<void>> Jobs::check_table(const Upload& upload, std::shared_ptr<const jobs::RecipeBook> recipes,
                                      Draft& draft) {
  const auto table = table_options(context_, draft.job, *upload.file, std::move(recipes));
  PIXMILL_API_TRY(draft.columns, co_await table_columns(context_, upload.file->spool.path(), table));
  if (const auto names = check_name_template(draft.job.name_template, draft.columns); !names) {
    co_return refuse(names.error());
  }
  auto report = co_await context_.parts.ingest.check(upload.file->spool.path(), table);
  if (!report) co_return refuse(table_problem(report.error()));
  draft.report = std::move(*report);
  const auto marks = co_await check_row_watermarks(&context_.parts.store, context_.parts.watermarks,
                                                   context_.parts.policy, draft.report);
  if (!marks) co_return refuse(problem_of(marks.error()));
  draft.job.row_names = draft.report.named_recipes;
  co_return Checked<void>();
}

Task<Checked<Jobs::Draft>> Jobs::draft(Upload& upload, JobId id) {
  PIXMILL_API_TRY(const auto recipes, co_await recipe_book(context_));
  Draft draft;
  PIXMILL_API_TRY(draft.job, read_form(upload, *recipes));
  draft.job.id = id;
  PIXMILL_API_TRY(draft.job.since, co_await check_since(upload.field("since")));
  PIXMILL_API_TRY(auto settled, co_await settle_watermark(context_, draft.job.recipe, std::move(upload.watermark)));
  draft.job.recipe = std::move(settled.text);
  draft.watermark = std::move(settled.watermark);
  draft.watermark_place = std::move(settled.place);
  if (const auto checked = co_await check_table(upload, recipes, draft); !checked) co_return refuse(checked.error());
  co_return draft;
}

Task<Checked<jobs::Job>> Jobs::start(Upload upload, JobId id, std::string digest) {
  PIXMILL_API_TRY(auto draft, co_await this->draft(upload, id));
  if (!is_accepted(draft.job, draft.report)) co_return refuse(bad_rows(draft.report));
  draft.job.source_digest = std::move(digest);
  co_return co_await start_job(context_, std::move(draft.job), std::move(*upload.file), std::move(draft.watermark));
}

Task<Checked<http::Response>> Jobs::validate(http::Request& request) {
  const JobId nobody{Uuid::random()};
  PIXMILL_API_TRY(Upload upload, co_await context_.uploads.receive(request, nobody, UploadForms::kMultipartOrJson));
  PIXMILL_API_TRY(const auto draft, co_await this->draft(upload, nobody));
  co_return http::json_response(200, validation_document(draft.job, draft.columns, draft.report));
}

http::Response Jobs::created(const jobs::Job& job) const {
  auto response = document(201, job);
  response.headers.set("Location", fmt::format("{}/v1/jobs/{}", context_.options.links.base_url, job.id.text()));
  return response;
}

Task<Checked<http::Response>> Jobs::create(http::Request& request) {
  if (const auto room = check_room(context_); !room) co_return refuse(room.error());
  PIXMILL_API_TRY(const auto key, keys_.begin(request));
  const JobId own_id{Uuid::random()};
  // The spool may hold the table of an earlier request with this key.
  PIXMILL_API_TRY(Upload upload, co_await context_.uploads.receive(request, own_id, UploadForms::kMultipartOrJson));
  if (!key) {
    PIXMILL_API_TRY(const auto job, co_await start(std::move(upload), own_id, ""));
    co_return created(job);
  }
  const auto digest = co_await digest_of(upload, context_.files);
  if (!digest) co_return refuse(problem_of(digest.error()));
  PIXMILL_API_TRY(auto earlier, co_await earlier_job(context_.parts.store, key->job, *digest));
  if (!earlier) {
    const auto job = co_await start(std::move(upload), key->job, *digest);
    if (job) co_return created(*job);
    // Another server may have been faster.
    PIXMILL_API_TRY(earlier, co_await earlier_job(context_.parts.store, key->job, *digest));
    if (!earlier) co_return refuse(job.error());
  }
  auto response = created(*earlier);
  response.headers.set("Idempotent-Replayed", "true");
  co_return response;
}

Task<Checked<http::Response>> Jobs::list(http::Request& request) {
  jobs::JobQuery query;
  PIXMILL_API_TRY(query.state, parse_state(request));
  PIXMILL_API_TRY(const auto limit, number_parameter(request, "limit", 50, 1, 500));
  query.limit = static_cast<std::uint32_t>(limit);
  query.before = request.query_value("before");
  const std::string before = query.before.value_or("");
  const auto page = co_await context_.parts.store.jobs(std::move(query));
  if (!page && page.error().code == ErrorCode::kInvalidArgument) {
    co_return refuse(wrong_parameter("before", before, "what an earlier page gave as next"));
  }
  if (!page) co_return refuse(problem_of(page.error()));
  co_return http::json_response(200,
                                jobs::job_list_document(page->jobs, page->total, page->next, context_.options.links));
}

Task<Checked<http::Response>> Jobs::show(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  const auto job = co_await context_.parts.store.job(id);
  if (!job) co_return refuse(problem_of(job.error()));
  co_return document(200, *job);
}

Task<Checked<http::Response>> Jobs::cancel(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  const auto job = co_await context_.parts.store.cancel(id);
  if (!job) co_return refuse(problem_of(job.error()));
  context_.job_moved(id);
  context_.wake_deliverer();
  co_return document(200, *job);
}

Task<Checked<http::Response>> Jobs::remove(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  PIXMILL_API_TRY(const bool cancel_first, parse_flag("cancel", request.query_value("cancel").value_or("")));
  const auto cancel = cancel_first ? jobs::CancelFirst::kYes : jobs::CancelFirst::kNo;
  const auto job = co_await context_.parts.store.remove_job(id, cancel);
  if (!job) {
    Problem problem = problem_of(job.error());
    if (problem.status == 409) problem.hint = "POST …/cancel first, or DELETE with ?cancel=1 to do both.";
    co_return refuse(std::move(problem));
  }
  log::info("job_deleted", {{"job", id.text()}, {"state", jobs::to_text(job->state)}});
  context_.wake_deliverer();
  context_.remove_soon();
  // What is under way ends first; then the job goes by itself.
  if (job->state != jobs::JobState::kDeleting) co_return document(202, *job);
  co_return http::Response{.status = 204, .headers = {}, .body = {}};
}

Task<Checked<http::Response>> Jobs::pause(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  const auto job = co_await context_.parts.store.pause(id);
  if (!job) co_return refuse(problem_of(job.error()));
  co_return document(200, *job);
}

Task<Checked<http::Response>> Jobs::resume(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  const auto job = co_await context_.parts.store.resume(id);
  if (!job) co_return refuse(problem_of(job.error()));
  context_.parts.queue.announce(id);
  co_return document(200, *job);
}

Task<Checked<http::Response>> Jobs::retry(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  const auto body = co_await http::read_all(*request.body, kControlBodyBytesMax);
  if (!body) co_return refuse(problem_of(body.error()));
  PIXMILL_API_TRY(jobs::RetryFilter filter, parse_retry(*body));
  const auto job = co_await context_.parts.store.retry(id, std::move(filter));
  if (!job) co_return refuse(problem_of(job.error()));
  context_.parts.queue.announce(id);
  context_.job_moved(id);
  co_return document(200, *job);
}

Task<Checked<http::Response>> Jobs::deliveries(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  const auto job = co_await context_.parts.store.job(id);
  if (!job) co_return refuse(problem_of(job.error()));
  const auto deliveries = co_await context_.parts.outbox.deliveries(id);
  if (!deliveries) co_return refuse(problem_of(deliveries.error()));
  std::vector<std::string> documents;
  for (const auto& delivery : *deliveries) documents.push_back(jobs::delivery_document(delivery));
  co_return http::json_response(200, fmt::format(R"({{"deliveries":[{}]}})", fmt::join(documents, ",")));
}

Task<Checked<http::Response>> Jobs::resend(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  const std::string event = request.params["event"];
  const auto deliveries = co_await context_.parts.outbox.deliveries(id);
  if (!deliveries) co_return refuse(problem_of(deliveries.error()));
  const auto found = std::ranges::find(*deliveries, event, &jobs::Delivery::event_id);
  if (found == deliveries->end()) co_return refuse(not_found("The job has no such delivery"));
  const auto resent = co_await context_.parts.outbox.resend(event);
  if (!resent) co_return refuse(problem_of(resent.error()));
  context_.wake_deliverer();
  co_return http::json_response(202, jobs::delivery_document(*found));
}

}  // namespace pixmill::api
