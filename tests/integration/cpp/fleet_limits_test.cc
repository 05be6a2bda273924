#include "fetch/fleet_limits.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <deque>

#include "fetch/host_limits.h"
#include "fetch/host_pace.h"
#include "tests/support/redis_world.h"

namespace pixmill::fetch {
namespace {

using testing::run_task;

constexpr milliseconds kPatient{10'000};

class FleetLimitsTest : public ::testing::Test {
 protected:
  std::shared_ptr<FleetLimits> member(const std::string& name) {
    return make_redis_fleet_limits(world_.connect(), world_.prefix, name);
  }
  HostShare agree(FleetLimits& fleet, HostNeed need) {
    need.origin = kOrigin;
    if (need.limit == 0) need.limit = 16;
    return run_task(world_.io, fleet.agree(std::move(need))).value();
  }
  std::uint32_t share(FleetLimits& fleet, std::uint32_t in_flight, std::uint32_t wanted, std::uint32_t limit = 16) {
    return agree(fleet, {.in_flight = in_flight, .wanted = wanted, .limit = limit}).requests;
  }

  static constexpr const char* kOrigin = "https://images.test";
  testing::RedisWorld world_;
};

TEST_F(FleetLimitsTest, OneProcessHasItAll) {
  const auto a = member("a");
  EXPECT_EQ(share(*a, 0, 100), 16u);
  EXPECT_EQ(share(*a, 0, 5), 5u);
  EXPECT_EQ(agree(*a, {.wanted = 1}).processes, 1u);
}

TEST_F(FleetLimitsTest, P27SeveralProcessesNeverHaveMoreThanTheLimitTogether) {
  const auto a = member("a");
  const auto b = member("b");
  EXPECT_EQ(share(*a, 0, 16), 16u);
  EXPECT_EQ(share(*b, 0, 16), 0u) << "until the first has given something back";
  EXPECT_EQ(share(*a, 16, 16), 8u) << "no more begin until so few are under way";
  EXPECT_EQ(share(*b, 0, 16), 0u);
  EXPECT_EQ(share(*a, 10, 16), 8u);
  EXPECT_EQ(share(*b, 0, 16), 6u);
  EXPECT_EQ(share(*a, 8, 16), 8u);
  const auto fair = agree(*b, {.in_flight = 6, .wanted = 16});
  EXPECT_EQ(fair.requests, 8u);
  EXPECT_EQ(fair.processes, 2u);
}

TEST_F(FleetLimitsTest, WhoWantsLittleLeavesTheRest) {
  const auto a = member("a");
  const auto b = member("b");
  EXPECT_EQ(share(*a, 0, 3), 3u);
  EXPECT_EQ(share(*b, 0, 16), 13u);
  EXPECT_EQ(share(*a, 0, 0), 0u) << "it is done";
  EXPECT_EQ(share(*b, 0, 16), 16u);
}

TEST_F(FleetLimitsTest, MoreProcessesThanPlacesTakeTurns) {
  std::vector<std::shared_ptr<FleetLimits>> members;
  std::vector<bool> has_had_a_turn(3, false);
  for (const auto* name : {"a", "b", "c"}) members.push_back(member(name));
  EXPECT_TRUE(world_.run_until([&] {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < members.size(); ++i) {
      const auto now = share(*members[i], 0, 4, 1);
      has_had_a_turn[i] = has_had_a_turn[i] || now > 0;
      sum = std::max(sum, now);
    }
    EXPECT_LE(sum, 1u);
    return has_had_a_turn == std::vector<bool>(3, true);
  }));
}

TEST_F(FleetLimitsTest, TheSharesOfAKilledProcessComeBack) {
  const auto killed = member("killed");
  const auto b = member("b");
  EXPECT_EQ(share(*killed, 0, 16), 16u);
  EXPECT_EQ(share(*b, 0, 16), 0u);
  EXPECT_TRUE(world_.run_until([&] { return share(*b, 0, 16) == 16u; })) << "after kShareLasts, by Redis's clock";
}

TEST_F(FleetLimitsTest, P27ARefusalHoldsForEveryone) {
  const auto a = member("a");
  const auto b = member("b");
  EXPECT_EQ(agree(*b, {.wanted = 1}).refusals, 0u);
  agree(*a, {.wanted = 1, .refused = HostNeed::Refused{.http_status = 429, .pause = seconds(20)}});
  auto told = agree(*b, {.wanted = 1});
  EXPECT_GT(told.closed_for, seconds(15));
  EXPECT_LE(told.closed_for, seconds(20));
  EXPECT_EQ(told.refused_status, 429);
  EXPECT_EQ(told.refusals, 1u);
  told = agree(*b, {.wanted = 1, .refused = HostNeed::Refused{.http_status = 503, .pause = std::chrono::hours(1)}});
  EXPECT_EQ(told.refusals, 1u) << "of one pause the first alone counts";
  EXPECT_LE(told.closed_for, HostPace::kPauseMax);
}

TEST_F(FleetLimitsTest, FailsWhileRedisIsAway) {
  const auto alone = make_redis_fleet_limits(world_.not_started(), world_.prefix, "a");
  HostNeed need{.origin = kOrigin, .wanted = 1, .limit = 16};
  EXPECT_EQ(run_task(world_.io, alone->agree(std::move(need))).error().code, ErrorCode::kUnavailable);
}

// Two processes' limits, on one loop.
class FleetHostLimitsTest : public FleetLimitsTest {
 protected:
  struct Process {
    std::unique_ptr<HostLimits> limits;
    std::deque<HostLimits::Turn> turns;
  };
  Process& process(const std::string& name, HostLimitOptions options = {}) {
    auto& made = processes_.emplace_back();
    made.limits = std::make_unique<HostLimits>(world_.io.get_executor(), options);
    made.limits->join(member(name));
    return made;
  }
  void ask(Process& process, int count) {
    for (int i = 0; i < count; ++i) {
      asio::co_spawn(world_.io, process.limits->take(kOrigin, kPatient),
                     [&process](const std::exception_ptr&, Result<HostLimits::Turn> turn) {
                       if (turn) process.turns.push_back(std::move(*turn));
                     });
    }
  }
  void TearDown() override {
    for (auto& process : processes_) {
      process.turns.clear();
      process.limits->stop();
    }
    world_.io.restart();
    world_.io.poll();
  }

  std::deque<Process> processes_;
};

TEST_F(FleetHostLimitsTest, P27TheLimitHoldsAcrossProcesses) {
  auto& a = process("a", {.per_host = 4});
  auto& b = process("b", {.per_host = 4});
  ask(a, 40);
  ask(b, 40);
  std::size_t most = 0;
  int answered_by_a = 0;
  int answered_by_b = 0;
  EXPECT_TRUE(world_.run_until([&] {
    most = std::max(most, a.turns.size() + b.turns.size());
    for (auto* process : {&a, &b}) {
      if (process->turns.empty()) continue;
      process->turns.front().answered(milliseconds(10));
      process->turns.pop_front();
      (process == &a ? answered_by_a : answered_by_b) += 1;
    }
    return answered_by_a == 40 && answered_by_b == 40;
  })) << answered_by_a
      << " and " << answered_by_b;
  EXPECT_LE(most, 4u);
}

TEST_F(FleetHostLimitsTest, P27ARefusalOfOneProcessClosesTheHostForTheOther) {
  auto& a = process("a");
  auto& b = process("b");
  ask(a, 1);
  ask(b, 1);
  ASSERT_TRUE(world_.run_until([&] { return a.turns.size() == 1 && b.turns.size() == 1; }));
  a.limits->back_off(kOrigin, {.http_status = 429, .pause = seconds(30)});
  EXPECT_TRUE(world_.run_until([&] { return b.limits->totals().backing_off == 1; }));
  EXPECT_EQ(b.limits->table(1).at(0).refused_status, 429);
  EXPECT_LT(b.limits->table(1).at(0).limit, 4u);
}

TEST_F(FleetHostLimitsTest, DividesTheChosenRate) {
  auto& a = process("a", {.requests_per_second = 100});
  auto& b = process("b", {.requests_per_second = 100});
  ask(a, 1);
  ask(b, 1);
  EXPECT_TRUE(world_.run_until([&] {
    const auto has_half = [](Process& process) {
      const auto table = process.limits->table(1);
      return !table.empty() && table[0].rate == 50;
    };
    return has_half(a) && has_half(b);
  }));
}

TEST_F(FleetHostLimitsTest, P06GoesOnAloneWhileRedisIsAway) {
  Process alone;
  alone.limits = std::make_unique<HostLimits>(world_.io.get_executor(), HostLimitOptions{});
  alone.limits->join(make_redis_fleet_limits(world_.not_started(), world_.prefix, "a"));
  ask(alone, 4);
  EXPECT_TRUE(world_.run_until([&] { return alone.turns.size() == 4; }));
  alone.turns.clear();
  alone.limits->stop();
}

TEST_F(FleetHostLimitsTest, GivesItsShareBackWhenItIsDone) {
  auto& a = process("a");
  ask(a, 1);
  ASSERT_TRUE(world_.run_until([&] { return a.turns.size() == 1; }));
  a.turns.front().answered();
  a.turns.pop_front();
  const auto b = member("b");
  EXPECT_TRUE(world_.run_until([&] { return agree(*b, {.wanted = 16}).processes == 1; }));
}

}  // namespace
}  // namespace pixmill::fetch
