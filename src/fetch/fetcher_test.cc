#include "fetch/fetcher.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>

#include "tests/support/fetch_world.h"

namespace pixmill::fetch {
namespace {

using testing::FetchWorld;
using testing::FetchWorldOptions;
using testing::OriginAnswer;
using testing::OriginServer;

FetchWorldOptions loopback_opened() { return {.allow = "127.0.0.0/8"}; }

OriginAnswer answer_of(int status, testing::OriginHeaders headers = {}, std::string body = "bytes") {
  OriginAnswer answer;
  answer.status = status;
  answer.headers = std::move(headers);
  answer.body = std::move(body);
  return answer;
}

TEST(Fetcher, ReturnsTheBytesAndWhereTheyCameFrom) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  origin.route("/a/x y.jpg", OriginAnswer());
  origin.route("/a/x%20y.jpg", answer_of(200, {}, std::string(300'000, 'p')));
  const auto fetched = world.get(origin.url("/a/./x y.jpg?v=1#top"));
  ASSERT_TRUE(fetched);
  EXPECT_EQ(fetched->bytes, std::string(300'000, 'p'));
  EXPECT_EQ(fetched->final_url, origin.url("/a/x%20y.jpg?v=1"));
  const auto request = origin.last_request("/a/x%20y.jpg").value();
  EXPECT_EQ(request.header("User-Agent"), "Pixmill/0.1.0 (+https://github.com/pixmill/pixmill)");
  EXPECT_FALSE(request.header("Accept-Encoding"));
  EXPECT_FALSE(request.header("Cookie"));
  EXPECT_FALSE(request.header("Referer"));
}

// What a server says of one version of a picture, and what it answers who has that one.
OriginAnswer version_of(testing::OriginHeaders headers) { return answer_of(200, std::move(headers), "a picture"); }

Result<Fetched> get_known(FetchWorld& world, const std::string& url, const SourceVersion& known,
                          const std::vector<HostHeader>& headers = {}) {
  return testing::run_task(world.io, world.fetcher->get(url, headers, nullptr, &known));
}

TEST(Fetcher, KeepsHowTheServerNamesTheVersion) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  const std::string date = "Sun, 06 Nov 1994 08:49:37 GMT";
  const auto validator_of = [&](testing::OriginHeaders headers) {
    origin.route("/a", version_of(std::move(headers)));
    return world.get(origin.url("/a"))->version.validator;
  };
  EXPECT_EQ(validator_of({{"ETag", "\"v1\""}, {"Last-Modified", date}}), "\"v1\"");
  EXPECT_EQ(validator_of({{"ETag", "W/\"v1\""}}), "W/\"v1\"");
  EXPECT_EQ(validator_of({{"Last-Modified", date}}), date);
  EXPECT_EQ(validator_of({}), "");
  EXPECT_EQ(validator_of({{"ETag", "*"}}), "") << "sent back it would match everything";
  EXPECT_EQ(validator_of({{"ETag", "v1"}}), "");
  EXPECT_EQ(validator_of({{"ETag", "\"a\", \"b\""}}), "");
  EXPECT_EQ(validator_of({{"Last-Modified", "yesterday"}}), "");
  EXPECT_EQ(validator_of({{"ETag", "\"" + std::string(kValidatorBytesMax - 2, 'x') + "\""}}).size(),
            kValidatorBytesMax);
  EXPECT_EQ(validator_of({{"ETag", "\"" + std::string(kValidatorBytesMax - 1, 'x') + "\""}}), "");
}

TEST(Fetcher, AsksForAnotherVersionThanTheKnownOne) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  origin.route("/a", answer_of(304, {{"ETag", "\"v1\""}}, ""));
  const auto same = get_known(world, origin.url("/a"), {.validator = "\"v1\"", .url = ""});
  ASSERT_TRUE(same) << same.error().message;
  EXPECT_TRUE(same->not_modified);
  EXPECT_TRUE(same->bytes.empty());
  EXPECT_EQ(same->version.validator, "\"v1\"");
  EXPECT_EQ(origin.last_request("/a")->header("If-None-Match"), "\"v1\"");
  EXPECT_FALSE(origin.last_request("/a")->header("If-Modified-Since"));

  const std::string date = "Sun, 06 Nov 1994 08:49:37 GMT";
  origin.route("/a", answer_of(304, {}, ""));
  const auto by_date = get_known(world, origin.url("/a"), {.validator = date, .url = ""});
  ASSERT_TRUE(by_date);
  EXPECT_TRUE(by_date->not_modified);
  EXPECT_EQ(by_date->version.validator, date) << "an answer without one leaves the known one";
  EXPECT_EQ(origin.last_request("/a")->header("If-Modified-Since"), date);

  origin.route("/a", version_of({{"ETag", "\"v2\""}}));
  const auto another = get_known(world, origin.url("/a"), {.validator = "\"v1\"", .url = ""});
  ASSERT_TRUE(another);
  EXPECT_FALSE(another->not_modified);
  EXPECT_EQ(another->bytes, "a picture");
  EXPECT_EQ(another->version.validator, "\"v2\"");
}

TEST(Fetcher, NotModifiedWithoutACauseIsAnError) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  origin.route("/a", answer_of(304, {}, ""));
  EXPECT_EQ(world.error_of(origin.url("/a")), ErrorCode::kHttpPermanent);
  const auto nothing_known = get_known(world, origin.url("/a"), {});
  ASSERT_FALSE(nothing_known);
  EXPECT_EQ(nothing_known.error().code, ErrorCode::kHttpPermanent);
}

TEST(Fetcher, TheConditionGoesToTheAddressOfTheVersionAlone) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  origin.route("/from", answer_of(302, {{"Location", "/to"}}, ""));
  origin.route("/to", version_of({{"ETag", "\"v1\""}}));
  const auto first = world.get(origin.url("/from"));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->version, (SourceVersion{.validator = "\"v1\"", .url = origin.url("/to")}));

  origin.route("/to", answer_of(304, {}, ""));
  const auto same = get_known(world, origin.url("/from"), first->version);
  ASSERT_TRUE(same);
  EXPECT_TRUE(same->not_modified);
  EXPECT_EQ(same->version, first->version);
  EXPECT_FALSE(origin.last_request("/from")->header("If-None-Match"));
  EXPECT_EQ(origin.last_request("/to")->header("If-None-Match"), "\"v1\"");

  // Elsewhere the same tag may name something else.
  origin.route("/from", answer_of(302, {{"Location", "/other"}}, ""));
  origin.route("/other", version_of({{"ETag", "\"v1\""}}));
  ASSERT_TRUE(get_known(world, origin.url("/from"), first->version));
  EXPECT_FALSE(origin.last_request("/other")->header("If-None-Match"));
  origin.route("/from", version_of({{"ETag", "\"v1\""}}));
  ASSERT_TRUE(get_known(world, origin.url("/from"), first->version));
  EXPECT_FALSE(origin.last_request("/from")->header("If-None-Match"));
}

TEST(Fetcher, SendsTheUserAgentItIsGiven) {
  FetchWorldOptions options = loopback_opened();
  options.fetch.user_agent = "Shop/1.0";
  FetchWorld world(options);
  OriginServer origin;
  origin.route("/a", answer_of(200));
  ASSERT_TRUE(world.get(origin.url("/a")));
  EXPECT_EQ(origin.last_request("/a")->header("User-Agent"), "Shop/1.0");
}

TEST(Fetcher, KnowsWhichStatusesAreWorthAskingAgain) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  for (const int status : {200, 203}) {
    origin.route("/a", answer_of(status));
    EXPECT_TRUE(world.get(origin.url("/a"))) << status;
  }
  for (const int status :
       {201, 202, 204, 205, 206, 300, 304, 305, 400, 401, 402, 403, 404, 405, 406, 410, 411, 416, 418, 451}) {
    origin.route("/a", answer_of(status, {}, ""));
    const auto refused = world.get(origin.url("/a"));
    ASSERT_FALSE(refused) << status;
    EXPECT_EQ(refused.error().code, ErrorCode::kHttpPermanent) << status;
    EXPECT_EQ(refused.error().http_status, status);
    EXPECT_EQ(code_text(refused.error()), fmt::format("http_{}", status));
  }
  for (const int status : {408, 425, 500, 501, 502, 504, 507, 520, 599}) {
    origin.route("/a", answer_of(status));
    const auto refused = world.get(origin.url("/a"));
    ASSERT_FALSE(refused) << status;
    EXPECT_EQ(refused.error().code, ErrorCode::kHttpTransient) << status;
    EXPECT_EQ(refused.error().http_status, status);
    EXPECT_FALSE(refused.error().retry_after);
  }
}

TEST(Fetcher, ReadsRetryAfterInBothForms) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  const auto retry_after = [&](const std::string& value) {
    origin.route("/a", answer_of(500, {{"Retry-After", value}, {"Date", "Sun, 06 Nov 1994 08:49:37 GMT"}}));
    return world.get(origin.url("/a")).error().retry_after;
  };
  EXPECT_EQ(retry_after("120"), seconds(120));
  EXPECT_EQ(retry_after("0"), seconds(0));
  EXPECT_EQ(retry_after("86400"), seconds(3'600));
  EXPECT_EQ(retry_after("Sun, 06 Nov 1994 08:50:07 GMT"), seconds(30)) << "by the server's own clock";
  EXPECT_EQ(retry_after("Sun, 06 Nov 1994 08:00:00 GMT"), seconds(0));
  EXPECT_EQ(retry_after("Mon, 07 Nov 2094 08:00:00 GMT"), seconds(3'600));
  EXPECT_EQ(retry_after("soon"), std::nullopt);
}

TEST(Fetcher, ClosesAHostThatAsksForLess) {
  for (const int status : {429, 503}) {
    FetchWorld world(loopback_opened());
    OriginServer origin;
    origin.route("/busy", answer_of(status, {{"Retry-After", "120"}}));
    const auto refused = world.get(origin.url("/busy"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kHttpTransient);
    EXPECT_EQ(refused.error().http_status, status);
    EXPECT_EQ(refused.error().retry_after, seconds(120));
    const auto later = world.get(origin.url("/other"));
    ASSERT_FALSE(later);
    EXPECT_EQ(later.error().code, ErrorCode::kUnavailable) << "nobody asks, so no attempt is used up";
    ASSERT_TRUE(later.error().retry_after);
    EXPECT_GT(*later.error().retry_after, seconds(50));
    EXPECT_LE(*later.error().retry_after, seconds(60)) << "one address does not close its host for longer";
    EXPECT_EQ(origin.requests("/other"), 0u);
  }
}

TEST(Fetcher, TakesTurnsAtEachHost) {
  FetchWorldOptions options = loopback_opened();
  options.limits.per_host = 2;
  FetchWorld world(options);
  OriginServer origin;
  origin.route("/a", answer_of(200));
  const auto results = world.get_all(std::vector<std::string>(20, origin.url("/a")));
  for (const auto& result : results) EXPECT_TRUE(result);
  EXPECT_LE(origin.connections(), 2u);
}

TEST(Fetcher, GivesUpWaitingForATurn) {
  FetchWorldOptions options = loopback_opened();
  options.limits.per_host = 1;
  options.fetch.turn_patience = milliseconds(30);
  options.fetch.total_timeout = milliseconds(200);
  FetchWorld world(options);
  OriginServer origin;
  OriginAnswer never;
  never.never = true;
  origin.route("/a", never);
  const auto results = world.get_all({origin.url("/a"), origin.url("/a")});
  EXPECT_EQ(results[0].error().code, ErrorCode::kTimeout);
  EXPECT_EQ(results[1].error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(origin.requests("/a"), 1u);
}

TEST(Fetcher, TellsTroubleWithNamesApart) {
  FetchWorldOptions options = loopback_opened();
  options.dns_deadline = milliseconds(400);
  FetchWorld world(options);
  using Kind = testing::DnsReply::Kind;
  world.dns.add("broken.test", {.kind = Kind::kServfail, .addresses = {}});
  world.dns.add("silent.test", {.kind = Kind::kSilent, .addresses = {}});
  EXPECT_EQ(world.error_of("http://missing.test/"), ErrorCode::kDnsNotFound);
  EXPECT_EQ(world.error_of("http://broken.test/"), ErrorCode::kDns);
  EXPECT_EQ(world.error_of("http://silent.test/"), ErrorCode::kTimeout);
  EXPECT_EQ(world.error_of("not a url"), ErrorCode::kInvalidUrl);
}

TEST(Fetcher, CountsTheResolversTimeToo) {
  FetchWorldOptions options = loopback_opened();
  options.dns_deadline = milliseconds(50);
  options.fetch.total_timeout = milliseconds(100);
  FetchWorld world(options);
  OriginServer origin;
  world.dns.add("slow.test", testing::DnsReply{.addresses = {"127.0.0.1"}, .silent_about_ipv6 = true});
  OriginAnswer slow;
  slow.never = true;
  origin.route("/a", slow);
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(world.error_of(origin.url("/a", "slow.test")), ErrorCode::kTimeout);
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(5));
}

TEST(Fetcher, CountsWhatItDoes) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  origin.route("/a", answer_of(200, {}, "12345"));
  EXPECT_TRUE(world.get(origin.url("/a")));
  EXPECT_TRUE(world.get(origin.url("/a")));
  EXPECT_FALSE(world.get(origin.url("/missing")));
  EXPECT_FALSE(world.get("nonsense"));
  const std::string text = world.metrics.expose();
  for (const std::string line : {"pixmill_fetch_total{result=\"ok\"} 2", "pixmill_fetch_total{result=\"http\"} 1",
                                 "pixmill_fetch_total{result=\"invalid_url\"} 1", "pixmill_fetch_bytes_total 10",
                                 "pixmill_fetch_seconds_count 4"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
}

TEST(Fetcher, EndsWhenItsCoroutineIsCancelled) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  OriginAnswer never;
  never.never = true;
  origin.route("/a", never);
  asio::cancellation_signal signal;
  bool ended = false;
  const std::vector<HostHeader> none;
  asio::co_spawn(world.io, world.fetcher->get(origin.url("/a"), none),
                 asio::bind_cancellation_slot(
                     signal.slot(), [&](const std::exception_ptr&, const Result<Fetched>&) { ended = true; }));
  while (origin.requests("/a") == 0) world.io.run_one_for(milliseconds(10));
  signal.emit(asio::cancellation_type::terminal);
  while (!ended && world.io.run_one() > 0) {
  }
  EXPECT_TRUE(ended);
}

TEST(HostHeader, IsReadFromOneLine) {
  const auto read = [](std::string_view text) {
    const auto header = parse_host_header(text);
    return header ? fmt::format("{}|{}|{}", header->host, header->name, header->value) : code_text(header.error());
  };
  EXPECT_EQ(read("Example.com: Authorization: Bearer a:b c"), "example.com|Authorization|Bearer a:b c");
  EXPECT_EQ(read("example.com:8443: X-Key:v"), "example.com:8443|X-Key|v");
  EXPECT_EQ(read("example.com:80: X-Key: v"), "example.com:80|X-Key|v");
  EXPECT_EQ(read("[::1]:8080: X-Key: v"), "[::1]:8080|X-Key|v");
  EXPECT_EQ(read("[0:0::1]: X-Key: v"), "[::1]|X-Key|v");
  EXPECT_EQ(read("127.0.0.1:9000: Cookie: a=b"), "127.0.0.1:9000|Cookie|a=b");
  for (const std::string_view bad : {"",
                                     "example.com",
                                     "example.com: Name",
                                     "example.com:Name:value",
                                     ": Name: value",
                                     "example.com: : value",
                                     "example.com: Na me: v",
                                     "example.com: Name:",
                                     "example.com: Name: a\nb",
                                     "example.com: Name: \xff",
                                     "exa mple.com: Name: v",
                                     "user@example.com: Name: v",
                                     "example.com/x: Name: v",
                                     "example.com?: Name: v",
                                     "https://example.com: Name: v",
                                     "example.com: Host: other",
                                     "example.com: content-length: 5",
                                     "example.com: Transfer-Encoding: chunked",
                                     "example.com: Connection: close",
                                     "example.com: Range: bytes=0-1",
                                     "example.com: Accept-Encoding: gzip",
                                     "0x7f.1: Name: v"}) {
    EXPECT_EQ(read(bad), "invalid_argument") << bad;
  }
}

TEST(HostHeader, GoesToItsHostAlone) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  origin.route("/a", answer_of(200));
  world.dns.add("one.test", {"127.0.0.1"});
  world.dns.add("two.test", {"127.0.0.1"});
  const std::vector<HostHeader> headers = {
      parse_host_header(fmt::format("ONE.test:{}: X-Key: secret", origin.port())).value(),
      parse_host_header("two.test: X-Key: for-the-default-port").value(),
      parse_host_header(fmt::format("one.test:{}: User-Agent: mine", origin.port())).value(),
  };
  ASSERT_TRUE(world.get(origin.url("/a", "one.test"), headers));
  EXPECT_EQ(origin.last_request("/a")->header("X-Key"), "secret");
  EXPECT_EQ(origin.last_request("/a")->header("User-Agent"), "mine");
  ASSERT_TRUE(world.get(origin.url("/a", "two.test"), headers));
  EXPECT_FALSE(origin.last_request("/a")->header("X-Key"));
  ASSERT_TRUE(world.get(origin.url("/a"), headers));
  EXPECT_FALSE(origin.last_request("/a")->header("X-Key"));
}

TEST(ResolveChecked, RefusesANameWithOneForbiddenAddress) {
  FetchWorld world({.allow = "127.0.0.9"});
  world.dns.add("good.test", {"127.0.0.9"});
  world.dns.add("mixed.test", {"127.0.0.9", "127.0.0.1"});
  const auto resolve = [&](const std::string& url) {
    return testing::run_task(world.io, resolve_checked(*world.resolver, world.policy, parse_source_url(url).value()));
  };
  EXPECT_EQ(resolve("http://good.test/").value().size(), 1u);
  EXPECT_EQ(resolve("http://mixed.test/").error().code, ErrorCode::kBlockedAddress);
  EXPECT_EQ(resolve("http://127.0.0.9:22/").value().size(), 1u);
  EXPECT_EQ(resolve("http://127.0.0.1/").error().code, ErrorCode::kBlockedAddress);
  EXPECT_EQ(resolve("http://missing.test/").error().code, ErrorCode::kDnsNotFound);
}

}  // namespace
}  // namespace pixmill::fetch
