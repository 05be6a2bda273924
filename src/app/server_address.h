// How commands on the same machine reach the server of a data folder: while it runs, <folder>/address says where.
// Blocking.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace pixmill::app {

struct ServerAddress {
  std::string ip;  // a literal address
  std::uint16_t port = 0;
  std::string host;  // a name that its requests may be addressed to
  bool operator==(const ServerAddress&) const = default;
};

// Where a server is reached that listens on `listen_host` and answers to `allowed_hosts` (empty: to every name of this
// machine).
[[nodiscard]] ServerAddress local_address(const std::string& listen_host, std::uint16_t port,
                                          const std::vector<std::string>& allowed_hosts);

// Errors: kDiskFull, kIo, kNotFound when there is no such folder.
[[nodiscard]] Result<void> write_server_address(const std::string& folder, const ServerAddress& address);
void remove_server_address(const std::string& folder);
// Errors: kNotFound, kIo, kInvalidArgument for a file that is something else.
[[nodiscard]] Result<ServerAddress> read_server_address(const std::string& folder);

struct ServerAnswer {
  int status = 0;
  std::string body;
};
// Runs its own loop. Errors: those of http::Client::send.
[[nodiscard]] Result<ServerAnswer> ask_server(const ServerAddress& address, const std::string& method,
                                              const std::string& target, const std::string& json_body,
                                              std::chrono::milliseconds patience = std::chrono::seconds(30));

}  // namespace pixmill::app
