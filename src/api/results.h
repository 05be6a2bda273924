// /v1/jobs/{id}/result.csv, images.csv and gone.csv, streamed. Lives on the loop.
#pragma once

#include "api/context.h"
#include "http/router.h"
#include "jobs/result_files.h"

namespace pixmill::api {

class Results {
 public:
  explicit Results(Context& context) : context_(context) {}
  void add_routes(http::Router& router);

 private:
  [[nodiscard]] Task<Checked<http::Response>> result_csv(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> images_csv(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> gone_csv(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> file(http::Request& request, jobs::ResultFile kind,
                                                   std::string_view ending);

  Context& context_;
};

}  // namespace pixmill::api
