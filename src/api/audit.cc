#include "api/audit.h"

#include <utility>

#include "api/checked_handler.h"
#include "jobs/job_audit.h"

namespace pixmill::api {

namespace {

constexpr std::chrono::seconds kComeAgainIn{5};

Problem busy() {
  return {.status = 409,
          .code = "conflict",
          .detail = "Another job is being audited.",
          .hint = "Try again when it is done.",
          .retry_after = kComeAgainIn};
}

}  // namespace

void Audit::add_routes(http::Router& router) {
  router.add("POST", "/v1/jobs/{id}/audit", checked(this, &Audit::audit), true);
}

Task<Checked<http::Response>> Audit::audit(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  jobs::AuditOptions options;
  PIXMILL_API_TRY(options.repair, parse_flag("repair", request.query_value("repair").value_or("")));
  PIXMILL_API_TRY(options.deep, parse_flag("deep", request.query_value("deep").value_or("")));
  options.is_stopping = [this] { return stopping_; };
  if (context_.parts.upkeep == nullptr) co_return refuse(not_found("This server audits no jobs"));
  if (busy_) co_return refuse(busy());
  busy_ = true;
  const jobs::SweepParts parts{
      .store = context_.parts.store, .upkeep = *context_.parts.upkeep, .blobs = context_.parts.blobs};
  const bool repair = options.repair;
  const auto report = co_await jobs::audit_job(parts, id, std::move(options));
  busy_ = false;
  if (!report) co_return refuse(problem_of(report.error()));
  // Events may have become due, and items claimable.
  if (repair) {
    context_.wake_deliverer();
    context_.parts.queue.announce(id);
  }
  co_return http::json_response(200, jobs::audit_document(*report));
}

}  // namespace pixmill::api
