// JobStore: what pages, exports and sweeps ask.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class JobStoreReads : public StoreFixture {
 protected:
  // 12 items: 1 to 3 succeeded, 4 and 5 failed (http_404), 6 failed (timeout), 7 waits for a retry (timeout), 8 and 9
  // leased, 10 to 12 pending.
  JobId mixed_job() {
    const auto id = job_with(12);
    const auto claimed = claim(9);
    const auto& items = claimed.items;
    finish({success(items[0]), success(items[1]), success(items[2]), failure(items[3], "http_404"),
            failure(items[4], "http_404"), failure(items[5], "timeout"),
            failure(items[6], "timeout", clock_.now() + std::chrono::hours(1))});
    return id;
  }
  std::pair<std::vector<std::uint64_t>, std::uint64_t> page(JobId id, const jobs::ItemQuery& query) {
    const auto found = must(store().items(id, query));
    std::vector<std::uint64_t> numbers;
    for (const auto& item : found.items) numbers.push_back(item.item);
    return {numbers, found.total};
  }
};

using Numbers = std::vector<std::uint64_t>;

TEST_P(JobStoreReads, UnknownJobsAreNotFound) {
  const JobId unknown{Uuid::random()};
  EXPECT_EQ(code_of(run(store().job(unknown))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().items(unknown, jobs::ItemQuery{}))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().rows(unknown, 0, 10))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().failures(unknown))), ErrorCode::kNotFound);
}

TEST_P(JobStoreReads, PageLimitsAreChecked) {
  const auto id = job_with(1);
  for (const std::uint32_t limit : {0u, 1'001u}) {
    jobs::ItemQuery items;
    items.limit = limit;
    EXPECT_EQ(code_of(run(store().items(id, items))), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code_of(run(store().rows(id, 0, limit))), ErrorCode::kInvalidArgument);
  }
  for (const std::uint32_t limit : {0u, 501u}) {
    jobs::JobQuery query;
    query.limit = limit;
    EXPECT_EQ(code_of(run(store().jobs(query))), ErrorCode::kInvalidArgument);
  }
  for (const std::string cursor : {"", "x", "-5", "99999999999999999999"}) {
    jobs::JobQuery query;
    query.before = cursor;
    EXPECT_EQ(code_of(run(store().jobs(query))), ErrorCode::kInvalidArgument) << cursor;
  }
}

TEST_P(JobStoreReads, JobsComeNewestFirstPageByPage) {
  std::vector<JobId> ids;
  for (int i = 0; i < 7; ++i) ids.insert(ids.begin(), job_with(1));
  std::vector<JobId> seen;
  jobs::JobQuery query;
  query.limit = 3;
  for (int pages = 0; pages < 5; ++pages) {
    const auto found = must(store().jobs(query));
    EXPECT_EQ(found.total, 7u);
    for (const auto& job : found.jobs) seen.push_back(job.id);
    if (!found.next) break;
    query.before = found.next;
  }
  EXPECT_EQ(seen, ids);
}

TEST_P(JobStoreReads, JobsCanBeFilteredByState) {
  const auto done = job_with(1);
  work_off();
  job_with(1);
  jobs::JobQuery query;
  query.state = jobs::JobState::kCompleted;
  const auto found = must(store().jobs(query));
  ASSERT_EQ(found.jobs.size(), 1u);
  EXPECT_EQ(found.jobs[0].id, done);
  EXPECT_EQ(found.total, 1u);
  EXPECT_EQ(found.next, std::nullopt);
}

TEST_P(JobStoreReads, TheNewestJobOfADigestIsFound) {
  JobSpec spec;
  spec.source_digest = std::string(64, '7');
  create(spec);
  const auto newest = create(spec);
  create();
  const auto found = must(store().job_by_digest(spec.source_digest));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, newest);
  EXPECT_EQ(must(store().job_by_digest(std::string(64, '8'))), std::nullopt);
  EXPECT_FALSE(must(store().job_by_digest("")).has_value()) << "jobs without a digest are not each other's";
}

TEST_P(JobStoreReads, ItemsCanBeFilteredByStateAndError) {
  using jobs::ItemState;
  const auto id = mixed_job();
  const auto in_state = [&](ItemState state) { return page(id, {.state = state, .error_code = "", .offset = {}}); };
  EXPECT_EQ(in_state(ItemState::kSucceeded), std::pair(Numbers({1, 2, 3}), std::uint64_t{3}));
  EXPECT_EQ(in_state(ItemState::kFailed), std::pair(Numbers({4, 5, 6}), std::uint64_t{3}));
  EXPECT_EQ(in_state(ItemState::kPending), std::pair(Numbers({7, 10, 11, 12}), std::uint64_t{4}));
  EXPECT_EQ(in_state(ItemState::kLeased), std::pair(Numbers({8, 9}), std::uint64_t{2}));
  EXPECT_EQ(in_state(ItemState::kCancelled), std::pair(Numbers(), std::uint64_t{0}));
  EXPECT_EQ(in_state(ItemState::kUnchanged), std::pair(Numbers(), std::uint64_t{0}));
  const auto with = [&](std::optional<ItemState> state, const std::string& code) {
    return page(id, {.state = state, .error_code = code, .offset = {}});
  };
  EXPECT_EQ(with(ItemState::kFailed, "http_404"), std::pair(Numbers({4, 5}), std::uint64_t{2}));
  EXPECT_EQ(with(ItemState::kPending, "timeout"), std::pair(Numbers({7}), std::uint64_t{1}));
  EXPECT_EQ(with(std::nullopt, "timeout"), std::pair(Numbers({6, 7}), std::uint64_t{2}));
  EXPECT_EQ(with(ItemState::kSucceeded, "timeout"), std::pair(Numbers(), std::uint64_t{0}));
  EXPECT_EQ(with(std::nullopt, "dns"), std::pair(Numbers(), std::uint64_t{0}));
}

TEST_P(JobStoreReads, PagesByNumberAndByOffsetMeet) {
  const auto id = mixed_job();
  const auto by = [&](std::optional<jobs::ItemState> state, const std::string& code) {
    Numbers by_number;
    Numbers by_offset;
    while (true) {
      const auto after = by_number.empty() ? 0 : by_number.back();
      const auto [numbers, total] =
          page(id, {.state = state, .error_code = code, .after = after, .offset = {}, .limit = 2});
      if (numbers.empty()) break;
      by_number.insert(by_number.end(), numbers.begin(), numbers.end());
      EXPECT_GE(total, by_number.size());
    }
    for (std::uint64_t offset = 0; offset < 20; offset += 2) {
      const auto numbers =
          page(id, {.state = state, .error_code = code, .after = 0, .offset = offset, .limit = 2}).first;
      by_offset.insert(by_offset.end(), numbers.begin(), numbers.end());
    }
    EXPECT_EQ(by_number, by_offset);
    return by_number;
  };
  EXPECT_EQ(by(std::nullopt, ""), Numbers({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  EXPECT_EQ(by(jobs::ItemState::kPending, ""), Numbers({7, 10, 11, 12}));
  EXPECT_EQ(by(jobs::ItemState::kFailed, "http_404"), Numbers({4, 5}));
  EXPECT_EQ(by(std::nullopt, "timeout"), Numbers({6, 7}));
}

TEST_P(JobStoreReads, FarOffsetsAreEmptyPages) {
  const auto id = job_with(3);
  EXPECT_EQ(page(id, {.state = {}, .error_code = "", .after = 0, .offset = 1'000'000'000'000, .limit = 5}),
            std::pair(Numbers(), std::uint64_t{3}));
  EXPECT_EQ(page(id, {.state = {}, .error_code = "", .after = ~std::uint64_t{0}, .offset = {}, .limit = 5}),
            std::pair(Numbers(), std::uint64_t{3}));
}

TEST_P(JobStoreReads, RowsComeInPagesWithItemsAndOutputs) {
  const auto id = job_with(7);
  work_off();
  std::uint64_t after = 0;
  std::uint64_t seen = 0;
  while (true) {
    const auto rows = must(store().rows(id, after, 3));
    if (rows.empty()) break;
    for (const auto& row : rows) {
      EXPECT_EQ(row.row, ++seen);
      ASSERT_EQ(row.items.size(), 1u);
      EXPECT_EQ(row.items[0].state, jobs::ItemState::kSucceeded);
      EXPECT_EQ(row.items[0].outputs.size(), 1u);
    }
    after = rows.back().row;
  }
  EXPECT_EQ(seen, 7u);
}

TEST_P(JobStoreReads, FailuresAreGroupedMostFrequentFirst) {
  const auto groups = must(store().failures(mixed_job()));
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].code, "http_404");
  EXPECT_EQ(groups[0].count, 2u);
  EXPECT_EQ(groups[0].example, "The server says http_404.");
  EXPECT_EQ(groups[1].code, "timeout");
  EXPECT_EQ(groups[1].count, 1u) << "a retry that waits has not failed";
}

TEST_P(JobStoreReads, KeysThatNoItemNamesAreUnreferenced) {
  const auto id = job_with(2);
  const auto claimed = claim();
  finish_one(success(claimed.items[0]));
  const auto named = fmt::format("{}/1-1", id.text());
  const auto late = fmt::format("{}/2-1", id.text());
  const std::vector<std::string> keys = {late, named, "stray.jpg", ""};
  EXPECT_THAT(must(store().unreferenced(keys)), ::testing::ElementsAre(late, "stray.jpg", ""));
  EXPECT_TRUE(must(store().unreferenced({})).empty());
}

TEST_P(JobStoreReads, DepthCountsWhatIsNotDone) {
  EXPECT_EQ(must(store().depth()).pending, 0u);
  mixed_job();
  const auto other = create();
  append_distinct(other, 1, 5);
  const auto depth = must(store().depth());
  EXPECT_EQ(depth.pending, 9u);
  EXPECT_EQ(depth.leased, 2u);
}

TEST_P(JobStoreReads, PingAnswers) { must(store().ping()); }

// P49 in miniature: pages by number neither skip nor repeat while items change state under them.
TEST_P(JobStoreReads, PagesStayWholeWhileItemsMove) {
  const auto id = job_with(50);
  std::set<std::uint64_t> seen;
  std::uint64_t after = 0;
  while (true) {
    const auto numbers = page(id, {.state = {}, .error_code = "", .after = after, .offset = {}, .limit = 7}).first;
    if (numbers.empty()) break;
    for (const auto number : numbers) EXPECT_TRUE(seen.insert(number).second);
    after = numbers.back();
    const auto claimed = claim(9);
    for (const auto& item : claimed.items) finish_one(success(item));
  }
  EXPECT_EQ(seen.size(), 50u);
}

}  // namespace pixmill::conformance
