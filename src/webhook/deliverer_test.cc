#include "webhook/deliverer.h"

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <deque>
#include <functional>
#include <map>

#include "base/log.h"
#include "base/text.h"
#include "tests/support/fake_outbox.h"
#include "tests/support/manual_clock.h"
#include "tests/support/run_task.h"

namespace pixmill::webhook {
namespace {

using jobs::DeliveryState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kBody = testing::FakeOutbox::kBody;

http::ClientResponse answer_of(int status, std::string body = {}) {
  http::ClientResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

// Answers by a script, or hangs until it is cancelled, like a receiver that never answers.
class FakeClient final : public http::Client {
 public:
  Task<Result<http::ClientResponse>> send(http::ClientRequest request) override {
    requests.push_back(request);
    if (hanging_hosts.contains(request.host)) {
      ++hanging;
      asio::steady_timer forever(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
      boost::system::error_code ignored;
      co_await forever.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      --hanging;
      co_return fail(ErrorCode::kCancelled, "the transfer was cancelled");
    }
    co_return answer(request);
  }
  std::function<Result<http::ClientResponse>(const http::ClientRequest&)> answer = [](const auto&) {
    return answer_of(204);
  };
  std::set<std::string> hanging_hosts;
  int hanging = 0;
  std::vector<http::ClientRequest> requests;
};

class FakeResolver final : public http::Resolver {
 public:
  Task<Result<std::vector<http::IpAddress>>> resolve(std::string host) override {
    ++queries;
    auto& answers = script[host];
    if (answers.empty()) co_return std::vector{asio::ip::make_address("93.184.215.14")};
    auto next = answers.front();
    if (answers.size() > 1) answers.pop_front();
    co_return next;
  }
  // The answers to a name's queries in turn; the last stays. A name without a script has a public address.
  std::map<std::string, std::deque<Result<std::vector<http::IpAddress>>>> script;
  int queries = 0;
};

std::vector<http::IpAddress> addresses(std::string_view text) {
  std::vector<http::IpAddress> list;
  for (const auto part : split(text, ' ')) list.push_back(asio::ip::make_address(std::string(part)));
  return list;
}

class DelivererTest : public ::testing::Test {
 protected:
  DelivererTest() {
    log::configure(log::Level::kOff, log::Format::kText);
    options_.stop_grace = milliseconds(0);
  }
  void TearDown() override {
    if (deliverer_) testing::run_task(io_, deliverer_->stop());
    EXPECT_EQ(client_.hanging, 0) << "nothing may be under way after stop()";
  }

  std::optional<TimePoint> run_once() { return testing::run_task(io_, deliverer().run_once()); }

  Deliverer& deliverer() {
    if (!deliverer_) {
      const DelivererParts parts{.outbox = outbox_,
                                 .client = client_,
                                 .resolver = resolver_,
                                 .policy = policy_,
                                 .clock = clock_,
                                 .metrics = metrics_};
      deliverer_.emplace(io_.get_executor(), parts, secret_, options_);
    }
    return *deliverer_;
  }

  // Runs what is ready, and nothing that waits for time to pass.
  void settle() {
    io_.restart();
    io_.poll();
  }

  double attempts(const std::string& result) {
    return metrics_
        .counter("pixmill_webhook_attempts_total", "Webhook attempts by how they ended.", {{"result", result}})
        .value();
  }

  asio::io_context io_;
  testing::ManualClock clock_;
  Metrics metrics_;
  testing::FakeOutbox outbox_{clock_};
  FakeClient client_;
  FakeResolver resolver_;
  fetch::AddressPolicy policy_ = fetch::AddressPolicy::create("").value();
  WebhookSecret secret_ = WebhookSecret::random();
  DelivererOptions options_;
  std::optional<Deliverer> deliverer_;
};

std::string header(const http::ClientRequest& request, std::string_view name) {
  return std::string(request.headers.get(name).value_or("(absent)"));
}

TEST_F(DelivererTest, SendsTheFrozenBodySignedForThisAttempt) {
  outbox_.add("evt_1", "https://hooks.example.com:8443/in?a=b");
  options_.user_agent = "Test/1";
  EXPECT_FALSE(run_once());
  ASSERT_EQ(client_.requests.size(), 1u);
  const auto& request = client_.requests[0];
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.scheme, "https");
  EXPECT_EQ(request.host, "hooks.example.com");
  EXPECT_EQ(request.port, 8443);
  EXPECT_EQ(request.target, "/in?a=b");
  EXPECT_EQ(request.addresses, addresses("93.184.215.14"));
  EXPECT_EQ(request.body, kBody);
  EXPECT_EQ(header(request, "content-type"), "application/json");
  EXPECT_EQ(header(request, "user-agent"), "Test/1");
  EXPECT_EQ(header(request, "webhook-id"), "evt_1");
  const auto sent_at = to_unix_ms(clock_.now()) / 1'000;
  EXPECT_EQ(header(request, "webhook-timestamp"), std::to_string(sent_at));
  EXPECT_TRUE(secret_.verify("evt_1", sent_at, kBody, header(request, "webhook-signature"), clock_.now()));
  EXPECT_EQ(outbox_.rows["evt_1"].state, DeliveryState::kDelivered);
  EXPECT_EQ(outbox_.rows["evt_1"].results[0].http_status, 204);
  EXPECT_EQ(attempts("delivered"), 1);
}

TEST_F(DelivererTest, P11SignsByTheCalendarWhenItsOwnClockIsAnother) {
  testing::ManualClock calendar;
  calendar.advance(std::chrono::hours(24 * 3'650));
  outbox_.add("evt_1", "https://hooks.example.com/in");
  const DelivererParts parts{.outbox = outbox_,
                             .client = client_,
                             .resolver = resolver_,
                             .policy = policy_,
                             .clock = clock_,
                             .metrics = metrics_,
                             .calendar = &calendar};
  deliverer_.emplace(io_.get_executor(), parts, secret_, options_);
  EXPECT_FALSE(run_once());
  ASSERT_EQ(client_.requests.size(), 1u);
  EXPECT_EQ(header(client_.requests[0], "webhook-timestamp"), std::to_string(to_unix_ms(calendar.now()) / 1'000));
}

TEST_F(DelivererTest, KeepsTheFirstOfTheAnswerAsCleanText) {
  outbox_.add("evt_1", "http://a.example/");
  client_.answer = [](const auto&) { return answer_of(500, "\xff" + std::string(9'000, 'x')); };
  static_cast<void>(run_once());
  const auto& answer = outbox_.rows["evt_1"].results.at(0).answer;
  EXPECT_THAT(answer, StartsWith("\xef\xbf\xbdx"));
  EXPECT_LE(answer.size(), 8'192u);
  EXPECT_TRUE(is_valid_utf8(answer));
}

TEST_F(DelivererTest, AnAddressThatIsNoUrlEndsItsDeliveryAlone) {
  outbox_.add("evt_bad", "not a url");
  outbox_.add("evt_good", "http://a.example/");
  EXPECT_FALSE(run_once());
  EXPECT_EQ(outbox_.rows["evt_bad"].state, DeliveryState::kExhausted);
  EXPECT_THAT(outbox_.rows["evt_bad"].results.at(0).error, StartsWith("invalid_url"));
  EXPECT_EQ(outbox_.rows["evt_good"].state, DeliveryState::kDelivered);
}

TEST_F(DelivererTest, AStoreThatFailsIsAskedAgainLater) {
  outbox_.add("evt_1", "http://a.example/");
  outbox_.claim_failure = Error{.code = ErrorCode::kDiskFull, .message = "full", .detail = {}};
  EXPECT_FALSE(run_once());
  EXPECT_TRUE(client_.requests.empty());
  outbox_.claim_failure.reset();
  EXPECT_FALSE(run_once());
  EXPECT_EQ(outbox_.rows["evt_1"].state, DeliveryState::kDelivered);
}

TEST_F(DelivererTest, CountsWhatIsOpenAndWhatWasGivenUp) {
  options_.schedule = {milliseconds(0)};
  outbox_.add("evt_1", "http://a.example/");
  outbox_.add("evt_2", "http://a.example/");
  client_.answer = [&](const auto& request) { return answer_of(header(request, "webhook-id") == "evt_1" ? 500 : 200); };
  static_cast<void>(run_once());
  EXPECT_EQ(metrics_.counter("pixmill_webhook_exhausted_total", "Events given up after their last attempt.").value(),
            1);
  outbox_.add("evt_3", "http://a.example/");
  client_.hanging_hosts = {"a.example"};
  options_.idle_poll = milliseconds(1);
  deliverer_.reset();
  deliverer().start();
  settle();
  EXPECT_THAT(metrics_.expose(), HasSubstr("pixmill_webhook_pending 1"));
  EXPECT_THAT(metrics_.expose(), HasSubstr("pixmill_webhook_in_flight 1"));
}

// A kill between send and record: the lease ends, and the same event goes out under the same id with a new timestamp.
TEST_F(DelivererTest, WhatCouldNotBeRecordedIsSentAgainUnderItsId) {
  outbox_.add("evt_1", "http://a.example/");
  outbox_.record_failures = 1;
  const auto next_at = run_once();
  ASSERT_TRUE(next_at);
  EXPECT_EQ(*next_at, clock_.now() + outbox_.last_lease);
  EXPECT_GT(outbox_.last_lease, options_.attempt_timeout) << "a live attempt must not be claimed twice";
  clock_.advance(outbox_.last_lease);
  EXPECT_FALSE(run_once());
  ASSERT_EQ(client_.requests.size(), 2u);
  EXPECT_EQ(header(client_.requests[0], "webhook-id"), header(client_.requests[1], "webhook-id"));
  EXPECT_EQ(client_.requests[0].body, client_.requests[1].body);
  EXPECT_EQ(outbox_.rows["evt_1"].state, DeliveryState::kDelivered);
}

using P20 = DelivererTest;

TEST_F(P20, TheDefaultScheduleIsThatOfStandardWebhooks) {
  using std::chrono::hours;
  using std::chrono::minutes;
  EXPECT_EQ(default_schedule(), (std::vector<milliseconds>{seconds(0), seconds(5), minutes(5), minutes(30), hours(2),
                                                           hours(5), hours(10), hours(14), hours(20), hours(24)}));
}

TEST_F(P20, RetriesByTheScheduleAndThenGivesUp) {
  outbox_.add("evt_1", "http://a.example/");
  client_.answer = [](const auto&) { return answer_of(503); };
  const auto schedule = default_schedule();
  for (std::size_t attempt = 1; attempt <= schedule.size(); ++attempt) {
    const auto next_at = run_once();
    ASSERT_EQ(client_.requests.size(), attempt);
    const auto& request = client_.requests.back();
    const auto sent_at = to_unix_ms(clock_.now()) / 1'000;
    EXPECT_EQ(header(request, "webhook-id"), "evt_1");
    EXPECT_EQ(header(request, "webhook-timestamp"), std::to_string(sent_at));
    EXPECT_TRUE(
        secret_.verify("evt_1", sent_at, kBody, header(request, "webhook-signature"), clock_.now(), seconds(0)));
    EXPECT_EQ(outbox_.rows["evt_1"].results.back().error, "http_503: the receiver answered 503");
    if (attempt == schedule.size()) {
      EXPECT_FALSE(next_at);
      break;
    }
    ASSERT_TRUE(next_at);
    const auto wait = *next_at - clock_.now();
    EXPECT_GE(wait * 10, schedule[attempt] * 9) << attempt;
    EXPECT_LE(wait * 10, schedule[attempt] * 11) << attempt;
    clock_.advance(wait - milliseconds(1));
    static_cast<void>(run_once());
    EXPECT_EQ(client_.requests.size(), attempt) << "not a millisecond early";
    clock_.advance(milliseconds(1));
  }
  EXPECT_EQ(outbox_.rows["evt_1"].state, DeliveryState::kExhausted);
  clock_.advance(std::chrono::hours(24 * 365));
  EXPECT_FALSE(run_once());
  EXPECT_EQ(client_.requests.size(), schedule.size());
}

TEST_F(P20, ARedirectIsAFailureAndIsNotFollowed) {
  outbox_.add("evt_1", "http://a.example/");
  client_.answer = [](const auto&) {
    auto answer = answer_of(302);
    answer.headers.add("Location", "http://b.example/");
    return answer;
  };
  EXPECT_TRUE(run_once());
  EXPECT_EQ(client_.requests.size(), 1u);
  EXPECT_EQ(outbox_.rows["evt_1"].state, DeliveryState::kPending);
  EXPECT_EQ(outbox_.rows["evt_1"].results.at(0).http_status, 302);
}

TEST_F(P20, GoneStopsTheDelivery) {
  outbox_.add("evt_1", "http://a.example/");
  client_.answer = [](const auto&) { return answer_of(410); };
  EXPECT_FALSE(run_once());
  EXPECT_EQ(outbox_.rows["evt_1"].state, DeliveryState::kEndpointGone);
  clock_.advance(std::chrono::hours(1'000));
  EXPECT_FALSE(run_once());
  EXPECT_EQ(client_.requests.size(), 1u);
  EXPECT_EQ(attempts("gone"), 1);
}

TEST_F(P20, RetryAfterIsHonoured) {
  outbox_.add("evt_1", "http://a.example/");
  client_.answer = [](const auto&) {
    auto answer = answer_of(429);
    answer.headers.add("Retry-After", "3600");
    return answer;
  };
  const auto next_at = run_once();
  ASSERT_TRUE(next_at);
  EXPECT_GE(*next_at - clock_.now(), std::chrono::hours(1));
  EXPECT_LE(*next_at - clock_.now(), std::chrono::minutes(66));
}

TEST_F(P20, AReplayKeepsTheId) {
  outbox_.add("evt_1", "http://a.example/");
  static_cast<void>(run_once());
  ASSERT_TRUE(testing::run_task(io_, outbox_.resend("evt_1")));
  static_cast<void>(run_once());
  ASSERT_EQ(client_.requests.size(), 2u);
  EXPECT_EQ(header(client_.requests[1], "webhook-id"), "evt_1");
  EXPECT_EQ(client_.requests[1].body, kBody);
}

using P21 = DelivererTest;

TEST_F(P21, AHangingReceiverDelaysNobodyElse) {
  client_.hanging_hosts = {"hangs.example"};
  for (int i = 0; i < 200; ++i)
    outbox_.add("evt_a" + std::to_string(1'000 + i), "http://hangs.example/?" + std::to_string(i));
  for (int i = 0; i < 50; ++i) outbox_.add("evt_b" + std::to_string(i), "http://well.example/");
  deliverer().start();
  settle();
  EXPECT_EQ(client_.hanging, 4) << "parallel_per_origin";
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(outbox_.rows["evt_b" + std::to_string(i)].state, DeliveryState::kDelivered) << i;
  outbox_.add("evt_late", "http://well.example/");
  deliverer().wake();
  settle();
  EXPECT_EQ(outbox_.rows["evt_late"].state, DeliveryState::kDelivered);
}

TEST_F(P21, AReceiverNeverHasMoreThanItsShare) {
  client_.hanging_hosts = {"hangs.example"};
  for (int i = 0; i < 3; ++i) outbox_.add("evt_a" + std::to_string(i), "http://hangs.example/");
  deliverer().start();
  settle();
  EXPECT_EQ(client_.hanging, 3);
  for (int i = 0; i < 9; ++i) outbox_.add("evt_b" + std::to_string(i), "http://hangs.example/");
  deliverer().wake();
  settle();
  EXPECT_EQ(client_.hanging, 4);
}

TEST_F(P21, ParallelismIsBoundedInAll) {
  options_.parallel = 6;
  for (int host = 0; host < 5; ++host) {
    const auto name = "h" + std::to_string(host) + ".example";
    client_.hanging_hosts.insert(name);
    for (int i = 0; i < 5; ++i) outbox_.add("evt_" + std::to_string(host * 10 + i), "http://" + name + "/");
  }
  deliverer().start();
  settle();
  EXPECT_EQ(client_.hanging, 6);
}

TEST_F(P21, TheAnswerAndTheTimeAreBounded) {
  outbox_.add("evt_1", "http://a.example/");
  static_cast<void>(run_once());
  const auto& request = client_.requests.at(0);
  EXPECT_EQ(request.body_bytes_max, 64u << 10);
  EXPECT_EQ(request.other_body_bytes_max, 64u << 10);
  EXPECT_TRUE(request.truncate_body);
  EXPECT_LE(request.total_timeout, seconds(15));
  EXPECT_LE(request.connect_timeout, request.total_timeout);
}

TEST_F(P21, StopBreaksOffWhatHangsAndLeavesItToTheNextStart) {
  client_.hanging_hosts = {"hangs.example"};
  outbox_.add("evt_1", "http://hangs.example/");
  deliverer().start();
  settle();
  ASSERT_EQ(client_.hanging, 1);
  testing::run_task(io_, deliverer().stop());
  EXPECT_EQ(client_.hanging, 0);
  EXPECT_EQ(outbox_.rows["evt_1"].state, DeliveryState::kLeased) << "no result was recorded";
  deliverer_.reset();
  client_.hanging_hosts.clear();
  clock_.advance(outbox_.last_lease);
  static_cast<void>(run_once());
  EXPECT_EQ(outbox_.rows["evt_1"].state, DeliveryState::kDelivered);
  EXPECT_EQ(header(client_.requests.at(1), "webhook-id"), "evt_1");
}

TEST_F(P21, StopWithNothingUnderWayReturnsAndClaimsNoMore) {
  deliverer().start();
  settle();
  testing::run_task(io_, deliverer().stop());
  outbox_.add("evt_1", "http://a.example/");
  deliverer().wake();
  settle();
  EXPECT_TRUE(client_.requests.empty());
}

TEST_F(P21, ALoopDestroyedAroundAttemptsIsSafe) {
  std::optional<asio::io_context> io(std::in_place);
  client_.hanging_hosts = {"hangs.example"};
  outbox_.add("evt_1", "http://hangs.example/");
  const DelivererParts parts{.outbox = outbox_,
                             .client = client_,
                             .resolver = resolver_,
                             .policy = policy_,
                             .clock = clock_,
                             .metrics = metrics_};
  std::optional<Deliverer> other(std::in_place, io->get_executor(), parts, secret_, options_);
  other->start();
  io->poll();
  EXPECT_EQ(client_.hanging, 1);
  other.reset();
  io.reset();
  client_.hanging = 0;
}

using P22 = DelivererTest;

TEST_F(P22, ForbiddenAddressesAreRefusedAndTheErrorIsRecorded) {
  const std::vector<std::string> forbidden = {"127.0.0.1",      "10.0.0.1",        "172.16.5.5",   "192.168.1.1",
                                              "169.254.1.1",    "169.254.169.254", "100.64.0.1",   "0.0.0.0",
                                              "192.0.2.1",      "198.18.0.1",      "198.51.100.7", "203.0.113.9",
                                              "224.0.0.1",      "255.255.255.255", "::1",          "::",
                                              "fe80::1",        "fc00::1",         "fd12:3456::1", "::ffff:127.0.0.1",
                                              "64:ff9b::a00:1", "2002:7f00:1::",   "2001:db8::1",  "ff02::1"};
  for (std::size_t i = 0; i < forbidden.size(); ++i) {
    const auto address = asio::ip::make_address(forbidden[i]);
    const std::string name = "n" + std::to_string(i) + ".example";
    resolver_.script[name] = {std::vector{address}};
    outbox_.add("evt_name_" + forbidden[i], "http://" + name + "/");
    outbox_.add("evt_literal_" + forbidden[i],
                address.is_v6() ? "http://[" + forbidden[i] + "]/" : "http://" + forbidden[i] + "/");
  }
  outbox_.add("evt_control", "http://public.example/");
  static_cast<void>(run_once());
  EXPECT_EQ(client_.requests.size(), 1u) << "the control alone may be connected to";
  for (const auto& [id, row] : outbox_.rows) {
    if (id == "evt_control") {
      EXPECT_EQ(row.state, DeliveryState::kDelivered);
      continue;
    }
    EXPECT_EQ(row.state, DeliveryState::kPending) << id;
    EXPECT_THAT(row.results.at(0).error, StartsWith("blocked_address: ")) << id;
    EXPECT_EQ(row.results.at(0).http_status, 0);
    EXPECT_TRUE(row.results.at(0).next_at) << "names change, so it is tried again";
  }
  EXPECT_EQ(attempts("blocked"), static_cast<double>(2 * forbidden.size()));
}

TEST_F(P22, TheAddressIsCheckedAgainAtEveryAttempt) {
  resolver_.script["moves.example"] = {addresses("93.184.215.14"), addresses("10.0.0.1"),
                                       addresses("93.184.215.14 127.0.0.1"), addresses("93.184.215.14")};
  outbox_.add("evt_1", "http://moves.example/");
  client_.answer = [&](const auto&) { return answer_of(client_.requests.size() == 1 ? 500 : 200); };
  const auto next = [&] {
    const auto next_at = run_once();
    if (next_at) clock_.advance(*next_at - clock_.now());
    return client_.requests.size();
  };
  EXPECT_EQ(next(), 1u);
  EXPECT_EQ(next(), 1u) << "private now";
  EXPECT_EQ(next(), 1u) << "one forbidden address among public ones is enough";
  EXPECT_EQ(next(), 2u);
  const auto& row = outbox_.rows["evt_1"];
  EXPECT_EQ(row.state, DeliveryState::kDelivered);
  ASSERT_EQ(row.results.size(), 4u);
  EXPECT_THAT(row.results[0].error, StartsWith("http_500"));
  EXPECT_THAT(row.results[1].error, StartsWith("blocked_address"));
  EXPECT_THAT(row.results[2].error, StartsWith("blocked_address"));
  EXPECT_EQ(resolver_.queries, 4);
}

TEST_F(P22, AnOpenedNetworkMayBeReached) {
  policy_ = fetch::AddressPolicy::create("127.0.0.0/8").value();
  outbox_.add("evt_1", "http://127.0.0.1:4000/hook");
  static_cast<void>(run_once());
  ASSERT_EQ(client_.requests.size(), 1u);
  EXPECT_EQ(client_.requests[0].addresses, addresses("127.0.0.1"));
}

TEST_F(P22, NamesThatDoNotResolveAreTriedAgain) {
  resolver_.script["absent.example"] = {fail(ErrorCode::kDnsNotFound, "no such name"), addresses("93.184.215.14")};
  outbox_.add("evt_1", "http://absent.example/");
  const auto next_at = run_once();
  ASSERT_TRUE(next_at);
  EXPECT_EQ(outbox_.rows["evt_1"].results.at(0).error, "dns_not_found: no such name");
  clock_.advance(*next_at - clock_.now());
  static_cast<void>(run_once());
  EXPECT_EQ(outbox_.rows["evt_1"].state, DeliveryState::kDelivered);
}

}  // namespace
}  // namespace pixmill::webhook
