#include "http/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixmill::http {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

Task<Response> nothing(Request&) { co_return Response{}; }

Router jobs_router() {
  Router router;
  router.add("GET", "/", nothing);
  router.add("GET", "/v1/jobs/{id}", nothing);
  router.add("GET", "/v1/jobs", nothing);
  router.add("POST", "/v1/jobs", nothing);
  router.add("POST", "/v1/jobs/{id}/cancel", nothing);
  router.add("GET", "/v1/jobs/stats", nothing);
  router.add("GET", "/files/{key...}", nothing);
  router.add("GET", "/imgproc/status/{id}/", nothing, true);
  return router;
}

TEST(Router, BindsParameters) {
  const auto match = jobs_router().match("POST", "/v1/jobs/7f/cancel");
  EXPECT_NE(match.handler, nullptr);
  EXPECT_EQ(match.pattern, "/v1/jobs/{id}/cancel");
  EXPECT_THAT(match.params, ElementsAre(Pair("id", "7f")));
}

TEST(Router, TakesTheMostLiteralPatternWhateverTheOrder) {
  EXPECT_EQ(jobs_router().match("GET", "/v1/jobs/stats").pattern, "/v1/jobs/stats");
  EXPECT_EQ(jobs_router().match("GET", "/v1/jobs/other").pattern, "/v1/jobs/{id}");

  Router router;
  router.add("GET", "/{rest...}", nothing);
  router.add("GET", "/{a}/x", nothing);
  router.add("GET", "/a/{b}", nothing);
  EXPECT_EQ(router.match("GET", "/a/x").pattern, "/a/{b}");
  EXPECT_EQ(router.match("GET", "/b/x").pattern, "/{a}/x");
  EXPECT_EQ(router.match("GET", "/b/y").pattern, "/{rest...}");
}

TEST(Router, BindsARestWithItsSlashes) {
  const auto match = jobs_router().match("GET", "/files/job/0001/a b.jpg");
  EXPECT_THAT(match.params, ElementsAre(Pair("key", "job/0001/a b.jpg")));
  EXPECT_EQ(jobs_router().match("GET", "/files/").handler, nullptr);
}

TEST(Router, FindsGetForHead) {
  EXPECT_NE(jobs_router().match("HEAD", "/v1/jobs").handler, nullptr);
  EXPECT_EQ(jobs_router().match("HEAD", "/v1/jobs/x/cancel").handler, nullptr);
}

TEST(Router, NamesTheMethodsOfAPathWhoseMethodIsMissing) {
  const auto match = jobs_router().match("DELETE", "/v1/jobs");
  EXPECT_EQ(match.handler, nullptr);
  EXPECT_EQ(match.pattern, "/v1/jobs");
  EXPECT_THAT(match.allowed_methods, ElementsAre("GET", "HEAD", "POST"));
}

TEST(Router, FallsBackToALessLiteralPatternThatHasTheMethod) {
  Router router;
  router.add("POST", "/a/b", nothing);
  router.add("GET", "/a/{x}", nothing);
  EXPECT_EQ(router.match("GET", "/a/b").pattern, "/a/{x}");
  EXPECT_EQ(router.match("POST", "/a/b").pattern, "/a/b");
}

TEST(Router, MatchesEitherSlashOnlyWhereAsked) {
  EXPECT_NE(jobs_router().match("GET", "/imgproc/status/7").handler, nullptr);
  EXPECT_NE(jobs_router().match("GET", "/imgproc/status/7/").handler, nullptr);
  EXPECT_EQ(jobs_router().match("GET", "/imgproc/status/7//").handler, nullptr);
  EXPECT_EQ(jobs_router().match("GET", "/v1/jobs/").handler, nullptr);
}

TEST(Router, FindsNothingElsewhere) {
  for (const auto* path : {"", "/v2", "/v1/jobs//cancel", "/v1/jobs/7/cancel/x", "v1/jobs", "//"}) {
    const auto match = jobs_router().match("GET", path);
    EXPECT_EQ(match.handler, nullptr) << path;
    EXPECT_EQ(match.pattern, "") << path;
    EXPECT_THAT(match.allowed_methods, IsEmpty()) << path;
  }
}

}  // namespace
}  // namespace pixmill::http
