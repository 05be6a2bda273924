// The doorbell between processes: announcements travel as notes in a Redis stream (redis/stream.h). Each is read by one
// idle worker, which passes it on as long as its claims come back full (Queue::share), so that a large job wakes as
// many workers as it can feed and a small one wakes few. Lives on the loop.
//
// Within the process an announcement is heard at once, with or without Redis. While Redis is away the others find work
// by their own looking, as often as the worker does that; announcements of that time are sent when it is back.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "jobs/queue.h"
#include "redis/connection.h"

namespace pixmill::jobs {

struct RedisQueueOptions {
  std::string member;  // unique among all processes
  std::string key_prefix = "pixmill";
  milliseconds read_block{2'000};          // an idle worker's question stays open for so long
  milliseconds upkeep_every{15'000};       // taking over and republishing
  milliseconds adopt_after{30'000};        // a note that its reader did not settle for so long is read by another
  milliseconds forget_after{10 * 60'000};  // a member that was not heard of for so long is gone
  // Jobs with items that may be claimed; they are announced again at every upkeep and whenever Redis is back. Must
  // outlive the queue's loop; null: nothing is.
  std::function<Task<Result<std::vector<JobId>>>()> unfinished = nullptr;
};

// `blocking` serves this queue alone, and ends with it. Both are started by the caller, who stops `commands` after the
// queue.
[[nodiscard]] std::unique_ptr<Queue> make_redis_queue(Executor executor, std::shared_ptr<redis::Connection> commands,
                                                      std::shared_ptr<redis::Connection> blocking,
                                                      RedisQueueOptions options);

}  // namespace pixmill::jobs
