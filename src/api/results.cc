#include "api/results.h"

#include "api/checked_handler.h"

namespace pixmill::api {

namespace {

using Pull = std::function<Task<Result<std::string>>()>;

struct Export {
  Pull pull;
  std::optional<std::string>
      first;  // read before the answer began, so that a failing store is an error and not a broken file
};

Task<Result<std::string>> next_piece(std::shared_ptr<Export> file) {
  if (file->first) {
    std::string first = std::move(*file->first);
    file->first.reset();
    co_return first;
  }
  co_return co_await file->pull();
}

// "products.csv" ► "products-result.csv".
std::string export_name(const jobs::Job& job, std::string_view ending) {
  std::string stem = job.name.empty() ? job.id.text() : job.name;
  for (const std::string_view extension : {".gz", ".csv", ".tsv", ".jsonl"}) {
    if (stem.size() > extension.size() && stem.ends_with(extension)) stem.resize(stem.size() - extension.size());
  }
  return stem + "-" + std::string(ending);
}

}  // namespace

void Results::add_routes(http::Router& router) {
  router.add("GET", "/v1/jobs/{id}/result.csv", checked(this, &Results::result_csv));
  router.add("GET", "/v1/jobs/{id}/images.csv", checked(this, &Results::images_csv));
  router.add("GET", "/v1/jobs/{id}/gone.csv", checked(this, &Results::gone_csv));
}

Task<Checked<http::Response>> Results::result_csv(http::Request& request) {
  return file(request, jobs::ResultFile::kResultCsv, "result.csv");
}

Task<Checked<http::Response>> Results::images_csv(http::Request& request) {
  return file(request, jobs::ResultFile::kImagesCsv, "images.csv");
}

Task<Checked<http::Response>> Results::gone_csv(http::Request& request) {
  return file(request, jobs::ResultFile::kGoneCsv, "gone.csv");
}

Task<Checked<http::Response>> Results::file(http::Request& request, jobs::ResultFile kind, std::string_view ending) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  PIXMILL_API_TRY(const bool raw, parse_flag("raw", request.query_value("raw").value_or("")));
  auto job = co_await context_.parts.store.job(id);
  if (!job) co_return refuse(problem_of(job.error()));
  if (kind == jobs::ResultFile::kGoneCsv && !job->since) {
    co_return refuse(not_found("The job is not compared with an earlier one"));
  }
  const std::string name = export_name(*job, ending);
  const auto safety = raw ? jobs::CellSafety::kExact : jobs::CellSafety::kSpreadsheet;
  auto exported = std::make_shared<Export>();
  exported->pull =
      jobs::stream_result_file(context_.parts.store, std::move(*job), kind, safety, context_.options.links);
  auto first = co_await exported->pull();
  if (!first) co_return refuse(problem_of(first.error()));
  exported->first = std::move(*first);

  http::Response response{.status = 200, .headers = {}, .body = {}};
  response.headers.set("Content-Type", "text/csv; charset=utf-8; header=present");
  response.headers.set("Content-Disposition", attachment_disposition(name));
  response.body = http::StreamBody{.next = [exported] { return next_piece(exported); }};
  co_return response;
}

}  // namespace pixmill::api
