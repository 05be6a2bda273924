// How many requests one host (scheme, name, port) gets from us: at most `per_host` at once, reached by ramping up from 4 while it
// answers, and at most `requests_per_second`; Retry-After closes a host for everyone. Lives on the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/task.h"

namespace pixmill::fetch {

struct HostLimitOptions {
  std::uint32_t per_host = 16;                 // 1 to 256
  std::optional<double> requests_per_second;   // nullopt: no rate limit
  std::size_t hosts_max = 65'536;              // idle ones beyond this are forgotten
};

class HostLimits {
 public:
  HostLimits(Executor executor, HostLimitOptions options);
  ~HostLimits();

  // One request's turn; gives it back when destroyed.
  class Turn {
   public:
    Turn() = default;
    Turn(Turn&&) noexcept;
    Turn& operator=(Turn&&) noexcept;
    ~Turn();
    // Say how it went before letting go: a good answer raises the ramp.
    void answered();

   private:
    friend class HostLimits;
    struct State;
    std::shared_ptr<State> state_;
  };

  // First come, first served within a host; one host's queue never delays another's. Errors: kCancelled once stop() was called,
  // kTimeout when the turn did not come within `patience`: the caller gives the item back to the queue instead of holding it.
  [[nodiscard]] Task<Result<Turn>> take(std::string origin, std::chrono::milliseconds patience);

  // No request to `origin` for `pause`: what a 429 or 503 with Retry-After asks for.
  void back_off(const std::string& origin, std::chrono::milliseconds pause);
  void stop();

  struct Busy {
    std::string origin;  // the host with the most waiting requests
    std::uint32_t waiting = 0;
    std::uint32_t running = 0;
  };
  // The busiest host where requests wait for a turn, for the progress line; nullopt when none waits.
  [[nodiscard]] std::optional<Busy> busiest() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pixmill::fetch
