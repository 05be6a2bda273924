// The deliverer over the real client, against receivers that misbehave.
#include <gmock/gmock.h>

#include <optional>

#include "base/log.h"
#include "tests/support/fake_outbox.h"
#include "tests/support/manual_clock.h"
#include "tests/support/origin_server.h"
#include "tests/support/run_task.h"
#include "webhook/deliverer.h"

namespace pixmill::webhook {
namespace {

using jobs::DeliveryState;
using ::testing::StartsWith;

testing::OriginAnswer answer(int status, std::string body = {}) {
  testing::OriginAnswer made;
  made.status = status;
  made.body = std::move(body);
  return made;
}

testing::OriginAnswer redirect_to(std::string location) {
  auto made = answer(307);
  made.headers = {{"Location", std::move(location)}};
  return made;
}

testing::OriginAnswer endless(int status) {
  auto made = answer(status, std::string(64'000, 'x'));
  made.chunked = true;
  made.endless = true;
  return made;
}

testing::OriginAnswer silence() {
  auto made = answer(200);
  made.never = true;
  return made;
}

// A minute and more for the whole of it.
testing::OriginAnswer drip() {
  auto made = answer(200, std::string(4'000, 'x'));
  made.drip_interval = milliseconds(20);
  return made;
}

class DelivererHttpTest : public ::testing::Test {
 protected:
  DelivererHttpTest() {
    log::configure(log::Level::kOff, log::Format::kText);
    options_.stop_grace = milliseconds(0);
    http::ClientOptions client_options;
    client_options.may_connect = [this](const auto& address, std::uint16_t port) {
      return policy_.allows(address, port);
    };
    client_ = http::Client::create(io_.get_executor(), std::move(client_options)).value();
    resolver_ = http::Resolver::create(io_.get_executor(), {}).value();
  }

  Deliverer& deliverer() {
    if (!deliverer_) {
      const DelivererParts parts{.outbox = outbox_,
                                 .client = *client_,
                                 .resolver = *resolver_,
                                 .policy = policy_,
                                 .clock = clock_,
                                 .metrics = metrics_};
      deliverer_.emplace(io_.get_executor(), parts, secret_, options_);
    }
    return *deliverer_;
  }
  std::optional<TimePoint> run_once() { return testing::run_task(io_, deliverer().run_once()); }
  const jobs::DeliveryResult& result(const std::string& id) { return outbox_.rows.at(id).results.at(0); }

  asio::io_context io_;
  testing::ManualClock clock_;
  Metrics metrics_;
  testing::FakeOutbox outbox_{clock_};
  fetch::AddressPolicy policy_ = fetch::AddressPolicy::create("127.0.0.0/8").value();
  std::unique_ptr<http::Client> client_;
  std::unique_ptr<http::Resolver> resolver_;
  WebhookSecret secret_ = WebhookSecret::random();
  DelivererOptions options_;
  std::optional<Deliverer> deliverer_;
};

TEST_F(DelivererHttpTest, TheReceiverCanVerifyWhatItGot) {
  testing::OriginServer receiver;
  receiver.route("/hook", answer(200, "thanks"));
  outbox_.add("evt_1", receiver.url("/hook?a=b"));
  EXPECT_FALSE(run_once());
  const auto request = receiver.last_request("/hook");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->method, "POST");
  EXPECT_EQ(request->target, "/hook?a=b");
  EXPECT_EQ(request->body, testing::FakeOutbox::kBody);
  EXPECT_EQ(request->header("Content-Type"), "application/json");
  const auto sent_at = to_unix_ms(clock_.now()) / 1'000;
  EXPECT_EQ(request->header("webhook-timestamp"), std::to_string(sent_at));
  EXPECT_TRUE(secret_.verify(request->header("webhook-id").value_or(""), sent_at, request->body,
                             request->header("webhook-signature").value_or(""), clock_.now()));
  EXPECT_EQ(outbox_.rows.at("evt_1").state, DeliveryState::kDelivered);
  EXPECT_EQ(result("evt_1").answer, "thanks");
}

using P20OverHttp = DelivererHttpTest;

TEST_F(P20OverHttp, ARedirectReachesNobody) {
  testing::OriginServer elsewhere;
  testing::OriginServer receiver;
  receiver.route("/hook", redirect_to(elsewhere.url("/")));
  outbox_.add("evt_1", receiver.url("/hook"));
  EXPECT_TRUE(run_once());
  EXPECT_EQ(elsewhere.connections(), 0u);
  EXPECT_EQ(result("evt_1").http_status, 307);
  EXPECT_EQ(outbox_.rows.at("evt_1").state, DeliveryState::kPending);
}

using P21OverHttp = DelivererHttpTest;

TEST_F(P21OverHttp, AFloodIsCutOffWhateverItsStatus) {
  testing::OriginServer receiver;
  for (const int status : {200, 500}) {
    receiver.route("/" + std::to_string(status), endless(status));
    outbox_.add("evt_" + std::to_string(status), receiver.url("/" + std::to_string(status)));
  }
  EXPECT_TRUE(run_once());
  EXPECT_EQ(outbox_.rows.at("evt_200").state, DeliveryState::kDelivered);
  EXPECT_EQ(outbox_.rows.at("evt_500").state, DeliveryState::kPending);
  EXPECT_THAT(result("evt_500").error, StartsWith("http_500"));
  EXPECT_EQ(result("evt_200").answer.size(), 8'192u);
}

TEST_F(P21OverHttp, SilenceAndDripsEndWithTheAttempt) {
  options_.attempt_timeout = milliseconds(300);
  testing::OriginServer receiver;
  receiver.route("/never", silence());
  receiver.route("/drip", drip());
  outbox_.add("evt_never", receiver.url("/never"));
  outbox_.add("evt_drip", receiver.url("/drip"));
  EXPECT_TRUE(run_once());
  for (const std::string id : {"evt_never", "evt_drip"}) {
    EXPECT_EQ(outbox_.rows.at(id).state, DeliveryState::kPending) << id;
    EXPECT_THAT(result(id).error, StartsWith("timeout: ")) << id;
  }
}

TEST_F(P21OverHttp, OthersAreServedWhileReceiversHang) {
  testing::OriginServer silent;
  testing::OriginServer dripping;
  testing::OriginServer well;
  silent.route("/", silence());
  dripping.route("/", drip());
  well.route("/", testing::OriginAnswer{});
  for (int i = 0; i < 40; ++i) {
    outbox_.add("evt_a" + std::to_string(i), silent.url("/"));
    outbox_.add("evt_b" + std::to_string(i), dripping.url("/"));
    outbox_.add("evt_c" + std::to_string(i), well.url("/"));
  }
  deliverer().start();
  const auto delivered = [&] {
    return std::ranges::count_if(outbox_.rows,
                                 [](const auto& row) { return row.second.state == DeliveryState::kDelivered; });
  };
  // Ends long before the first attempt at a hanging receiver does, or the count below is wrong.
  while (delivered() < 40 && io_.run_one() > 0) {
  }
  for (const auto& [id, row] : outbox_.rows) {
    EXPECT_EQ(row.state == DeliveryState::kDelivered, id.starts_with("evt_c")) << id;
    EXPECT_TRUE(row.results.empty() || id.starts_with("evt_c")) << id << " ended while others still waited";
  }
  testing::run_task(io_, deliverer().stop());
  EXPECT_LE(silent.connections(), 4u);
}

using P22OverHttp = DelivererHttpTest;

TEST_F(P22OverHttp, AForbiddenReceiverIsNeverConnectedTo) {
  testing::OriginServer receiver;
  receiver.route("/", testing::OriginAnswer{});
  outbox_.add("evt_1", receiver.url("/"));
  policy_ = fetch::AddressPolicy::create("").value();
  EXPECT_TRUE(run_once());
  EXPECT_EQ(receiver.connections(), 0u);
  EXPECT_THAT(result("evt_1").error, StartsWith("blocked_address: "));
  policy_ = fetch::AddressPolicy::create("127.0.0.0/8").value();
  clock_.advance(std::chrono::hours(1));
  EXPECT_FALSE(run_once());
  EXPECT_EQ(receiver.connections(), 1u) << "the control must connect";
}

}  // namespace
}  // namespace pixmill::webhook
