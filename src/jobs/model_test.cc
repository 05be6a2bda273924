#include "jobs/model.h"

#include <gtest/gtest.h>

#include "jobs/outbox.h"

namespace pixmill::jobs {
namespace {

constexpr JobState kJobStates[] = {JobState::kReceiving,
                                   JobState::kIngesting,
                                   JobState::kRunning,
                                   JobState::kPaused,
                                   JobState::kCancelling,
                                   JobState::kCompleted,
                                   JobState::kCompletedWithErrors,
                                   JobState::kFailed,
                                   JobState::kCancelled,
                                   JobState::kRejected,
                                   JobState::kDeleting};

TEST(Model, TextsAreReadBack) {
  for (const auto state : kJobStates) EXPECT_EQ(parse_job_state(to_text(state)), state);
  for (const auto state : {ItemState::kPending, ItemState::kLeased, ItemState::kSucceeded, ItemState::kFailed,
                           ItemState::kUnchanged, ItemState::kCancelled}) {
    EXPECT_EQ(parse_item_state(to_text(state)), state);
  }
  for (const auto origin : {JobOrigin::kLegacyUpload, JobOrigin::kApi, JobOrigin::kRun}) {
    EXPECT_EQ(parse_job_origin(to_text(origin)), origin);
  }
}

TEST(Model, TextsAreStable) {
  EXPECT_EQ(to_text(JobState::kCompletedWithErrors), "completed_with_errors");
  EXPECT_EQ(to_text(ItemState::kLeased), "leased");
  EXPECT_EQ(to_text(JobOrigin::kLegacyUpload), "legacy_upload");
  EXPECT_EQ(to_text(DeliveryState::kPending), "pending");
  EXPECT_EQ(to_text(DeliveryState::kLeased), "leased");
  EXPECT_EQ(to_text(DeliveryState::kDelivered), "delivered");
  EXPECT_EQ(to_text(DeliveryState::kExhausted), "exhausted");
  EXPECT_EQ(to_text(DeliveryState::kEndpointGone), "endpoint_gone");
}

TEST(Model, OtherTextsAreNothing) {
  for (const auto* text : {"", "Running", "running ", "done"}) {
    EXPECT_EQ(parse_job_state(text), std::nullopt);
    EXPECT_EQ(parse_item_state(text), std::nullopt);
    EXPECT_EQ(parse_job_origin(text), std::nullopt);
  }
}

TEST(Model, TerminalStatesAreThoseThatNothingFollows) {
  for (const auto state : {JobState::kCompleted, JobState::kCompletedWithErrors, JobState::kFailed,
                           JobState::kCancelled, JobState::kRejected}) {
    EXPECT_TRUE(is_terminal(state)) << to_text(state);
  }
  for (const auto state :
       {JobState::kReceiving, JobState::kIngesting, JobState::kRunning, JobState::kPaused, JobState::kCancelling}) {
    EXPECT_FALSE(is_terminal(state)) << to_text(state);
  }
  EXPECT_FALSE(is_terminal(ItemState::kPending));
  EXPECT_FALSE(is_terminal(ItemState::kLeased));
  EXPECT_TRUE(is_terminal(ItemState::kSucceeded));
  EXPECT_TRUE(is_terminal(ItemState::kFailed));
  EXPECT_TRUE(is_terminal(ItemState::kUnchanged));
  EXPECT_TRUE(is_terminal(ItemState::kCancelled));
}

TEST(Model, TheOriginalsFourWordsCoverAllStates) {
  EXPECT_EQ(legacy_status(JobState::kReceiving), "pending");
  EXPECT_EQ(legacy_status(JobState::kIngesting), "pending");
  EXPECT_EQ(legacy_status(JobState::kRunning), "processing");
  EXPECT_EQ(legacy_status(JobState::kPaused), "processing");
  EXPECT_EQ(legacy_status(JobState::kCancelling), "processing");
  EXPECT_EQ(legacy_status(JobState::kCompleted), "completed");
  EXPECT_EQ(legacy_status(JobState::kCompletedWithErrors), "completed");
  EXPECT_EQ(legacy_status(JobState::kFailed), "failed");
  EXPECT_EQ(legacy_status(JobState::kCancelled), "failed");
  EXPECT_EQ(legacy_status(JobState::kRejected), "failed");
}

}  // namespace
}  // namespace pixmill::jobs
