// How fast a job goes, and when it will be done, from how much was done when. Pure: time comes in as an argument.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

namespace pixmill::api {

class PaceMeter {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  struct Estimate {
    double per_second = 0;
    // Until the rest is done: at this rate, and at the rate's usual ups and downs. nullopt: it cannot be told.
    std::optional<double> seconds, seconds_least, seconds_most;
  };

  // `done` so far, at `now`; a number below the one before (a retry has begun) starts anew.
  void note(Instant now, std::uint64_t done);
  // Over the last minute; nullopt before there is anything to go by.
  [[nodiscard]] std::optional<Estimate> estimate(std::uint64_t remaining) const;

 private:
  struct Sample {
    Instant at;
    std::uint64_t done = 0;
  };
  [[nodiscard]] double spread(double mean) const;

  std::deque<Sample> samples_;  // a second apart, and the latest
};

}  // namespace pixmill::api
