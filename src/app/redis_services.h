// The connections to Redis and what rests on them, put together when REDIS_URL or REDIS_HOST is set. One per process;
// lives on the loop.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "app/settings.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/task.h"
#include "fetch/fleet_limits.h"
#include "http/resolver.h"
#include "jobs/job_store.h"
#include "jobs/progress_news.h"
#include "jobs/queue.h"
#include "redis/connection.h"

namespace pixmill::app {

class RedisServices {
 public:
  // `resolver` and `metrics` must outlive it. Errors: kInvalidArgument for a CA file that cannot be read.
  [[nodiscard]] static Result<std::unique_ptr<RedisServices>> create(Executor executor, const Settings& settings,
                                                                     http::Resolver& resolver, Metrics& metrics);
  ~RedisServices();
  RedisServices(const RedisServices&) = delete;
  RedisServices& operator=(const RedisServices&) = delete;

  // Connects. Redis may be away: whatever it helps with goes on without it.
  void start();
  // After everything that uses it has stopped.
  void stop();

  // What the fleet agrees on about hosts.
  [[nodiscard]] std::shared_ptr<fetch::FleetLimits> make_fleet_limits() const;
  // The doorbell between the processes of a fleet. `store` must outlive the loop.
  [[nodiscard]] std::unique_ptr<jobs::Queue> make_queue(jobs::JobStore& store);

  // Word of jobs that move on; of other processes' too, if `hears`.
  [[nodiscard]] std::shared_ptr<jobs::ProgressNews> make_progress_news(bool hears);

  [[nodiscard]] bool is_up() const { return commands_->is_up(); }
  // For people: where it is, and why it is away.
  [[nodiscard]] std::string state() const;

 private:
  RedisServices(Executor executor, const Settings& settings, http::Resolver& resolver, Metrics& metrics)
      : executor_(std::move(executor)), settings_(settings), resolver_(resolver), metrics_(metrics) {}
  [[nodiscard]] redis::ConnectionOptions connection_options(const char* name) const;
  [[nodiscard]] Result<std::shared_ptr<redis::Connection>> connect(redis::ConnectionOptions options);

  Executor executor_;
  const Settings& settings_;
  http::Resolver& resolver_;
  Metrics& metrics_;
  std::string member_;  // this process among those of the fleet
  std::shared_ptr<redis::Connection> commands_;
  std::shared_ptr<redis::Connection> blocking_;
  std::shared_ptr<redis::Connection> hearing_;  // null: nothing is heard of others
};

}  // namespace pixmill::app
