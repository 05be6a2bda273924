// What a Redis says about itself. Lives on the loop.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/task.h"
#include "redis/connection.h"

namespace pixmill::redis {

struct ServerInfo {
  std::string version;           // "7.0.15"
  std::uint64_t memory_max = 0;  // bytes; 0: no bound
  std::string memory_policy;     // "noeviction", "allkeys-lru" …; "" when it does not say

  // True when Redis may drop keys to make room.
  [[nodiscard]] bool may_evict() const;
};

// Errors: those of Connection::send, and error_of() a refusal: managed services may forbid INFO.
[[nodiscard]] Task<Result<ServerInfo>> ask_server_info(Connection& connection);

// The text that INFO answers with. Pure.
[[nodiscard]] ServerInfo parse_server_info(std::string_view text);

}  // namespace pixmill::redis
