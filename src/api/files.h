// /files/…: finished pictures, from this machine's disk; a blob store with addresses of its own is led on to. Lives on
// the loop.
#pragma once

#include "api/context.h"
#include "http/router.h"

namespace pixmill::api {

class Files {
 public:
  explicit Files(Context& context) : context_(context) {}
  void add_routes(http::Router& router);

 private:
  [[nodiscard]] Task<Checked<http::Response>> get(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> lead_to(std::string key, std::string link);

  Context& context_;
};

[[nodiscard]] std::string_view media_type_of(std::string_view key);
// Relative, '/'-separated, without empty, "." or ".." segments, control characters, backslashes, or names of unfinished
// files.
[[nodiscard]] bool is_servable_key(std::string_view key);

}  // namespace pixmill::api
