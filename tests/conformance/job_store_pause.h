// JobStore: jobs rest and go on.
#pragma once

#include <gmock/gmock.h>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class JobStorePause : public StoreFixture {
 protected:
  jobs::JobState pause(JobId id) { return must(store().pause(id)).state; }
  jobs::JobState resume(JobId id) { return must(store().resume(id)).state; }
};

TEST_P(JobStorePause, NothingOfAPausedJobIsClaimed) {
  const auto id = job_with(5);
  const auto other = job_with(2);
  EXPECT_EQ(pause(id), jobs::JobState::kPaused);
  EXPECT_EQ(job(id).state, jobs::JobState::kPaused);
  const auto claimed = claim();
  ASSERT_EQ(claimed.items.size(), 2u);
  EXPECT_EQ(claimed.items[0].job, other);
  const jobs::ClaimRequest only{.worker = "test", .only = id};
  EXPECT_TRUE(must(store().claim(only)).items.empty());
  EXPECT_EQ(resume(id), jobs::JobState::kRunning);
  EXPECT_EQ(claim().items.size(), 5u);
}

TEST_P(JobStorePause, WhatIsUnderWayEndsAsItEnds) {
  const auto id = job_with(4);
  const auto claimed = claim(3);
  ASSERT_EQ(claimed.items.size(), 3u);
  pause(id);
  EXPECT_TRUE(must(store().renew(leases_of(claimed), seconds(30))).empty()) << "nobody is told to drop it";
  EXPECT_EQ(finish_one(success(claimed.items[0])).recorded, 1u);
  finish_one(failure(claimed.items[1], "timeout", clock_.now() + seconds(1)));
  EXPECT_EQ(item(id, 2).state, jobs::ItemState::kPending) << "it is tried again later";
  must(store().release({claimed.items[2].lease}, std::nullopt));
  clock_.advance(seconds(60));
  EXPECT_TRUE(claim().items.empty());
  EXPECT_EQ(job(id).remaining, 3u);
  resume(id);
  EXPECT_EQ(work_off(), 3u);
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
  EXPECT_EQ(event_count(id), 1u);
}

TEST_P(JobStorePause, AJobWhoseLastPictureEndsMeanwhileEnds) {
  const auto id = job_with(1);
  const auto claimed = claim();
  pause(id);
  const auto report = finish_one(success(claimed.items.at(0)));
  EXPECT_EQ(report.jobs_finished, std::vector<JobId>{id});
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
}

TEST_P(JobStorePause, TheTableIsReadOn) {
  const auto id = create();
  append_distinct(id, 1, 2);
  EXPECT_TRUE(job(id).is_being_read);
  EXPECT_EQ(pause(id), jobs::JobState::kPaused);
  EXPECT_TRUE(claim().items.empty());
  append_distinct(id, 3, 2);
  EXPECT_EQ(must(store().unfinished_ingests()).size(), 1u) << "a process that starts goes on with it";
  store_->reopen();
  append_distinct(id, 5, 1);
  EXPECT_EQ(resume(id), jobs::JobState::kIngesting);
  EXPECT_EQ(claim(1).items.size(), 1u);
  pause(id);
  must(store().finish_ingest(id));
  EXPECT_EQ(job(id).state, jobs::JobState::kPaused);
  EXPECT_FALSE(job(id).is_being_read);
  EXPECT_TRUE(must(store().unfinished_ingests()).empty());
  EXPECT_EQ(code_of(append(id, {row_of(6, "f.jpg", "f")})), ErrorCode::kConflict);
  EXPECT_EQ(resume(id), jobs::JobState::kRunning);
  EXPECT_EQ(job(id).total, 5u);
}

TEST_P(JobStorePause, AJobThatIsReadInDoesNotEndBeforeItsTable) {
  const auto id = create();
  append_distinct(id, 1, 1);
  const auto claimed = claim();
  pause(id);
  EXPECT_TRUE(finish_one(success(claimed.items.at(0))).jobs_finished.empty());
  EXPECT_EQ(job(id).state, jobs::JobState::kPaused);
  must(store().finish_ingest(id));
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted) << "nothing remains, so there is nothing to wait for";
}

TEST_P(JobStorePause, ATableThatTurnsOutBadRejectsAPausedJob) {
  const auto id = create();
  append_distinct(id, 1, 2);
  pause(id);
  must(store().reject_job(id, Error{.code = ErrorCode::kInvalidArgument, .message = "Bad.", .detail = {}}));
  rescue_all();
  EXPECT_EQ(job(id).state, jobs::JobState::kRejected);
}

TEST_P(JobStorePause, TwiceIsOnce) {
  const auto id = job_with(1);
  EXPECT_EQ(resume(id), jobs::JobState::kRunning);
  EXPECT_EQ(pause(id), jobs::JobState::kPaused);
  EXPECT_EQ(pause(id), jobs::JobState::kPaused);
  EXPECT_EQ(resume(id), jobs::JobState::kRunning);
}

TEST_P(JobStorePause, ARestartKeepsItPaused) {
  const auto id = job_with(2);
  claim(1);
  pause(id);
  store_->reopen();
  EXPECT_EQ(job(id).state, jobs::JobState::kPaused);
  clock_.advance(seconds(31));
  rescue_all();
  EXPECT_TRUE(claim().items.empty());
  resume(id);
  EXPECT_EQ(claim().items.size(), 2u);
}

TEST_P(JobStorePause, CancellingWorksFromIt) {
  const auto id = job_with(3);
  pause(id);
  EXPECT_EQ(must(store().cancel(id)).state, jobs::JobState::kCancelled);
  EXPECT_EQ(job(id).cancelled, 3u);
  const auto reading = create();
  append_distinct(reading, 1, 2);
  pause(reading);
  EXPECT_EQ(must(store().cancel(reading)).state, jobs::JobState::kCancelled);
  EXPECT_EQ(code_of(append(reading, {row_of(3, "c.jpg", "c")})), ErrorCode::kCancelled);
}

TEST_P(JobStorePause, WhatHasEndedIsNotPaused) {
  const auto done = job_with(1);
  work_off();
  const auto cancelling = job_with(1);
  claim();
  must(store().cancel(cancelling));
  for (const auto& id : {done, cancelling}) {
    EXPECT_EQ(code_of(run(store().pause(id))), ErrorCode::kConflict);
    EXPECT_EQ(code_of(run(store().resume(id))), ErrorCode::kConflict);
  }
  const JobId nobody{Uuid::random()};
  EXPECT_EQ(code_of(run(store().pause(nobody))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().resume(nobody))), ErrorCode::kNotFound);
  const auto paused = job_with(1);
  pause(paused);
  EXPECT_EQ(code_of(run(store().retry(paused, jobs::RetryFilter{}))), ErrorCode::kConflict);
}

}  // namespace pixmill::conformance
