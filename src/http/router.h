// Maps method and path to a handler. Built once at start, then read-only.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace pixmill::http {

using Handler = std::function<Task<Response>(Request&)>;

class Router {
 public:
  // `pattern`: literal segments, {name} for one segment, {name...} for the rest. Patterns match with and without a
  // trailing slash when `either_slash`. The most literal pattern wins, whatever the order of registration.
  void add(std::string method, std::string pattern, Handler handler, bool either_slash = false);

  struct Match {
    const Handler* handler = nullptr;          // null: nothing matches
    std::string pattern;                       // for metrics labels; empty when no path matches
    std::vector<std::string> allowed_methods;  // when the path matches and the method does not: for 405 and Allow
    std::map<std::string, std::string> params;
  };
  // `path` is percent-decoded. HEAD finds GET's handler.
  [[nodiscard]] Match match(std::string_view method, std::string_view path) const;

 private:
  struct Route {
    std::string method;
    std::string pattern;
    std::vector<std::string> segments;
    Handler handler;
    bool either_slash;
  };
  std::vector<Route> routes_;
};

}  // namespace pixmill::http
