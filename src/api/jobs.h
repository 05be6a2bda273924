// /v1/jobs: submit, list, look, cancel, retry, and what became of a job's webhooks. Lives on the loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/context.h"
#include "api/idempotency.h"
#include "http/router.h"
#include "jobs/model.h"
#include "jobs/recipe_book.h"

namespace pixmill::api {

class Jobs {
 public:
  explicit Jobs(Context& context) : context_(context), keys_(context.options.id_secret) {}
  void add_routes(http::Router& router);

 private:
  [[nodiscard]] Task<Checked<http::Response>> create(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> validate(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> list(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> show(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> cancel(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> remove(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> pause(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> resume(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> retry(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> deliveries(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> resend(http::Request& request);

  [[nodiscard]] Checked<jobs::NewJob> read_form(const Upload& upload, const jobs::RecipeBook& recipes) const;
  [[nodiscard]] Task<Checked<std::optional<JobId>>> check_since(std::string text);
  // A job that could be started, and what was found in its table.
  struct Draft {
    jobs::NewJob job;
    std::shared_ptr<const engine::MarkFile> watermark;
    std::shared_ptr<void> watermark_place;  // among those in memory
    std::vector<std::string> columns;
    jobs::TableReport report;
  };
  // Everything that can be known before anything exists; bad rows are in the report.
  [[nodiscard]] Task<Checked<Draft>> draft(Upload& upload, JobId id);
  [[nodiscard]] Task<Checked<void>> check_table(const Upload& upload, std::shared_ptr<const jobs::RecipeBook> recipes,
                                                Draft& draft);
  // What is in it becomes the job `id`.
  [[nodiscard]] Task<Checked<jobs::Job>> start(Upload upload, JobId id, std::string digest);
  [[nodiscard]] http::Response document(int status, const jobs::Job& job) const;
  [[nodiscard]] http::Response created(const jobs::Job& job) const;

  Context& context_;
  IdempotencyKeys keys_;
};

}  // namespace pixmill::api
