// Where a Redis is and how to log in there. Pure; any thread. Holds a secret: only shown() may be written anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace pixmill::redis {

struct Endpoint {
  std::string host = "127.0.0.1";  // a name, or a literal address without brackets
  std::uint16_t port = 6379;
  std::string username;  // "": the default user
  std::string password;  // "": no login
  std::uint32_t database = 0;
  bool tls = false;

  // "rediss://host:6380/2": without user and password.
  [[nodiscard]] std::string shown() const;
};

// redis://[[user]:password@]host[:port][/database], or rediss:// for TLS; user and password may be percent-encoded.
// What follows a '?' is not read: clients of other languages keep their own options there. Errors: kInvalidArgument,
// whose message holds nothing of the text.
[[nodiscard]] Result<Endpoint> parse_endpoint(std::string_view url);

}  // namespace pixmill::redis
