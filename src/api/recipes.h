// /v1/recipes: the named recipes, built in and the user's own. Lives on the loop.
#pragma once

#include <optional>
#include <string>

#include "api/context.h"
#include "http/router.h"

namespace pixmill::api {

class Recipes {
 public:
  explicit Recipes(Context& context) : context_(context) {}
  void add_routes(http::Router& router);

 private:
  [[nodiscard]] Task<Checked<http::Response>> list(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> show(http::Request& request);
  [[nodiscard]] Task<Checked<http::Response>> create(http::Request& request);  // the name in the body
  [[nodiscard]] Task<Checked<http::Response>> put(http::Request& request);     // the name in the path
  [[nodiscard]] Task<Checked<http::Response>> remove(http::Request& request);

  [[nodiscard]] Task<Checked<http::Response>> save(std::string name, std::string recipe);

  Context& context_;
};

}  // namespace pixmill::api
