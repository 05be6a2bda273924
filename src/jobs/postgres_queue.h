// The doorbell between processes on one PostgreSQL, by LISTEN and NOTIFY: an idle worker elsewhere hears of work within
// milliseconds. Lives on the loop.
#pragma once

#include <functional>
#include <memory>

#include "base/task.h"
#include "db/postgres.h"
#include "jobs/queue.h"

namespace pixmill::jobs {

// `on_event`: another process, or the database itself, put an event into the outbox.
[[nodiscard]] std::unique_ptr<Queue> make_postgres_queue(Executor executor, db::pg::ConnectOptions options,
                                                         std::function<void()> on_event);

}  // namespace pixmill::jobs
