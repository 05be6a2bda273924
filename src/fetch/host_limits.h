// How many requests one host (scheme, name, port) gets from us: at most `per_host` at once, reached by ramping up from
// 4 while it answers, and at most `requests_per_second`; a 429 or 503 closes a host for everyone for a while. Lives on
// the loop.
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
  std::uint32_t per_host = 16;                // 1 to 256
  std::optional<double> requests_per_second;  // nullopt: no rate limit
  std::size_t hosts_max = 65'536;             // idle ones beyond this are forgotten
};

class HostLimits {
 private:
  struct Impl;

 public:
  HostLimits(Executor executor, HostLimitOptions options);
  ~HostLimits();
  HostLimits(const HostLimits&) = delete;
  HostLimits& operator=(const HostLimits&) = delete;

  // One request's turn; gives it back when destroyed. It may outlive the HostLimits.
  class Turn {
   public:
    Turn() = default;
    Turn(Turn&&) noexcept;
    Turn& operator=(Turn&&) noexcept;
    ~Turn();
    // Say how it went before letting go: a good answer raises the ramp (each round of them doubles it); a host that did
    // not answer halves it, down to the first round, for a dead host's requests must not queue up one by one. Saying
    // neither, as when cancelled, changes nothing.
    void answered();
    void failed();

   private:
    friend struct HostLimits::Impl;
    struct State;
    std::shared_ptr<State> state_;
  };

  // First come, first served within a host; one host's queue never delays another's. Errors: kCancelled once stop() was
  // called, kTimeout when the turn did not come within `patience`, or at once when the host is closed for longer than
  // that (then Error::retry_after says for how long): the caller gives the item back to the queue instead of holding
  // it. kHttpTransient instead of kTimeout, with the host's own status and what is left of its Retry-After, once the
  // host has refused kRoundsInVain rounds in a row: it would have said the same, so it counts as an attempt, and
  // nothing waits for ever on a host that refuses everyone.
  [[nodiscard]] Task<Result<Turn>> take(std::string origin, std::chrono::milliseconds patience);
  static constexpr int kRoundsInVain = 5;

  struct Refusal {
    int http_status = 503;  // 429 or 503
    std::chrono::milliseconds pause{1'000};
  };
  // `origin` answered so: no request to it for the pause, and half as many at once after it. One address speaks for its
  // whole host only so far: everyone else waits kPauseMax at the most, the rest of the pause is that item's own.
  void back_off(const std::string& origin, Refusal refusal);
  static constexpr std::chrono::seconds kPauseMax{60};
  void stop();

  struct Busy {
    std::string origin;  // the host with the most waiting requests
    std::uint32_t waiting = 0;
    std::uint32_t running = 0;
  };
  // The busiest host where requests wait for a turn, for the progress line; nullopt when none waits.
  [[nodiscard]] std::optional<Busy> busiest() const;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace pixmill::fetch
