// Word that a job has moved on, between the processes of a fleet, so that whoever shows the job looks again at once and
// not only at his next round. Hints: the numbers are the database's, and losing all hints costs a second. Lives on the
// loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/ids.h"
#include "base/task.h"
#include "redis/connection.h"

namespace pixmill::jobs {

class ProgressNews {
 public:
  using Listener = std::function<void(const JobId&)>;

  virtual ~ProgressNews() = default;
  // `job` has moved on. The listener of this process hears it now, those of others at most kTellEvery later.
  virtual void tell(const JobId& job) = 0;
  // The one that hears of it; replaces the one before.
  virtual void listen(Listener listener) = 0;
  // Nothing is told or heard from now on.
  virtual void stop() = 0;

  static constexpr milliseconds kTellEvery{250};
};

// Within this process alone.
[[nodiscard]] std::unique_ptr<ProgressNews> make_local_progress_news();

struct RedisProgressOptions {
  std::string channel;  // the same for all processes of a fleet, and of no other
  std::string member;   // unique among all processes; without spaces
};
// Through PUBLISH on `commands`, which the caller starts and stops. Messages of that channel are handed to hear().
class RedisProgressNews : public ProgressNews {
 public:
  // What another process has published; what is no such thing is passed over.
  virtual void hear(const std::string& message) = 0;
};
[[nodiscard]] std::unique_ptr<RedisProgressNews> make_redis_progress_news(Executor executor,
                                                                          std::shared_ptr<redis::Connection> commands,
                                                                          RedisProgressOptions options);

}  // namespace pixmill::jobs
