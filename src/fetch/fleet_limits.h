// What the processes of a fleet agree on about one host: how its limit is divided among them, and when nobody asks it.
// A seam: in Redis here, or a fake in tests. Lives on the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/task.h"
#include "redis/connection.h"

namespace pixmill::fetch {

// What one process does at a host and would like to do.
struct HostNeed {
  std::string origin = {};
  std::uint32_t in_flight = 0;
  std::uint32_t wanted = 0;  // requests at once; 0: the process is done with the host
  std::uint32_t limit = 0;   // of the whole fleet
  struct Refused {
    int http_status = 503;
    milliseconds pause{0};
  };
  std::optional<Refused> refused = std::nullopt;  // the host has answered so since the last time
};

struct HostShare {
  std::uint32_t requests = 0;   // at once, for this process
  std::uint32_t processes = 1;  // that use the host
  milliseconds closed_for{0};   // nobody asks it for so long yet
  int refused_status = 0;       // why
  std::uint64_t refusals = 0;   // of the whole fleet; a growing number
};

class FleetLimits {
 public:
  // A share that is not asked for again is nobody's after this time: its process was killed.
  static constexpr milliseconds kShareLasts{5'000};

  virtual ~FleetLimits() = default;
  // The shares of all processes together are never above the limit, and each gets its turn. Errors: those of
  // redis::Connection::send; without an agreement each process is on its own.
  [[nodiscard]] virtual Task<Result<HostShare>> agree(HostNeed need) = 0;
};

// `member` is unique among all processes.
[[nodiscard]] std::shared_ptr<FleetLimits> make_redis_fleet_limits(std::shared_ptr<redis::Connection> connection,
                                                                   std::string key_prefix, std::string member);

}  // namespace pixmill::fetch
