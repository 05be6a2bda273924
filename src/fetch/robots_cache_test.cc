#include "fetch/robots_cache.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <deque>
#include <map>
#include <optional>

#include "tests/support/run_task.h"

namespace pixmill::fetch {
namespace {

using testing::run_task;
using Answer = RobotsCache::Answer;

class RobotsCacheTest : public ::testing::Test {
 protected:
  RobotsCache& cache(RobotsCacheOptions options = {}) {
    if (!cache_) {
      options.product = "Pixmill";
      options.now = [this] { return now_; };
      cache_ = std::make_unique<RobotsCache>(std::move(options),
                                             [this](std::string origin) { return load(std::move(origin)); });
    }
    return *cache_;
  }
  Task<Result<Answer>> load(std::string origin) {
    ++loads_[origin];
    if (slow_) co_await pause_for(std::chrono::hours(1));
    co_return answer_;
  }
  Result<void> check(const std::string& url) { return run_task(io_, cache().check(parse_source_url(url).value())); }
  static Result<Answer> says(int status, std::string body = {}) {
    return Answer{.status = status, .body = std::move(body)};
  }

  asio::io_context io_;
  std::chrono::steady_clock::time_point now_{std::chrono::hours(100)};
  Result<Answer> answer_ = says(200, "User-agent: pixmill\nDisallow: /no\n");
  std::map<std::string, int> loads_;
  bool slow_ = false;
  std::unique_ptr<RobotsCache> cache_;
};

TEST_F(RobotsCacheTest, P28LoadsTheFileOncePerOriginAndDay) {
  EXPECT_TRUE(check("https://a.test/yes.jpg"));
  const auto denied = check("https://a.test/no.jpg");
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, ErrorCode::kRobotsDenied);
  EXPECT_FALSE(is_transient(denied.error().code));
  EXPECT_EQ(loads_["https://a.test"], 1);
  EXPECT_TRUE(check("https://a.test:8443/yes.jpg"));
  EXPECT_EQ(loads_["https://a.test:8443"], 1) << "another port is another authority";
  now_ += std::chrono::hours(23);
  EXPECT_TRUE(check("https://a.test/yes.jpg"));
  EXPECT_EQ(loads_["https://a.test"], 1);
  now_ += std::chrono::hours(2);
  EXPECT_TRUE(check("https://a.test/yes.jpg"));
  EXPECT_EQ(loads_["https://a.test"], 2);
}

TEST_F(RobotsCacheTest, P28AFileThatIsNotThereForbidsNothing) {
  for (const int status : {404, 403, 401, 410, 302}) {
    answer_ = says(status, "User-agent: *\nDisallow: /\n");
    EXPECT_TRUE(check("https://h" + std::to_string(status) + ".test/no.jpg")) << status;
  }
  answer_ = fail(ErrorCode::kTooManyRedirects, "More than 5 redirects");
  EXPECT_TRUE(check("https://round.test/no.jpg"));
}

TEST_F(RobotsCacheTest, P28AFileThatCannotBeHadForbidsEverythingForNow) {
  for (const int status : {429, 500, 503}) {
    answer_ = says(status);
    const std::string url = "https://h" + std::to_string(status) + ".test/yes.jpg";
    const auto refused = check(url);
    ASSERT_FALSE(refused) << status;
    EXPECT_EQ(refused.error().code, ErrorCode::kHttpTransient);
    EXPECT_EQ(refused.error().http_status, status);
    EXPECT_EQ(refused.error().retry_after, std::chrono::seconds(30));
    answer_ = says(404);
    now_ += std::chrono::seconds(29);
    EXPECT_EQ(check(url).error().retry_after, std::chrono::seconds(1)) << "it is not asked all the time";
    now_ += std::chrono::seconds(2);
    EXPECT_TRUE(check(url));
  }
  answer_ = fail(ErrorCode::kConnect, "cannot connect");
  EXPECT_EQ(check("https://down.test/yes.jpg").error().code, ErrorCode::kConnect);
}

TEST_F(RobotsCacheTest, RemembersNothingWhereNothingWasLearnt) {
  answer_ = fail(ErrorCode::kUnavailable, "No turn");
  EXPECT_EQ(check("https://a.test/yes.jpg").error().code, ErrorCode::kUnavailable);
  answer_ = says(404);
  EXPECT_TRUE(check("https://a.test/yes.jpg"));
}

TEST_F(RobotsCacheTest, LoadsOnceForAllWhoAskTogetherAlsoWhenTheFirstIsCancelled) {
  slow_ = true;
  asio::cancellation_signal signal;
  std::deque<std::optional<bool>> results(3);
  const auto ask = [&](std::size_t at) {
    auto url = parse_source_url("https://a.test/yes.jpg").value();
    const auto slot = at == 0 ? signal.slot() : asio::cancellation_slot();
    asio::co_spawn(
        io_, cache().check(std::move(url)),
        asio::bind_cancellation_slot(slot, [&results, at](const std::exception_ptr& thrown, Result<void> result) {
          results[at] = !thrown && result.has_value();
        }));
    io_.restart();
    io_.poll();
  };
  for (std::size_t i = 0; i < 3; ++i) ask(i);
  EXPECT_EQ(loads_["https://a.test"], 1);
  slow_ = false;
  signal.emit(asio::cancellation_type::terminal);
  io_.restart();
  io_.poll();
  EXPECT_EQ(results[1], true);
  EXPECT_EQ(results[2], true);
  EXPECT_LE(loads_["https://a.test"], 2);
}

TEST_F(RobotsCacheTest, KeepsWithinItsBounds) {
  cache({.entries_max = 3});
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(check("https://h" + std::to_string(i) + ".test/yes.jpg"));
  EXPECT_TRUE(check("https://h4.test/yes.jpg"));
  EXPECT_EQ(loads_["https://h4.test"], 1);
  EXPECT_TRUE(check("https://h0.test/yes.jpg"));
  EXPECT_EQ(loads_["https://h0.test"], 2) << "the oldest was dropped";
}

TEST_F(RobotsCacheTest, DropsTheOldestWhenTheRulesTakeTooMuchMemory) {
  std::string large = "User-agent: *\n";
  for (int i = 0; i < 200; ++i) large += "Disallow: /" + std::string(100, 'x') + std::to_string(i) + "\n";
  answer_ = says(200, large);
  cache({.bytes_max = 100'000});
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(check("https://h" + std::to_string(i) + ".test/yes.jpg"));
  EXPECT_FALSE(cache().knows("https://h0.test"));
  EXPECT_TRUE(cache().knows("https://h9.test"));
}

}  // namespace
}  // namespace pixmill::fetch
