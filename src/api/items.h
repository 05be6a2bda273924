// /v1/jobs/{id}/items and …/errors: the pictures of a job, page by page or one, and why some failed. Lives on the loop.
#pragma once

#include "api/context.h"
#include "http/router.h"

namespace pixmill::api {

class Items {
 public:
  explicit Items(Context& context) : context_(context) {}
  void add_routes(http::Router& router);

 private:
  [[nodiscard]] Task<Checked<http::Response>> list(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> show(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> errors(http::Request& request);

  Context& context_;
};

}  // namespace pixmill::api
