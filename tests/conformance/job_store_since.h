// JobStore: a job is compared with an earlier one.
#pragma once

#include <gmock/gmock.h>

#include <set>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class JobStoreSince : public StoreFixture {
 protected:
  static jobs::SourceFacts facts_of(std::uint64_t item) {
    return {.validator = fmt::format("\"v{}\"", item),
            .version_url = item % 2 == 0 ? "https://cdn.example/x" : "",
            .sha256 = fmt::format("{:064x}", item),
            .made_with = "1"};
  }
  static jobs::ItemOutcome success_of(const jobs::ClaimedItem& item, bool unchanged = false) {
    auto outcome = success(item);
    auto& done = std::get<jobs::ItemSuccess>(outcome.result);
    done.source = facts_of(item.lease.item);
    done.unchanged = unchanged;
    return outcome;
  }
  JobId since(JobId earlier) {
    JobSpec spec;
    spec.since = earlier;
    return create(spec);
  }
  // An ended job with the URLs 1.jpg … count.jpg, all of them done but those in `failed`.
  JobId ended(std::uint64_t count, const std::set<std::uint64_t>& failed = {}) {
    const auto id = job_with(count);
    finish_job(id, failed);
    return id;
  }
  void finish_job(JobId id, const std::set<std::uint64_t>& failed = {}) {
    while (true) {
      const auto claimed = claim();
      std::vector<jobs::ItemOutcome> outcomes;
      for (const auto& item : claimed.items) {
        outcomes.push_back(failed.contains(item.lease.item) ? failure(item, "http_404") : success_of(item));
      }
      if (outcomes.empty()) break;
      finish(std::move(outcomes));
    }
    EXPECT_TRUE(jobs::is_terminal(job(id).state));
  }
  std::vector<std::string> gone_urls(JobId id, std::uint32_t limit = 1'000) {
    std::vector<std::string> urls;
    std::uint64_t after = 0;
    while (true) {
      const auto page = must(store().gone(id, after, limit));
      if (page.empty()) return urls;
      for (const auto& gone : page) {
        EXPECT_GT(gone.item, after);
        after = gone.item;
        urls.push_back(gone.url);
      }
    }
  }
};

TEST_P(JobStoreSince, AClaimSaysWhatTheEarlierJobMade) {
  const auto first = ended(3, {3});
  const auto id = since(first);
  EXPECT_EQ(job(id).since, first);
  // In another order, with one that is new.
  ASSERT_TRUE(
      append(id, {row_of(1, "2.jpg", "a"), row_of(2, "9.jpg", "b"), row_of(3, "1.jpg", "c"), row_of(4, "3.jpg", "d")})
          .has_value());
  must(store().finish_ingest(id));
  const auto claimed = claim();
  ASSERT_EQ(claimed.items.size(), 4u);
  const auto& two = claimed.items[0].earlier;
  ASSERT_TRUE(two.has_value());
  EXPECT_EQ(two->source, facts_of(2));
  EXPECT_EQ(two->bytes_in, 1'000u);
  ASSERT_EQ(two->outputs.size(), 1u);
  EXPECT_EQ(two->outputs[0].key, item(first, 2).outputs.at(0).key);
  EXPECT_EQ(two->outputs[0].width_px, 640u);
  EXPECT_FALSE(claimed.items[1].earlier.has_value()) << "its URL is new";
  ASSERT_TRUE(claimed.items[2].earlier.has_value());
  EXPECT_EQ(claimed.items[2].earlier->source, facts_of(1));
  EXPECT_FALSE(claimed.items[3].earlier.has_value()) << "it failed";
}

TEST_P(JobStoreSince, CountsNewChangedUnchangedAndGone) {
  const auto first = ended(5, {4});
  const auto id = since(first);
  ASSERT_TRUE(append(id, {row_of(1, "1.jpg", "a"), row_of(2, "2.jpg", "b"), row_of(3, "9.jpg", "c"),
                          row_of(4, "4.jpg", "d"), row_of(5, "8.jpg", "e")})
                  .has_value());
  must(store().finish_ingest(id));
  EXPECT_EQ(job(id).gone, 2u);
  const auto claimed = claim();
  ASSERT_EQ(claimed.items.size(), 5u);
  std::vector<jobs::ItemOutcome> outcomes;
  outcomes.push_back(success_of(claimed.items[0], true));
  outcomes.push_back(success_of(claimed.items[1]));
  outcomes.push_back(success_of(claimed.items[2]));
  outcomes.push_back(success_of(claimed.items[3]));
  outcomes.push_back(failure(claimed.items[4], "http_404"));
  EXPECT_EQ(finish(std::move(outcomes)).recorded, 5u);
  const auto after = job(id);
  EXPECT_EQ(after.state, jobs::JobState::kCompletedWithErrors);
  EXPECT_EQ(after.succeeded, 4u) << "unchanged is a success";
  EXPECT_EQ(after.unchanged, 1u);
  EXPECT_EQ(after.changed, 2u) << "made anew, whether the source changed or had failed";
  EXPECT_EQ(after.failed, 1u);
  EXPECT_EQ(after.bytes_out, 1'600u);
  EXPECT_EQ(item(id, 1).state, jobs::ItemState::kUnchanged);
  EXPECT_EQ(item(id, 1).outputs.size(), 1u);
  EXPECT_EQ(item(id, 2).state, jobs::ItemState::kSucceeded);
  EXPECT_THAT(gone_urls(id), ::testing::ElementsAre("https://origin.example/3.jpg", "https://origin.example/5.jpg"));
  jobs::ItemQuery query;
  query.state = jobs::ItemState::kUnchanged;
  EXPECT_EQ(must(store().items(id, query)).total, 1u);
  query.state = jobs::ItemState::kSucceeded;
  EXPECT_EQ(must(store().items(id, query)).total, 3u);
  EXPECT_EQ(job(first).gone, 0u);
  EXPECT_THAT(gone_urls(first), ::testing::IsEmpty());
}

TEST_P(JobStoreSince, AJobOfUnchangedPicturesIsCompleted) {
  const auto id = since(ended(2));
  append_distinct(id, 1, 2);
  must(store().finish_ingest(id));
  const auto claimed = claim();
  std::vector<jobs::ItemOutcome> outcomes;
  for (const auto& item : claimed.items) outcomes.push_back(success_of(item, true));
  finish(std::move(outcomes));
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
  EXPECT_EQ(job(id).unchanged, 2u);
  // And can be compared with in its turn.
  const auto third = since(id);
  append_distinct(third, 1, 1);
  must(store().finish_ingest(third));
  const auto again = claim();
  ASSERT_EQ(again.items.size(), 1u);
  ASSERT_TRUE(again.items[0].earlier.has_value());
  EXPECT_EQ(again.items[0].earlier->outputs.at(0).key, item(id, 1).outputs.at(0).key) << "its own, not the first job's";
}

TEST_P(JobStoreSince, OnlyTheSameRecipeServes) {
  const jobs::RecipeChoice webp{.text = "format=webp", .name = ""};
  const auto first = create();
  ASSERT_TRUE(
      append(first, {row_of(1, "1.jpg", "a"), row_with_recipe(2, "1.jpg", webp), row_of(3, "3.jpg", "c")}).has_value());
  must(store().finish_ingest(first));
  finish_job(first);
  const auto id = since(first);
  ASSERT_TRUE(append(id, {row_with_recipe(1, "1.jpg", {.text = webp.text, .name = "web@7"}), row_of(2, "1.jpg", "b"),
                          row_with_recipe(3, "3.jpg", webp)})
                  .has_value());
  must(store().finish_ingest(id));
  const auto claimed = claim();
  ASSERT_EQ(claimed.items.size(), 3u);
  ASSERT_TRUE(claimed.items[0].earlier.has_value()) << "what the recipe says counts, not what it is called";
  EXPECT_EQ(claimed.items[0].earlier->source, facts_of(2));
  ASSERT_TRUE(claimed.items[1].earlier.has_value());
  EXPECT_EQ(claimed.items[1].earlier->source, facts_of(1));
  EXPECT_FALSE(claimed.items[2].earlier.has_value());
  finish_one(success_of(claimed.items[2]));
  EXPECT_EQ(job(id).changed, 1u);
  EXPECT_EQ(job(id).gone, 0u);
}

TEST_P(JobStoreSince, DuplicatesAreWhatTheirOriginalIs) {
  const auto id = since(ended(1));
  ASSERT_TRUE(append(id, {row_of(1, "1.jpg", "a"), row_of(2, "1.jpg", "b")}).has_value());
  must(store().finish_ingest(id));
  const auto claimed = claim();
  ASSERT_EQ(claimed.items.size(), 1u);
  finish_one(success_of(claimed.items[0], true));
  const auto second = claim();
  ASSERT_EQ(second.items.size(), 1u);
  EXPECT_EQ(second.items[0].same_as, 1u);
  EXPECT_TRUE(second.items[0].same_as_unchanged);
  EXPECT_EQ(second.items[0].same_as_outputs.size(), 1u);
  EXPECT_FALSE(second.items[0].earlier.has_value()) << "the copy of this job's own is nearer";
}

TEST_P(JobStoreSince, AResultOfUnknownOriginDoesNotServe) {
  const auto first = job_with(1);
  EXPECT_EQ(work_off(), 1u) << "without facts, as before there were any";
  const auto id = since(first);
  append_distinct(id, 1, 1);
  must(store().finish_ingest(id));
  const auto claimed = claim();
  ASSERT_EQ(claimed.items.size(), 1u);
  EXPECT_FALSE(claimed.items[0].earlier.has_value());
  finish_one(success_of(claimed.items[0]));
  EXPECT_EQ(job(id).changed, 1u);
}

TEST_P(JobStoreSince, AnIngestThatWasKilledGoesOnWithTheComparison) {
  const auto first = ended(6);
  const auto id = since(first);
  ASSERT_TRUE(append(id, {row_of(1, "2.jpg", "a"), row_of(2, "9.jpg", "b")}).has_value());
  store_->reopen();
  ASSERT_TRUE(append(id, {row_of(2, "9.jpg", "b"), row_of(3, "4.jpg", "c")}).has_value());
  store_->reopen();
  must(store().finish_ingest(id));
  EXPECT_EQ(job(id).gone, 4u);
  EXPECT_THAT(gone_urls(id, 3), ::testing::ElementsAre("https://origin.example/1.jpg", "https://origin.example/3.jpg",
                                                       "https://origin.example/5.jpg", "https://origin.example/6.jpg"));
  const auto claimed = claim();
  ASSERT_EQ(claimed.items.size(), 3u);
  EXPECT_TRUE(claimed.items[0].earlier.has_value());
  EXPECT_FALSE(claimed.items[1].earlier.has_value());
  EXPECT_TRUE(claimed.items[2].earlier.has_value());
}

TEST_P(JobStoreSince, WhatIsGoneIsNotedInPieces) {
  const auto first = create();
  constexpr std::uint64_t kRows = 12'000;
  for (std::uint64_t row = 1; row <= kRows; row += 1'000) append_distinct(first, row, 1'000);
  must(store().cancel(first));
  rescue_all();
  const auto id = since(first);
  ASSERT_TRUE(append(id, {row_of(1, "7000.jpg", "a")}).has_value());
  must(store().finish_ingest(id));
  EXPECT_EQ(job(id).gone, kRows - 1);
  EXPECT_EQ(gone_urls(id).size(), kRows - 1);
}

TEST_P(JobStoreSince, AnEarlierJobThatIsNotThereIsNoTrouble) {
  const auto id = since(JobId{Uuid::random()});
  append_distinct(id, 1, 2);
  must(store().finish_ingest(id));
  EXPECT_EQ(job(id).gone, 0u);
  EXPECT_EQ(work_off(), 2u);
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
  EXPECT_EQ(job(id).changed, 0u);
}

TEST_P(JobStoreSince, RetriedPicturesAreComparedToo) {
  const auto id = since(ended(1));
  append_distinct(id, 1, 1);
  must(store().finish_ingest(id));
  finish_one(failure(claim().items.at(0), "timeout"));
  must(store().retry(id, {}));
  const auto claimed = claim();
  ASSERT_EQ(claimed.items.size(), 1u);
  EXPECT_TRUE(claimed.items[0].earlier.has_value());
  finish_one(success_of(claimed.items[0], true));
  EXPECT_EQ(job(id).unchanged, 1u);
  EXPECT_EQ(job(id).failed, 0u);
}

TEST_P(JobStoreSince, RefusesPagesThatAreNone) {
  const auto id = create();
  EXPECT_EQ(code_of(run(store().gone(id, 0, 0))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(run(store().gone(id, 0, 1'001))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(run(store().gone(JobId{Uuid::random()}, 0, 10))), ErrorCode::kNotFound);
}

}  // namespace pixmill::conformance
