#include "redis/server_info.h"

#include <utility>

#include "base/text.h"

namespace pixmill::redis {

bool ServerInfo::may_evict() const { return memory_max > 0 && !memory_policy.empty() && memory_policy != "noeviction"; }

ServerInfo parse_server_info(std::string_view text) {
  ServerInfo info;
  for (const auto line : split(text, '\n')) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const auto name = line.substr(0, colon);
    const auto value = trim(line.substr(colon + 1));
    if (name == "redis_version") info.version = value;
    if (name == "maxmemory_policy") info.memory_policy = value;
    if (name == "maxmemory") info.memory_max = static_cast<std::uint64_t>(parse_integer(value).value_or(0));
  }
  return info;
}

Task<Result<ServerInfo>> ask_server_info(Connection& connection) {
  Command command(1, "INFO");
  PIXMILL_CO_TRY(const auto reply, co_await connection.send(std::move(command)));
  if (reply.is_error()) co_return std::unexpected(error_of(reply));
  co_return parse_server_info(reply.text);
}

}  // namespace pixmill::redis
