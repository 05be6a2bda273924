#include "redis/endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace pixmill::redis {

namespace {

constexpr std::int64_t kDatabaseMax = 65'535;

std::unexpected<Error> wrong(std::string_view why) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("it must be redis://[user:password@]host[:port][/database], or rediss:// for TLS; {}", why));
}

bool is_host(std::string_view host) {
  return !host.empty() && std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_' || c == ':';
  });
}

// user:password, or :password.
Result<void> read_login(std::string_view text, Endpoint& endpoint) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return wrong("before the '@' there is no ':' between user and password");
  const auto username = percent_decode(text.substr(0, colon));
  const auto password = percent_decode(text.substr(colon + 1));
  if (!username || !password) return wrong("a '%' in the user or the password is not followed by two digits");
  endpoint.username = *username;
  endpoint.password = *password;
  if (!username->empty() && password->empty()) return wrong("there is a user without a password");
  return {};
}

// host[:port], where an IPv6 address stands in brackets.
Result<void> read_place(std::string_view text, Endpoint& endpoint) {
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return wrong("the ']' behind the address is missing");
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
  } else if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  if (!is_host(host)) return wrong("the host is not one");
  endpoint.host = to_lower(host);
  if (port.empty()) return {};
  const auto number = port.starts_with(':') ? parse_integer(port.substr(1)) : std::nullopt;
  if (!number || *number < 1 || *number > 65'535) return wrong("the port is not a number from 1 to 65535");
  endpoint.port = static_cast<std::uint16_t>(*number);
  return {};
}

Result<void> read_database(std::string_view path, Endpoint& endpoint) {
  if (path.starts_with('/')) path.remove_prefix(1);
  if (path.empty()) return {};
  const auto number = parse_integer(path);
  if (!number || *number < 0 || *number > kDatabaseMax) return wrong("the database is not a number");
  endpoint.database = static_cast<std::uint32_t>(*number);
  return {};
}

}  // namespace

std::string Endpoint::shown() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}/{}", tls ? "rediss" : "redis", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port,
                     database);
}

Result<Endpoint> parse_endpoint(std::string_view url) {
  Endpoint endpoint;
  std::string_view rest = url;
  if (rest.starts_with("rediss://")) {
    endpoint.tls = true;
    rest.remove_prefix(9);
  } else if (rest.starts_with("redis://")) {
    rest.remove_prefix(8);
  } else {
    return wrong("it begins otherwise");
  }
  // Some write passwords with '/', '?' or '@' in them as they are, so the last '@' ends the login.
  if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
    PIXMILL_RETURN_IF_ERROR(read_login(rest.substr(0, at), endpoint));
    rest.remove_prefix(at + 1);
  }
  rest = rest.substr(0, rest.find_first_of("?#"));
  const auto slash = rest.find('/');
  PIXMILL_RETURN_IF_ERROR(read_place(rest.substr(0, slash), endpoint));
  if (slash != std::string_view::npos) PIXMILL_RETURN_IF_ERROR(read_database(rest.substr(slash), endpoint));
  return endpoint;
}

}  // namespace pixmill::redis
