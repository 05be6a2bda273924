// /files/…: finished pictures, where the blob store is this machine's disk. Lives on the loop.
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

  Context& context_;
};

[[nodiscard]] std::string_view media_type_of(std::string_view key);
// Relative, '/'-separated, without empty, "." or ".." segments, control characters, backslashes, or names of unfinished
// files.
[[nodiscard]] bool is_servable_key(std::string_view key);

}  // namespace pixmill::api
