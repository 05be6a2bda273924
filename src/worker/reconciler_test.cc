#include "worker/reconciler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "tests/support/upkeep_world.h"

namespace pixmill::worker {
namespace {

using ::testing::ElementsAre;

class ReconcilerTest : public ::testing::Test {
 protected:
  ReconcilerParts parts() {
    return {.store = *world_.stores.jobs,
            .upkeep = *world_.stores.upkeep,
            .blobs = *world_.blobs,
            .clock = world_.clock,
            .metrics = metrics_};
  }
  void round() {
    world_.run(reconciler_.round());
    world_.run(reconciler_.reviews());
  }
  double value(const std::string& metric, const std::string& invariant) {
    const std::string labels = "{invariant=\"" + invariant + "\"} ";
    const auto text = metrics_.expose();
    const auto at = text.find("pixmill_invariant_" + metric + labels);
    return at == std::string::npos ? -1 : std::stod(text.substr(text.find("} ", at) + 2));
  }

  testing::UpkeepWorld world_;
  Metrics metrics_;
  int repairs_ = 0;
  Reconciler reconciler_{world_.io.get_executor(),
                         parts(),
                         {.every = milliseconds(10),
                          .review_after = milliseconds(60'000),
                          .jobs_per_round = 2,
                          .rounds_per_second_look = 3},
                         [this] { ++repairs_; }};
};

TEST_F(ReconcilerTest, EveryInvariantHasItsMetric) {
  for (const auto& info : jobs::invariants()) {
    EXPECT_EQ(value("violations", std::string(info.name)), 0) << info.name;
    EXPECT_EQ(value("violations_found_total", std::string(info.name)), 0) << info.name;
    EXPECT_EQ(value("repairs_total", std::string(info.name)), 0) << info.name;
  }
}

TEST_F(ReconcilerTest, PutsRightWhatIsUnderWayInTheNextRound) {
  world_.job_with(2);
  round();
  EXPECT_EQ(repairs_, 0);
  world_.claim(1);
  world_.execute("UPDATE jobs SET leased = 2");
  round();
  EXPECT_EQ(value("violations_found_total", "leased_counts"), 1);
  EXPECT_EQ(value("repairs_total", "leased_counts"), 1);
  EXPECT_EQ(value("violations", "leased_counts"), 0);
  EXPECT_EQ(repairs_, 1);
}

TEST_F(ReconcilerTest, LooksAtAllJobsWindowByWindow) {
  for (int i = 0; i < 5; ++i) world_.job_with(0);
  world_.execute("DELETE FROM deliveries; DELETE FROM events");
  std::vector<double> repaired;
  for (int i = 0; i < 4; ++i) {
    world_.run(reconciler_.round());
    repaired.push_back(value("repairs_total", "ends_without_event"));
  }
  EXPECT_THAT(repaired, ElementsAre(2, 4, 5, 5));
}

TEST_F(ReconcilerTest, WhatCannotBePutRightStaysInTheMetricUntilItIsGone) {
  world_.job_with(1);
  world_.execute(
      "INSERT INTO events (event_id, job_no, generation, terminal, type, body, created_at) "
      "SELECT 'evt_early', job_no, 1, 1, 'job.completed', '', 1 FROM jobs; "
      "UPDATE jobs SET webhook_url = ''");
  round();
  round();
  EXPECT_EQ(value("violations", "early_events"), 1);
  world_.execute("DELETE FROM events");
  round();
  round();
  EXPECT_EQ(value("violations", "early_events"), 0);
  EXPECT_EQ(value("repairs_total", "early_events"), 0);
}

TEST_F(ReconcilerTest, ReviewsAndSweepsAJobOnceAfterItsEnd) {
  const auto id = world_.job_with(2);
  world_.work_off();
  const auto orphan = world_.key_of(id, "dead.jpg");
  world_.store(orphan, "of an attempt that died");
  world_.execute("UPDATE jobs SET bytes_in = 5");
  round();
  EXPECT_EQ(world_.keys().size(), 3u) << "too early";
  world_.clock.advance(milliseconds(60'000));
  round();
  EXPECT_EQ(world_.keys().size(), 2u);
  EXPECT_EQ(value("repairs_total", "job_counters"), 1);
  EXPECT_NE(metrics_.expose().find("pixmill_reviewed_jobs_total 1"), std::string::npos);
  EXPECT_NE(metrics_.expose().find("pixmill_orphans_removed_total 1"), std::string::npos);
  world_.store(orphan, "again");
  round();
  EXPECT_EQ(world_.keys().size(), 3u) << "it is not looked through twice";
}

TEST_F(ReconcilerTest, SweepsAgainWhatAFencedAttemptStoredAfterTheEnd) {
  const auto id = world_.job_with(1);
  const auto slow = world_.claim();
  world_.clock.advance(milliseconds(31'000));
  world_.must(world_.stores.jobs->rescue());
  world_.work_off();
  world_.clock.advance(milliseconds(60'000));
  round();
  auto late = world_.success(slow[0]);
  world_.store(world_.key_of(id, "late.jpg"), "other bytes, other name");
  ASSERT_EQ(world_.finish(std::move(late)).fenced.size(), 1u);
  world_.clock.advance(milliseconds(60'000));
  round();
  EXPECT_THAT(world_.keys(), ElementsAre(world_.key_of(id, "1.jpg")));
}

TEST_F(ReconcilerTest, AReviewThatFailsComesAgain) {
  const auto id = world_.job_with(1);
  world_.work_off();
  world_.store(world_.key_of(id, "dead.jpg"), "x");
  world_.clock.advance(milliseconds(60'000));
  world_.blobs->on_call = [](const std::string&, const std::string&) -> Result<void> {
    return fail(ErrorCode::kStoreFailed, "away");
  };
  round();
  EXPECT_NE(metrics_.expose().find("pixmill_reviewed_jobs_total 0"), std::string::npos);
  world_.blobs->on_call = nullptr;
  round();
  EXPECT_EQ(world_.keys().size(), 1u);
}

TEST_F(ReconcilerTest, LooksAgainAtAJobThatItCouldNotPutRight) {
  world_.job_with(2);
  world_.work_off();
  world_.execute("CREATE TABLE kept AS SELECT * FROM outputs; DELETE FROM outputs WHERE item = 2");
  world_.clock.advance(milliseconds(60'000));
  round();
  EXPECT_EQ(value("violations", "missing_outputs"), 1);
  for (int i = 0; i < 3; ++i) round();
  EXPECT_EQ(value("violations_found_total", "missing_outputs"), 2) << "every third round";
  world_.execute(
      "INSERT OR IGNORE INTO outputs SELECT * FROM kept; "
      "UPDATE jobs SET bytes_out = (SELECT SUM(bytes) FROM outputs)");
  for (int i = 0; i < 3; ++i) round();
  EXPECT_EQ(value("violations", "missing_outputs"), 0);
}

TEST_F(ReconcilerTest, ForgetsAJobThatWasRemoved) {
  world_.job_with(1);
  world_.work_off();
  const auto due = world_.must(world_.stores.upkeep->due_reviews(world_.clock.now(), 10));
  ASSERT_EQ(due.size(), 1u);
  world_.clock.advance(milliseconds(60'000));
  bool removed = false;
  world_.blobs->on_call = [&](const std::string&, const std::string&) -> Result<void> {
    if (!removed) world_.execute("DELETE FROM deliveries; DELETE FROM events; DELETE FROM jobs");
    removed = true;
    return fail(ErrorCode::kStoreFailed, "away");
  };
  round();
  EXPECT_TRUE(removed);
  world_.blobs->on_call = nullptr;
  round();
  EXPECT_NE(metrics_.expose().find("pixmill_reviewed_jobs_total 0"), std::string::npos);
}

TEST_F(ReconcilerTest, StopsBetweenItsSteps) {
  world_.job_with(1);
  int ended = 0;
  const auto end = [&](const std::exception_ptr&) { ++ended; };
  asio::co_spawn(world_.io, reconciler_.run_rounds(), end);
  asio::co_spawn(world_.io, reconciler_.run_reviews(), end);
  reconciler_.stop();
  world_.io.restart();
  world_.io.run();
  EXPECT_EQ(ended, 2);
}

}  // namespace
}  // namespace pixmill::worker
