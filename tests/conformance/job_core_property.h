// The job core as a whole, single-threaded under a simulated clock: jobs come in, are claimed, finished, rescued,
// announced in vain, cancelled, retried, told to receivers that fail, and the process dies now and then. Whatever the
// order, a few lines of plain code say what must be there (job_store_model.h), and at the end of every seed no
// invariant is violated, every row has exactly one final result, every generation one terminal event, and every event
// was sent at least once, always under one id and with the same bytes.
#pragma once

#include <gmock/gmock.h>

#include <cstdlib>
#include <map>

#include "jobs/job_check.h"
#include "tests/conformance/job_store_model.h"

namespace pixmill::conformance {

class JobCoreProperty : public JobStoreModel {
 protected:
  // Seeds of the short and the long form: a server answers more slowly than a file in memory.
  static std::uint64_t seeds() {
    const bool is_long = std::getenv("PIXMILL_TEST_LONG") != nullptr;
    if (GetParam().name == "Sqlite") return is_long ? 10'000 : 300;
    return is_long ? 1'000 : 30;
  }

  // What a receiver has got under one webhook-id.
  struct Sent {
    std::string body;
    std::uint64_t times = 0;
    bool delivered = false;
  };

  void deliver_some(Random& random) {
    jobs::DeliveryClaim request;
    request.limit = static_cast<std::uint32_t>(1 + below(random, 4));
    request.lease = std::chrono::seconds(1 + below(random, 10));
    for (const auto& due : must(outbox().claim_deliveries(std::move(request))).deliveries) send(random, due);
  }
  void send(Random& random, const jobs::DueDelivery& due) {
    auto& sent = sent_[due.event_id];
    EXPECT_FALSE(sent.delivered) << "told already that it had arrived";
    if (sent.times > 0) {
      EXPECT_EQ(sent.body, due.body);
    }
    sent.body = due.body;
    ++sent.times;
    EXPECT_GE(due.attempt, 1);
    const auto fate = below(random, 4);
    if (fate == 0) return;  // killed between the receiver's answer and the record
    jobs::DeliveryResult result;
    result.event_id = due.event_id;
    result.token = due.token;
    if (fate == 1) {
      result.state = jobs::DeliveryState::kPending;
      result.next_at = clock_.now() + std::chrono::seconds(below(random, 20));
    } else {
      sent.delivered = true;
    }
    must(outbox().record_delivery(std::move(result)));
  }
  // The same data in a new process: what was leased runs again.
  void die() {
    store_->reopen();
    for (auto& model : jobs_) {
      for (auto& item : model.items) {
        if (item.state == jobs::ItemState::kLeased) model.give_back(item, std::nullopt);
      }
      model.end_if_done();
    }
    rescue_them();
  }
  void step(Random& random) {
    const auto kind = below(random, 24);
    if (kind <= 1) return deliver_some(random);
    if (kind == 2) return forget_claims(random);
    if (kind == 3 && below(random, 4) == 0) return die();
    act(random);
  }
  // A worker that died: nobody finishes these.
  void forget_claims(Random& random) {
    std::erase_if(claims_, [&](const jobs::ClaimedItem&) { return below(random, 2) == 0; });
  }
  [[nodiscard]] bool all_ended() const {
    return std::ranges::all_of(jobs_, [](const ModelJob& job) { return jobs::is_terminal(job.state); });
  }
  void wind_down(Random& random) {
    for (int round = 0; round < 2'000 && !all_ended(); ++round) {
      for (auto& model : jobs_) {
        if (model.state == jobs::JobState::kPaused) resume_one(model);
        if (model.is_being_read) finish_ingest_of(model);
      }
      clock_.advance(std::chrono::seconds(5));
      rescue_them();
      std::erase_if(claims_, [&](const jobs::ClaimedItem& item) { return held(item.lease) == nullptr; });
      claim_some(random);
      finish_some(random);
      ASSERT_FALSE(HasFailure());
    }
    ASSERT_TRUE(all_ended()) << "something hangs";
    for (int round = 0; round < 2'000 && must(outbox().open_deliveries()) > 0; ++round) {
      clock_.advance(std::chrono::seconds(5));
      deliver_some(random);
    }
    EXPECT_EQ(must(outbox().open_deliveries()), 0u);
  }
  void expect_sound(const ModelJob& model) {
    jobs::CheckOptions options;
    options.items_per_slice = 4;
    options.rows_per_slice = 3;
    const auto check = must(jobs::check_job(store_->upkeep(), model.id, std::move(options)));
    EXPECT_TRUE(check.sums_compared);
    for (const auto& finding : check.findings) {
      ADD_FAILURE() << jobs::info_of(finding.invariant).name << ": "
                    << (finding.examples.empty() ? "" : finding.examples.front());
    }
    std::size_t told = 0;
    for (const auto& delivery : must(outbox().deliveries(model.id))) {
      EXPECT_GE(sent_[delivery.event_id].times, 1u) << delivery.event_id;
      ++told;
    }
    EXPECT_EQ(told, model.events.size());
  }
  void expect_reviews_noted() {
    std::set<JobId> noted;
    for (const auto& review : must(store_->upkeep().due_reviews(clock_.now(), 1'000))) noted.insert(review.job);
    for (const auto& model : jobs_) EXPECT_TRUE(noted.contains(model.id));
  }
  void forget() {
    jobs_.clear();
    claims_.clear();
    sent_.clear();
  }

  std::map<std::string, Sent> sent_;
};

TEST_P(JobCoreProperty, LosesAndDoublesNothingWhateverTheOrder) {
  constexpr int kSteps = 60;
  const auto count = seeds();
  for (std::uint64_t seed = 1; seed <= count; ++seed) {
    Random random(seed * 7'919);
    for (int i = 0; i < kSteps; ++i) {
      step(random);
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ", step " << i;
    }
    wind_down(random);
    ASSERT_FALSE(HasFailure()) << "seed " << seed << ", winding down";
    compare_all();
    for (const auto& model : jobs_) expect_sound(model);
    expect_reviews_noted();
    ASSERT_FALSE(HasFailure()) << "seed " << seed << ", at the end";
    forget();
    for (const auto& review : must(store_->upkeep().due_reviews(clock_.now(), 1'000))) {
      must(store_->upkeep().end_review(review));
    }
  }
}

}  // namespace pixmill::conformance
