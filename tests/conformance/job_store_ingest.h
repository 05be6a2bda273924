// JobStore: a job comes in.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class JobStoreIngest : public StoreFixture {};
class JobStoreNames : public StoreFixture {
 protected:
  std::string stem_of(JobId id, std::uint64_t number) {
    for (const auto& item : claimed_) {
      if (item.job == id && item.lease.item == number) return item.output_stem;
    }
    while (true) {
      const auto claimed = claim();
      if (claimed.items.empty()) return "(not claimable)";
      claimed_.insert(claimed_.end(), claimed.items.begin(), claimed.items.end());
      for (const auto& item : claimed.items) {
        if (item.job == id && item.lease.item == number) return item.output_stem;
      }
    }
  }
  // One row per name, each with a URL of its own.
  void append_names(JobId id, std::uint64_t first, const std::vector<std::string>& names) {
    std::vector<jobs::NewRow> rows;
    for (std::uint64_t i = 0; i < names.size(); ++i) {
      auto row = row_of(first + i, fmt::format("{}.jpg", first + i), "");
      row.items[0].output_stem = names[i];
      rows.push_back(std::move(row));
    }
    ASSERT_TRUE(append(id, std::move(rows)).has_value());
  }

 private:
  std::vector<jobs::ClaimedItem> claimed_;
};
class P14 : public StoreFixture {};

TEST_P(JobStoreIngest, KeepsWhatAJobWasCreatedWith) {
  JobSpec spec;
  spec.headers = {{.host = "origin.example", .name = "Authorization", .value = "Bearer s3cret"}};
  spec.source_digest = std::string(64, 'd');
  spec.origin = jobs::JobOrigin::kRun;
  const auto id = create(spec);
  const auto stored = job(id);
  EXPECT_EQ(stored.id, id);
  EXPECT_EQ(stored.state, jobs::JobState::kIngesting);
  EXPECT_EQ(stored.origin, jobs::JobOrigin::kRun);
  EXPECT_EQ(stored.generation, 1);
  EXPECT_EQ(stored.name, "products.csv");
  EXPECT_EQ(stored.recipe, "format=jpeg quality=50");
  EXPECT_EQ(stored.webhook_url, "https://hook.example/a");
  EXPECT_EQ(stored.name_template, "{product}");
  EXPECT_EQ(stored.blob_prefix, "out/");
  EXPECT_EQ(stored.source_path, "/spool/a.csv");
  EXPECT_EQ(stored.source_digest, spec.source_digest);
  EXPECT_EQ(stored.invalid_rows, jobs::InvalidRows::kReject);
  EXPECT_EQ(stored.created_at, clock_.now());
  EXPECT_EQ(stored.started_at, std::nullopt);
  EXPECT_EQ(stored.finished_at, std::nullopt);
  EXPECT_EQ(must(store().headers(id)), spec.headers);
}

TEST_P(JobStoreIngest, RefusesAnIdThatExists) {
  jobs::NewJob again;
  again.id = create();
  EXPECT_EQ(code_of(run(store().create_job(std::move(again)))), ErrorCode::kConflict);
}

TEST_P(JobStoreIngest, RunsAJobToItsEnd) {
  const auto id = job_with(3);
  EXPECT_EQ(job(id).state, jobs::JobState::kRunning);
  const auto claimed = claim();
  ASSERT_EQ(claimed.items.size(), 3u);
  EXPECT_EQ(claimed.items[0].job, id);
  EXPECT_EQ(claimed.items[0].row, 1u);
  EXPECT_EQ(claimed.items[0].index, 1u);
  EXPECT_EQ(claimed.items[0].url, "https://origin.example/1.jpg");
  EXPECT_EQ(claimed.items[0].output_stem, "SKU1.{ext}");
  EXPECT_EQ(claimed.items[0].attempt, 1);
  EXPECT_EQ(claimed.items[0].same_as, std::nullopt);
  EXPECT_EQ(job(id).started_at, clock_.now());
  std::vector<jobs::ItemOutcome> outcomes;
  for (const auto& item : claimed.items) outcomes.push_back(success(item));
  const auto report = finish(std::move(outcomes));
  EXPECT_EQ(report.recorded, 3u);
  EXPECT_TRUE(report.fenced.empty());
  EXPECT_THAT(report.jobs_finished, ::testing::ElementsAre(id));
  const auto ended = job(id);
  EXPECT_EQ(ended.state, jobs::JobState::kCompleted);
  EXPECT_EQ(ended.succeeded, 3u);
  EXPECT_EQ(ended.remaining, 0u);
  EXPECT_EQ(ended.bytes_in, 3'000u);
  EXPECT_EQ(ended.bytes_out, 1'200u);
  EXPECT_EQ(ended.finished_at, clock_.now());
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.completed completed 1 rows=0"));
}

TEST_P(JobStoreIngest, KeepsRowsInOrderWithTheirCellsAndProblems) {
  const auto id = create();
  auto two = row_of(2, "a.jpg", "SKU");
  two.cells = {"2", "quote \" backslash \\ line\nend \xe2\x82\xac", ""};
  two.items.push_back({.index = 2, .url = "https://origin.example/b.jpg", .output_stem = "other.{ext}"});
  ASSERT_TRUE(append(id, {bad_row(1, "Empty URL field found at row 1"), two, row_of(3, "c.jpg", "c")}).has_value());
  const auto stored = job(id);
  EXPECT_THAT(stored.columns, ::testing::ElementsAre("S.No.", "Product Name", "Input Image Urls"));
  EXPECT_EQ(stored.rows, 3u);
  EXPECT_EQ(stored.invalid, 1u);
  EXPECT_EQ(stored.total, 3u);
  EXPECT_EQ(stored.remaining, 3u);
  const auto rows = must(store().rows(id, 0, 1'000));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].problem, "Empty URL field found at row 1");
  EXPECT_TRUE(rows[0].items.empty());
  EXPECT_EQ(rows[1].row, 2u);
  EXPECT_EQ(rows[1].cells, two.cells);
  ASSERT_EQ(rows[1].items.size(), 2u);
  EXPECT_EQ(rows[1].items[1].item, 2u);
  EXPECT_EQ(rows[1].items[1].row, 2u);
  EXPECT_EQ(rows[1].items[1].index, 2u);
  EXPECT_EQ(rows[1].items[1].url, "https://origin.example/b.jpg");
  ASSERT_EQ(rows[2].items.size(), 1u);
  EXPECT_EQ(rows[2].items[0].item, 3u);
}

TEST_P(JobStoreIngest, SkipsRowsThatAreInAlready) {
  const auto id = create();
  append_distinct(id, 1, 5);
  append_distinct(id, 1, 5);
  append_distinct(id, 4, 4);
  EXPECT_EQ(job(id).rows, 7u);
  EXPECT_EQ(job(id).total, 7u);
  EXPECT_EQ(all_items(id).size(), 7u);
}

TEST_P(JobStoreIngest, RefusesChunksThatLoseOrMixRows) {
  const auto id = create();
  append_distinct(id, 1, 2);
  EXPECT_EQ(code_of(append(id, {row_of(4, "d.jpg", "d")})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(append(id, {row_of(3, "c.jpg", "c"), row_of(5, "e.jpg", "e")})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(append(id, {row_of(4, "d.jpg", "d"), row_of(3, "c.jpg", "c")})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(append(id, {row_of(3, "c.jpg", "c"), row_of(3, "c.jpg", "c")})), ErrorCode::kInvalidArgument);
  std::vector<jobs::NewRow> many;
  for (std::uint64_t i = 0; i < 1'001; ++i) many.push_back(row_of(3 + i, "x.jpg", "x"));
  EXPECT_EQ(code_of(append(id, std::move(many))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(job(id).rows, 2u);
  // Nothing of the refused chunks is remembered: the name is still free.
  ASSERT_TRUE(append(id, {row_of(3, "c.jpg", "c")}).has_value());
  EXPECT_EQ(claim().items.at(2).output_stem, "c.{ext}");
}

TEST_P(JobStoreIngest, SpreadsRowsWithManyPicturesOverTransactions) {
  const auto id = create();
  std::vector<jobs::NewRow> rows;
  for (std::uint64_t row = 1; row <= 3; ++row) {
    rows.push_back(row_of(row, fmt::format("{}-1.jpg", row), fmt::format("{}-1", row)));
    for (std::uint32_t i = 2; i <= 1'500; ++i) {
      rows.back().items.push_back({.index = i,
                                   .url = fmt::format("https://origin.example/{}-{}.jpg", row, i),
                                   .output_stem = fmt::format("{}-{}.{{ext}}", row, i)});
    }
  }
  ASSERT_TRUE(append(id, std::move(rows)).has_value());
  EXPECT_EQ(job(id).rows, 3u);
  EXPECT_EQ(job(id).total, 4'500u);
  EXPECT_EQ(item(id, 4'500).index, 1'500u);
}

TEST_P(JobStoreIngest, ItemsCanBeClaimedWhileMoreComeIn) {
  const auto id = create();
  append_distinct(id, 1, 2);
  EXPECT_EQ(work_off(), 2u);
  EXPECT_EQ(job(id).state, jobs::JobState::kIngesting) << "a job does not end before its table does";
  EXPECT_TRUE(claim_events().empty());
  append_distinct(id, 3, 1);
  EXPECT_EQ(work_off(), 1u);
  must(store().finish_ingest(id));
  EXPECT_EQ(job(id).state, jobs::JobState::kCompleted);
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.completed completed 1 rows=0"));
}

TEST_P(JobStoreIngest, AJobWithoutPicturesFails) {
  const auto id = create();
  ASSERT_TRUE(append(id, {bad_row(1, "no"), bad_row(2, "no")}).has_value());
  must(store().finish_ingest(id));
  const auto ended = job(id);
  EXPECT_EQ(ended.state, jobs::JobState::kFailed);
  EXPECT_EQ(ended.invalid, 2u);
  EXPECT_EQ(ended.finished_at, clock_.now());
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.failed failed 1 rows=0"));
}

TEST_P(JobStoreIngest, SkippedRowsCountAsErrors) {
  const auto id = create();
  ASSERT_TRUE(append(id, {bad_row(1, "no"), row_of(2, "a.jpg", "a")}).has_value());
  must(store().finish_ingest(id));
  work_off();
  EXPECT_EQ(job(id).state, jobs::JobState::kCompletedWithErrors);
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.completed_with_errors completed_with_errors 1 rows=0"));
}

TEST_P(JobStoreIngest, RejectsAJobWhoseTableIsUnreadable) {
  const auto id = create();
  const Error why{.code = ErrorCode::kTruncated, .message = "The gzip file ends too early.", .detail = {}};
  must(store().reject_job(id, why));
  const auto rejected = job(id);
  EXPECT_EQ(rejected.state, jobs::JobState::kRejected);
  EXPECT_EQ(rejected.error_code, "truncated");
  EXPECT_EQ(rejected.error_message, why.message);
  EXPECT_EQ(rejected.finished_at, clock_.now());
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.rejected rejected 1 rows=0"));
}

TEST_P(JobStoreIngest, ARejectedJobFirstLosesTheItemsItHad) {
  const auto id = create();
  append_distinct(id, 1, 3);
  const auto claimed = claim(1);
  must(store().reject_job(id, Error{.code = ErrorCode::kInvalidArgument, .message = "line 5", .detail = {}}));
  EXPECT_EQ(job(id).state, jobs::JobState::kCancelling);
  EXPECT_EQ(job(id).cancelled, 2u);
  EXPECT_TRUE(claim().items.empty());
  EXPECT_THAT(finish_one(success(claimed.items[0])).jobs_finished, ::testing::ElementsAre(id));
  EXPECT_EQ(job(id).state, jobs::JobState::kRejected);
  EXPECT_EQ(job(id).succeeded, 1u);
  EXPECT_THAT(claim_events(), ::testing::ElementsAre("job.rejected rejected 1 rows=0"));
}

TEST_P(JobStoreIngest, SaysWhyAJobTakesNoMore) {
  const JobId unknown{Uuid::random()};
  const Error why{.code = ErrorCode::kInvalidArgument, .message = "no", .detail = {}};
  EXPECT_EQ(code_of(append(unknown, {row_of(1, "a.jpg", "a")})), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().finish_ingest(unknown))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(run(store().reject_job(unknown, why))), ErrorCode::kNotFound);

  const auto running = job_with(1);
  EXPECT_EQ(code_of(append(running, {row_of(2, "b.jpg", "b")})), ErrorCode::kConflict);
  EXPECT_EQ(code_of(run(store().finish_ingest(running))), ErrorCode::kConflict);
  EXPECT_EQ(code_of(run(store().reject_job(running, why))), ErrorCode::kConflict);

  const auto cancelled = create();
  append_distinct(cancelled, 1, 1);
  claim();
  must(store().cancel(cancelled));
  EXPECT_EQ(job(cancelled).state, jobs::JobState::kCancelling);
  EXPECT_EQ(code_of(append(cancelled, {row_of(2, "b.jpg", "b")})), ErrorCode::kCancelled);
  EXPECT_EQ(code_of(run(store().finish_ingest(cancelled))), ErrorCode::kCancelled);
  EXPECT_EQ(code_of(run(store().reject_job(cancelled, why))), ErrorCode::kCancelled);
  EXPECT_EQ(job(cancelled).rows, 1u);
}

TEST_P(JobStoreIngest, FindsIngestsToGoOnWith) {
  const auto first = create();
  const auto second = create();
  must(store().finish_ingest(create()));
  const auto found = must(store().unfinished_ingests());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].id, first);
  EXPECT_EQ(found[1].id, second);
  EXPECT_EQ(found[1].source_path, "/spool/a.csv");
}

TEST_P(JobStoreNames, AreUniqueWithinAJobWhateverTheirCase) {
  const auto id = create();
  append_names(id, 1, {"SKU.{ext}", "sku.{ext}", "SKU-2.{ext}", "Sku.{ext}", "a/b", "A/B"});
  const auto other = create();
  append_names(other, 1, {"SKU.{ext}"});
  EXPECT_EQ(stem_of(id, 1), "SKU.{ext}");
  EXPECT_EQ(stem_of(id, 2), "sku-2.{ext}");
  EXPECT_EQ(stem_of(id, 3), "SKU-2-2.{ext}");
  EXPECT_EQ(stem_of(id, 4), "Sku-3.{ext}");
  EXPECT_EQ(stem_of(id, 5), "a/b");
  EXPECT_EQ(stem_of(id, 6), "A/B-2");
  EXPECT_EQ(stem_of(other, 1), "SKU.{ext}") << "another job's names do not matter";
}

TEST_P(JobStoreNames, WithADigestAreLeftAlone) {
  const auto id = create();
  append_names(id, 1, {"SKU_{uuid}.{ext}", "SKU_{uuid}.{ext}", "{sha}.{ext}", "{sha}.{ext}"});
  append_names(id, 5, {"{{uuid}}.{ext}", "{{uuid}}.{ext}"});
  EXPECT_EQ(stem_of(id, 2), "SKU_{uuid}.{ext}");
  EXPECT_EQ(stem_of(id, 4), "{sha}.{ext}");
  EXPECT_EQ(stem_of(id, 6), "{{uuid}}-2.{ext}") << "braces that are text are no placeholder";
}

TEST_P(JobStoreNames, GiveWayToManyNaturalOnesByTheItemsNumber) {
  const auto id = create();
  std::vector<std::string> names = {"a.{ext}"};
  for (int i = 2; i <= 80; ++i) names.push_back(fmt::format("a-{}.{{ext}}", i));
  names.push_back("a.{ext}");
  append_names(id, 1, names);
  EXPECT_EQ(stem_of(id, 81), "a-81.{ext}");
}

TEST_P(JobStoreNames, StayUniqueWhenThousandsAreEqual) {
  const auto id = create();
  constexpr std::uint64_t kNames = 12'000;
  for (std::uint64_t first = 1; first <= kNames; first += 1'000) {
    append_names(id, first, std::vector<std::string>(1'000, "product.{ext}"));
    // A new process learns the names that are taken from the database.
    if (first == 5'001) store_->reopen();
  }
  must(store().finish_ingest(id));
  std::set<std::string> stems;
  std::uint64_t fanned_out = 0;
  for (auto claimed = claim(); !claimed.items.empty(); claimed = claim()) {
    for (const auto& item : claimed.items) {
      stems.insert(item.output_stem);
      EXPECT_EQ(item.output_stem.starts_with("0001/"), item.lease.item > 10'000) << item.output_stem;
      if (item.lease.item > 10'000) ++fanned_out;
    }
  }
  EXPECT_EQ(stems.size(), kNames);
  EXPECT_EQ(fanned_out, kNames - 10'000);
}

TEST_P(JobStoreNames, DoNotMeetTheFoldersOfLaterItems) {
  const auto id = create();
  append_names(id, 1, {"0001/meet.{ext}"});
  for (std::uint64_t first = 2; first <= 10'000; first += 1'000) {
    append_distinct(id, first, std::min<std::uint64_t>(1'000, 10'001 - first));
  }
  append_names(id, 10'001, {"meet.{ext}"});
  EXPECT_EQ(stem_of(id, 1), "0001/meet.{ext}");
  EXPECT_EQ(stem_of(id, 10'001), "0001/meet-2.{ext}");
}

// Chunks arrive again after a kill, whole or in part: exactly one item per row, in order, and names that fit together.
TEST_P(P14, IngestIsExactHoweverOftenItIsInterrupted) {
  constexpr std::uint64_t kRows = 50'000;
  std::mt19937 random(14);
  const auto id = create();
  std::uint64_t next = 1;
  while (next <= kRows) {
    const auto back = std::min<std::uint64_t>(next - 1, random() % 300);
    const auto first = next - back;
    append_distinct(id, first, std::min<std::uint64_t>(1'000, kRows + 1 - first));
    next = std::min<std::uint64_t>(first + 1'000, kRows + 1);
    if (random() % 10 == 0) {
      store_->reopen();
      const auto found = must(store().unfinished_ingests());
      ASSERT_EQ(found.size(), 1u);
      EXPECT_EQ(found[0].rows, next - 1);
    }
  }
  must(store().finish_ingest(id));
  const auto stored = job(id);
  EXPECT_EQ(stored.rows, kRows);
  EXPECT_EQ(stored.total, kRows);
  EXPECT_EQ(stored.remaining, kRows);
  std::uint64_t seen = 0;
  while (seen < kRows) {
    const auto rows = must(store().rows(id, seen, 1'000));
    ASSERT_FALSE(rows.empty());
    for (const auto& row : rows) {
      ++seen;
      ASSERT_EQ(row.row, seen);
      ASSERT_EQ(row.items.size(), 1u);
      ASSERT_EQ(row.items[0].item, seen);
      ASSERT_EQ(row.items[0].url, fmt::format("https://origin.example/{}.jpg", seen));
      ASSERT_EQ(row.items[0].same_as, std::nullopt);
    }
  }
  EXPECT_TRUE(must(store().rows(id, seen, 1'000)).empty());
}

}  // namespace pixmill::conformance
