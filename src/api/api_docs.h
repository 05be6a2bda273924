// /openapi.json and /docs/api: the API's description, docs/openapi.yaml, for programs and as a page for people. Both
// are made when the program is built (cmake/embed_api.py). Lives on the loop.
#pragma once

#include "http/message.h"
#include "http/router.h"

namespace pixmill::api {

class ApiDocs {
 public:
  ApiDocs();
  void add_routes(http::Router& router);

 private:
  [[nodiscard]] Task<http::Response> json(http::Request& request);
  [[nodiscard]] Task<http::Response> page(http::Request& request);

  // Whole answers, the same for everybody.
  http::Response json_;
  http::Response page_;
};

}  // namespace pixmill::api
