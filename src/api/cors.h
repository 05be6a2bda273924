// Cross-origin requests: the original platform's CORS (FRONTEND_URL, CORS_ALLOW_ALL), and what browsers are not asked
// about: a page of another origin may send a form to a server on this machine without asking first, so writes from
// other origins are refused. Immutable after construction; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace pixmill::api {

class Cors {
 public:
  // `frontend_urls`: origins separated by commas; a path behind them is ignored. `own_base_url`: where the server says
  // it is reached.
  Cors(std::string_view frontend_urls, bool allow_all, std::string_view own_base_url);

  // An OPTIONS with Access-Control-Request-Method.
  [[nodiscard]] static bool is_preflight(const http::Request& request);
  [[nodiscard]] http::Response preflight_response(const http::Request& request) const;

  // Adds what lets an allowed origin's page read the answer.
  void decorate(const http::Request& request, http::Response& response) const;

  // A POST, PUT, PATCH or DELETE that a page of an origin which is neither allowed nor ours sent. Clients that are no
  // browsers send no Origin and are let through.
  [[nodiscard]] bool is_foreign_write(const http::Request& request) const;

 private:
  [[nodiscard]] bool allowed(std::string_view origin) const;

  std::vector<std::string> origins_;
  bool allow_all_;
  std::string own_origin_;
};

}  // namespace pixmill::api
