// `pixmill doctor`: what a process with these settings would rest on, looked at one after another: the data folder, the
// database, Redis, the bucket, engines and their sandbox, name servers, clocks. Changes nothing but a small object in
// the bucket and a small file in the folder, which it removes. Blocking: runs its own loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/settings.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/task.h"
#include "base/time.h"
#include "http/resolver.h"

namespace pixmill::app {

enum class Health : std::uint8_t {
  kOk,
  kWarning,  // it works, but not as well, or not for long
  kBroken,   // what rests on it does not work
};
[[nodiscard]] std::string_view to_text(Health health);  // "ok", "warning", "broken"

struct Finding {
  std::string name;  // "database"
  Health health = Health::kOk;
  std::string found;   // what is there, for people; no secrets
  std::string advice;  // what to do about it; "" when there is nothing to do
};

// Each finding goes to `say` as soon as it is known. Never fails: what cannot be asked is a finding.
std::vector<Finding> examine(const Settings& settings, const std::function<void(const Finding&)>& say);

// Private to src/app/doctor*.cc.
namespace doctor {

[[nodiscard]] Finding broken(std::string name, std::string found, std::string advice);
[[nodiscard]] Finding broken(std::string name, const Error& error, std::string advice);

// How far this machine's clock is from those of the services that said theirs.
struct ClockDifference {
  std::string whose;
  milliseconds ahead;  // of ours
};

// PostgreSQL, and what its processes have agreed on.
[[nodiscard]] std::vector<Finding> look_at_postgres(const Settings& settings, std::vector<ClockDifference>& clocks);
// `tools` outlive the loop: what a connection still has to say when it is closed, it says to them.
struct Tools {
  const Settings& settings;
  Metrics metrics;
  std::unique_ptr<http::Resolver> resolver;
  std::vector<ClockDifference> clocks;
};
[[nodiscard]] Task<Finding> look_at_redis(Tools& tools);
[[nodiscard]] Task<Finding> look_at_bucket(Tools& tools);

}  // namespace doctor
}  // namespace pixmill::app
