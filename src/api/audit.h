// POST /v1/jobs/{id}/audit?repair=1&deep=1: whether everything about a job is as it should be (jobs/job_audit.h). One
// at a time per process, for each reads as much as there is. Lives on the loop.
#pragma once

#include "api/context.h"
#include "http/router.h"

namespace pixmill::api {

class Audit {
 public:
  explicit Audit(Context& context) : context_(context) {}
  void add_routes(http::Router& router);
  // One under way ends soon, with an error.
  void stop() { stopping_ = true; }

 private:
  [[nodiscard]] Task<Checked<http::Response>> audit(http::Request& request);

  Context& context_;
  bool busy_ = false;
  bool stopping_ = false;
};

}  // namespace pixmill::api
