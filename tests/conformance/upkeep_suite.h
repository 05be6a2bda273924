// What every implementation of Upkeep must do: find each invariant that was broken by hand behind the store's back, put
// right what can be, and find nothing in what the verbs of the store do by themselves.
#pragma once

#include <gmock/gmock.h>

#include <set>

#include "jobs/job_check.h"
#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class UpkeepSuite : public StoreFixture {
 protected:
  using Names = std::set<std::string>;

  jobs::Upkeep& upkeep() { return store_->upkeep(); }
  jobs::JobCheck check(JobId id, bool repair = false) {
    jobs::CheckOptions options;
    options.repair = repair;
    options.items_per_slice = 3;  // several slices of a few items
    options.rows_per_slice = 2;
    return must(jobs::check_job(upkeep(), id, std::move(options)));
  }
  // The invariants that do not hold for a job.
  Names violated(JobId id) {
    Names names;
    for (const auto& finding : check(id).findings) names.insert(std::string(jobs::info_of(finding.invariant).name));
    return names;
  }
  void expect_sound(JobId id) {
    const auto checked = check(id);
    EXPECT_TRUE(checked.sums_compared);
    for (const auto& finding : checked.findings) {
      ADD_FAILURE() << jobs::info_of(finding.invariant).name << ": "
                    << (finding.examples.empty() ? "" : finding.examples[0]);
    }
  }
  std::uint64_t found(jobs::Invariant invariant, jobs::CheckRange range = {}) {
    return must(jobs::check_invariant(upkeep(), invariant, range, false)).count;
  }
  // Breaks a store of one job, sees that `invariant` says so, and the repair.
  void expect_repaired(JobId id, jobs::Invariant invariant, const std::string& sql) {
    expect_sound(id);
    store_->execute(sql);
    const auto name = std::string(jobs::info_of(invariant).name);
    EXPECT_THAT(violated(id), ::testing::Contains(name));
    const auto mended = check(id, true);
    const auto finding = std::ranges::find(mended.findings, invariant, &jobs::Finding::invariant);
    ASSERT_NE(finding, mended.findings.end());
    EXPECT_GE(finding->repaired, 1u);
    EXPECT_FALSE(finding->open);
    EXPECT_FALSE(finding->examples.empty());
    expect_sound(id);
  }
  void expect_told(JobId id, jobs::Invariant invariant, const std::string& sql) {
    expect_sound(id);
    store_->execute(sql);
    const auto name = std::string(jobs::info_of(invariant).name);
    EXPECT_FALSE(jobs::info_of(invariant).repaired);
    EXPECT_THAT(violated(id), ::testing::Contains(name));
    const auto after = check(id, true);
    const auto finding = std::ranges::find(after.findings, invariant, &jobs::Finding::invariant);
    ASSERT_NE(finding, after.findings.end());
    EXPECT_TRUE(finding->open);
    EXPECT_EQ(finding->repaired, 0u);
  }
  // Ended, with three successes, two failures of one kind, and an event.
  JobId ended_job() {
    const auto id = job_with(5);
    const auto claimed = claim();
    std::vector<jobs::ItemOutcome> outcomes;
    for (const auto& item : claimed.items) {
      outcomes.push_back(item.lease.item <= 3 ? success(item) : failure(item, "timeout"));
    }
    finish(std::move(outcomes));
    EXPECT_EQ(job(id).state, jobs::JobState::kCompletedWithErrors);
    return id;
  }
  jobs::JobRecord record(JobId id) { return must(upkeep().record(id)); }
  std::vector<jobs::Review> due() { return must(upkeep().due_reviews(clock_.now(), 100)); }
};

TEST_P(UpkeepSuite, FindsNothingInJobsOfEveryState) {
  expect_sound(ended_job());
  const auto running = job_with(7);
  expect_sound(running);
  claim(4);
  expect_sound(running);
  const auto coming_in = create();
  append_distinct(coming_in, 1, 5);
  expect_sound(coming_in);
  must(store().cancel(running));
  expect_sound(running);
  clock_.advance(std::chrono::minutes(1));
  rescue_all();
  expect_sound(running);
  const auto empty = job_with(0);
  expect_sound(empty);
  Error why{.code = ErrorCode::kInvalidArgument, .message = "no table", .detail = {}};
  must(store().reject_job(coming_in, std::move(why)));
  expect_sound(coming_in);
}

TEST_P(UpkeepSuite, FindsNothingWhileAJobIsRetried) {
  const auto id = ended_job();
  must(store().retry(id, {}));
  expect_sound(id);
  work_off();
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
  expect_sound(id);
}

TEST_P(UpkeepSuite, EndsARunningJobWithNothingLeft) {
  const auto id = job_with(2);
  work_off();
  expect_repaired(id, jobs::Invariant::kStalledJobs,
                  "DELETE FROM deliveries; DELETE FROM events; UPDATE jobs SET state = 'running', finished_at = NULL");
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
  EXPECT_EQ(event_count(id), 1u);
}

TEST_P(UpkeepSuite, RecountsLeasedItems) {
  const auto id = job_with(5);
  claim(2);
  expect_repaired(id, jobs::Invariant::kLeasedCounts, "UPDATE jobs SET leased = 3");
  EXPECT_EQ(record(id).leased, 2u);
  clock_.advance(std::chrono::minutes(1));
  rescue_all();
  EXPECT_EQ(work_off(), 5u);
  expect_sound(id);
}

TEST_P(UpkeepSuite, DoesNotEndAJobWhoseCounterAloneSaysThatNothingIsLeft) {
  const auto id = job_with(5);
  expect_repaired(id, jobs::Invariant::kStalledJobs, "UPDATE jobs SET remaining = 0, succeeded = 5");
  EXPECT_EQ(work_off(), 5u);
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
}

TEST_P(UpkeepSuite, MakesPendingItemsClaimableThatTheCounterHid) {
  const auto id = job_with(5);
  claim(1);
  expect_repaired(id, jobs::Invariant::kPendingCounts, "UPDATE jobs SET remaining = 1, succeeded = 4");
  EXPECT_EQ(work_off(), 4u);
}

TEST_P(UpkeepSuite, EndsAJobThatWaitsForItemsItHasNot) {
  const auto id = job_with(2);
  work_off();
  expect_repaired(id, jobs::Invariant::kPendingCounts,
                  "DELETE FROM deliveries; DELETE FROM events; UPDATE jobs SET state = 'running', finished_at = NULL, "
                  "remaining = 1, succeeded = 1");
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
}

TEST_P(UpkeepSuite, GivesItemsAResultWhoseJobEndedWhileTheyWereHeld) {
  const auto id = ended_job();
  expect_repaired(
      id, jobs::Invariant::kLeasesOfEndedJobs,
      "UPDATE items SET state = 'leased', leased_until = 2000000000000, leased_by = 'x', finished_at = NULL, "
      "error_code = '' WHERE item = 4; UPDATE failure_counts SET count = 1");
  EXPECT_EQ(item(id, 4).state, jobs::ItemState::kFailed);
  EXPECT_EQ(item(id, 4).error_code, "internal");
  must(store().retry(id, {}));
  EXPECT_EQ(work_off(), 2u) << "its owner can have them tried again";
}

TEST_P(UpkeepSuite, CancelsItemsThatACancelledJobLeftOpen) {
  const auto id = job_with(3);
  must(store().cancel(id));
  expect_repaired(id, jobs::Invariant::kOpenItemsOfEndedJobs,
                  "UPDATE items SET state = 'pending', not_before = 0, finished_at = NULL WHERE item = 2; "
                  "UPDATE jobs SET remaining = 1, cancelled = 2");
  EXPECT_EQ(item(id, 2).state, jobs::ItemState::kCancelled);
  EXPECT_EQ(job(id).state, jobs::JobState::kCancelled);
}

TEST_P(UpkeepSuite, GivesALeaseWithoutEndBackToTheRescuer) {
  const auto id = job_with(2);
  claim(1);
  expect_repaired(id, jobs::Invariant::kOverdueLeases, "UPDATE items SET leased_until = NULL WHERE item = 1");
  rescue_all();
  EXPECT_EQ(work_off(), 2u);
}

TEST_P(UpkeepSuite, TellsOfLeasesThatNobodyRescues) {
  const auto id = job_with(1);
  claim(1);
  clock_.advance(std::chrono::minutes(10));
  EXPECT_THAT(violated(id), ::testing::ElementsAre("overdue_leases"));
  rescue_all();
  expect_sound(id);
}

TEST_P(UpkeepSuite, WakesItemsThatWaitForOneThatIsFinal) {
  const auto id = create();
  std::vector<jobs::NewRow> rows;
  for (std::uint64_t row = 1; row <= 4; ++row) rows.push_back(row_of(row, "same.jpg", "name"));
  ASSERT_TRUE(append(id, rows));
  must(store().finish_ingest(id));
  const auto leader = claim();
  ASSERT_EQ(leader.items.size(), 1u);
  expect_sound(id);
  finish_one(success(leader.items[0]));
  expect_sound(id);
  store_->execute("UPDATE items SET not_before = NULL WHERE item > 1");
  EXPECT_EQ(violated(id), (Names{"hung_jobs", "stuck_followers"}));
  check(id, true);
  expect_sound(id);
  EXPECT_EQ(work_off(), 3u);
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
}

TEST_P(UpkeepSuite, WakesOneOfManyThatWaits) {
  const auto id = create();
  ASSERT_TRUE(
      append(id, {row_of(1, "same.jpg", "name"), row_of(2, "other.jpg", "name"), row_of(3, "same.jpg", "name")}));
  must(store().finish_ingest(id));
  finish_one(success(claim(1).items[0]));
  expect_repaired(id, jobs::Invariant::kStuckFollowers, "UPDATE items SET not_before = NULL WHERE item = 3");
  EXPECT_EQ(work_off(), 2u);
}

TEST_P(UpkeepSuite, ForgetsARetryOfAJobThatHasEnded) {
  const auto id = ended_job();
  expect_repaired(id, jobs::Invariant::kStrayReopenings,
                  "INSERT INTO reopenings (job_no, error_code, after_item) SELECT job_no, '', 0 FROM jobs");
  must(store().retry(id, {}));
}

TEST_P(UpkeepSuite, DatesDeliveriesThatWouldNeverBeSent) {
  const auto id = ended_job();
  expect_repaired(id, jobs::Invariant::kOverdueDeliveries, "UPDATE deliveries SET due_at = NULL");
  EXPECT_EQ(claim_events().size(), 1u);
}

TEST_P(UpkeepSuite, TellsOfDeliveriesThatAreADayLate) {
  const auto id = ended_job();
  clock_.advance(std::chrono::hours(25));
  EXPECT_THAT(violated(id), ::testing::ElementsAre("overdue_deliveries"));
}

TEST_P(UpkeepSuite, WritesTheEventOfAJobThatEndedInSilence) {
  const auto id = ended_job();
  expect_repaired(id, jobs::Invariant::kEndsWithoutEvent, "DELETE FROM deliveries; DELETE FROM events");
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.completed_with_errors completed_with_errors 1 rows=0"));
}

TEST_P(UpkeepSuite, WritesTheDeliveryOfAnEvent) {
  const auto id = ended_job();
  expect_repaired(id, jobs::Invariant::kEventsWithoutDelivery, "DELETE FROM deliveries");
  EXPECT_EQ(claim_events().size(), 1u);
}

TEST_P(UpkeepSuite, TellsOfAnEventBeforeTheEnd) {
  const auto id = job_with(1);
  expect_told(id, jobs::Invariant::kEarlyEvents,
              "INSERT INTO events (event_id, job_no, generation, terminal, type, body, created_at) "
              "SELECT 'evt_early', job_no, 1, 1, 'job.completed', '', 1 FROM jobs; "
              "INSERT INTO deliveries (event_id, event_no, url, origin, due_at) SELECT event_id, event_no, "
              "'https://hook.example/a', 'https://hook.example', 1900000000000 FROM events");
}

TEST_P(UpkeepSuite, TellsOfASuccessWithoutOutput) {
  expect_told(ended_job(), jobs::Invariant::kMissingOutputs, "DELETE FROM outputs WHERE item = 2");
}

TEST_P(UpkeepSuite, ForgetsAnOutputOfAnItemThatDidNotSucceed) {
  expect_repaired(ended_job(), jobs::Invariant::kStrayOutputs,
                  "UPDATE outputs SET item = 4 WHERE item = 3; "
                  "INSERT INTO outputs (job_no, item, position, rendition, "
                  "key, key_hash, bytes, width_px, height_px, format, "
                  "quality, sha256, note) SELECT job_no, 3, position, "
                  "rendition, key, key_hash, bytes, width_px, height_px, "
                  "format, quality, sha256, note FROM outputs WHERE item = 4");
}

TEST_P(UpkeepSuite, TellsOfItemsThatContradictThemselves) {
  const auto id = ended_job();
  for (const std::string broken : {"finished_at = NULL", "leased_until = 5", "not_before = 0", "generation = 2"}) {
    store_->execute("UPDATE items SET " + broken + " WHERE item = 2");
    EXPECT_THAT(violated(id), ::testing::Contains("item_records")) << broken;
    store_->execute("UPDATE items SET finished_at = 5, leased_until = NULL, not_before = NULL, generation = 1");
    expect_sound(id);
  }
}

TEST_P(UpkeepSuite, TellsOfItemsAndRowsThatDoNotMatch) {
  const auto id = ended_job();
  store_->execute("UPDATE items SET row_no = 3 WHERE item = 2");
  EXPECT_EQ(violated(id), (Names{"items_without_row", "rows_without_items"}));
  store_->execute("UPDATE items SET row_no = 2 WHERE item = 2");
  expect_sound(id);
  expect_told(id, jobs::Invariant::kItemsWithoutRow, "DELETE FROM rows WHERE row_no = 5");
}

TEST_P(UpkeepSuite, TellsOfARowThatLostItsItem) {
  expect_told(ended_job(), jobs::Invariant::kRowsWithoutItems, "DELETE FROM items WHERE item = 5");
}

TEST_P(UpkeepSuite, TellsOfTwoResultsUnderOneKey) {
  const auto id = ended_job();
  store_->execute(
      "UPDATE outputs SET key = (SELECT o.key FROM outputs AS o WHERE o.item = 1), key_hash = (SELECT o.key_hash FROM "
      "outputs AS o WHERE o.item = 1) WHERE item = 2");
  expect_sound(id);  // the same bytes
  store_->execute("UPDATE outputs SET sha256 = 'b' WHERE item = 2");
  EXPECT_EQ(violated(id), Names{"shared_keys"});
  EXPECT_EQ(check(id).findings[0].count, 2u);
}

TEST_P(UpkeepSuite, CorrectsTheCountersOfAJobThatHasEnded) {
  for (const std::string wrong : {"succeeded = 2, failed = 3", "bytes_in = 1", "bytes_out = bytes_out + 1",
                                  "row_count = 4", "invalid = 1", "unchanged = 1", "changed = 2"}) {
    const auto id = ended_job();
    const auto before = job(id);
    expect_repaired(id, jobs::Invariant::kJobCounters, "UPDATE jobs SET " + wrong + " WHERE id = '" + id.text() + "'");
    const auto after = job(id);
    EXPECT_EQ(after.succeeded, before.succeeded);
    EXPECT_EQ(after.bytes_out, before.bytes_out);
    EXPECT_EQ(after.rows, before.rows);
    EXPECT_EQ(after.unchanged + after.changed, 0u);
  }
}

TEST_P(UpkeepSuite, TellsOfWrongCountersWhileAJobRuns) {
  const auto id = job_with(4);
  finish_one(success(claim(1).items[0]));
  expect_sound(id);
  store_->execute("UPDATE jobs SET bytes_in = 7");
  const auto checked = check(id, true);
  ASSERT_EQ(checked.findings.size(), 1u);
  EXPECT_EQ(checked.findings[0].invariant, jobs::Invariant::kJobCounters);
  EXPECT_TRUE(checked.findings[0].open) << "corrected when it has ended";
  EXPECT_THAT(checked.findings[0].examples, ::testing::ElementsAre("bytes in 7, has 1000"));
}

TEST_P(UpkeepSuite, CorrectsTheCountsOfFailures) {
  for (const std::string wrong : {"UPDATE failure_counts SET count = 7", "DELETE FROM failure_counts",
                                  "INSERT INTO failure_counts SELECT job_no, 'never', 1, '' FROM jobs"}) {
    const auto id = ended_job();
    expect_repaired(id, jobs::Invariant::kFailureCounts, wrong);
    ASSERT_EQ(must(store().failures(id)).size(), 1u);
    EXPECT_EQ(must(store().failures(id))[0].count, 2u);
    store_ = nullptr;
    store_ = GetParam().make(clock_);
  }
}

TEST_P(UpkeepSuite, LooksAtTheWholeStoreOrAtWindowsOfIt) {
  const auto first = ended_job();
  const auto second = ended_job();
  store_->execute("DELETE FROM deliveries; DELETE FROM events");
  EXPECT_EQ(found(jobs::Invariant::kEndsWithoutEvent), 2u);
  const auto first_no = record(first).job_no;
  const auto second_no = record(second).job_no;
  EXPECT_EQ(must(upkeep().jobs_after(0, 1)), first_no);
  EXPECT_EQ(must(upkeep().jobs_after(0, 100)), second_no);
  EXPECT_EQ(must(upkeep().jobs_after(second_no, 100)), 0);
  EXPECT_EQ(found(jobs::Invariant::kEndsWithoutEvent, {.first_job = second_no, .last_job = second_no}), 1u);
  const auto counted = run(upkeep().violations(jobs::Invariant::kJobCounters, {}));
  EXPECT_EQ(code_of(counted), ErrorCode::kInvalidArgument);
}

TEST_P(UpkeepSuite, ARepairThatComesLateChangesNothing) {
  const auto id = ended_job();
  store_->execute("DELETE FROM deliveries; DELETE FROM events");
  const auto violations = must(upkeep().violations(jobs::Invariant::kEndsWithoutEvent, {}));
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_TRUE(must(upkeep().repair(violations[0])));
  EXPECT_FALSE(must(upkeep().repair(violations[0])));
  for (const auto& info : jobs::invariants()) {
    jobs::Violation other = violations[0];
    other.invariant = info.id;
    other.number = 1;
    other.detail = must(outbox().deliveries(id))[0].event_id;
    EXPECT_FALSE(must(upkeep().repair(other))) << info.name;
    other.job_no = 999;
    EXPECT_FALSE(must(upkeep().repair(other))) << info.name;
  }
  expect_sound(id);
  EXPECT_EQ(code_of(run(upkeep().record(JobId{Uuid::random()}))), ErrorCode::kNotFound);
}

TEST_P(UpkeepSuite, NotesAReviewForEveryEnd) {
  const auto id = job_with(2);
  EXPECT_TRUE(due().empty());
  const auto claimed = claim();
  finish({success(claimed.items[0]), failure(claimed.items[1], "timeout")});
  ASSERT_EQ(due().size(), 1u);
  const auto first = due()[0];
  EXPECT_EQ(first.job, id);
  EXPECT_TRUE(must(upkeep().due_reviews(clock_.now() - milliseconds(1), 10)).empty()) << "not yet";
  must(store().retry(id, {}));
  work_off();
  must(upkeep().end_review(first));
  ASSERT_EQ(due().size(), 1u) << "the second end is another";
  must(upkeep().end_review(due()[0]));
  EXPECT_TRUE(due().empty());
}

TEST_P(UpkeepSuite, NotesAReviewWhenAnOutcomeOfAnEndedJobIsFenced) {
  const auto id = job_with(1);
  const auto slow = claim(1, std::chrono::seconds(1));
  clock_.advance(std::chrono::seconds(2));
  rescue_all();
  const auto quick = claim(1);
  ASSERT_EQ(finish_one(success(slow.items[0])).fenced.size(), 1u);
  EXPECT_TRUE(due().empty()) << "its end will";
  finish_one(success(quick.items[0]));
  must(upkeep().end_review(due()[0]));
  EXPECT_EQ(finish_one(success(slow.items[0])).fenced.size(), 1u);
  ASSERT_EQ(due().size(), 1u);
  EXPECT_EQ(due()[0].job, id);
}

TEST_P(UpkeepSuite, ARetryWaitsForASweep) {
  const auto id = ended_job();
  const auto ended = record(id);
  EXPECT_TRUE(must(upkeep().begin_sweep(ended)));
  EXPECT_EQ(code_of(run(store().retry(id, {}))), ErrorCode::kUnavailable);
  must(upkeep().end_sweep(ended));
  EXPECT_TRUE(must(upkeep().begin_sweep(ended)));
  clock_.advance(jobs::kSweepFence + milliseconds(1));  // its process died
  must(store().retry(id, {}));
  EXPECT_FALSE(must(upkeep().begin_sweep(ended))) << "it has gone on";
  work_off();
  EXPECT_FALSE(must(upkeep().begin_sweep(ended))) << "and is another generation";
}

TEST_P(UpkeepSuite, NoSweepLiftsAnothersFenceAndNoReviewEndsUnderIt) {
  const auto id = ended_job();
  const auto ended = record(id);
  const auto review = due().at(0);
  const auto noted_at = clock_.now();
  clock_.advance(seconds(10));
  EXPECT_TRUE(must(upkeep().begin_sweep(ended)));
  must(upkeep().end_review(review));
  EXPECT_TRUE(must(upkeep().due_reviews(noted_at, 100)).empty()) << "it is put off, not asked for again at once";
  clock_.advance(seconds(10));
  EXPECT_TRUE(must(upkeep().begin_sweep(ended))) << "the first one may have been killed";
  must(upkeep().end_sweep(ended));
  EXPECT_EQ(code_of(run(store().retry(id, {}))), ErrorCode::kUnavailable) << "or may still be at work";
  clock_.advance(jobs::kSweepFence + seconds(1));
  EXPECT_TRUE(must(upkeep().begin_sweep(ended)));
  must(upkeep().end_sweep(ended));
  ASSERT_EQ(due().size(), 1u);
  must(upkeep().end_review(due()[0]));
  EXPECT_TRUE(due().empty());
  must(store().retry(id, {}));
}

TEST_P(UpkeepSuite, OneProcessLeads) {
  EXPECT_TRUE(must(upkeep().lead()));
  EXPECT_TRUE(must(upkeep().lead()));
}

}  // namespace pixmill::conformance

#define PIXMILL_INSTANTIATE_UPKEEP_SUITE(name, factory)                                  \
  namespace pixmill::conformance {                                                       \
  INSTANTIATE_TEST_SUITE_P(name, UpkeepSuite, ::testing::Values(factory), factory_name); \
  }
