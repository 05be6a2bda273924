#include <gtest/gtest.h>

#include "fetch/fetcher.h"
#include "tests/support/fetch_world.h"

namespace pixmill::fetch {
namespace {

using testing::FetchWorld;
using testing::FetchWorldOptions;
using testing::OriginAnswer;
using testing::OriginServer;

FetchWorldOptions respectful() {
  FetchWorldOptions options{.allow = "127.0.0.0/8"};
  options.fetch.respect_robots = true;
  return options;
}

OriginAnswer answer_of(std::string body, int status = 200) {
  OriginAnswer answer;
  answer.status = status;
  answer.body = std::move(body);
  return answer;
}

OriginAnswer redirect_to(std::string location) {
  OriginAnswer answer = answer_of("", 302);
  answer.headers = {{"Location", std::move(location)}};
  return answer;
}

TEST(P28, RobotsTxtIsAskedOnceAndObeyed) {
  FetchWorld world(respectful());
  OriginServer origin;
  origin.route("/robots.txt", answer_of("User-agent: pixmill\nDisallow: /private\n"));
  origin.route("/public", answer_of("picture"));
  origin.route("/private", answer_of("picture"));
  for (const auto& fetched : world.get_all(std::vector<std::string>(20, origin.url("/public")))) EXPECT_TRUE(fetched);
  EXPECT_EQ(world.error_of(origin.url("/private")), ErrorCode::kRobotsDenied);
  EXPECT_EQ(origin.requests("/private"), 0u);
  EXPECT_EQ(origin.requests("/robots.txt"), 1u);
  EXPECT_TRUE(origin.last_request("/robots.txt")->header("User-Agent")->starts_with("Pixmill/"));
}

TEST(P28, RobotsTxtIsNotAskedUnlessTold) {
  FetchWorld world({.allow = "127.0.0.0/8"});
  OriginServer origin;
  origin.route("/robots.txt", answer_of("User-agent: *\nDisallow: /\n"));
  OriginAnswer tagged = answer_of("picture");
  tagged.headers = {{"X-Robots-Tag", "noai"}};
  origin.route("/public", tagged);
  EXPECT_TRUE(world.get(origin.url("/public")));
  EXPECT_EQ(origin.requests("/robots.txt"), 0u);
}

TEST(P28, RedirectsAreLookedUpWhereTheyLead) {
  FetchWorldOptions options = respectful();
  options.limits.per_host = 1;
  FetchWorld world(options);
  OriginServer first;
  OriginServer second;
  first.route("/there", redirect_to(second.url("/private")));
  first.route("/here", redirect_to(first.url("/public")));
  first.route("/public", answer_of("picture"));
  second.route("/robots.txt", answer_of("User-agent: *\nDisallow: /private\n"));
  second.route("/private", answer_of("picture"));
  EXPECT_EQ(world.error_of(first.url("/there")), ErrorCode::kRobotsDenied);
  EXPECT_EQ(second.requests("/private"), 0u);
  EXPECT_TRUE(world.get(first.url("/here")));
}

TEST(P28, AFileThatCannotBeHadKeepsThePictureForLater) {
  FetchWorld world(respectful());
  OriginServer origin;
  origin.route("/robots.txt", answer_of("", 500));
  origin.route("/public", answer_of("picture"));
  const auto fetched = world.get(origin.url("/public"));
  ASSERT_FALSE(fetched);
  EXPECT_EQ(code_text(fetched.error()), "http_500");
  EXPECT_TRUE(is_transient(fetched.error().code));
  EXPECT_TRUE(fetched.error().retry_after);
  EXPECT_EQ(origin.requests("/public"), 0u);
}

TEST(P28, TheFileIsFetchedByTheRulesOfPictures) {
  FetchWorld world(respectful());
  OriginServer origin;
  origin.route("/robots.txt", redirect_to("http://10.0.0.1/robots.txt"));
  origin.route("/public", answer_of("picture"));
  EXPECT_EQ(world.error_of(origin.url("/public")), ErrorCode::kBlockedAddress);
  OriginServer round;
  round.route("/robots.txt", redirect_to(round.url("/robots.txt")));
  round.route("/public", answer_of("picture"));
  EXPECT_TRUE(world.get(round.url("/public"))) << "one that is never reached forbids nothing";
  OriginServer large;
  large.route("/robots.txt", answer_of("User-agent: *\nDisallow: /private\n" + std::string(2 << 20, '#')));
  large.route("/public", answer_of("picture"));
  EXPECT_TRUE(world.get(large.url("/public"))) << "what is beyond 500 kB is not read";
  EXPECT_EQ(world.error_of(large.url("/private")), ErrorCode::kRobotsDenied);
}

TEST(P28, TheTagOfAnAnswerIsObeyed) {
  FetchWorld world(respectful());
  OriginServer origin;
  for (const auto& [path, tag] : {std::pair("/a", "noai, noimageai"), {"/b", "pixmill: none"}}) {
    OriginAnswer answer = answer_of("picture");
    answer.headers = {{"X-Robots-Tag", "nofollow"}, {"X-Robots-Tag", tag}};
    origin.route(path, answer);
    EXPECT_EQ(world.error_of(origin.url(path)), ErrorCode::kRobotsDenied) << tag;
  }
  OriginAnswer others = answer_of("picture");
  others.headers = {{"X-Robots-Tag", "otherbot: noai"}};
  origin.route("/c", others);
  EXPECT_TRUE(world.get(origin.url("/c")));
}

}  // namespace
}  // namespace pixmill::fetch
