#include "worker/rescuer.h"

#include <gtest/gtest.h>

#include "tests/support/run_task.h"
#include "tests/support/scripted_store.h"

namespace pixmill::worker {
namespace {

TEST(Rescuer, GoesOnWhileThereIsMore) {
  asio::io_context io;
  Metrics metrics;
  testing::ScriptedStore store;
  const auto queue = jobs::make_local_queue(io.get_executor());
  int calls = 0;
  const JobId job{Uuid::random()};
  store.on_rescue = [&]() -> Result<jobs::JobStore::RescueReport> {
    ++calls;
    jobs::JobStore::RescueReport report;
    report.rescued = 5;
    report.more = calls < 3;
    if (calls == 3) report.jobs_finished.push_back(job);
    return report;
  };
  std::vector<JobId> finished;
  Rescuer rescuer(io.get_executor(), store, *queue, metrics, seconds(2), [&](const auto& jobs) { finished = jobs; });
  testing::run_task(io, rescuer.run_once());
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(finished, std::vector<JobId>{job});
  EXPECT_NE(metrics.expose().find("pixmill_rescued_items_total 15"), std::string::npos);
}

TEST(Rescuer, StoreAwayIsTriedAgainNextRound) {
  asio::io_context io;
  Metrics metrics;
  testing::ScriptedStore store;
  const auto queue = jobs::make_local_queue(io.get_executor());
  int calls = 0;
  Rescuer rescuer(io.get_executor(), store, *queue, metrics, milliseconds(1), [](const auto&) {});
  store.on_rescue = [&]() -> Result<jobs::JobStore::RescueReport> {
    if (++calls == 3) rescuer.stop();
    return fail(ErrorCode::kUnavailable, "away");
  };
  testing::run_task(io, rescuer.run());
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace pixmill::worker
