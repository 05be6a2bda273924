// /v1/jobs/{id}/items: the pictures of a job, page by page. Lives on the loop.
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

  Context& context_;
};

}  // namespace pixmill::api
