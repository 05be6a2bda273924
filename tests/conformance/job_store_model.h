// JobStore against a model of itself: random interleavings of all verbs, after which every item, every counter and
// every event must be what a few lines of plain code say.
#pragma once

#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/conformance/store_fixture.h"

namespace pixmill::conformance {

struct ModelItem {
  std::string url;
  jobs::ItemState state = jobs::ItemState::kPending;
  std::int64_t token = 0;
  int attempts = 0;
  int generation = 1;
  std::optional<TimePoint> ready_at;  // pending
  TimePoint leased_until;
  std::optional<std::uint64_t> same_as;
  bool waits = false;
  std::string code;
  auto operator<=>(const ModelItem&) const = default;
};

struct ModelJob {
  JobId id;
  jobs::JobState state = jobs::JobState::kIngesting;
  bool is_being_read = true;
  int generation = 1;
  int priority = 0;
  std::uint64_t rows = 0;
  std::vector<ModelItem> items;
  std::vector<std::string> events;

  [[nodiscard]] std::uint64_t count(jobs::ItemState state_counted) const {
    return static_cast<std::uint64_t>(std::ranges::count(items, state_counted, &ModelItem::state));
  }
  [[nodiscard]] std::uint64_t remaining() const {
    return count(jobs::ItemState::kPending) + count(jobs::ItemState::kLeased);
  }
  [[nodiscard]] bool is_runnable() const {
    return state == jobs::JobState::kIngesting || state == jobs::JobState::kRunning;
  }
  ModelItem& item(std::uint64_t number) { return items.at(number - 1); }

  // Ends the job when nothing is left; true when it did.
  bool end_if_done() {
    using jobs::JobState;
    if (jobs::is_terminal(state) || is_being_read || remaining() > 0) return false;
    const auto succeeded = count(jobs::ItemState::kSucceeded);
    if (state == JobState::kCancelling) {
      state = JobState::kCancelled;
    } else if (succeeded == 0) {
      state = JobState::kFailed;
    } else {
      state = succeeded == items.size() ? JobState::kCompleted : JobState::kCompletedWithErrors;
    }
    events.push_back(fmt::format("job.{}", jobs::to_text(state)));
    return true;
  }
  void give_back(ModelItem& item, std::optional<TimePoint> ready) const {
    if (state == jobs::JobState::kCancelling) {
      item.state = jobs::ItemState::kCancelled;
    } else {
      item.state = jobs::ItemState::kPending;
      item.ready_at = ready;
    }
  }
  void wake_followers(std::uint64_t number) {
    for (auto& item : items) {
      if (item.waits && item.same_as == number) item.waits = false;
    }
  }
};

class JobStoreModel : public StoreFixture {
 protected:
  using Random = std::mt19937_64;

  static std::uint64_t below(Random& random, std::uint64_t bound) { return random() % bound; }
  ModelJob* job_of(const jobs::Lease& lease) {
    const auto id = job_of_number_.find(lease.job_no);
    if (id == job_of_number_.end()) return nullptr;
    const auto found = std::ranges::find(jobs_, id->second, &ModelJob::id);
    return found == jobs_.end() ? nullptr : &*found;
  }
  // The item of a lease that is still held.
  ModelItem* held(const jobs::Lease& lease) {
    auto* job = job_of(lease);
    if (job == nullptr) return nullptr;
    auto& item = job->item(lease.item);
    return item.state == jobs::ItemState::kLeased && item.token == lease.token ? &item : nullptr;
  }
  ModelJob* any_job(Random& random) { return jobs_.empty() ? nullptr : &jobs_[below(random, jobs_.size())]; }
  std::vector<jobs::ClaimedItem> some_claims(Random& random) {
    std::vector<jobs::ClaimedItem> some;
    for (const auto& item : claims_) {
      if (some.size() < 64 && below(random, 3) == 0) some.push_back(item);
    }
    return some;
  }
  bool claimable(const ModelJob& job, const ModelItem& item) const {
    return job.is_runnable() && item.state == jobs::ItemState::kPending && !item.waits &&
           (!item.ready_at || *item.ready_at <= clock_.now());
  }

  void create_one(Random& random) {
    if (jobs_.size() >= 4) return;
    JobSpec spec;
    spec.priority = static_cast<int>(below(random, 2));
    ModelJob model;
    model.id = create(spec);
    model.priority = spec.priority;
    jobs_.push_back(model);
    append_some(random, jobs_.back());
  }
  void append_some(Random& random, ModelJob& model) {
    std::vector<jobs::NewRow> rows;
    const auto first = model.rows + 1;
    for (std::uint64_t i = 0; i < below(random, 6); ++i) {
      rows.push_back(row_of(first + i, fmt::format("{}.jpg", below(random, 8)), "name"));
    }
    const auto appended = append(model.id, rows);
    if (!model.is_being_read) {
      const bool cancelled = model.state == jobs::JobState::kCancelling || model.state == jobs::JobState::kCancelled;
      EXPECT_EQ(code_of(appended), cancelled ? ErrorCode::kCancelled : ErrorCode::kConflict);
      return;
    }
    ASSERT_TRUE(appended.has_value());
    for (const auto& row : rows) {
      ModelItem item;
      item.url = row.items[0].url;
      for (std::uint64_t number = 1; number <= model.items.size(); ++number) {
        if (model.item(number).url != item.url) continue;
        item.same_as = number;
        item.waits = !jobs::is_terminal(model.item(number).state);
        break;
      }
      model.items.push_back(item);
      ++model.rows;
    }
  }
  void finish_ingest_of(ModelJob& model) {
    const auto finished = run(store().finish_ingest(model.id));
    EXPECT_EQ(finished.has_value(), model.is_being_read);
    if (!finished) return;
    model.is_being_read = false;
    if (model.state == jobs::JobState::kIngesting) model.state = jobs::JobState::kRunning;
    model.end_if_done();
  }
  void pause_one(ModelJob& model) {
    const auto paused = run(store().pause(model.id));
    const bool possible = model.is_runnable() || model.state == jobs::JobState::kPaused;
    EXPECT_EQ(paused.has_value(), possible);
    if (possible) model.state = jobs::JobState::kPaused;
  }
  void resume_one(ModelJob& model) {
    const auto resumed = run(store().resume(model.id));
    EXPECT_EQ(resumed.has_value(), model.is_runnable() || model.state == jobs::JobState::kPaused);
    if (model.state != jobs::JobState::kPaused) return;
    model.state = model.is_being_read ? jobs::JobState::kIngesting : jobs::JobState::kRunning;
  }
  void claim_some(Random& random) {
    const auto limit = static_cast<std::uint32_t>(1 + below(random, 8));
    const auto lease = std::chrono::seconds(1 + below(random, 20));
    const auto claimed = claim(limit, lease);
    std::optional<int> lowest_priority;
    for (const auto& item : claimed.items) {
      auto model = std::ranges::find(jobs_, item.job, &ModelJob::id);
      ASSERT_NE(model, jobs_.end());
      job_of_number_[item.lease.job_no] = item.job;
      auto& expected = model->item(item.lease.item);
      EXPECT_TRUE(claimable(*model, expected)) << "item " << item.lease.item;
      EXPECT_EQ(item.lease.token, expected.token + 1);
      EXPECT_EQ(item.attempt, expected.attempts + 1);
      EXPECT_EQ(item.url, expected.url);
      EXPECT_EQ(item.same_as, expected.same_as);
      expected.state = jobs::ItemState::kLeased;
      expected.token = item.lease.token;
      expected.leased_until = clock_.now() + lease;
      if (!lowest_priority || model->priority < *lowest_priority) lowest_priority = model->priority;
      claims_.push_back(item);
    }
    check_nothing_better(claimed, limit, lowest_priority);
  }
  // Less than the limit means that nothing is left; nothing of a higher priority is left out either way.
  void check_nothing_better(const jobs::Claim& claimed, std::uint32_t limit, std::optional<int> lowest_priority) {
    std::optional<TimePoint> next;
    for (const auto& job : jobs_) {
      for (const auto& item : job.items) {
        if (claimable(job, item)) {
          EXPECT_EQ(claimed.items.size(), limit);
          EXPECT_LE(job.priority, lowest_priority.value_or(-1));
        }
        const bool later = job.is_runnable() && item.state == jobs::ItemState::kPending && !item.waits && item.ready_at;
        if (later && (!next || *item.ready_at < *next)) next = item.ready_at;
      }
    }
    EXPECT_EQ(claimed.next_ready_at, claimed.items.empty() ? next : std::nullopt);
  }
  void finish_some(Random& random) {
    std::vector<jobs::ItemOutcome> outcomes;
    std::vector<jobs::Lease> fenced;
    std::set<JobId> touched;
    for (const auto& item : some_claims(random)) {
      const auto kind = below(random, 4);
      const auto code = below(random, 2) == 0 ? "timeout" : "http_404";
      const auto retry_at = clock_.now() + std::chrono::seconds(below(random, 10));
      auto* expected = held(item.lease);
      if (kind <= 1) outcomes.push_back(success(item));
      if (kind == 2) outcomes.push_back(failure(item, code));
      if (kind == 3) outcomes.push_back(failure(item, code, retry_at));
      if (expected == nullptr) {
        fenced.push_back(item.lease);
        continue;
      }
      auto& model = *job_of(item.lease);
      touched.insert(model.id);
      ++expected->attempts;
      expected->code = kind <= 1 ? "" : code;
      expected->state = kind <= 1 ? jobs::ItemState::kSucceeded : jobs::ItemState::kFailed;
      if (kind == 3) {
        model.give_back(*expected, retry_at);
      } else {
        model.wake_followers(item.lease.item);
      }
    }
    std::set<JobId> ended;
    for (auto& model : jobs_) {
      if (touched.contains(model.id) && model.end_if_done()) ended.insert(model.id);
    }
    const auto count = outcomes.size();
    const auto report = finish(std::move(outcomes));
    EXPECT_EQ(report.recorded, count - fenced.size());
    EXPECT_EQ(report.fenced, fenced);
    EXPECT_EQ(std::set<JobId>(report.jobs_finished.begin(), report.jobs_finished.end()), ended);
    EXPECT_EQ(report.jobs_finished.size(), ended.size());
  }
  void release_some(Random& random) {
    std::vector<jobs::Lease> leases;
    std::optional<TimePoint> ready;
    if (below(random, 2) == 0) ready = clock_.now() + std::chrono::seconds(below(random, 5));
    for (const auto& item : some_claims(random)) {
      leases.push_back(item.lease);
      if (auto* expected = held(item.lease)) job_of(item.lease)->give_back(*expected, ready);
    }
    must(store().release(std::move(leases), ready));
    for (auto& model : jobs_) model.end_if_done();
  }
  void renew_some(Random& random) {
    std::vector<jobs::Lease> leases;
    std::vector<jobs::Lease> lost;
    const auto lease = std::chrono::seconds(1 + below(random, 20));
    for (const auto& item : some_claims(random)) {
      leases.push_back(item.lease);
      auto* expected = held(item.lease);
      if (expected != nullptr) expected->leased_until = clock_.now() + lease;
      if (expected == nullptr || job_of(item.lease)->state == jobs::JobState::kCancelling) lost.push_back(item.lease);
    }
    EXPECT_EQ(must(store().renew(std::move(leases), lease)), lost);
  }
  void rescue_them() {
    rescue_all();
    for (auto& model : jobs_) {
      for (auto& item : model.items) {
        const bool expired = item.state == jobs::ItemState::kLeased && item.leased_until <= clock_.now();
        if (expired) model.give_back(item, std::nullopt);
        const bool doomed = model.state == jobs::JobState::kCancelling && item.state == jobs::ItemState::kPending;
        if (doomed) item.state = jobs::ItemState::kCancelled;
      }
      model.end_if_done();
    }
  }
  void cancel_one(ModelJob& model) {
    const auto answered = must(store().cancel(model.id));
    if (!jobs::is_terminal(model.state)) {
      model.state = jobs::JobState::kCancelling;
      model.is_being_read = false;
      for (auto& item : model.items) {
        if (item.state == jobs::ItemState::kPending) item.state = jobs::ItemState::kCancelled;
      }
      model.end_if_done();
    }
    EXPECT_EQ(answered.state, model.state);
  }
  void retry_one(Random& random, ModelJob& model) {
    jobs::RetryFilter filter;
    if (below(random, 2) == 0) filter.error_code = "timeout";
    const auto matches = [&](const ModelItem& item) {
      return item.state == jobs::ItemState::kFailed && (filter.error_code.empty() || item.code == filter.error_code);
    };
    const bool possible = jobs::is_terminal(model.state) && model.state != jobs::JobState::kCancelled &&
                          std::ranges::any_of(model.items, matches);
    const auto answered = run(store().retry(model.id, filter));
    ASSERT_EQ(answered.has_value(), possible);
    if (!possible) {
      EXPECT_EQ(answered.error().code, ErrorCode::kConflict);
      return;
    }
    ++model.generation;
    model.state = jobs::JobState::kRunning;
    for (auto& item : model.items) {
      if (!matches(item)) continue;
      item.state = jobs::ItemState::kPending;
      item.generation = model.generation;
      item.attempts = 0;
      item.ready_at.reset();
      item.code = "";
      if (!item.same_as) continue;
      const auto original = model.item(*item.same_as).state;
      item.waits = !jobs::is_terminal(original);
      if (original == jobs::ItemState::kFailed) item.same_as.reset();
    }
    EXPECT_EQ(answered->generation, model.generation);
  }

  void compare(const ModelJob& model) {
    const auto stored = job(model.id);
    EXPECT_EQ(stored.state, model.state);
    EXPECT_EQ(stored.generation, model.generation);
    EXPECT_EQ(stored.rows, model.rows);
    EXPECT_EQ(stored.total, model.items.size());
    EXPECT_EQ(stored.remaining, model.remaining());
    EXPECT_EQ(stored.succeeded, model.count(jobs::ItemState::kSucceeded));
    EXPECT_EQ(stored.failed, model.count(jobs::ItemState::kFailed));
    EXPECT_EQ(stored.cancelled, model.count(jobs::ItemState::kCancelled));
    EXPECT_EQ(stored.bytes_in, 1'000 * stored.succeeded);
    EXPECT_EQ(stored.bytes_out, 400 * stored.succeeded);
    EXPECT_EQ(stored.finished_at.has_value(), jobs::is_terminal(model.state));
    std::vector<std::string> events;
    for (const auto& delivery : must(outbox().deliveries(model.id))) events.push_back(delivery.type);
    EXPECT_EQ(events, model.events);
    std::map<std::string, std::uint64_t> failures;
    for (const auto& item : model.items) {
      if (item.state == jobs::ItemState::kFailed) ++failures[item.code];
    }
    std::map<std::string, std::uint64_t> counted;
    for (const auto& group : must(store().failures(model.id))) counted[group.code] = group.count;
    EXPECT_EQ(counted, failures);
    const auto items = all_items(model.id);
    ASSERT_EQ(items.size(), model.items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      const auto& expected = model.items[i];
      EXPECT_EQ(items[i].state, expected.state) << "item " << i + 1;
      EXPECT_EQ(items[i].attempts, expected.attempts);
      EXPECT_EQ(items[i].generation, expected.generation);
      EXPECT_EQ(items[i].error_code, expected.code);
      EXPECT_EQ(items[i].same_as, expected.same_as);
      EXPECT_EQ(items[i].outputs.size(), expected.state == jobs::ItemState::kSucceeded ? 1u : 0u);
      if (expected.state == jobs::ItemState::kPending) {
        EXPECT_EQ(items[i].retry_at, expected.ready_at);
      }
    }
  }
  void compare_all() {
    std::uint64_t pending = 0;
    std::uint64_t leased = 0;
    for (const auto& model : jobs_) {
      compare(model);
      pending += model.count(jobs::ItemState::kPending);
      leased += model.count(jobs::ItemState::kLeased);
    }
    const auto depth = must(store().depth());
    EXPECT_EQ(depth.pending, pending);
    EXPECT_EQ(depth.leased, leased);
  }
  void act(Random& random) {
    const auto kind = below(random, 22);
    auto* job = any_job(random);
    if (kind <= 1 || job == nullptr) return create_one(random);
    if (kind == 2) return append_some(random, *job);
    if (kind == 3) return finish_ingest_of(*job);
    if (kind <= 7) return claim_some(random);
    if (kind <= 11) return finish_some(random);
    if (kind == 12) return release_some(random);
    if (kind == 13) return renew_some(random);
    if (kind <= 15) return clock_.advance(std::chrono::seconds(below(random, 12)));
    if (kind == 16) return rescue_them();
    if (kind == 17) return cancel_one(*job);
    if (kind == 18) return pause_one(*job);
    if (kind == 19) return resume_one(*job);
    retry_one(random, *job);
  }
  // Leaves nothing for the next seed.
  void clean_up() {
    for (auto& model : jobs_) cancel_one(model);
    clock_.advance(std::chrono::minutes(10));
    rescue_them();
    compare_all();
    jobs_.clear();
    claims_.clear();
  }

  std::vector<ModelJob> jobs_;
  std::map<std::int64_t, JobId> job_of_number_;
  std::vector<jobs::ClaimedItem> claims_;
};

TEST_P(JobStoreModel, AgreesWithAModelUnderRandomInterleavings) {
  constexpr std::uint64_t kSeeds = 500;
  constexpr int kSteps = 30;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Random random(seed);
    for (int i = 0; i < kSteps; ++i) {
      act(random);
      if (i % 5 == 4) compare_all();
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ", step " << i;
    }
    clean_up();
    ASSERT_FALSE(HasFailure()) << "seed " << seed << ", at the end";
  }
}

}  // namespace pixmill::conformance
