#include "worker/worker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <functional>
#include <iterator>
#include <set>
#include <stdexcept>

#include "base/byte_budget.h"
#include "base/wakeup.h"
#include "tests/support/manual_clock.h"
#include "tests/support/pipeline_fakes.h"
#include "tests/support/run_task.h"
#include "tests/support/scripted_store.h"

namespace pixmill::worker {
namespace {

// A worker over a scripted store with `count` items to claim; the test ends when `finished_` items have been recorded.
class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() : queue_(jobs::make_local_queue(io_.get_executor())), budget_(io_.get_executor(), 64u << 20) {
    job_.id = JobId{Uuid::random()};
    job_.recipe = "format=jpeg";
    job_.blob_prefix = "images/";
    store_.on_job = [this](const JobId&) { return Result<jobs::Job>(job_); };
    store_.on_jobs = [this](const jobs::JobQuery&) { return Result<jobs::JobPage>(page_); };
    store_.on_rescue = [] { return Result<jobs::JobStore::RescueReport>(jobs::JobStore::RescueReport{}); };
    store_.on_renew = [](const auto&) { return Result<std::vector<jobs::Lease>>(std::vector<jobs::Lease>{}); };
    store_.on_release = [this](const auto& leases, auto) {
      released_.insert(released_.end(), leases.begin(), leases.end());
      return Result<void>{};
    };
    store_.on_claim = [this](const auto& request) { return hand_out(request.limit); };
    store_.on_finish = [this](const auto& outcomes) {
      outcomes_.insert(outcomes_.end(), outcomes.begin(), outcomes.end());
      if (outcomes_.size() >= stop_after_) done_.ring();
      return Result<jobs::FinishReport>(
          jobs::FinishReport{.recorded = outcomes.size(), .fenced = {}, .jobs_finished = {}});
    };
  }

  Result<jobs::Claim> hand_out(std::uint32_t limit) {
    jobs::Claim claim;
    for (std::uint32_t i = 0; i < limit && next_item_ <= items_; ++i, ++next_item_) {
      jobs::ClaimedItem item;
      item.lease = {.job_no = 1, .item = next_item_, .token = 1};
      item.job = job_.id;
      item.row = next_item_;
      item.url = "http://shop.example/" + std::to_string(next_item_);
      item.output_stem = "p" + std::to_string(next_item_) + ".{ext}";
      if (recipe_of_) item.recipe = recipe_of_(next_item_);
      claim.items.push_back(std::move(item));
    }
    return claim;
  }

  Task<void> run(milliseconds grace) {
    const pipeline::PipelineParts parts{.fetcher = fetcher_,
                                        .engines = engines_,
                                        .blobs = blobs_,
                                        .budget = budget_,
                                        .watermarks = watermarks_,
                                        .metrics = metrics_};
    pipeline::Pipeline pipeline(parts);
    const WorkerParts worker_parts{
        .store = store_, .queue = *queue_, .pipeline = pipeline, .blobs = blobs_, .clock = clock_, .metrics = metrics_};
    Worker worker(io_.get_executor(), worker_parts, options_);
    worker.start();
    co_await done_.wait(std::chrono::minutes(1));
    co_await worker.drain(grace);
    left_ = worker.in_flight();
  }

  // So that an item can be aborted when a part of it lies in the store already.
  void store_in_two_steps() {
    blobs_.put_takes = std::chrono::hours(1);
    engines_.answer = [one = engines_.answer](std::string_view source) {
      auto rendered = one(source);
      rendered->renditions.push_back(rendered->renditions.front());
      return rendered;
    };
  }

  asio::io_context io_;
  testing::ManualClock clock_;
  Metrics metrics_;
  testing::ScriptedStore store_;
  std::unique_ptr<jobs::Queue> queue_;
  testing::FakeFetcher fetcher_;
  testing::FakePool engines_;
  testing::MemoryBlobs blobs_;
  ByteBudget budget_;
  testing::MemoryBlobs uploads_;
  pipeline::Watermarks watermarks_{io_.get_executor(), {.fetcher = fetcher_, .uploads = uploads_}};
  WorkerOptions options_;
  jobs::Job job_;
  std::function<std::string(std::uint64_t item)> recipe_of_;
  jobs::JobPage page_;
  std::uint64_t items_ = 0, next_item_ = 1;
  std::size_t stop_after_ = 0;
  std::vector<jobs::ItemOutcome> outcomes_;
  std::vector<jobs::Lease> released_;
  std::uint32_t left_ = 0;
  Wakeup done_{io_.get_executor()};
};

TEST_F(WorkerTest, RecordsEveryClaimedItemOnce) {
  items_ = 1'000;
  stop_after_ = 1'000;
  testing::run_task(io_, run(seconds(10)));
  ASSERT_EQ(outcomes_.size(), 1'000u);
  std::set<std::uint64_t> items;
  for (const auto& outcome : outcomes_) items.insert(outcome.lease.item);
  EXPECT_EQ(items.size(), 1'000u);
  EXPECT_EQ(blobs_.blobs.size(), 1'000u);
  EXPECT_TRUE(released_.empty());
  EXPECT_EQ(left_, 0u);
}

TEST_F(WorkerTest, MakesEachItemWithItsOwnRecipe) {
  items_ = 2'100;  // more different ones than are kept at hand
  stop_after_ = items_;
  recipe_of_ = [](std::uint64_t item) { return item % 2 == 0 ? "" : "resize=" + std::to_string(item) + "x"; };
  testing::run_task(io_, run(seconds(10)));
  std::multiset<std::string> asked;
  for (const auto& recipe : engines_.asked) asked.insert(image::canonical_text(recipe));
  EXPECT_EQ(asked.size(), items_);
  EXPECT_EQ(asked.count("format=jpeg"), items_ / 2) << "the job's own";
  for (std::uint64_t item = 1; item <= items_; item += 2) {
    EXPECT_EQ(asked.count("resize=" + std::to_string(item) + "x"), 1u) << item;
  }
}

TEST_F(WorkerTest, AnUnreadableRecipeFailsItsItemAlone) {
  items_ = 2;
  stop_after_ = 2;
  recipe_of_ = [](std::uint64_t item) { return item == 1 ? "from=the future" : ""; };
  testing::run_task(io_, run(seconds(10)));
  for (const auto& outcome : outcomes_) {
    const auto* failure = std::get_if<jobs::ItemFailure>(&outcome.result);
    EXPECT_EQ(failure != nullptr, outcome.lease.item == 1);
    if (failure == nullptr) continue;
    EXPECT_EQ(failure->code, "job_unusable");
    EXPECT_FALSE(failure->retry_at.has_value());
  }
}

TEST_F(WorkerTest, TransientFailureIsRescheduledAndPermanentIsFinal) {
  items_ = 2;
  stop_after_ = 2;
  fetcher_.answer = [](const std::string& url) -> Result<fetch::Fetched> {
    if (url.ends_with('1')) return fail(ErrorCode::kTimeout, "too slow");
    return std::unexpected(
        Error{.code = ErrorCode::kHttpPermanent, .message = "gone", .detail = {}, .http_status = 404});
  };
  testing::run_task(io_, run(seconds(10)));
  for (const auto& outcome : outcomes_) {
    const auto& failure = std::get<jobs::ItemFailure>(outcome.result);
    EXPECT_EQ(failure.retry_at.has_value(), outcome.lease.item == 1);
    EXPECT_EQ(failure.code, outcome.lease.item == 1 ? "timeout" : "http_404");
  }
}

TEST_F(WorkerTest, BrokenOffTransferIsTriedAgainButADamagedFileIsNot) {
  items_ = 2;
  stop_after_ = 2;
  fetcher_.answer = [](const std::string& url) -> Result<fetch::Fetched> {
    if (url.ends_with('1')) return fail(ErrorCode::kTruncated, "the connection ended early");
    return fetch::Fetched{.bytes = "half a picture", .final_url = url};
  };
  engines_.answer = [](auto) { return fail(ErrorCode::kTruncated, "the jpeg file ends too early"); };
  testing::run_task(io_, run(seconds(10)));
  for (const auto& outcome : outcomes_) {
    EXPECT_EQ(std::get<jobs::ItemFailure>(outcome.result).retry_at.has_value(), outcome.lease.item == 1);
  }
}

TEST_F(WorkerTest, ItemWithoutATurnGoesBackUncounted) {
  items_ = 1;
  fetcher_.answer = [this](const std::string&) -> Result<fetch::Fetched> {
    done_.ring();
    return fail(ErrorCode::kUnavailable, "the host is busy");
  };
  testing::run_task(io_, run(seconds(10)));
  EXPECT_TRUE(outcomes_.empty());
  EXPECT_EQ(released_.size(), 1u);
}

TEST_F(WorkerTest, P16ItemOfAClosedHostWaitsUntilItOpens) {
  items_ = 1;
  std::optional<TimePoint> ready_at;
  store_.on_release = [&](const auto&, std::optional<TimePoint> at) {
    ready_at = at;
    done_.ring();
    return Result<void>{};
  };
  fetcher_.answer = [](const std::string&) -> Result<fetch::Fetched> {
    return std::unexpected(
        Error{.code = ErrorCode::kUnavailable, .message = "closed", .detail = {}, .retry_after = seconds(42)});
  };
  testing::run_task(io_, run(seconds(10)));
  EXPECT_EQ(ready_at, clock_.now() + seconds(42));
  EXPECT_TRUE(outcomes_.empty());
}

TEST_F(WorkerTest, DuplicateOfAFailureFailsAlikeWithoutFetching) {
  store_.on_claim = [this](const auto&) -> Result<jobs::Claim> {
    auto claim = hand_out(1).value();
    for (auto& item : claim.items) {
      item.same_as = 7;
      item.same_as_error_code = "http_404";
      item.same_as_error_message = "gone";
    }
    return claim;
  };
  items_ = 1;
  stop_after_ = 1;
  testing::run_task(io_, run(seconds(10)));
  EXPECT_TRUE(fetcher_.asked.empty());
  const auto& failure = std::get<jobs::ItemFailure>(outcomes_.at(0).result);
  EXPECT_EQ(failure.code, "http_404");
  EXPECT_FALSE(failure.retry_at.has_value());
}

TEST_F(WorkerTest, P12DrainGivesBackWhatDoesNotEndInTime) {
  items_ = 10;
  fetcher_.takes = std::chrono::hours(1);
  const auto begin = [this]() -> Task<void> {
    while (fetcher_.asked.size() < 10) co_await pause_for(milliseconds(1));
    done_.ring();
  };
  asio::co_spawn(io_, begin, asio::detached);
  testing::run_task(io_, run(milliseconds(20)));
  EXPECT_EQ(released_.size(), 10u);
  EXPECT_TRUE(outcomes_.empty());
  EXPECT_EQ(left_, 0u);
}

TEST_F(WorkerTest, P15CancelledJobsItemsAreAborted) {
  items_ = 5;
  fetcher_.takes = std::chrono::hours(1);
  options_.cancel_poll = milliseconds(1);
  const auto cancel = [this]() -> Task<void> {
    while (fetcher_.asked.size() < 5) co_await pause_for(milliseconds(1));
    job_.state = jobs::JobState::kCancelling;
    page_.jobs.push_back(job_);
    while (released_.size() < 5) co_await pause_for(milliseconds(1));
    done_.ring();
  };
  asio::co_spawn(io_, cancel, asio::detached);
  testing::run_task(io_, run(seconds(10)));
  EXPECT_EQ(released_.size(), 5u);
}

TEST_F(WorkerTest, JobWhoseHeadersCannotBeReadFailsWithoutFetching) {
  items_ = 3;
  stop_after_ = 3;
  store_.on_headers = [](const JobId&) { return fail(ErrorCode::kInvalidArgument, "sealed under another master key"); };
  testing::run_task(io_, run(seconds(10)));
  EXPECT_TRUE(fetcher_.asked.empty());
  ASSERT_EQ(outcomes_.size(), 3u);
  const auto& failure = std::get<jobs::ItemFailure>(outcomes_.at(0).result);
  EXPECT_EQ(failure.code, "job_unusable");
  EXPECT_FALSE(failure.retry_at.has_value());
}

TEST_F(WorkerTest, ExceptionIsTheItemsResultInsteadOfAnEndlessLoop) {
  items_ = 2;
  stop_after_ = 2;
  fetcher_.answer = [](const std::string& url) -> Result<fetch::Fetched> {
    if (url.ends_with('1')) throw std::runtime_error("a bug");
    return fetch::Fetched{.bytes = "a picture", .final_url = url};
  };
  testing::run_task(io_, run(seconds(10)));
  EXPECT_TRUE(released_.empty());
  ASSERT_EQ(outcomes_.size(), 2u);
  for (const auto& outcome : outcomes_) {
    const auto* failure = std::get_if<jobs::ItemFailure>(&outcome.result);
    ASSERT_EQ(failure != nullptr, outcome.lease.item == 1);
    if (failure == nullptr) continue;
    EXPECT_EQ(failure->code, "internal");
    EXPECT_FALSE(failure->retry_at.has_value());
  }
}

TEST_F(WorkerTest, FullDiskUsesUpNoAttemptsAndTheWorkGoesOnByItself) {
  items_ = 1;
  stop_after_ = 1;
  options_.disk_full_pause = milliseconds(1);
  blobs_.put_error = Error{.code = ErrorCode::kDiskFull, .message = "No space left", .detail = {}};
  store_.on_release = [this](const auto& leases, auto) {
    released_.insert(released_.end(), leases.begin(), leases.end());
    blobs_.put_error.reset();
    next_item_ = 1;
    return Result<void>{};
  };
  testing::run_task(io_, run(seconds(10)));
  EXPECT_EQ(released_.size(), 1u);
  ASSERT_EQ(outcomes_.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<jobs::ItemSuccess>(outcomes_[0].result));
}

TEST_F(WorkerTest, ClaimsNothingWhenOthersDoTheItems) {
  options_.claims = false;
  options_.rescue_every = milliseconds(1);
  store_.on_claim = [](const jobs::ClaimRequest&) -> Result<jobs::Claim> {
    ADD_FAILURE() << "claimed";
    return jobs::Claim{};
  };
  int rounds = 0;
  store_.on_rescue = [&]() -> Result<jobs::JobStore::RescueReport> {
    if (++rounds == 2) done_.ring();
    return jobs::JobStore::RescueReport{};
  };
  testing::run_task(io_, run(seconds(10)));
  EXPECT_EQ(rounds, 2);
}

TEST_F(WorkerTest, ClaimsNothingWhileItMayNot) {
  items_ = 3;
  stop_after_ = 3;
  int refusals = 1;
  options_.may_claim = [&]() -> Result<void> {
    EXPECT_TRUE(fetcher_.asked.empty() || refusals < 0);
    if (refusals-- > 0) return fail(ErrorCode::kDiskFull, "only 3 kB are free");
    return {};
  };
  testing::run_task(io_, run(seconds(10)));
  EXPECT_EQ(outcomes_.size(), 3u);
  EXPECT_LT(refusals, 0);
}

TEST_F(WorkerTest, AbortedItemLeavesNoFileWithoutARow) {
  items_ = 2;
  job_.state = jobs::JobState::kCancelling;
  store_in_two_steps();
  store_.on_unreferenced = [](const std::vector<std::string>& keys) {
    std::vector<std::string> orphans;
    std::ranges::copy_if(keys, std::back_inserter(orphans), [](const auto& key) { return key != "images/p2.jpg"; });
    return Result<std::vector<std::string>>(orphans);
  };
  const auto begin = [this]() -> Task<void> {
    while (blobs_.blobs.size() < 2) co_await pause_for(milliseconds(1));
    blobs_.blobs["images/p3.jpg"] = "x";
    done_.ring();
  };
  asio::co_spawn(io_, begin, asio::detached);
  testing::run_task(io_, run(milliseconds(20)));
  EXPECT_EQ(released_.size(), 2u);
  EXPECT_FALSE(blobs_.blobs.contains("images/p1.jpg"));
  EXPECT_TRUE(blobs_.blobs.contains("images/p2.jpg")) << "a row names it";
  EXPECT_TRUE(blobs_.blobs.contains("images/p3.jpg")) << "another item's";
}

TEST_F(WorkerTest, ItemWhoseLeaseHasPassedOnRemovesNothing) {
  items_ = 1;
  store_in_two_steps();
  options_.heartbeat = milliseconds(1);
  job_.state = jobs::JobState::kRunning;
  store_.on_renew = [this](const auto& leases) {
    return Result<std::vector<jobs::Lease>>(blobs_.blobs.empty() ? std::vector<jobs::Lease>{} : leases);
  };
  store_.on_release = [this](const auto& leases, auto) {
    released_.insert(released_.end(), leases.begin(), leases.end());
    done_.ring();
    return Result<void>{};
  };
  store_.on_unreferenced = [](const std::vector<std::string>& keys) { return Result<std::vector<std::string>>(keys); };
  testing::run_task(io_, run(seconds(10)));
  EXPECT_EQ(released_.size(), 1u);
  EXPECT_TRUE(blobs_.blobs.contains("images/p1.jpg")) << "the attempt that has the lease now may have stored it";
}

TEST_F(WorkerTest, P03AbortedItemRemovesNothingWhereOthersMayStoreTheSameName) {
  items_ = 1;
  options_.sweeps = false;
  store_in_two_steps();
  store_.on_unreferenced = [](const std::vector<std::string>& keys) { return Result<std::vector<std::string>>(keys); };
  const auto begin = [this]() -> Task<void> {
    while (blobs_.blobs.empty()) co_await pause_for(milliseconds(1));
    done_.ring();
  };
  asio::co_spawn(io_, begin, asio::detached);
  testing::run_task(io_, run(milliseconds(20)));
  EXPECT_EQ(released_.size(), 1u);
  EXPECT_TRUE(blobs_.blobs.contains("images/p1.jpg"));
}

TEST_F(WorkerTest, P03FileThatArrivedAfterItsJobWasRemovedGoesToo) {
  items_ = 1;
  job_.blob_prefix = job_.id.text() + "/";
  const std::string beside = Uuid::random().text() + "/p1.jpg";
  blobs_.blobs[beside] = "x";
  bool is_fenced = false;
  store_.on_finish = [this, &is_fenced](const auto& outcomes) {
    is_fenced = true;
    // The job was removed while this one was paused, and its folder emptied before the file came.
    EXPECT_EQ(blobs_.blobs.size(), 2u);
    store_.on_job = [](const JobId&) -> Result<jobs::Job> { return fail(ErrorCode::kNotFound, "no such job"); };
    jobs::FinishReport report;
    for (const auto& outcome : outcomes) report.fenced.push_back(outcome.lease);
    return Result<jobs::FinishReport>(report);
  };
  const auto end = [this, &is_fenced]() -> Task<void> {
    for (int i = 0; i < 1'000 && !(is_fenced && blobs_.blobs.size() == 1); ++i) co_await pause_for(milliseconds(1));
    done_.ring();
  };
  asio::co_spawn(io_, end, asio::detached);
  testing::run_task(io_, run(seconds(10)));
  ASSERT_EQ(blobs_.blobs.size(), 1u);
  EXPECT_TRUE(blobs_.blobs.contains(beside)) << "another job's";
}

TEST_F(WorkerTest, FencedOutcomeOfAJobThatIsThereRemovesNothing) {
  items_ = 1;
  job_.blob_prefix = job_.id.text() + "/";
  store_.on_finish = [this](const auto& outcomes) {
    jobs::FinishReport report;
    for (const auto& outcome : outcomes) report.fenced.push_back(outcome.lease);
    done_.ring();
    return Result<jobs::FinishReport>(report);
  };
  testing::run_task(io_, run(seconds(10)));
  EXPECT_EQ(blobs_.blobs.size(), 1u) << "a newer attempt may have recorded it";
}

TEST_F(WorkerTest, StoreThatIsAwayIsAskedAgain) {
  int refusals = 1;
  store_.on_claim = [&](const auto& request) -> Result<jobs::Claim> {
    if (refusals-- > 0) return fail(ErrorCode::kUnavailable, "away");
    return hand_out(request.limit);
  };
  items_ = 3;
  stop_after_ = 3;
  testing::run_task(io_, run(seconds(10)));
  EXPECT_EQ(outcomes_.size(), 3u);
}

}  // namespace
}  // namespace pixmill::worker
