#include "base/byte_budget.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <limits>
#include <optional>
#include <vector>

#include "tests/support/run_task.h"

namespace pixmill {
namespace {

struct Taker {
  std::optional<ByteBudget::Grant> grant;
  std::optional<ErrorCode> error;
};

Task<void> take_into(ByteBudget& budget, std::uint64_t bytes, Taker& taker) {
  auto grant = co_await budget.take(bytes);
  if (grant) {
    taker.grant = std::move(*grant);
  } else {
    taker.error = grant.error().code;
  }
}

class ByteBudgetTest : public ::testing::Test {
 protected:
  void start(std::uint64_t bytes, Taker& taker) {
    asio::co_spawn(io_, take_into(budget_, bytes, taker), asio::detached);
    settle();
  }
  // Runs what is ready and nothing that waits.
  void settle() {
    io_.restart();
    io_.poll();
  }
  asio::io_context io_;
  ByteBudget budget_{io_.get_executor(), 100};
};

TEST_F(ByteBudgetTest, GrantsWhatFitsAndTakesItBack) {
  Taker a;
  Taker b;
  start(60, a);
  start(40, b);
  ASSERT_TRUE(a.grant && b.grant);
  EXPECT_EQ(budget_.bytes_in_use(), 100u);
  a.grant.reset();
  EXPECT_EQ(budget_.bytes_in_use(), 40u);
}

TEST_F(ByteBudgetTest, ServesInOrderSoThatALargeOneIsNotStarved) {
  Taker holder;
  Taker large;
  Taker small;
  start(50, holder);
  start(80, large);
  start(10, small);  // would fit, but came later
  EXPECT_FALSE(large.grant);
  EXPECT_FALSE(small.grant);
  holder.grant.reset();
  settle();
  EXPECT_TRUE(large.grant);
  EXPECT_TRUE(small.grant);
  EXPECT_EQ(budget_.bytes_in_use(), 90u);
}

TEST_F(ByteBudgetTest, ServesARequestAboveTheLimitAlone) {
  Taker holder;
  Taker huge;
  Taker next;
  start(1, holder);
  start(std::numeric_limits<std::uint64_t>::max(), huge);
  start(1, next);
  EXPECT_FALSE(huge.grant);
  holder.grant.reset();
  settle();
  ASSERT_TRUE(huge.grant);
  EXPECT_FALSE(next.grant);
  huge.grant.reset();
  settle();
  EXPECT_TRUE(next.grant);
}

TEST_F(ByteBudgetTest, StopCancelsThoseWhoWaitAndThoseWhoComeLater) {
  Taker holder;
  Taker waiting;
  Taker late;
  start(100, holder);
  start(1, waiting);
  budget_.stop();
  settle();
  EXPECT_EQ(waiting.error, ErrorCode::kCancelled);
  start(1, late);
  EXPECT_EQ(late.error, ErrorCode::kCancelled);
  holder.grant.reset();
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
}

TEST_F(ByteBudgetTest, ACancelledWaiterMakesWay) {
  Taker holder;
  Taker cancelled;
  Taker behind;
  asio::cancellation_signal signal;
  start(50, holder);
  asio::co_spawn(io_, take_into(budget_, 80, cancelled), asio::bind_cancellation_slot(signal.slot(), asio::detached));
  settle();
  start(50, behind);
  EXPECT_FALSE(behind.grant);
  signal.emit(asio::cancellation_type::terminal);
  settle();
  EXPECT_FALSE(cancelled.grant);
  EXPECT_TRUE(behind.grant);
  EXPECT_EQ(budget_.bytes_in_use(), 100u);
}

TEST_F(ByteBudgetTest, ResizeMakesAnEstimateTrue) {
  Taker a;
  Taker waiting;
  start(60, a);
  start(60, waiting);
  EXPECT_FALSE(waiting.grant);
  a.grant->resize(300);
  EXPECT_EQ(budget_.bytes_in_use(), 300u) << "more than the limit: it is there already";
  a.grant->resize(40);
  settle();
  EXPECT_TRUE(waiting.grant) << "what was set aside too much serves the next";
  a.grant.reset();
  waiting.grant.reset();
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
}

TEST_F(ByteBudgetTest, GrowsAtOnceWhenThereIsRoom) {
  Taker a;
  start(10, a);
  EXPECT_TRUE(a.grant->grow({.held_bytes = 0, .wanted_bytes = 100}, [] { FAIL(); }));
  EXPECT_EQ(budget_.bytes_in_use(), 100u);
  EXPECT_TRUE(a.grant->grow({.held_bytes = 100, .wanted_bytes = 300}, [] { FAIL(); })) << "alone it may pass the limit";
  EXPECT_TRUE(ByteBudget::Grant().grow({.held_bytes = 0, .wanted_bytes = 1'000}, [] { FAIL(); }));
}

TEST_F(ByteBudgetTest, WhoHoldsNothingGivesItsEstimateBackWhileItWaitsToGrow) {
  Taker a;
  Taker b;
  Taker later;
  start(50, a);
  start(50, b);
  int granted = 0;
  EXPECT_TRUE(a.grant->grow({.held_bytes = 0, .wanted_bytes = 50}, [] { FAIL(); }));
  EXPECT_FALSE(b.grant->grow({.held_bytes = 0, .wanted_bytes = 80}, [&] { ++granted; }));
  EXPECT_EQ(budget_.bytes_in_use(), 50u);
  start(10, later);
  EXPECT_FALSE(later.grant) << "those who grow come first";
  a.grant.reset();
  settle();
  EXPECT_EQ(granted, 1);
  EXPECT_EQ(b.grant->bytes(), 80u);
  EXPECT_TRUE(later.grant);
  EXPECT_EQ(budget_.bytes_peak(), 100u);
}

TEST_F(ByteBudgetTest, OneThatHoldsAPartMayPassTheLimitAndTheOthersWait) {
  Taker takers[3];
  int granted = 0;
  const auto count = [&] { ++granted; };
  for (auto& taker : takers) start(30, taker);
  const ByteBudget::Grant::Growth growth{.held_bytes = 30, .wanted_bytes = 60};
  EXPECT_TRUE(takers[0].grant->grow(growth, count));
  EXPECT_EQ(budget_.bytes_in_use(), 120u);
  EXPECT_FALSE(takers[1].grant->grow(growth, count));
  EXPECT_FALSE(takers[2].grant->grow(growth, count));
  EXPECT_TRUE(takers[0].grant->grow({.held_bytes = 60, .wanted_bytes = 65}, count)) << "it goes on, whoever waits";
  EXPECT_EQ(granted, 0);
  takers[0].grant.reset();
  EXPECT_EQ(granted, 2) << "one fits, and the next may pass the limit";
  takers[1].grant.reset();
  takers[2].grant.reset();
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
  EXPECT_EQ(budget_.bytes_peak(), 125u);
}

TEST_F(ByteBudgetTest, WhoWaitsWithEmptyHandsDoesNotStandInTheWayOfWhoHoldsAPart) {
  Taker large;
  Taker part;
  start(10, large);
  start(60, part);
  EXPECT_FALSE(large.grant->grow({.held_bytes = 0, .wanted_bytes = 100}, [] {}));
  EXPECT_TRUE(part.grant->grow({.held_bytes = 60, .wanted_bytes = 90}, [] { FAIL(); }));
}

TEST_F(ByteBudgetTest, GrantThatIsGoneOrForgetsItsGrowthIsNotCalled) {
  Taker holder;
  Taker gone;
  Taker forgetful;
  start(80, holder);
  start(10, gone);
  start(10, forgetful);
  EXPECT_FALSE(gone.grant->grow({.held_bytes = 0, .wanted_bytes = 50}, [] { FAIL(); }));
  EXPECT_FALSE(forgetful.grant->grow({.held_bytes = 0, .wanted_bytes = 50}, [] { FAIL(); }));
  gone.grant.reset();
  forgetful.grant->forget_growth();
  holder.grant.reset();
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
}

TEST_F(ByteBudgetTest, GrantsMoveWithoutDoubling) {
  Taker a;
  Taker b;
  start(30, a);
  start(20, b);
  *a.grant = std::move(*b.grant);
  EXPECT_EQ(budget_.bytes_in_use(), 20u);
  EXPECT_EQ(a.grant->bytes(), 20u);
  EXPECT_EQ(b.grant->bytes(), 0u);
  b.grant.reset();
  EXPECT_EQ(budget_.bytes_in_use(), 20u);
}

TEST(ByteBudget, ALoopDestroyedAroundAWaiterLosesNothing) {
  std::optional<asio::io_context> io(std::in_place);
  ByteBudget budget(io->get_executor(), 10);
  Taker holder;
  Taker waiting;
  asio::co_spawn(*io, take_into(budget, 10, holder), asio::detached);
  asio::co_spawn(*io, take_into(budget, 5, waiting), asio::detached);
  io->poll();
  ASSERT_TRUE(holder.grant);
  io.reset();
  holder.grant.reset();
  EXPECT_EQ(budget.bytes_in_use(), 0u);
}

}  // namespace
}  // namespace pixmill
