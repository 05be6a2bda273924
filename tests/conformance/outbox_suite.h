// The conformance suite of Outbox:  PIXMILL_INSTANTIATE_OUTBOX_SUITE(Sqlite, factory)
#pragma once

#include <gmock/gmock.h>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

class OutboxSuite : public StoreFixture {
 protected:
  // A finished job and its event.
  JobId finished_job(const std::string& webhook_url = "https://hook.example/a") {
    JobSpec spec;
    spec.webhook_url = webhook_url;
    const auto id = job_with(1, spec);
    work_off();
    return id;
  }
  jobs::Outbox::Due due(std::uint32_t limit = 16, std::vector<std::string> held = {}) {
    jobs::DeliveryClaim request;
    request.limit = limit;
    request.lease = std::chrono::seconds(30);
    request.held_origins = std::move(held);
    return must(outbox().claim_deliveries(std::move(request)));
  }
  static jobs::DeliveryResult result_of(const jobs::DueDelivery& delivery, jobs::DeliveryState state) {
    jobs::DeliveryResult result;
    result.event_id = delivery.event_id;
    result.token = delivery.token;
    result.state = state;
    result.http_status = state == jobs::DeliveryState::kDelivered ? 200 : 503;
    result.error = state == jobs::DeliveryState::kDelivered ? "" : "http_503: unavailable";
    result.answer = "answer";
    result.elapsed_ms = 12;
    return result;
  }
  void record(const jobs::DueDelivery& delivery, jobs::DeliveryState state, std::optional<TimePoint> next = {}) {
    auto result = result_of(delivery, state);
    result.next_at = next;
    must(outbox().record_delivery(std::move(result)));
  }
  jobs::Delivery only_delivery(JobId id) {
    auto found = must(outbox().deliveries(id));
    EXPECT_EQ(found.size(), 1u);
    return found.empty() ? jobs::Delivery{} : found.front();
  }
  std::uint64_t open() { return must(outbox().open_deliveries()); }
};

TEST_P(OutboxSuite, AnEventIsDueWhenItsJobEnded) {
  EXPECT_TRUE(due().deliveries.empty());
  EXPECT_EQ(due().next_at, std::nullopt);
  const auto id = finished_job();
  EXPECT_EQ(open(), 1u);
  const auto first = due();
  ASSERT_EQ(first.deliveries.size(), 1u);
  const auto& delivery = first.deliveries[0];
  EXPECT_FALSE(delivery.event_id.empty());
  EXPECT_EQ(delivery.event_id.find('.'), std::string::npos) << "a dot separates the signed parts";
  EXPECT_EQ(delivery.job, id);
  EXPECT_EQ(delivery.type, "job.completed");
  EXPECT_EQ(delivery.url, "https://hook.example/a");
  EXPECT_EQ(delivery.body, "job.completed completed 1 rows=0");
  EXPECT_EQ(delivery.attempt, 1);
  record(delivery, jobs::DeliveryState::kDelivered);
  EXPECT_EQ(open(), 0u);
  EXPECT_TRUE(due().deliveries.empty());
  const auto kept = only_delivery(id);
  EXPECT_EQ(kept.event_id, delivery.event_id);
  EXPECT_EQ(kept.state, jobs::DeliveryState::kDelivered);
  EXPECT_EQ(kept.next_at, std::nullopt);
  ASSERT_EQ(kept.attempts.size(), 1u);
  EXPECT_EQ(kept.attempts[0].attempt, 1);
  EXPECT_EQ(kept.attempts[0].at, clock_.now());
  EXPECT_EQ(kept.attempts[0].http_status, 200);
  EXPECT_EQ(kept.attempts[0].elapsed_ms, 12);
}

TEST_P(OutboxSuite, AFailedAttemptComesAgainAtItsTimeUnderTheSameId) {
  const auto id = finished_job();
  const auto first = due().deliveries.at(0);
  const auto at = clock_.now() + std::chrono::seconds(5);
  record(first, jobs::DeliveryState::kPending, at);
  EXPECT_EQ(only_delivery(id).state, jobs::DeliveryState::kPending);
  EXPECT_EQ(only_delivery(id).next_at, at);
  const auto none = due();
  EXPECT_TRUE(none.deliveries.empty());
  EXPECT_EQ(none.next_at, at);
  clock_.advance(std::chrono::seconds(5));
  const auto second = due().deliveries.at(0);
  EXPECT_EQ(second.event_id, first.event_id);
  EXPECT_EQ(second.body, first.body);
  EXPECT_EQ(second.attempt, 2);
  record(second, jobs::DeliveryState::kExhausted);
  const auto kept = only_delivery(id);
  EXPECT_EQ(kept.state, jobs::DeliveryState::kExhausted);
  ASSERT_EQ(kept.attempts.size(), 2u);
  EXPECT_EQ(kept.attempts[0].error, "http_503: unavailable");
  EXPECT_EQ(open(), 0u);
}

TEST_P(OutboxSuite, AGoneEndpointIsTriedNoMore) {
  const auto id = finished_job();
  record(due().deliveries.at(0), jobs::DeliveryState::kEndpointGone);
  clock_.advance(std::chrono::hours(24));
  EXPECT_TRUE(due().deliveries.empty());
  EXPECT_EQ(only_delivery(id).state, jobs::DeliveryState::kEndpointGone);
}

// P17: killed between sending and recording, it is sent again; the late record of the first changes nothing.
TEST_P(OutboxSuite, AnExpiredLeaseIsClaimedAgainAndFencesTheFirst) {
  const auto id = finished_job();
  const auto first = due().deliveries.at(0);
  EXPECT_EQ(only_delivery(id).state, jobs::DeliveryState::kLeased);
  const auto none = due();
  EXPECT_TRUE(none.deliveries.empty());
  EXPECT_EQ(none.next_at, clock_.now() + std::chrono::seconds(30));
  clock_.advance(std::chrono::seconds(30));
  const auto second = due().deliveries.at(0);
  EXPECT_EQ(second.event_id, first.event_id);
  EXPECT_EQ(second.attempt, 2);
  EXPECT_GT(second.token, first.token);
  record(first, jobs::DeliveryState::kExhausted);
  EXPECT_EQ(only_delivery(id).state, jobs::DeliveryState::kLeased);
  EXPECT_TRUE(only_delivery(id).attempts.empty());
  record(second, jobs::DeliveryState::kDelivered);
  record(second, jobs::DeliveryState::kExhausted);
  EXPECT_EQ(only_delivery(id).state, jobs::DeliveryState::kDelivered);
  ASSERT_EQ(only_delivery(id).attempts.size(), 1u);
  EXPECT_EQ(only_delivery(id).attempts[0].attempt, 2);
}

TEST_P(OutboxSuite, ResendSendsAtOnceWhateverTheState) {
  EXPECT_EQ(code_of(run(outbox().resend("evt_nobody"))), ErrorCode::kNotFound);
  const auto id = finished_job();
  const auto first = due().deliveries.at(0);
  must(outbox().resend(first.event_id));
  record(first, jobs::DeliveryState::kDelivered);
  const auto second = due().deliveries.at(0);
  EXPECT_EQ(second.event_id, first.event_id);
  EXPECT_EQ(second.attempt, 2);
  record(second, jobs::DeliveryState::kDelivered);
  EXPECT_TRUE(due().deliveries.empty());
  must(outbox().resend(first.event_id));
  EXPECT_EQ(due().deliveries.at(0).attempt, 3);
  EXPECT_EQ(only_delivery(id).attempts.size(), 1u);
}

TEST_P(OutboxSuite, TheLongestDueComesFirst) {
  const auto first = finished_job("https://a.example/");
  clock_.advance(std::chrono::seconds(1));
  const auto second = finished_job("https://b.example/");
  clock_.advance(std::chrono::seconds(1));
  finished_job("https://c.example/");
  const auto two = due(2).deliveries;
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].job, first);
  EXPECT_EQ(two[1].job, second);
}

TEST_P(OutboxSuite, HeldOriginsAreLeftWhereTheyAre) {
  finished_job("https://busy.example:8443/hook?x=1");
  finished_job("https://busy.example:8443");
  const auto other = finished_job("https://busy.example/hook");
  const auto claimed = due(16, {"https://busy.example:8443"});
  ASSERT_EQ(claimed.deliveries.size(), 1u);
  EXPECT_EQ(claimed.deliveries[0].job, other);
  record(claimed.deliveries[0], jobs::DeliveryState::kDelivered);
  EXPECT_EQ(due(16, {"https://busy.example:8443"}).next_at, std::nullopt);
  EXPECT_EQ(open(), 2u);
  EXPECT_EQ(due().deliveries.size(), 2u);
}

TEST_P(OutboxSuite, ClaimsAndResultsAreChecked) {
  for (const std::uint32_t limit : {0u, 65u}) {
    jobs::DeliveryClaim request;
    request.limit = limit;
    EXPECT_EQ(code_of(run(outbox().claim_deliveries(request))), ErrorCode::kInvalidArgument);
  }
  finished_job();
  const auto delivery = due().deliveries.at(0);
  EXPECT_EQ(code_of(run(outbox().record_delivery(result_of(delivery, jobs::DeliveryState::kPending)))),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(run(outbox().record_delivery(result_of(delivery, jobs::DeliveryState::kLeased)))),
            ErrorCode::kInvalidArgument);
}

TEST_P(OutboxSuite, WhatWasSetUnderAWrongClockIsSentWhenItIsRightAgain) {
  constexpr auto kTenYears = std::chrono::hours(24 * 3'650);
  const auto id = finished_job();
  clock_.advance(kTenYears);
  record(due().deliveries.at(0), jobs::DeliveryState::kPending, clock_.now() + std::chrono::minutes(5));
  clock_.advance(-kTenYears);
  const auto again = due();
  ASSERT_EQ(again.deliveries.size(), 1u);
  EXPECT_EQ(again.deliveries[0].job, id);
}

TEST_P(OutboxSuite, DeliveriesSurviveANewProcess) {
  const auto id = finished_job();
  const auto first = due().deliveries.at(0);
  store_->reopen();
  clock_.advance(std::chrono::seconds(30));
  const auto again = due();
  ASSERT_EQ(again.deliveries.size(), 1u);
  EXPECT_EQ(again.deliveries[0].event_id, first.event_id);
  EXPECT_EQ(again.deliveries[0].job, id);
}

TEST_P(OutboxSuite, AnUnknownJobHasNoDeliveries) {
  EXPECT_TRUE(must(outbox().deliveries(JobId{Uuid::random()})).empty());
}

TEST_P(OutboxSuite, SettingsAreKeptByName) {
  EXPECT_EQ(must(outbox().setting("webhook_secret")), std::nullopt);
  const std::string value("whsec_\x00\x01 bytes", 14);
  must(outbox().set_setting("webhook_secret", value));
  must(outbox().set_setting("other", ""));
  EXPECT_EQ(must(outbox().setting("webhook_secret")), value);
  EXPECT_EQ(must(outbox().setting("other")), "");
  must(outbox().set_setting("webhook_secret", "new"));
  store_->reopen();
  EXPECT_EQ(must(outbox().setting("webhook_secret")), "new");
}

}  // namespace pixmill::conformance

#define PIXMILL_INSTANTIATE_OUTBOX_SUITE(name, factory)                                  \
  namespace pixmill::conformance {                                                       \
  INSTANTIATE_TEST_SUITE_P(name, OutboxSuite, ::testing::Values(factory), factory_name); \
  }
