// /imgproc/: the original platform's interface, so that its web client and its Postman collection work unchanged
// (COMPATIBILITY.md). Lives on the loop.
#pragma once

#include "api/context.h"
#include "http/router.h"

namespace pixmill::api {

class Legacy {
 public:
  explicit Legacy(Context& context) : context_(context) {}
  void add_routes(http::Router& router);

 private:
  [[nodiscard]] Task<http::Response> upload(http::Request& request);
  [[nodiscard]] Task<Checked<JobId>> accept(http::Request& request);
  [[nodiscard]] Task<http::Response> status(http::Request& request);
  [[nodiscard]] Task<http::Response> completed_page(http::Request& request, jobs::Job job);
  [[nodiscard]] Task<http::Response> check_db_connection(http::Request& request);

  Context& context_;
};

}  // namespace pixmill::api
