// Whose turn it is at each host. A host is a scheme, name and port as in "https://example.com": what shares a server's
// accept queue. Two names of one server are two hosts, for nothing tells them apart from two servers behind one
// address. An HTTP/2 stream is a request like any other. How much a host gets is learnt by HostPace; whose turn it is,
// is decided here, so that no host's queue delays another's:
//  - who cannot be served before its patience ends, as far as can be told, is sent away now instead of then, with the
//    time when its turn may come; so a slow host's items do not fill the room of others'. How many are sent away is
//    bounded, since each costs a claim and a release;
//  - at a host that has gone silent one request at a time tries; the others fail at once.
// Lives on the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "base/task.h"
#include "fetch/fleet_limits.h"

namespace pixmill::fetch {

struct HostLimitOptions {
  std::uint32_t per_host = 16;                                           // 1 to 256
  std::optional<double> requests_per_second = std::nullopt;              // nullopt: no rate limit
  std::size_t hosts_max = 65'536;                                        // idle ones beyond this are forgotten
  Metrics* metrics = nullptr;                                            // null: nothing is counted
  std::chrono::milliseconds review_every{1'000};                         // of those who wait
  std::function<std::chrono::steady_clock::time_point()> now = nullptr;  // null: the steady clock
};

// One line of the table of hosts.
struct HostState {
  std::string origin;
  std::uint32_t limit = 0;  // requests at once, for now
  std::uint32_t in_flight = 0;
  std::uint32_t waiting = 0;
  std::optional<double> rate;                           // requests per second; nullopt: no limit
  std::optional<std::chrono::milliseconds> latency;     // until an answer begins: the fastest of the last round …
  std::optional<std::chrono::milliseconds> best;        // … and of the last minutes
  std::optional<std::chrono::milliseconds> closed_for;  // backing off for so long yet
  int refused_status = 0;                               // of the last refusal; 0: never
  std::uint32_t processes = 1;                          // of the fleet that use it
  bool is_silent = false;                               // it has stopped answering
};

class HostLimits {
 private:
  struct Impl;

 public:
  HostLimits(Executor executor, HostLimitOptions options);
  ~HostLimits();
  HostLimits(const HostLimits&) = delete;
  HostLimits& operator=(const HostLimits&) = delete;

  // From now on hosts' limits are those of the fleet: each process keeps to its share of `per_host` and of the rate,
  // and what a host asks one of them for holds for all. Shares are asked for four times a second while a host is used.
  // While there is no agreement, for Redis is away, a process keeps to the part of per_host that it would have among
  // as many processes as were seen last: too little for some is better than too much for a host. Call before the first
  // take().
  void join(std::shared_ptr<FleetLimits> fleet);

  // One request's turn; gives it back when destroyed. It may outlive the HostLimits.
  class Turn {
   public:
    Turn() = default;
    Turn(Turn&&) noexcept;
    Turn& operator=(Turn&&) noexcept;
    ~Turn();
    // Say how it went before letting go: an answer that is no refusal, with the time until it began, or none at all.
    // Saying neither, as when cancelled, changes nothing.
    void answered(std::optional<std::chrono::milliseconds> first_byte = std::nullopt);
    void failed();

   private:
    friend struct HostLimits::Impl;
    struct State;
    std::shared_ptr<State> state_;
  };

  // First come, first served within a host. Errors: kCancelled once stop() was called, kTimeout when the turn does not
  // come within `patience`, at once when that can be told (then Error::retry_after says when it may): the caller gives
  // the item back to the queue instead of holding it. kHttpTransient instead of kTimeout, with the host's own status
  // and what is left of its Retry-After, once the host has refused kRoundsInVain rounds in a row, and kConnect once it
  // has gone silent: it would have said the same, so it counts as an attempt, and nothing waits for ever on a host that
  // refuses everyone or is dead.
  [[nodiscard]] Task<Result<Turn>> take(std::string origin, std::chrono::milliseconds patience);
  static constexpr int kRoundsInVain = 5;

  struct Refusal {
    int http_status = 503;                                          // 429 or 503
    std::optional<std::chrono::milliseconds> pause = std::nullopt;  // nullopt: it did not say how long
  };
  // `origin` answered so: no request to it for the pause. One address speaks for its whole host only so far: everyone
  // else waits kPauseMax at the most, the rest of the pause is that item's own.
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

  // The hosts with most to do first, then those that back off, at most `rows`.
  [[nodiscard]] std::vector<HostState> table(std::size_t rows) const;
  struct Totals {
    std::uint64_t hosts = 0;  // known
    std::uint64_t in_flight = 0;
    std::uint64_t waiting = 0;
    std::uint64_t backing_off = 0;  // hosts
    std::uint64_t silent = 0;       // hosts
  };
  [[nodiscard]] Totals totals() const;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace pixmill::fetch
