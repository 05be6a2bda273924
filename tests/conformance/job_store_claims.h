// JobStore: leases, outcomes, and pictures whose address comes more than once.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class JobStoreClaims : public StoreFixture {
 protected:
  static std::vector<std::uint64_t> numbers(const jobs::Claim& claim) {
    std::vector<std::uint64_t> result;
    for (const auto& item : claim.items) result.push_back(item.lease.item);
    return result;
  }
  static std::size_t items_of(const jobs::Claim& claim, JobId id) {
    return static_cast<std::size_t>(
        std::ranges::count_if(claim.items, [&](const auto& item) { return item.job == id; }));
  }
};
class JobStoreOutcomes : public StoreFixture {};
class JobStoreRepeatedUrls : public StoreFixture {
 protected:
  // A running job of `count` pictures with one address.
  JobId job_of_equals(std::uint64_t count) {
    const auto id = create();
    std::vector<jobs::NewRow> rows;
    for (std::uint64_t row = 1; row <= count; ++row) rows.push_back(row_of(row, "same.jpg", fmt::format("n{}", row)));
    EXPECT_TRUE(append(id, std::move(rows)).has_value());
    must(store().finish_ingest(id));
    return id;
  }
};
class P04 : public StoreFixture {};
class P11 : public StoreFixture {};
class P12 : public StoreFixture {};

TEST_P(JobStoreClaims, GiveItemsInInputOrderUpToTheLimit) {
  job_with(5);
  EXPECT_THAT(numbers(claim(2)), ::testing::ElementsAre(1, 2));
  EXPECT_THAT(numbers(claim(64)), ::testing::ElementsAre(3, 4, 5));
  const auto none = claim();
  EXPECT_TRUE(none.items.empty());
  EXPECT_EQ(none.next_ready_at, std::nullopt);
}

TEST_P(JobStoreClaims, TakeFromOneJobAloneWhenAsked) {
  const auto abandoned = job_with(3);
  const auto wanted = job_with(3);
  jobs::ClaimRequest request;
  request.only = wanted;
  EXPECT_EQ(items_of(must(store().claim(request)), wanted), 3u);
  const auto none = must(store().claim(request));
  EXPECT_TRUE(none.items.empty());
  EXPECT_EQ(items_of(claim(), abandoned), 3u);
}

TEST_P(JobStoreClaims, RefuseALimitThatIsNoBatch) {
  jobs::ClaimRequest nothing;
  nothing.limit = 0;
  EXPECT_EQ(code_of(run(store().claim(nothing))), ErrorCode::kInvalidArgument);
  jobs::ClaimRequest too_many;
  too_many.limit = 65;
  EXPECT_EQ(code_of(run(store().claim(too_many))), ErrorCode::kInvalidArgument);
}

TEST_P(JobStoreClaims, ServeHigherPrioritiesFirst) {
  JobSpec high;
  high.priority = 5;
  JobSpec low;
  low.priority = -1;
  const auto later = job_with(3, low);
  const auto normal = job_with(3);
  const auto sooner = job_with(3, high);
  const auto first = claim(4);
  EXPECT_EQ(items_of(first, sooner), 3u);
  EXPECT_EQ(items_of(first, normal), 1u);
  const auto second = claim(4);
  EXPECT_EQ(items_of(second, normal), 2u);
  EXPECT_EQ(items_of(second, later), 2u);
}

TEST_P(JobStoreClaims, DoNotStarveASmallJobBesideABigOne) {
  const auto big = job_with(1'000);
  claim();
  const auto small = job_with(10);
  const auto shared = claim(64);
  EXPECT_EQ(items_of(shared, small), 10u) << "its share is a half, it needs less";
  EXPECT_EQ(items_of(shared, big), 54u) << "what it does not need goes to the other";
}

TEST_P(JobStoreClaims, TakeTurnsWhenTheyAreSmall) {
  const auto first = job_with(100);
  const auto second = job_with(100);
  const auto third = job_with(100);
  std::map<JobId, std::size_t> served;
  for (int i = 0; i < 30; ++i) {
    for (const auto& item : claim(1).items) ++served[item.job];
  }
  EXPECT_EQ(served[first], 10u);
  EXPECT_EQ(served[second], 10u);
  EXPECT_EQ(served[third], 10u);
}

TEST_P(JobStoreClaims, SayWhenTheEarliestRetryFallsDue) {
  job_with(2);
  const auto claimed = claim();
  const auto soon = clock_.now() + std::chrono::seconds(3);
  finish({failure(claimed.items[0], "timeout", soon + std::chrono::seconds(5)),
          failure(claimed.items[1], "timeout", soon)});
  const auto none = claim();
  EXPECT_TRUE(none.items.empty());
  EXPECT_EQ(none.next_ready_at, soon);
  clock_.advance(std::chrono::seconds(3));
  const auto due = claim();
  EXPECT_THAT(numbers(due), ::testing::ElementsAre(2));
  EXPECT_EQ(due.items[0].attempt, 2);
}

TEST_P(JobStoreClaims, PreferADueRetryToFreshItems) {
  job_with(4);
  const auto claimed = claim(1);
  finish_one(failure(claimed.items[0], "timeout", clock_.now() + std::chrono::seconds(1)));
  EXPECT_THAT(numbers(claim(1)), ::testing::ElementsAre(2));
  clock_.advance(std::chrono::seconds(1));
  EXPECT_THAT(numbers(claim(1)), ::testing::ElementsAre(1));
  EXPECT_THAT(numbers(claim(1)), ::testing::ElementsAre(3));
}

TEST_P(JobStoreClaims, AreRenewedByTheirHolder) {
  const auto id = job_with(2);
  const auto claimed = claim(2, std::chrono::seconds(30));
  clock_.advance(std::chrono::seconds(20));
  EXPECT_TRUE(must(store().renew(leases_of(claimed), std::chrono::seconds(30))).empty());
  clock_.advance(std::chrono::seconds(20));
  EXPECT_EQ(rescue_all().rescued, 0u);
  EXPECT_EQ(item(id, 1).leased_until, clock_.now() + std::chrono::seconds(10));
  clock_.advance(std::chrono::seconds(10));
  EXPECT_EQ(rescue_all().rescued, 2u);
  EXPECT_EQ(must(store().renew(leases_of(claimed), std::chrono::seconds(30))), leases_of(claimed));
}

TEST_P(JobStoreClaims, OfJobsBeingCancelledAreToldAtRenewal) {
  const auto doomed = job_with(2);
  const auto other = job_with(1);
  const auto claimed = claim();
  ASSERT_EQ(claimed.items.size(), 3u);
  must(store().cancel(doomed));
  const auto told = must(store().renew(leases_of(claimed), std::chrono::seconds(30)));
  EXPECT_EQ(told.size(), 2u);
  for (const auto& lease : told) {
    const auto is_it = [&](const auto& item) { return item.lease == lease && item.job == doomed; };
    EXPECT_TRUE(std::ranges::any_of(claimed.items, is_it));
  }
  EXPECT_EQ(job(other).state, jobs::JobState::kRunning);
}

TEST_P(JobStoreClaims, ExpireAndRunAgainWithoutAnAttempt) {
  const auto id = job_with(3);
  claim(2, std::chrono::seconds(30));
  clock_.advance(std::chrono::milliseconds(29'999));
  EXPECT_EQ(rescue_all().rescued, 0u);
  clock_.advance(std::chrono::milliseconds(1));
  EXPECT_EQ(rescue_all().rescued, 2u);
  EXPECT_EQ(item(id, 1).state, jobs::ItemState::kPending);
  EXPECT_EQ(item(id, 1).attempts, 0);
  const auto again = claim();
  EXPECT_THAT(numbers(again), ::testing::ElementsAre(1, 2, 3));
  EXPECT_EQ(again.items[0].attempt, 1);
  EXPECT_EQ(again.items[0].lease.token, 2);
}

TEST_P(JobStoreClaims, ExpireInBoundedPieces) {
  job_with(1'000);
  append_distinct(create(), 1, 1'000);
  for (int i = 0; i < 40; ++i) claim(64, std::chrono::seconds(1));
  clock_.advance(std::chrono::seconds(2));
  const auto first = must(store().rescue());
  EXPECT_TRUE(first.more);
  EXPECT_LT(first.rescued, 2'000u);
  EXPECT_EQ(first.rescued + rescue_all().rescued, 2'000u);
}

TEST_P(JobStoreOutcomes, ShowWhatBecameOfAnItem) {
  const auto id = job_with(2);
  const auto claimed = claim();
  finish({success(claimed.items[0], 5'000, 1'234), failure(claimed.items[1], "http_404")});
  const auto done = item(id, 1);
  EXPECT_EQ(done.state, jobs::ItemState::kSucceeded);
  EXPECT_EQ(done.attempts, 1);
  EXPECT_EQ(done.bytes_in, 5'000u);
  EXPECT_EQ(done.times.fetch_ms, 5);
  EXPECT_EQ(done.times.transform_ms, 6);
  EXPECT_EQ(done.times.store_ms, 7);
  EXPECT_EQ(done.finished_at, clock_.now());
  ASSERT_EQ(done.outputs.size(), 1u);
  EXPECT_EQ(done.outputs[0].key, fmt::format("{}/1-1", id.text()));
  EXPECT_EQ(done.outputs[0].bytes, 1'234u);
  EXPECT_EQ(done.outputs[0].width_px, 640u);
  EXPECT_EQ(done.outputs[0].height_px, 480u);
  EXPECT_EQ(done.outputs[0].format, "jpeg");
  EXPECT_EQ(done.outputs[0].quality, 50);
  EXPECT_EQ(done.outputs[0].sha256, std::string(64, 'a'));
  const auto failed = item(id, 2);
  EXPECT_EQ(failed.state, jobs::ItemState::kFailed);
  EXPECT_EQ(failed.error_code, "http_404");
  EXPECT_EQ(failed.error_message, "The server says http_404.");
  EXPECT_TRUE(failed.outputs.empty());
  EXPECT_EQ(job(id).state, jobs::JobState::kCompletedWithErrors);
}

TEST_P(JobStoreOutcomes, EndAJobAsFailedWhenNothingSucceeded) {
  const auto id = job_with(2);
  const auto claimed = claim();
  finish({failure(claimed.items[0], "http_404"), failure(claimed.items[1], "timeout")});
  EXPECT_EQ(job(id).state, jobs::JobState::kFailed);
  EXPECT_EQ(job(id).failed, 2u);
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.failed failed 1 rows=0"));
}

TEST_P(JobStoreOutcomes, SeveralOutputsKeepTheirOrder) {
  const auto id = job_with(1);
  auto outcome = success(claim().items.at(0));
  auto& outputs = std::get<jobs::ItemSuccess>(outcome.result).outputs;
  outputs[0].rendition = "large";
  outputs.push_back(outputs[0]);
  outputs[1].rendition = "a thumbnail";
  outputs[1].key += "-thumb";
  outputs[1].note = "source kept";
  finish_one(outcome);
  const auto done = item(id, 1);
  ASSERT_EQ(done.outputs.size(), 2u);
  EXPECT_EQ(done.outputs[0].rendition, "large");
  EXPECT_EQ(done.outputs[1].rendition, "a thumbnail");
  EXPECT_EQ(done.outputs[1].note, "source kept");
  EXPECT_EQ(job(id).bytes_out, 800u);
}

TEST_P(JobStoreOutcomes, RetryLaterKeepsTheReason) {
  const auto id = job_with(1);
  const auto at = clock_.now() + std::chrono::seconds(9);
  const auto report = finish_one(failure(claim().items.at(0), "http_503", at));
  EXPECT_EQ(report.recorded, 1u);
  EXPECT_TRUE(report.jobs_finished.empty());
  const auto waiting = item(id, 1);
  EXPECT_EQ(waiting.state, jobs::ItemState::kPending);
  EXPECT_EQ(waiting.attempts, 1);
  EXPECT_EQ(waiting.retry_at, at);
  EXPECT_EQ(waiting.error_code, "http_503");
  EXPECT_EQ(waiting.finished_at, std::nullopt);
  EXPECT_EQ(job(id).remaining, 1u);
  clock_.advance(std::chrono::seconds(9));
  finish_one(success(claim().items.at(0)));
  EXPECT_EQ(item(id, 1).error_code, "");
  EXPECT_EQ(item(id, 1).attempts, 2);
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
}

TEST_P(JobStoreOutcomes, CountEngineCrashes) {
  job_with(1);
  auto crash = failure(claim().items.at(0), "engine_crash", clock_.now());
  std::get<jobs::ItemFailure>(crash.result).engine_crash = true;
  finish_one(crash);
  const auto second = claim();
  EXPECT_EQ(second.items.at(0).engine_crashes, 1);
  EXPECT_EQ(second.items.at(0).attempt, 2);
  crash.lease = second.items.at(0).lease;
  finish_one(crash);
  EXPECT_EQ(claim().items.at(0).engine_crashes, 2);
}

TEST_P(JobStoreOutcomes, OfOneLeaseCountOnce) {
  const auto id = job_with(1);
  const auto claimed = claim();
  const auto report = finish({success(claimed.items[0]), success(claimed.items[0])});
  EXPECT_EQ(report.recorded, 1u);
  EXPECT_THAT(report.fenced, ::testing::ElementsAre(claimed.items[0].lease));
  EXPECT_EQ(job(id).succeeded, 1u);
  EXPECT_EQ(item(id, 1).outputs.size(), 1u);
}

TEST_P(JobStoreOutcomes, ComeInBatches) {
  job_with(70);
  auto claimed = claim(64);
  const auto more = claim(64);
  claimed.items.insert(claimed.items.end(), more.items.begin(), more.items.end());
  std::vector<jobs::ItemOutcome> outcomes;
  for (const auto& item : claimed.items) outcomes.push_back(success(item));
  EXPECT_EQ(code_of(run(store().finish(outcomes))), ErrorCode::kInvalidArgument);
  outcomes.resize(64, success(claimed.items[0]));
  EXPECT_EQ(finish(outcomes).recorded, 64u);
}

TEST_P(JobStoreOutcomes, LongMessagesAreCutBetweenCharacters) {
  const auto id = job_with(1);
  auto failed = failure(claim().items.at(0), "decode_failed");
  std::string message = "x";
  for (int i = 0; i < 1'000; ++i) message += "\xe2\x82\xac";
  std::get<jobs::ItemFailure>(failed.result).message = message;
  finish_one(failed);
  const auto kept = item(id, 1).error_message;
  EXPECT_LE(kept.size(), 1'000u);
  EXPECT_GE(kept.size(), 990u);
  EXPECT_EQ(kept.size() % 3, 1u) << "ends with a whole character";
}

TEST_P(P04, AStaleTokenChangesNothing) {
  const auto id = job_with(1);
  const auto paused = claim(1, std::chrono::seconds(30));
  clock_.advance(std::chrono::seconds(31));
  EXPECT_EQ(rescue_all().rescued, 1u);
  const auto newer = claim();
  ASSERT_EQ(newer.items.size(), 1u);
  EXPECT_GT(newer.items[0].lease.token, paused.items[0].lease.token);

  const auto late = finish_one(success(paused.items[0], 9'999, 9'999));
  EXPECT_EQ(late.recorded, 0u);
  EXPECT_THAT(late.fenced, ::testing::ElementsAre(paused.items[0].lease));
  EXPECT_EQ(finish_one(failure(paused.items[0], "timeout")).recorded, 0u);
  must(store().release(leases_of(paused), std::nullopt));
  EXPECT_EQ(must(store().renew(leases_of(paused), std::chrono::hours(1))), leases_of(paused));
  EXPECT_EQ(item(id, 1).state, jobs::ItemState::kLeased);
  EXPECT_EQ(item(id, 1).leased_until, clock_.now() + std::chrono::seconds(30));
  EXPECT_EQ(job(id).succeeded, 0u);

  EXPECT_EQ(finish_one(success(newer.items[0])).recorded, 1u);
  EXPECT_EQ(finish_one(success(paused.items[0], 9'999, 9'999)).recorded, 0u);
  EXPECT_EQ(job(id).bytes_in, 1'000u);
  EXPECT_EQ(item(id, 1).outputs.at(0).key, fmt::format("{}/1-2", id.text()));
}

TEST_P(P04, LeasesOfNoJobAreFenced) {
  jobs::ClaimedItem nobody;
  nobody.lease = {.job_no = 4'711, .item = 1, .token = 1};
  EXPECT_THAT(finish_one(success(nobody)).fenced, ::testing::ElementsAre(nobody.lease));
  must(store().release({nobody.lease}, std::nullopt));
  EXPECT_THAT(must(store().renew({nobody.lease}, std::chrono::seconds(1))), ::testing::ElementsAre(nobody.lease));
}

// A clock that was far ahead for a while must not leave leases or retries that fall due in years.
TEST_P(P11, WhatWasSetUnderAWrongClockRunsWhenItIsRightAgain) {
  constexpr auto kTenYears = std::chrono::hours(24 * 3'650);
  const auto id = job_with(2);
  clock_.advance(kTenYears);
  const auto claimed = claim();
  finish_one(failure(claimed.items.at(0), "timeout", clock_.now() + std::chrono::seconds(5)));
  clock_.advance(-kTenYears);
  EXPECT_EQ(rescue_all().rescued, 1u) << "its lease would last ten years";
  EXPECT_EQ(work_off(), 2u);
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
}

TEST_P(P12, ReleasedItemsAreClaimableAtOnce) {
  const auto id = job_with(3);
  const auto claimed = claim();
  must(store().release(leases_of(claimed), std::nullopt));
  EXPECT_EQ(item(id, 1).attempts, 0);
  EXPECT_EQ(item(id, 1).retry_at, std::nullopt);
  const auto again = claim();
  ASSERT_EQ(again.items.size(), 3u);
  EXPECT_EQ(again.items[0].attempt, 1) << "releasing costs no attempt";
  EXPECT_EQ(again.items[0].lease.token, 2);
}

TEST_P(P12, ReleasedItemsCanWait) {
  job_with(1);
  const auto ready = clock_.now() + std::chrono::seconds(2);
  must(store().release(leases_of(claim()), ready));
  EXPECT_EQ(claim().next_ready_at, ready);
  clock_.advance(std::chrono::seconds(2));
  EXPECT_EQ(claim().items.size(), 1u);
}

TEST_P(JobStoreRepeatedUrls, WaitForTheFirstAndGetItsOutputs) {
  const auto id = job_of_equals(3);
  const auto first = claim();
  ASSERT_EQ(first.items.size(), 1u);
  EXPECT_EQ(first.items[0].same_as, std::nullopt);
  EXPECT_EQ(item(id, 2).same_as, 1u);
  EXPECT_TRUE(claim().items.empty());
  finish_one(success(first.items[0], 2'000, 700));
  const auto others = claim();
  ASSERT_EQ(others.items.size(), 2u);
  for (const auto& other : others.items) {
    EXPECT_EQ(other.same_as, 1u);
    EXPECT_EQ(other.same_as_bytes_in, 2'000u);
    ASSERT_EQ(other.same_as_outputs.size(), 1u);
    EXPECT_EQ(other.same_as_outputs[0].key, fmt::format("{}/1-1", id.text()));
    EXPECT_EQ(other.same_as_error_code, "");
  }
  finish({success(others.items[0]), success(others.items[1])});
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
}

TEST_P(JobStoreRepeatedUrls, LearnWhyTheFirstFailed) {
  const auto id = job_of_equals(2);
  finish_one(failure(claim().items.at(0), "http_404"));
  EXPECT_EQ(job(id).state, jobs::JobState::kRunning);
  const auto other = claim();
  ASSERT_EQ(other.items.size(), 1u);
  EXPECT_EQ(other.items[0].same_as, 1u);
  EXPECT_TRUE(other.items[0].same_as_outputs.empty());
  EXPECT_EQ(other.items[0].same_as_error_code, "http_404");
  EXPECT_EQ(other.items[0].same_as_error_message, "The server says http_404.");
}

TEST_P(JobStoreRepeatedUrls, KeepWaitingWhileTheFirstIsTriedAgain) {
  job_of_equals(2);
  auto leader = claim();
  finish_one(failure(leader.items.at(0), "timeout", clock_.now()));
  leader = claim();
  ASSERT_EQ(leader.items.size(), 1u);
  EXPECT_EQ(leader.items[0].lease.item, 1u);
  must(store().release(leases_of(leader), std::nullopt));
  leader = claim(1, std::chrono::seconds(1));
  ASSERT_EQ(leader.items.size(), 1u);
  EXPECT_EQ(leader.items[0].lease.item, 1u);
  clock_.advance(std::chrono::seconds(2));
  EXPECT_EQ(rescue_all().rescued, 1u);
  leader = claim();
  ASSERT_EQ(leader.items.size(), 1u);
  EXPECT_EQ(leader.items[0].lease.item, 1u);
}

TEST_P(JobStoreRepeatedUrls, ThatComeAfterTheFirstIsDoneNeedNotWait) {
  const auto id = create();
  ASSERT_TRUE(append(id, {row_of(1, "good.jpg", "a"), row_of(2, "bad.jpg", "b")}).has_value());
  const auto first = claim();
  finish({success(first.items.at(0)), failure(first.items.at(1), "http_410")});
  ASSERT_TRUE(append(id, {row_of(3, "good.jpg", "c"), row_of(4, "bad.jpg", "d")}).has_value());
  const auto later = claim();
  ASSERT_EQ(later.items.size(), 2u);
  EXPECT_EQ(later.items[0].same_as, 1u);
  EXPECT_EQ(later.items[0].same_as_outputs.size(), 1u);
  EXPECT_EQ(later.items[1].same_as, 2u);
  EXPECT_EQ(later.items[1].same_as_error_code, "http_410");
}

TEST_P(JobStoreRepeatedUrls, OfAnotherJobAreFetchedForItself) {
  job_of_equals(1);
  job_of_equals(1);
  EXPECT_EQ(claim().items.size(), 2u);
}

TEST_P(JobStoreRepeatedUrls, AreFoundAgainByANewProcess) {
  const auto id = create();
  ASSERT_TRUE(append(id, {row_of(1, "same.jpg", "a")}).has_value());
  store_->reopen();
  ASSERT_TRUE(append(id, {row_of(2, "same.jpg", "b")}).has_value());
  EXPECT_EQ(item(id, 2).same_as, 1u);
}

// More wait than one transaction may wake: all run in the end, whoever does the waking.
TEST_P(JobStoreRepeatedUrls, ByTheThousandAllRun) {
  const auto id = create();
  for (std::uint64_t first = 1; first <= 6'000; first += 1'000) {
    std::vector<jobs::NewRow> rows;
    for (std::uint64_t i = 0; i < 1'000; ++i) {
      rows.push_back(row_of(first + i, "same.jpg", fmt::format("n{}", first + i)));
    }
    ASSERT_TRUE(append(id, std::move(rows)).has_value());
  }
  must(store().finish_ingest(id));
  finish_one(success(claim().items.at(0)));
  store_->reopen();
  rescue_all();
  EXPECT_EQ(work_off(), 5'999u);
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
}

TEST_P(JobStoreRepeatedUrls, ByTheThousandNeedNoRescue) {
  const auto id = job_of_equals(900);
  finish_one(success(claim().items.at(0)));
  std::uint64_t done = 0;
  while (true) {
    const auto claimed = claim();
    if (claimed.items.empty() && claimed.next_ready_at != clock_.now()) break;
    if (claimed.items.empty()) continue;
    std::vector<jobs::ItemOutcome> outcomes;
    for (const auto& item : claimed.items) outcomes.push_back(success(item));
    done += finish(std::move(outcomes)).recorded;
  }
  EXPECT_EQ(done, 899u);
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
}

}  // namespace pixmill::conformance
