#include "api/allowed_hosts.h"

#include <algorithm>
#include <boost/asio/ip/address_v4.hpp>
#include <utility>

#include "base/text.h"

namespace pixmill::api {

namespace {

// The name of a Host header, in lower case, without its port and the root's dot; IPv6 stays in its brackets.
std::string name_of(std::string_view host_header) {
  std::string name = to_lower(trim(host_header));
  const auto bracket = name.rfind(']');
  const auto colon = name.rfind(':');
  if (colon != std::string::npos && (bracket == std::string::npos || colon > bracket)) name.resize(colon);
  if (name.ends_with('.')) name.pop_back();
  return name;
}

std::string name_of_url(std::string_view url) {
  const auto scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return {};
  const std::string_view rest = url.substr(scheme_end + 3);
  return name_of(rest.substr(0, rest.find_first_of("/?#")));
}

bool is_loopback(const std::string& name) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address_v4(name, error);
  return !error && address.is_loopback();
}

}  // namespace

AllowedHosts::AllowedHosts(std::vector<std::string> named, std::string_view own_base_url, std::string_view listen_host)
    : names_(std::move(named)), any_loopback_(names_.empty()) {
  for (auto& name : names_) name = to_lower(name);
  if (!any_loopback_) return;
  const bool is_ipv6 = listen_host.find(':') != std::string_view::npos;
  const std::string listening = is_ipv6 ? "[" + to_lower(listen_host) + "]" : to_lower(listen_host);
  names_ = {"localhost", ".localhost", "[::1]", listening, name_of_url(own_base_url)};
}

bool AllowedHosts::allows(std::string_view host_header) const {
  const std::string host = name_of(host_header);
  if (any_loopback_ && is_loopback(host)) return true;
  return std::ranges::any_of(names_, [&host](const std::string& name) {
    if (name == "*") return true;
    if (name.starts_with('.')) return host.ends_with(name) || host == std::string_view(name).substr(1);
    return !name.empty() && host == name;
  });
}

}  // namespace pixmill::api
