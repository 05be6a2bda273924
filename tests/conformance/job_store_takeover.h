// JobStore: a table is read in by one process at a time, and by another when that one has died.
#pragma once

#include <gmock/gmock.h>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class JobStoreTakeover : public StoreFixture {
 protected:
  static constexpr milliseconds kLease = std::chrono::seconds(30);

  JobId create_reading() {
    JobSpec spec;
    spec.source_path = "shared:10/a.csv";
    spec.ingest_lease = kLease;
    return create(spec);
  }
  std::vector<jobs::TakenIngest> take(std::uint32_t limit = 10) { return must(store().claim_ingests(limit, kLease)); }
  Result<void> append_as(const jobs::IngestLease& lease, std::uint64_t row) {
    const auto url = fmt::format("{}.jpg", row);
    std::vector<jobs::NewRow> rows{row_of(row, url, url)};
    return run(store().append_rows(lease, {"url"}, std::move(rows)));
  }
};

TEST_P(JobStoreTakeover, TheCreatorReadsUntilItsLeaseIsOver) {
  const auto id = create_reading();
  EXPECT_TRUE(take().empty());
  clock_.advance(kLease - seconds(1));
  EXPECT_TRUE(must(store().renew_ingests({id}, kLease)).empty());
  clock_.advance(seconds(2));
  EXPECT_TRUE(take().empty()) << "it was renewed";
  clock_.advance(kLease);
  const auto taken = take();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].job.id, id);
  EXPECT_EQ(taken[0].job.source_path, "shared:10/a.csv");
  EXPECT_EQ(taken[0].lease.job, id);
  EXPECT_GT(taken[0].lease.token, jobs::IngestLease::kCreators);
  EXPECT_TRUE(take().empty()) << "it is taken";
}

TEST_P(JobStoreTakeover, WhoeverWasTakenOverCanAppendNothing) {
  const jobs::IngestLease creator(create_reading());
  ASSERT_TRUE(append_as(creator, 1).has_value());
  clock_.advance(kLease + seconds(1));
  const auto taken = take();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].job.rows, 1u) << "it goes on where the other was";
  const Error why{.code = ErrorCode::kInvalidArgument, .message = "no", .detail = {}};
  EXPECT_EQ(code_of(append_as(creator, 2)), ErrorCode::kConflict);
  EXPECT_EQ(code_of(append_as(creator, 1)), ErrorCode::kConflict);
  EXPECT_EQ(code_of(run(store().finish_ingest(creator))), ErrorCode::kConflict);
  EXPECT_EQ(code_of(run(store().reject_job(creator, why))), ErrorCode::kConflict);
  EXPECT_EQ(must(store().renew_ingests({creator, taken[0].lease}, kLease)), std::vector<jobs::IngestLease>{creator});
  EXPECT_EQ(job(creator.job).rows, 1u);
  EXPECT_EQ(job(creator.job).state, jobs::JobState::kIngesting);
  ASSERT_TRUE(append_as(taken[0].lease, 2).has_value());
  must(store().finish_ingest(taken[0].lease));
  EXPECT_EQ(job(creator.job).total, 2u);
  EXPECT_EQ(job(creator.job).state, jobs::JobState::kRunning);
  EXPECT_EQ(code_of(append_as(creator, 3)), ErrorCode::kConflict);
}

TEST_P(JobStoreTakeover, TablesAreTakenAgainAndAgain) {
  const auto id = create_reading();
  jobs::IngestLease last(id);
  for (std::uint64_t row = 1; row <= 5; ++row) {
    clock_.advance(kLease + seconds(1));
    const auto taken = take();
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(code_of(append_as(last, row)), ErrorCode::kConflict);
    last = taken[0].lease;
    ASSERT_TRUE(append_as(last, row).has_value());
  }
  must(store().finish_ingest(last));
  EXPECT_EQ(job(id).total, 5u);
}

TEST_P(JobStoreTakeover, SoManyAtATimeTheLongestLeftFirst) {
  const auto first = create_reading();
  clock_.advance(seconds(1));
  const auto second = create_reading();
  clock_.advance(seconds(1));
  const auto third = create_reading();
  clock_.advance(kLease);
  auto taken = take(2);
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_EQ(taken[0].job.id, first);
  EXPECT_EQ(taken[1].job.id, second);
  taken = take(2);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].job.id, third);
}

TEST_P(JobStoreTakeover, WhatIsNotReadInIsNotTaken) {
  const auto done = create_reading();
  must(store().finish_ingest(done));
  const auto rejected = create_reading();
  must(store().reject_job(rejected, Error{.code = ErrorCode::kTruncated, .message = "", .detail = {}}));
  const auto cancelled = create_reading();
  must(store().cancel(cancelled));
  const auto removed = create_reading();
  must(store().remove_job(removed, jobs::CancelFirst::kYes));
  const auto paused = create_reading();
  must(store().pause(paused));
  clock_.advance(kLease + seconds(1));
  const auto taken = take();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].job.id, paused) << "it rests, and its table is read on";
  const std::vector<jobs::IngestLease> gone{done, cancelled};
  EXPECT_EQ(must(store().renew_ingests(gone, kLease)), gone);
}

TEST_P(JobStoreTakeover, ARestartGoesOnAtOnce) {
  const auto id = create_reading();
  must(store().renew_ingests({id}, kLease));
  store_->reopen();
  const auto taken = take();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].job.id, id);
}

TEST_P(JobStoreTakeover, AClockThatIsPutBackHoldsNothingUp) {
  clock_.advance(std::chrono::hours(24 * 3'650));
  create_reading();
  clock_.advance(-std::chrono::hours(24 * 3'650));
  EXPECT_EQ(take().size(), 1u);
}

}  // namespace pixmill::conformance
