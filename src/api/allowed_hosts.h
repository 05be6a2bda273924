// Which Host headers are answered (ALLOWED_HOSTS). A page of a foreign name that its owner suddenly points to this
// machine (DNS rebinding) is same-origin to the browser; only the Host that it sends gives it away. Immutable after
// construction; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pixmill::api {

class AllowedHosts {
 public:
  // `named` as Django reads it: names without case and port, ".example.com" for a domain with its subdomains, "*" for
  // all. When it is empty, this machine's own: localhost and names below it, 127.0.0.0/8, [::1], the address that is
  // listened on (`listen_host`, a literal one), and the host of `own_base_url`.
  AllowedHosts(std::vector<std::string> named, std::string_view own_base_url, std::string_view listen_host);

  [[nodiscard]] bool allows(std::string_view host_header) const;

 private:
  std::vector<std::string> names_;  // in lower case
  bool any_loopback_ = false;
};

}  // namespace pixmill::api
