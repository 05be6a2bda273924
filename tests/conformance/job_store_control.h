// JobStore: cancelling, the one end of a generation, and retries.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <boost/asio/detached.hpp>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class P15 : public StoreFixture {};
class P19 : public StoreFixture {};
class JobStoreControl : public StoreFixture {};
class JobStoreRetry : public StoreFixture {
 protected:
  jobs::Job retry(JobId id, const std::string& code = "") {
    jobs::RetryFilter filter;
    filter.error_code = code;
    return must(store().retry(id, std::move(filter)));
  }
  ErrorCode retry_error(JobId id, const std::string& code = "") {
    jobs::RetryFilter filter;
    filter.error_code = code;
    return code_of(run(store().retry(id, std::move(filter))));
  }
  // Claims everything and lets it fail for good.
  void fail_all(const std::string& code) {
    while (true) {
      const auto claimed = claim();
      if (claimed.items.empty()) return;
      std::vector<jobs::ItemOutcome> outcomes;
      for (const auto& item : claimed.items) outcomes.push_back(failure(item, code));
      finish(std::move(outcomes));
    }
  }
};

TEST_P(JobStoreControl, ReplacesAJobsHeaders) {
  JobSpec spec;
  spec.headers = {{.host = "a.example", .name = "Authorization", .value = "Bearer old"}};
  const auto id = create(spec);
  const auto other = create(spec);
  const std::vector<jobs::OriginHeader> fresh{{.host = "a.example", .name = "Authorization", .value = "Bearer new"}};
  must(store().replace_headers(id, fresh));
  EXPECT_EQ(must(store().headers(id)), fresh);
  EXPECT_EQ(must(store().headers(other)), spec.headers);
  must(store().replace_headers(id, {}));
  EXPECT_TRUE(must(store().headers(id)).empty());
  const JobId nobody{Uuid::random()};
  EXPECT_EQ(code_of(run(store().replace_headers(nobody, fresh))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().headers(nobody))), ErrorCode::kNotFound);
}

TEST_P(P15, CancelEndsAJobThatHasNothingUnderWayAtOnce) {
  const auto id = job_with(5);
  const auto cancelled = must(store().cancel(id));
  EXPECT_EQ(cancelled.state, jobs::JobState::kCancelled);
  EXPECT_EQ(cancelled.cancelled, 5u);
  EXPECT_EQ(cancelled.remaining, 0u);
  EXPECT_EQ(cancelled.finished_at, clock_.now());
  EXPECT_TRUE(claim().items.empty());
  EXPECT_EQ(item(id, 3).state, jobs::ItemState::kCancelled);
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.cancelled cancelled 1 rows=0"));
}

TEST_P(P15, WhatIsUnderWayEndsAsItEnds) {
  const auto id = job_with(6);
  const auto claimed = claim(4, std::chrono::seconds(30));
  const auto cancelling = must(store().cancel(id));
  EXPECT_EQ(cancelling.state, jobs::JobState::kCancelling);
  EXPECT_EQ(cancelling.cancelled, 2u);
  EXPECT_EQ(cancelling.remaining, 4u);
  EXPECT_TRUE(claim().items.empty());
  EXPECT_TRUE(finish_one(success(claimed.items[0])).jobs_finished.empty());
  finish_one(failure(claimed.items[1], "timeout", clock_.now() + std::chrono::seconds(1)));
  EXPECT_EQ(item(id, 2).state, jobs::ItemState::kCancelled) << "nothing is tried again";
  must(store().release({claimed.items[2].lease}, std::nullopt));
  EXPECT_EQ(item(id, 3).state, jobs::ItemState::kCancelled);
  EXPECT_EQ(job(id).state, jobs::JobState::kCancelling);
  clock_.advance(std::chrono::seconds(31));
  const auto report = rescue_all();
  EXPECT_THAT(report.jobs_finished, ::testing::ElementsAre(id));
  EXPECT_EQ(item(id, 4).state, jobs::ItemState::kCancelled);
  const auto ended = job(id);
  EXPECT_EQ(ended.state, jobs::JobState::kCancelled);
  EXPECT_EQ(ended.succeeded, 1u);
  EXPECT_EQ(ended.cancelled, 5u);
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.cancelled cancelled 1 rows=0"));
}

TEST_P(P15, TheLastOutcomeDoesNotMakeACancelledJobCompleted) {
  const auto id = job_with(1);
  const auto claimed = claim();
  must(store().cancel(id));
  const auto report = finish_one(success(claimed.items[0]));
  EXPECT_THAT(report.jobs_finished, ::testing::ElementsAre(id));
  EXPECT_EQ(job(id).state, jobs::JobState::kCancelled);
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.cancelled cancelled 1 rows=0"));
}

TEST_P(P15, CancelIsFinalAndIdempotent) {
  const auto id = job_with(2);
  const auto claimed = claim(1);
  must(store().cancel(id));
  EXPECT_EQ(must(store().cancel(id)).state, jobs::JobState::kCancelling);
  finish_one(success(claimed.items[0]));
  EXPECT_EQ(must(store().cancel(id)).state, jobs::JobState::kCancelled);
  EXPECT_EQ(rescue_all().cancelled, 0u);
  EXPECT_EQ(event_count(id), 1u);
}

TEST_P(P15, CancelLeavesATerminalJobAsItIs) {
  const auto id = job_with(1);
  work_off();
  EXPECT_EQ(must(store().cancel(id)).state, jobs::JobState::kCompleted);
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
  EXPECT_EQ(event_count(id), 1u);
}

TEST_P(P15, CancelStopsIngest) {
  const auto id = create();
  append_distinct(id, 1, 3);
  EXPECT_EQ(must(store().cancel(id)).state, jobs::JobState::kCancelled);
  EXPECT_EQ(code_of(append(id, {row_of(4, "d.jpg", "d")})), ErrorCode::kCancelled);
  EXPECT_EQ(code_of(run(store().finish_ingest(id))), ErrorCode::kCancelled);
  EXPECT_TRUE(must(store().unfinished_ingests()).empty());
  EXPECT_EQ(job(id).total, 3u);
  EXPECT_EQ(job(id).cancelled, 3u);
}

TEST_P(P15, CancelOfAnUnknownJobSaysSo) {
  EXPECT_EQ(code_of(run(store().cancel(JobId{Uuid::random()}))), ErrorCode::kNotFound);
}

TEST_P(P15, WaitingRepeatsAndRetriesAreCancelledToo) {
  const auto id = create();
  ASSERT_TRUE(append(id, {row_of(1, "a.jpg", "a"), row_of(2, "a.jpg", "b"), row_of(3, "c.jpg", "c")}).has_value());
  must(store().finish_ingest(id));
  const auto claimed = claim();
  finish_one(failure(claimed.items.at(1), "timeout", clock_.now() + std::chrono::seconds(60)));
  must(store().cancel(id));
  EXPECT_EQ(job(id).cancelled, 2u);
  finish_one(success(claimed.items.at(0)));
  EXPECT_EQ(job(id).state, jobs::JobState::kCancelled);
}

TEST_P(P15, AMillionItemsGoInPieces) {
  const auto id = create();
  for (std::uint64_t first = 1; first <= 12'000; first += 1'000) append_distinct(id, first, 1'000);
  const auto begun = must(store().cancel(id));
  EXPECT_EQ(begun.state, jobs::JobState::kCancelling);
  EXPECT_GT(begun.remaining, 0u) << "one call may not hold the database for all of them";
  EXPECT_TRUE(claim().items.empty());
  const auto report = rescue_all();
  EXPECT_EQ(begun.cancelled + report.cancelled, 12'000u);
  EXPECT_THAT(report.jobs_finished, ::testing::ElementsAre(id));
  EXPECT_EQ(job(id).state, jobs::JobState::kCancelled);
  EXPECT_EQ(event_count(id), 1u);
}

TEST_P(P19, EachGenerationHasOneEnd) {
  const auto id = job_with(2);
  const auto claimed = claim();
  finish_one(failure(claimed.items[0], "timeout"));
  finish_one(success(claimed.items[1]));
  finish_one(success(claimed.items[0]));
  must(store().cancel(id));
  rescue_all();
  EXPECT_EQ(event_count(id), 1u);
  must(store().retry(id, jobs::RetryFilter{}));
  EXPECT_EQ(event_count(id), 1u);
  work_off();
  must(store().cancel(id));
  rescue_all();
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.completed_with_errors completed_with_errors 1 rows=0",
                                                     "job.completed completed 2 rows=0"));
}

TEST_P(P19, AThousandSmallJobsEndOnceUnderRaces) {
  std::vector<JobId> ids;
  for (int i = 0; i < 40; ++i) ids.push_back(job_with(1 + static_cast<std::uint64_t>(i) % 3));
  // All verbs of all jobs are started before any of them has run, so that they race for the writer.
  int open = 0;
  const auto race = [&](JobId id, jobs::Claim claimed, int kind) -> Task<void> {
    for (const auto& item : claimed.items) {
      if (item.job != id) continue;
      std::vector<jobs::ItemOutcome> outcomes(1, success(item));
      auto done = co_await store().finish(std::move(outcomes));
      EXPECT_TRUE(done.has_value());
    }
    if (kind == 0) {
      const auto cancelled = co_await store().cancel(id);
      EXPECT_TRUE(cancelled.has_value());
    }
    if (kind == 1) {
      const auto rescued = co_await store().rescue();
      EXPECT_TRUE(rescued.has_value());
    }
    --open;
  };
  for (auto claimed = claim(); !claimed.items.empty(); claimed = claim()) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      ++open;
      asio::co_spawn(io_, race(ids[i], claimed, static_cast<int>(i % 3)), asio::detached);
    }
    io_.restart();
    while (open > 0 && io_.run_one() > 0) {
    }
  }
  rescue_all();
  for (const auto& id : ids) {
    EXPECT_TRUE(jobs::is_terminal(job(id).state));
    EXPECT_EQ(event_count(id), 1u);
  }
}

TEST_P(P19, AJobWithoutAWebhookEndsAsWell) {
  JobSpec quiet;
  quiet.webhook_url = "";
  const auto id = job_with(1, quiet);
  work_off();
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
  EXPECT_EQ(event_count(id), 0u);
  EXPECT_TRUE(claim_events().empty());
}

TEST_P(P19, EventsOfLegacyUploadsCarryTheFirstRows) {
  JobSpec legacy;
  legacy.origin = jobs::JobOrigin::kLegacyUpload;
  job_with(250, legacy);
  work_off();
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.completed completed 1 rows=200"));
}

TEST_P(JobStoreRetry, OpensANewGenerationOfWhatFailed) {
  const auto id = job_with(3);
  const auto claimed = claim();
  finish({success(claimed.items[0]), failure(claimed.items[1], "timeout"), failure(claimed.items[2], "http_404")});
  const auto started = job(id).started_at;
  clock_.advance(std::chrono::seconds(100));
  const auto reopened = retry(id);
  EXPECT_EQ(reopened.state, jobs::JobState::kRunning);
  EXPECT_EQ(reopened.generation, 2);
  EXPECT_EQ(reopened.failed, 0u);
  EXPECT_EQ(reopened.succeeded, 1u);
  EXPECT_EQ(reopened.remaining, 2u);
  EXPECT_EQ(reopened.finished_at, std::nullopt);
  EXPECT_EQ(reopened.started_at, started);
  EXPECT_TRUE(must(store().failures(id)).empty());
  const auto again = item(id, 2);
  EXPECT_EQ(again.state, jobs::ItemState::kPending);
  EXPECT_EQ(again.generation, 2);
  EXPECT_EQ(again.attempts, 0);
  EXPECT_EQ(again.error_code, "");
  EXPECT_EQ(again.finished_at, std::nullopt);
  EXPECT_EQ(item(id, 1).generation, 1);
  const auto second = claim();
  ASSERT_EQ(second.items.size(), 2u);
  EXPECT_EQ(second.items[0].attempt, 1);
  EXPECT_EQ(second.items[0].lease.token, 2) << "an outcome of the first generation stays fenced";
  finish({success(second.items[0]), failure(second.items[1], "http_404")});
  EXPECT_EQ(job(id).state, jobs::JobState::kCompletedWithErrors);
  EXPECT_EQ(event_count(id), 2u);
}

TEST_P(JobStoreRetry, TakesOnlyWhatTheFilterNames) {
  const auto id = job_with(3);
  const auto claimed = claim();
  finish({failure(claimed.items[0], "timeout"), failure(claimed.items[1], "http_404"),
          failure(claimed.items[2], "timeout")});
  EXPECT_EQ(retry(id, "timeout").remaining, 2u);
  EXPECT_EQ(item(id, 2).state, jobs::ItemState::kFailed);
  const auto groups = must(store().failures(id));
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].code, "http_404");
}

TEST_P(JobStoreRetry, RefusesWhatCannotBeTriedAgain) {
  EXPECT_EQ(retry_error(JobId{Uuid::random()}), ErrorCode::kNotFound);
  const auto running = job_with(1);
  EXPECT_EQ(retry_error(running), ErrorCode::kConflict);
  const auto claimed = claim();
  finish_one(failure(claimed.items[0], "http_404"));
  EXPECT_EQ(retry_error(running, "timeout"), ErrorCode::kConflict) << "no item failed by a timeout";
  const auto completed = job_with(1);
  work_off();
  EXPECT_EQ(retry_error(completed), ErrorCode::kConflict);
  const auto cancelled = job_with(2);
  finish_one(failure(claim(1).items.at(0), "http_404"));
  must(store().cancel(cancelled));
  EXPECT_EQ(retry_error(cancelled), ErrorCode::kConflict) << "cancelled is final";
  const auto rejected = create();
  must(store().reject_job(rejected, Error{.code = ErrorCode::kTruncated, .message = "", .detail = {}}));
  EXPECT_EQ(retry_error(rejected), ErrorCode::kConflict);
  EXPECT_EQ(job(running).generation, 1);
}

TEST_P(JobStoreRetry, GoesInPiecesAndCanBeCancelled) {
  constexpr std::uint64_t kItems = 5'000;
  const auto id = create();
  for (std::uint64_t first = 1; first <= kItems; first += 1'000) append_distinct(id, first, 1'000);
  must(store().finish_ingest(id));
  fail_all("timeout");
  EXPECT_EQ(job(id).failed, kItems);
  const auto reopened = retry(id);
  EXPECT_EQ(reopened.remaining, kItems);
  EXPECT_EQ(reopened.failed, 0u);
  EXPECT_EQ(work_off(), kItems);
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
  EXPECT_EQ(event_count(id), 2u);
}

TEST_P(JobStoreRetry, OfRepeatedUrlsFetchesOnceAgain) {
  const auto id = create();
  ASSERT_TRUE(append(id, {row_of(1, "a.jpg", "a"), row_of(2, "a.jpg", "b"), row_of(3, "a.jpg", "c")}).has_value());
  must(store().finish_ingest(id));
  fail_all("timeout");
  EXPECT_EQ(job(id).failed, 3u);
  retry(id);
  const auto first = claim();
  ASSERT_EQ(first.items.size(), 1u) << "the others wait for it again";
  finish_one(success(first.items[0]));
  const auto others = claim();
  ASSERT_EQ(others.items.size(), 2u);
  EXPECT_EQ(others.items[0].same_as, 1u);
  EXPECT_EQ(others.items[0].same_as_outputs.size(), 1u);
}

TEST_P(JobStoreRetry, OfARepeatWhoseOriginalSucceededCopiesIt) {
  const auto id = create();
  ASSERT_TRUE(append(id, {row_of(1, "a.jpg", "a"), row_of(2, "a.jpg", "b")}).has_value());
  must(store().finish_ingest(id));
  finish_one(success(claim().items.at(0)));
  finish_one(failure(claim().items.at(0), "store_failed"));
  retry(id);
  const auto again = claim();
  ASSERT_EQ(again.items.size(), 1u);
  EXPECT_EQ(again.items[0].same_as, 1u);
  EXPECT_EQ(again.items[0].same_as_outputs.size(), 1u);
}

TEST_P(JobStoreRetry, OfARepeatWithoutItsOriginalFetchesForItself) {
  const auto id = create();
  ASSERT_TRUE(append(id, {row_of(1, "a.jpg", "a"), row_of(2, "a.jpg", "b")}).has_value());
  must(store().finish_ingest(id));
  finish_one(failure(claim().items.at(0), "http_404"));
  finish_one(failure(claim().items.at(0), "store_failed"));
  retry(id, "store_failed");
  const auto again = claim();
  ASSERT_EQ(again.items.size(), 1u);
  EXPECT_EQ(again.items[0].lease.item, 2u);
  EXPECT_EQ(again.items[0].same_as, std::nullopt) << "else it would fail with an error nobody asked to keep";
  EXPECT_EQ(again.items[0].same_as_error_code, "");
}

}  // namespace pixmill::conformance
