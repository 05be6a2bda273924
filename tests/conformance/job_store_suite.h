// The conformance suite of JobStore. An implementation includes it in one test file and instantiates it:
//   PIXMILL_INSTANTIATE_JOB_STORE_SUITE(Sqlite, factory)
#pragma once

#include <gmock/gmock.h>

#include <set>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

using jobs::ItemState;
using jobs::JobState;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class JobStoreSuite : public StoreFixture {};

// --- A job comes in ---

TEST_P(JobStoreSuite, KeepsWhatAJobWasCreatedWith) {
  JobSpec spec;
  spec.headers = {{.host = "origin.example", .name = "Authorization", .value = "Bearer s3cret"}};
  spec.source_digest = std::string(64, 'd');
  spec.origin = jobs::JobOrigin::kRun;
  const auto id = create(spec);
  const auto stored = job(id);
  EXPECT_EQ(stored.id, id);
  EXPECT_EQ(stored.state, JobState::kIngesting);
  EXPECT_EQ(stored.origin, jobs::JobOrigin::kRun);
  EXPECT_EQ(stored.generation, 1);
  EXPECT_EQ(stored.name, "products.csv");
  EXPECT_EQ(stored.recipe, "format=jpeg quality=50");
  EXPECT_EQ(stored.webhook_url, "https://hook.example/a");
  EXPECT_EQ(stored.name_template, "{product}");
  EXPECT_EQ(stored.blob_prefix, "out/");
  EXPECT_EQ(stored.source_path, "/spool/a.csv");
  EXPECT_EQ(stored.created_at, clock_.now());
  EXPECT_EQ(stored.started_at, std::nullopt);
  ASSERT_THAT(stored.headers, SizeIs(1));
  EXPECT_EQ(stored.headers[0].host, "origin.example");
  EXPECT_EQ(stored.headers[0].value, "Bearer s3cret");
}

TEST_P(JobStoreSuite, RunsAJobToItsEnd) {
  const auto id = job_with(3);
  EXPECT_EQ(job(id).state, JobState::kRunning);
  const auto claimed = claim();
  ASSERT_THAT(claimed.items, SizeIs(3));
  EXPECT_EQ(claimed.items[0].url, "https://origin.example/1.jpg");
  EXPECT_EQ(claimed.items[0].output_stem, "SKU1.{ext}");
  EXPECT_EQ(claimed.items[0].attempt, 1);
  std::vector<jobs::ItemOutcome> outcomes;
  for (const auto& item : claimed.items) outcomes.push_back(success(item));
  const auto report = finish(std::move(outcomes));
  EXPECT_EQ(report.recorded, 3u);
  EXPECT_THAT(report.fenced, IsEmpty());
  EXPECT_THAT(report.jobs_finished, ElementsAre(id));
  const auto ended = job(id);
  EXPECT_EQ(ended.state, JobState::kCompleted);
  EXPECT_EQ(ended.succeeded, 3u);
  EXPECT_EQ(ended.remaining, 0u);
  EXPECT_EQ(ended.bytes_in, 3'000u);
  EXPECT_EQ(ended.bytes_out, 1'200u);
  EXPECT_EQ(ended.finished_at, clock_.now());
  EXPECT_THAT(claim_events(), ElementsAre("job.completed completed 1 rows=0"));
}

}  // namespace pixmill::conformance

#define PIXMILL_INSTANTIATE_JOB_STORE_SUITE(name, factory)                                 \
  namespace pixmill::conformance {                                                         \
  INSTANTIATE_TEST_SUITE_P(name, JobStoreSuite, ::testing::Values(factory), factory_name); \
  }
