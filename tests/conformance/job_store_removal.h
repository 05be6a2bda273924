// JobStore: jobs go away, by somebody's word or because their time is over.
#pragma once

#include <gmock/gmock.h>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class JobStoreRemoval : public StoreFixture {
 protected:
  static constexpr milliseconds kLease = std::chrono::minutes(1);

  static JobSpec quiet() {
    JobSpec spec;
    spec.webhook_url = "";
    return spec;
  }
  jobs::Job remove(JobId id, jobs::CancelFirst cancel = jobs::CancelFirst::kNo) {
    return must(store().remove_job(id, cancel));
  }
  std::optional<jobs::Removal> claim_removal() { return must(store().claim_removal(kLease)); }
  jobs::RemovalStep slice(const jobs::Removal& removal) { return must(store().remove_slice(removal, kLease)); }
  // To the end; how many slices it took.
  int carry_out(const jobs::Removal& removal) {
    int slices = 1;
    for (auto step = slice(removal); step != jobs::RemovalStep::kDone; step = slice(removal)) {
      EXPECT_EQ(step, jobs::RemovalStep::kMore);
      if (step != jobs::RemovalStep::kMore) break;
      ++slices;
    }
    return slices;
  }
  // Everybody's webhooks arrive.
  void deliver_all() {
    jobs::DeliveryClaim request;
    request.limit = 64;
    for (const auto& due : must(outbox().claim_deliveries(std::move(request))).deliveries) {
      jobs::DeliveryResult result;
      result.event_id = due.event_id;
      result.token = due.token;
      result.http_status = 200;
      must(outbox().record_delivery(std::move(result)));
    }
  }
  JobId finished_job(std::uint64_t pictures, const JobSpec& spec = quiet()) {
    const auto id = job_with(pictures, spec);
    work_off();
    return id;
  }
  bool is_known(JobId id) {
    const auto found = run(store().job(id));
    EXPECT_TRUE(found || found.error().code == ErrorCode::kNotFound);
    return found.has_value();
  }
  std::uint64_t jobs_listed() {
    const auto page = must(store().jobs(jobs::JobQuery{}));
    EXPECT_EQ(page.jobs.size(), page.total);
    return page.total;
  }
};

TEST_P(JobStoreRemoval, NobodyKnowsAJobThatIsBeingRemoved) {
  JobSpec spec;
  spec.source_digest = std::string(64, 'd');
  const auto id = finished_job(3, spec);
  const auto other = finished_job(2);
  deliver_all();
  EXPECT_EQ(remove(id).state, jobs::JobState::kDeleting);
  EXPECT_FALSE(is_known(id));
  EXPECT_EQ(jobs_listed(), 1u);
  EXPECT_EQ(must(store().job_by_digest(spec.source_digest)), std::nullopt);
  EXPECT_EQ(code_of(run(store().items(id, jobs::ItemQuery{}))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().rows(id, 0, 10))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().failures(id))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().headers(id))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().cancel(id))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().retry(id, jobs::RetryFilter{}))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().remove_job(id, jobs::CancelFirst::kYes))), ErrorCode::kNotFound);
  EXPECT_TRUE(must(outbox().deliveries(id)).empty());
  EXPECT_TRUE(is_known(other));
}

TEST_P(JobStoreRemoval, TakesEverythingOfTheJobAndNothingElse) {
  const auto kept = finished_job(3);
  const auto id = finished_job(5, {});
  deliver_all();
  remove(id);
  const auto removal = claim_removal();
  ASSERT_TRUE(removal.has_value());
  EXPECT_EQ(removal->job, id);
  EXPECT_EQ(removal->blob_prefix, "out/");
  EXPECT_EQ(removal->source_path, "/spool/a.csv");
  carry_out(*removal);
  EXPECT_FALSE(is_known(id));
  EXPECT_EQ(claim_removal(), std::nullopt);
  EXPECT_EQ(slice(*removal), jobs::RemovalStep::kLost) << "there is nothing to hold any more";
  EXPECT_EQ(all_items(kept).size(), 3u);
  EXPECT_EQ(must(store().rows(kept, 0, 10)).size(), 3u);
  const auto key = all_items(kept)[0].outputs.at(0).key;
  const auto gone = fmt::format("{}/1-1", id.text());
  EXPECT_THAT(must(store().unreferenced({key, gone})), ::testing::ElementsAre(gone));
  // The id is free again.
  jobs::NewJob again;
  again.id = id;
  again.name_template = "{product}";
  again.recipe = "format=jpeg";
  must(store().create_job(std::move(again)));
  EXPECT_TRUE(all_items(id).empty());
}

TEST_P(JobStoreRemoval, GoesInSlicesThatAnotherProcessGoesOnWith) {
  const auto id = create(quiet());
  for (std::uint64_t first = 1; first <= 4'000; first += 500) append_distinct(id, first, 500);
  must(store().finish_ingest(id));
  must(store().cancel(id));
  rescue_all();
  remove(id);
  auto removal = claim_removal();
  ASSERT_TRUE(removal.has_value());
  ASSERT_EQ(slice(*removal), jobs::RemovalStep::kMore);
  EXPECT_EQ(claim_removal(), std::nullopt) << "one process at a time";
  const auto first = *removal;
  clock_.advance(kLease + seconds(1));
  removal = claim_removal();
  ASSERT_TRUE(removal.has_value());
  EXPECT_GT(removal->token, first.token);
  EXPECT_EQ(slice(first), jobs::RemovalStep::kLost);
  EXPECT_FALSE(must(store().renew_removal(first, kLease)));
  EXPECT_TRUE(must(store().renew_removal(*removal, kLease)));
  store_->reopen();
  EXPECT_FALSE(is_known(id));
  carry_out(*removal);
  EXPECT_EQ(jobs_listed(), 0u);
}

TEST_P(JobStoreRemoval, ALeaseThatIsRenewedStays) {
  const auto id = finished_job(1);
  remove(id);
  const auto removal = claim_removal();
  ASSERT_TRUE(removal.has_value());
  for (int i = 0; i < 3; ++i) {
    clock_.advance(kLease - seconds(1));
    EXPECT_TRUE(must(store().renew_removal(*removal, kLease)));
    EXPECT_EQ(claim_removal(), std::nullopt);
  }
}

TEST_P(JobStoreRemoval, AJobUnderWayHasToBeCancelledFirst) {
  const auto id = job_with(2);
  EXPECT_EQ(code_of(run(store().remove_job(id, jobs::CancelFirst::kNo))), ErrorCode::kConflict);
  EXPECT_EQ(job(id).state, jobs::JobState::kRunning);
  EXPECT_EQ(code_of(run(store().remove_job(JobId{Uuid::random()}, jobs::CancelFirst::kYes))), ErrorCode::kNotFound);
  const auto reading = create();
  EXPECT_EQ(code_of(run(store().remove_job(reading, jobs::CancelFirst::kNo))), ErrorCode::kConflict);
}

TEST_P(JobStoreRemoval, CancellingFirstWaitsForWhatIsUnderWay) {
  const auto id = job_with(3);
  const auto claimed = claim(1);
  ASSERT_EQ(claimed.items.size(), 1u);
  const auto answer = remove(id, jobs::CancelFirst::kYes);
  EXPECT_EQ(answer.state, jobs::JobState::kCancelling);
  EXPECT_EQ(remove(id, jobs::CancelFirst::kYes).state, jobs::JobState::kCancelling) << "twice is once";
  EXPECT_EQ(claim_removal(), std::nullopt);
  finish_one(success(claimed.items[0]));
  EXPECT_EQ(job(id).state, jobs::JobState::kCancelled);
  deliver_all();
  clock_.advance(seconds(5));
  const auto removal = claim_removal();
  ASSERT_TRUE(removal.has_value());
  EXPECT_FALSE(is_known(id));
  carry_out(*removal);
}

TEST_P(JobStoreRemoval, CancellingFirstIsEnoughWhenNothingIsUnderWay) {
  const auto id = job_with(3, quiet());
  EXPECT_EQ(remove(id, jobs::CancelFirst::kYes).state, jobs::JobState::kDeleting);
  EXPECT_FALSE(is_known(id));
  EXPECT_TRUE(claim().items.empty());
  const auto reading = create(quiet());
  append_distinct(reading, 1, 2);
  EXPECT_EQ(remove(reading, jobs::CancelFirst::kYes).state, jobs::JobState::kDeleting);
  EXPECT_EQ(code_of(append(reading, {row_of(3, "c.jpg", "c")})), ErrorCode::kNotFound);
}

TEST_P(JobStoreRemoval, WaitsUntilItsWebhooksAreDeliveredOrGivenUp) {
  const auto id = finished_job(1, {});
  remove(id);
  EXPECT_FALSE(is_known(id));
  EXPECT_EQ(claim_removal(), std::nullopt);
  jobs::DeliveryClaim request;
  auto due = must(outbox().claim_deliveries(request));
  ASSERT_EQ(due.deliveries.size(), 1u) << "it is still sent";
  clock_.advance(seconds(5));
  EXPECT_EQ(claim_removal(), std::nullopt) << "an attempt is under way";
  jobs::DeliveryResult result;
  result.event_id = due.deliveries[0].event_id;
  result.token = due.deliveries[0].token;
  result.state = jobs::DeliveryState::kExhausted;
  must(outbox().record_delivery(result));
  clock_.advance(seconds(5));
  const auto removal = claim_removal();
  ASSERT_TRUE(removal.has_value());
  carry_out(*removal);
}

TEST_P(JobStoreRemoval, OneThatHasToWaitDoesNotHoldUpOthers) {
  const auto waits = finished_job(1, {});
  remove(waits);
  const auto id = finished_job(1);
  remove(id);
  const auto removal = claim_removal();
  ASSERT_TRUE(removal.has_value());
  EXPECT_EQ(removal->job, id);
}

TEST_P(JobStoreRemoval, JobsOutliveTheirTimeAsTheServerSays) {
  using std::chrono::hours;
  const auto old = finished_job(1);
  clock_.advance(hours(2));
  const auto young = finished_job(1);
  const auto running = job_with(1);
  clock_.advance(hours(1));
  EXPECT_EQ(must(store().expire_jobs(std::nullopt)), 0u);
  EXPECT_TRUE(is_known(old));
  EXPECT_EQ(must(store().expire_jobs(hours(2))), 1u);
  EXPECT_FALSE(is_known(old));
  EXPECT_TRUE(is_known(young));
  EXPECT_EQ(must(store().expire_jobs(hours(2))), 0u);
  EXPECT_EQ(must(store().expire_jobs(hours(0))), 1u);
  EXPECT_TRUE(is_known(running)) << "it has not ended";
  int removed = 0;
  for (auto removal = claim_removal(); removal; removal = claim_removal(), ++removed) carry_out(*removal);
  EXPECT_EQ(removed, 2);
}

TEST_P(JobStoreRemoval, JobsMayHaveATimeOfTheirOwn) {
  using std::chrono::hours;
  JobSpec spec = quiet();
  spec.keep = hours(1);
  const auto brief = finished_job(1, spec);
  EXPECT_EQ(job(brief).keep, hours(1));
  spec.keep = hours(100);
  const auto lasting = finished_job(1, spec);
  spec.keep = jobs::kForever;
  const auto lasting_more = finished_job(1, spec);
  EXPECT_EQ(job(lasting_more).keep, jobs::kForever);
  spec.keep = std::nullopt;
  const auto usual = finished_job(1, spec);
  EXPECT_EQ(job(usual).keep, std::nullopt);
  clock_.advance(hours(1) - seconds(1));
  EXPECT_EQ(must(store().expire_jobs(std::nullopt)), 0u);
  clock_.advance(seconds(1));
  EXPECT_EQ(must(store().expire_jobs(std::nullopt)), 1u);
  EXPECT_FALSE(is_known(brief));
  EXPECT_EQ(must(store().expire_jobs(seconds(1))), 1u);
  EXPECT_FALSE(is_known(usual));
  clock_.advance(hours(99));
  EXPECT_EQ(must(store().expire_jobs(seconds(1))), 1u);
  EXPECT_FALSE(is_known(lasting));
  EXPECT_TRUE(is_known(lasting_more));
}

TEST_P(JobStoreRemoval, AJobWhoseWebhooksAreUnderWayDoesNotExpire) {
  const auto waits = finished_job(1, {});
  const auto id = finished_job(1);
  clock_.advance(std::chrono::hours(1));
  EXPECT_EQ(must(store().expire_jobs(seconds(1))), 1u);
  EXPECT_TRUE(is_known(waits));
  EXPECT_FALSE(is_known(id));
  deliver_all();
  EXPECT_EQ(must(store().expire_jobs(seconds(1))), 1u);
  EXPECT_FALSE(is_known(waits));
}

TEST_P(JobStoreRemoval, ARetryBeginsTheTimeAnew) {
  const auto id = job_with(1, quiet());
  finish_one(failure(claim().items.at(0), "http_404"));
  clock_.advance(std::chrono::hours(1));
  must(store().retry(id, jobs::RetryFilter{}));
  EXPECT_EQ(must(store().expire_jobs(seconds(1))), 0u);
  work_off();
  EXPECT_EQ(must(store().expire_jobs(seconds(1))), 0u);
  clock_.advance(seconds(1));
  EXPECT_EQ(must(store().expire_jobs(seconds(1))), 1u);
}

TEST_P(JobStoreRemoval, AClockThatIsPutBackHoldsNothingUp) {
  const auto id = finished_job(1);
  remove(id);
  clock_.advance(std::chrono::hours(24 * 3'650));
  ASSERT_TRUE(claim_removal().has_value());
  clock_.advance(-std::chrono::hours(24 * 3'650));
  EXPECT_TRUE(claim_removal().has_value());
}

TEST_P(JobStoreRemoval, LateOutcomesOfARemovedJobChangeNothing) {
  const auto id = job_with(1, quiet());
  const auto claimed = claim(1);
  clock_.advance(seconds(31));
  must(store().cancel(id));
  rescue_all();
  remove(id);
  const auto removal = claim_removal();
  ASSERT_TRUE(removal.has_value());
  EXPECT_EQ(finish_one(success(claimed.items[0])).fenced.size(), 1u);
  carry_out(*removal);
  EXPECT_EQ(finish_one(success(claimed.items[0])).fenced.size(), 1u);
  EXPECT_EQ(must(store().renew(leases_of(claimed), seconds(30))).size(), 1u);
  must(store().release(leases_of(claimed), std::nullopt));
}

class JobStoreMarks : public JobStoreRemoval {
 protected:
  static constexpr milliseconds kIdle = std::chrono::hours(1);
  static std::string digest_of(char letter) { return std::string(64, letter); }
  static std::string recipe_with(char letter) { return "watermark=centre:upload:" + digest_of(letter); }

  JobId job_with_mark(char letter) {
    JobSpec spec = quiet();
    spec.recipe = recipe_with(letter);
    return job_with(1, spec);
  }
  void remove_wholly(JobId id) {
    remove(id, jobs::CancelFirst::kYes);
    const auto removal = claim_removal();
    ASSERT_TRUE(removal.has_value());
    carry_out(*removal);
  }
  std::optional<std::string> claim_mark() { return must(store().claim_idle_mark(kIdle, kLease)); }
  void note(char letter) { must(store().note_mark(digest_of(letter))); }
};

TEST_P(JobStoreMarks, AWatermarkGoesWhenItsLastJobIsGone) {
  note('a');
  const auto first = job_with_mark('a');
  const auto second = job_with_mark('a');
  clock_.advance(kIdle);
  EXPECT_EQ(claim_mark(), std::nullopt);
  remove_wholly(first);
  clock_.advance(kIdle);
  EXPECT_EQ(claim_mark(), std::nullopt) << "the other job has it";
  remove_wholly(second);
  EXPECT_EQ(claim_mark(), std::nullopt) << "not before an hour is over";
  clock_.advance(kIdle);
  EXPECT_EQ(claim_mark(), digest_of('a'));
  EXPECT_EQ(claim_mark(), std::nullopt) << "somebody removes it";
  must(store().forget_mark(digest_of('a')));
  clock_.advance(kIdle);
  EXPECT_EQ(claim_mark(), std::nullopt);
}

TEST_P(JobStoreMarks, OneThatCameForAJobThatNeverWasGoesToo) {
  note('a');
  clock_.advance(kIdle);
  EXPECT_EQ(claim_mark(), digest_of('a'));
}

TEST_P(JobStoreMarks, RowsAndTheirNamesCount) {
  const jobs::RecipeChoice of_row{.text = recipe_with('a'), .name = ""};
  auto spec = quiet();
  spec.row_names = {{.written = "shop", .recipe = {.text = recipe_with('b'), .name = "shop@1"}}};
  const auto id = create(spec);
  ASSERT_TRUE(append(id, {row_with_recipe(1, "a.jpg", of_row)}).has_value());
  must(store().finish_ingest(id));
  note('a');
  note('b');
  clock_.advance(kIdle);
  EXPECT_EQ(claim_mark(), std::nullopt);
  remove_wholly(id);
  clock_.advance(kIdle);
  EXPECT_THAT((std::vector<std::string>{claim_mark().value_or(""), claim_mark().value_or("")}),
              ::testing::UnorderedElementsAre(digest_of('a'), digest_of('b')));
}

TEST_P(JobStoreMarks, SavedRecipesKeepTheirs) {
  must(store_->recipes().save_recipe("shop", recipe_with('a')));
  remove_wholly(job_with_mark('a'));
  clock_.advance(kIdle);
  EXPECT_EQ(claim_mark(), std::nullopt);
}

TEST_P(JobStoreMarks, OneThatIsBeingRemovedHasToWait) {
  note('a');
  clock_.advance(kIdle);
  ASSERT_EQ(claim_mark(), digest_of('a'));
  EXPECT_EQ(code_of(run(store().note_mark(digest_of('a')))), ErrorCode::kUnavailable);
  note('b');
  clock_.advance(kLease + seconds(1));
  note('a');
  EXPECT_EQ(claim_mark(), std::nullopt) << "it is wanted again";
  clock_.advance(kIdle);
  EXPECT_TRUE(claim_mark().has_value());
}

}  // namespace pixmill::conformance
