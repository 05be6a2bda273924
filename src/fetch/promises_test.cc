// The promises about fetching: P16, P23, P24, P25, P26.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <cstdlib>
#include <fstream>

#include "fetch/fetcher.h"
#include "tests/support/fetch_world.h"
#include "tests/support/forbidden_addresses.h"
#include "tests/support/temp_folder.h"

namespace pixmill::fetch {
namespace {

using testing::FetchWorld;
using testing::FetchWorldOptions;
using testing::OriginAnswer;
using testing::OriginOptions;
using testing::OriginRequest;
using testing::OriginServer;

FetchWorldOptions loopback_opened() { return {.allow = "127.0.0.0/8"}; }

OriginAnswer answer_of(std::string body) {
  OriginAnswer answer;
  answer.body = std::move(body);
  return answer;
}

OriginAnswer redirect_to(std::string location, int status = 302) {
  OriginAnswer answer;
  answer.status = status;
  answer.headers = {{"Location", std::move(location)}};
  return answer;
}

// ---- P16: the tail cannot hang.

// Each fetch is one attempt of an item; what is not counted goes back to the queue and comes again.
TEST(P16, OriginThatRefusesEveryoneUsesUpEveryItemsAttempts) {
  FetchWorldOptions options = loopback_opened();
  options.fetch.turn_patience = milliseconds(5);
  FetchWorld world(options);
  OriginServer origin;
  OriginAnswer busy;
  busy.status = 429;
  busy.headers = {{"Retry-After", "0"}};
  origin.route("/busy", busy);
  OriginAnswer never;
  never.never = true;
  origin.route("/never", never);
  for (int i = 0; i < HostLimits::kRoundsInVain; ++i)
    EXPECT_EQ(world.error_of(origin.url("/busy")), ErrorCode::kHttpTransient);
  // Every place is taken, so those that come now get no turn.
  const std::vector<HostHeader> none;
  asio::co_spawn(world.io, world.fetcher->get(origin.url("/never"), none), asio::detached);
  for (const auto& result : world.get_all(std::vector<std::string>(40, origin.url("/other")))) {
    ASSERT_FALSE(result);
    EXPECT_EQ(code_text(result.error()), "http_429") << result.error().message;
  }
  EXPECT_EQ(origin.requests("/other"), 0u);
}

TEST(P16, OriginsThatHangDripOrResetEndAndOthersSucceed) {
  FetchWorldOptions options = loopback_opened();
  options.limits.per_host = 256;
  FetchWorld world(options);
  FetchOptions impatient;
  impatient.total_timeout = milliseconds(400);
  impatient.connect_timeout = milliseconds(200);
  const FetcherParts parts{.client = *world.client,
                           .resolver = *world.resolver,
                           .policy = world.policy,
                           .limits = world.limits,
                           .metrics = world.metrics};
  const auto impatient_fetcher = make_http_fetcher(parts, impatient);
  OriginServer bad;
  OriginServer good(OriginOptions{.host = "127.0.0.2"});
  OriginServer deaf(OriginOptions{.never_accepts = true});
  OriginAnswer never;
  never.never = true;
  bad.route("/never", never);
  OriginAnswer drip = answer_of(std::string(100'000, 'd'));
  drip.drip_interval = milliseconds(10);
  bad.route("/drip", drip);
  OriginAnswer reset = answer_of(std::string(100'000, 'r'));
  reset.reset_after_bytes = 1'000;
  bad.route("/reset", reset);
  good.route("/good", answer_of("picture"));

  std::size_t ended = 0;
  const std::vector<HostHeader> none;
  for (int i = 0; i < 6; ++i) {
    for (const std::string& url : {bad.url("/never"), bad.url("/drip"), bad.url("/reset"), deaf.url("/")}) {
      asio::co_spawn(world.io, impatient_fetcher->get(url, none),
                     [&, url](const std::exception_ptr&, const Result<Fetched>& result) {
                       ++ended;
                       EXPECT_TRUE(!result && (result.error().code == ErrorCode::kTimeout ||
                                               result.error().code == ErrorCode::kProtocol))
                           << url;
                     });
    }
  }
  const auto results = world.get_all(std::vector<std::string>(20, good.url("/good")));
  for (const auto& result : results) EXPECT_TRUE(result);
  while (ended < 24 && world.io.run_one() > 0) {
  }
  EXPECT_EQ(ended, 24u);
}

// ---- P23: no connection to a non-public address, however it is said.

// Listens on every forbidden address that a spelling below may lead to, on one port; and one allowed origin beside
// them.
class P23 : public ::testing::Test {
 protected:
  P23()
      : trap_v4_(OriginOptions{.host = "0.0.0.0"}),
        trap_v6_(OriginOptions{.host = "::1", .port = trap_v4_.port()}),
        allowed_(OriginOptions{.host = "127.0.0.9"}),
        world_({.allow = "127.0.0.9/32"}) {
    allowed_.route("/good", answer_of("picture"));
    world_.dns.add("allowed.test", {"127.0.0.9"});
  }
  // What every form must end as: refused, without anything having been asked of the kernel.
  void expect_refused(const std::string& url) {
    ++vectors_;
    world_.asked_to_connect.clear();
    const auto code = world_.error_of(url);
    EXPECT_TRUE(code == ErrorCode::kInvalidUrl || code == ErrorCode::kBlockedAddress)
        << url << ": " << (code ? code_name(*code) : "fetched");
    EXPECT_TRUE(world_.asked_to_connect.empty()) << url;
  }
  // "0 accepts" means something only beside connections that are accepted.
  void expect_control() {
    EXPECT_TRUE(world_.get(allowed_.url("/good")));
    EXPECT_TRUE(world_.get(allowed_.url("/good", "allowed.test")));
    EXPECT_GE(allowed_.connections(), 1u);
    EXPECT_EQ(trap_v4_.connections(), 0u);
    EXPECT_EQ(trap_v6_.connections(), 0u);
  }
  std::vector<std::string> spellings() const;

  OriginServer trap_v4_;
  OriginServer trap_v6_;
  OriginServer allowed_;
  FetchWorld world_;
  std::size_t vectors_ = 0;
};

constexpr std::string_view kLoopbackHosts[] = {"127.0.0.1",
                                               "127.1",
                                               "127.0.1",
                                               "2130706433",
                                               "0x7f000001",
                                               "0X7F000001",
                                               "0x7f.0.0.1",
                                               "0x7f.1",
                                               "0x7f.0x0.0x0.0x1",
                                               "0177.0.0.1",
                                               "0177.1",
                                               "017700000001",
                                               "00000177.0.0.1",
                                               "127.0.0.01",
                                               "127.000.000.001",
                                               "127.0.0.1.",
                                               "127.0.0.1..",
                                               "127.0.0.2",
                                               "127.255.255.255",
                                               "0",
                                               "0.0.0.0",
                                               "00.0.0.0",
                                               "0x0",
                                               "127.0.0.0x1",
                                               "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1",
                                               "127\xe3\x80\x82"
                                               "0\xe3\x80\x82"
                                               "0\xe3\x80\x82"
                                               "1",
                                               "\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1",
                                               "127%2e0%2e0%2e1",
                                               "%31%32%37.0.0.1",
                                               "127.0.0.1%00",
                                               "127.0.0.1%00.allowed.test",
                                               "127.0.0.1%20",
                                               "127.0.0.1%0a",
                                               "127.0.0.1\t",
                                               "127.0.\t0.1",
                                               "127.0.0.1\n",
                                               "127.0.\r0.1",
                                               " 127.0.0.1",
                                               "127.0.0.1 ",
                                               "user@127.0.0.1",
                                               "user:pass@127.0.0.1",
                                               "allowed.test@127.0.0.1",
                                               "allowed.test%40127.0.0.1",
                                               "allowed.test\\@127.0.0.1",
                                               "127.0.0.1\\@allowed.test",
                                               "127.0.0.1\\.allowed.test",
                                               "@127.0.0.1",
                                               "127.0.0.1@allowed.test",
                                               "allowed.test:80@127.0.0.1",
                                               "allowed.test:80\\@127.0.0.1",
                                               "[::1]",
                                               "[0:0:0:0:0:0:0:1]",
                                               "[::0001]",
                                               "[::ffff:127.0.0.1]",
                                               "[::ffff:7f00:1]",
                                               "[0:0:0:0:0:ffff:127.0.0.1]",
                                               "[::127.0.0.1]",
                                               "[::7f00:1]",
                                               "[64:ff9b::127.0.0.1]",
                                               "[64:ff9b::7f00:1]",
                                               "[2002:7f00:1::]",
                                               "[2001:0:7f00:1::]",
                                               "[fd00::5efe:127.0.0.1]",
                                               "[::1%25lo]",
                                               "[::1%lo]",
                                               "[::1%251]",
                                               "[fe80::1%25eth0]",
                                               "[fe80::1]",
                                               "[::]",
                                               "[127.0.0.1]",
                                               "[::1].allowed.test",
                                               "localhost",
                                               "LOCALHOST",
                                               "localhost.",
                                               "sub.localhost",
                                               "127.0.0.1,allowed.test",
                                               "127.0.0.1;allowed.test",
                                               "127.0.0.1:80:80",
                                               "127.0.0.1::80",
                                               "::1",
                                               "-127.0.0.1",
                                               "+127.0.0.1",
                                               "127..0.1",
                                               ".127.0.0.1"};

constexpr std::string_view kOddForms[] = {"http:127.0.0.1{}",
                                          "http:/127.0.0.1{}",
                                          "http:///127.0.0.1{}",
                                          "http:\\\\127.0.0.1{}",
                                          "http:/\\127.0.0.1{}",
                                          "//127.0.0.1{}",
                                          "ftp://127.0.0.1{}",
                                          "gopher://127.0.0.1{}",
                                          "file://127.0.0.1{}",
                                          "dict://127.0.0.1{}",
                                          "javascript://127.0.0.1{}",
                                          " http://127.0.0.1{}",
                                          "\thttp://127.0.0.1{}",
                                          "ht\ntp://127.0.0.1{}",
                                          "http\t://127.0.0.1{}",
                                          "http://127.0.0.1{}\tx",
                                          "http://127.0.0.1{}\r\nX-Injected: 1",
                                          "http://127.0.0.1{}%00",
                                          "http+unix://127.0.0.1{}",
                                          "HTTP://127.0.0.1{}"};

std::vector<std::string> P23::spellings() const {
  const std::string port = fmt::format(":{}/", trap_v4_.port());
  std::vector<std::string> urls;
  for (const std::string_view host : kLoopbackHosts) {
    urls.push_back(fmt::format("http://{}{}", host, port));
  }
  for (const std::string_view form : kOddForms) {
    urls.push_back(fmt::format(fmt::runtime(form), port));
  }
  return urls;
}

TEST_F(P23, RefusesEverySpelling) {
  for (const std::string& url : spellings()) expect_refused(url);
  EXPECT_GE(vectors_, 90u);
  expect_control();
}

TEST_F(P23, RefusesEveryForbiddenAddress) {
  for (const auto& forbidden : kForbiddenAddresses) {
    const bool is_v6 = forbidden.address.find(':') != std::string_view::npos;
    expect_refused(
        fmt::format("http://{}{}{}:{}/", is_v6 ? "[" : "", forbidden.address, is_v6 ? "]" : "", trap_v4_.port()));
  }
  EXPECT_GE(vectors_, 90u);
  expect_control();
}

TEST_F(P23, RefusesNamesOfForbiddenAddresses) {
  for (const auto& forbidden : kForbiddenAddresses) {
    const std::string alone = fmt::format("n{}.test", vectors_);
    world_.dns.add(alone, {std::string(forbidden.address)});
    expect_refused(fmt::format("http://{}:{}/", alone, trap_v4_.port()));
    const std::string among_others = fmt::format("n{}.test", vectors_);
    world_.dns.add(among_others, {"127.0.0.9", std::string(forbidden.address)});
    expect_refused(fmt::format("http://{}:{}/", among_others, trap_v4_.port()));
  }
  EXPECT_GE(vectors_, 180u);
  expect_control();
}

TEST_F(P23, RefusesRedirectsToWhatItRefusesDirectly) {
  std::string location;
  allowed_.route("/away", [&](const OriginRequest&) { return redirect_to(location); });
  std::vector<std::string> targets = spellings();
  for (const auto& forbidden : kForbiddenAddresses) {
    if (forbidden.address.find(':') != std::string_view::npos) continue;
    targets.push_back(fmt::format("//{}:{}/", forbidden.address, trap_v4_.port()));
  }
  for (const std::string& target : targets) {
    // A header ends at a line break, and blanks around it do not belong to it: these say something else there.
    if (target.find_first_of("\r\n") != std::string::npos || target.front() == ' ' || target.front() == '\t') continue;
    if (target.starts_with("http:127") || target.starts_with("http:/127") || target.starts_with("http:///")) continue;
    ++vectors_;
    location = target;
    world_.asked_to_connect.clear();
    const auto code = world_.error_of(allowed_.url("/away"));
    EXPECT_TRUE(code == ErrorCode::kInvalidUrl || code == ErrorCode::kBlockedAddress)
        << target << ": " << (code ? code_name(*code) : "fetched");
    for (const auto& [address, port] : world_.asked_to_connect) EXPECT_EQ(address.to_string(), "127.0.0.9") << target;
  }
  EXPECT_GE(vectors_, 100u);
  expect_control();
}

TEST_F(P23, RefusesPortsThatServeNoPictures) {
  for (const int port :
       {1,   7,   19,  21,  22,  23,  25,  53,  69,   79,   110,  111,  119,  135,  139,  143,   161,  389,
        445, 465, 514, 587, 636, 873, 993, 995, 1023, 2375, 2379, 3306, 5432, 6379, 9200, 11211, 27017}) {
    expect_refused(fmt::format("http://93.184.216.34:{}/", port));
    expect_refused(fmt::format("https://[2606:4700::1]:{}/", port));
  }
  expect_control();
}

// ---- P24: the checked address is the connected one.

// 10,000 with PIXMILL_TEST_LONG, 500 otherwise.
int rebinding_rounds() { return std::getenv("PIXMILL_TEST_LONG") != nullptr ? 10'000 : 500; }

TEST(P24, ANameThatChangesItsAddressNeverReachesAForbiddenOne) {
  FetchWorld world({.allow = "127.0.0.9/32"});
  OriginServer allowed(OriginOptions{.host = "127.0.0.9"});
  OriginServer forbidden(OriginOptions{.host = "127.0.0.1", .port = allowed.port()});
  allowed.route("/", answer_of("allowed"));
  forbidden.route("/", answer_of("forbidden"));
  world.dns.add_in_turn("rebind.test", {{.addresses = {"127.0.0.9"}, .ttl_seconds = 0},
                                        {.addresses = {"127.0.0.1"}, .ttl_seconds = 0},
                                        {.addresses = {"127.0.0.1", "127.0.0.9"}, .ttl_seconds = 0}});
  int fetched = 0;
  int blocked = 0;
  for (int i = 0; i < rebinding_rounds(); ++i) {
    const auto result = world.get(allowed.url("/", "rebind.test"));
    if (result) {
      ++fetched;
      ASSERT_EQ(result->bytes, "allowed");
    } else {
      ++blocked;
      ASSERT_EQ(result.error().code, ErrorCode::kBlockedAddress);
    }
  }
  EXPECT_GE(fetched, rebinding_rounds() / 4);
  EXPECT_GE(blocked, rebinding_rounds() / 4);
  EXPECT_EQ(forbidden.connections(), 0u);
  for (const auto& [address, port] : world.asked_to_connect) EXPECT_EQ(address.to_string(), "127.0.0.9");
}

// Remembers what the last resolution said.
class RecordingResolver final : public http::Resolver {
 public:
  explicit RecordingResolver(http::Resolver& inner) : inner_(inner) {}
  Task<Result<std::vector<IpAddress>>> resolve(std::string host) override {
    auto answer = co_await inner_.resolve(std::move(host));
    if (answer) last = *answer;
    co_return answer;
  }
  std::vector<IpAddress> last;

 private:
  http::Resolver& inner_;
};

TEST(P24, EveryAnswerComesFromAnAddressOfItsOwnResolution) {
  FetchWorld world({.allow = "127.0.0.0/28"});
  OriginServer nine(OriginOptions{.host = "127.0.0.9"});
  OriginServer ten(OriginOptions{.host = "127.0.0.10", .port = nine.port()});
  nine.route("/", answer_of("127.0.0.9"));
  ten.route("/", answer_of("127.0.0.10"));
  world.dns.add_in_turn("moving.test", {{.addresses = {"127.0.0.9"}, .ttl_seconds = 0},
                                        {.addresses = {"127.0.0.10"}, .ttl_seconds = 0},
                                        {.addresses = {"127.0.0.10", "127.0.0.9"}, .ttl_seconds = 0}});
  RecordingResolver resolver(*world.resolver);
  Metrics metrics;
  const FetcherParts parts{.client = *world.client,
                           .resolver = resolver,
                           .policy = world.policy,
                           .limits = world.limits,
                           .metrics = metrics};
  const auto fetcher = make_http_fetcher(parts, {});
  const std::vector<HostHeader> none;
  for (int i = 0; i < rebinding_rounds(); ++i) {
    const auto result = testing::run_task(world.io, fetcher->get(nine.url("/", "moving.test"), none));
    ASSERT_TRUE(result);
    const auto from = asio::ip::make_address(result->bytes);
    ASSERT_NE(std::ranges::find(resolver.last, from), resolver.last.end())
        << result->bytes << " was not what was checked";
  }
  EXPECT_EQ(nine.connections() + ten.connections(), 2u) << "although both connections are kept and used again";
}

TEST(P24, TheLastCheckSeesTheAddressThatIsConnectedTo) {
  // A caller that forgot to check, as a bug would make one: the socket callback stops it.
  FetchWorld world({.allow = "127.0.0.9/32"});
  OriginServer forbidden;
  http::ClientRequest request;
  request.scheme = "http";
  request.host = "allowed.test";
  request.port = forbidden.port();
  request.addresses = {asio::ip::make_address("127.0.0.1")};
  const auto response = testing::run_task(world.io, world.client->send(request));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::kBlockedAddress);
  EXPECT_EQ(forbidden.connections(), 0u);
}

// ---- P25: redirects.

TEST(P25, FollowsFiveAndNoMore) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  for (int i = 0; i < 10; ++i) origin.route(fmt::format("/{}", i), redirect_to(fmt::format("/{}", i + 1)));
  origin.route("/10", answer_of("picture"));
  const auto fetched = world.get(origin.url("/5"));
  ASSERT_TRUE(fetched);
  EXPECT_EQ(fetched->final_url, origin.url("/10"));
  EXPECT_EQ(world.error_of(origin.url("/4")), ErrorCode::kTooManyRedirects);
  EXPECT_EQ(origin.requests("/10"), 1u);
  origin.route("/loop", redirect_to("/loop"));
  EXPECT_EQ(world.error_of(origin.url("/loop")), ErrorCode::kTooManyRedirects);
  EXPECT_EQ(origin.requests("/loop"), 6u);
}

TEST(P25, FollowsEachKindAndForm) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  world.dns.add("other.test", {"127.0.0.1"});
  origin.route("/x/y", answer_of("picture"));
  for (const int status : {301, 302, 303, 307, 308}) {
    for (const std::string& location : {origin.url("/x/y"), std::string("/x/y"), std::string("../x/y"),
                                        std::string("y"), fmt::format("//127.0.0.1:{}/x/y", origin.port()),
                                        origin.url("/x/y#here", "other.test"), std::string("/x/./z/../y?q=1")}) {
      origin.route("/x/from", redirect_to(location, status));
      EXPECT_EQ(world.get(origin.url("/x/from?token=1")).value_or(Fetched{}).bytes, "picture")
          << status << " " << location;
      EXPECT_FALSE(origin.last_request("/x/y")->header("Referer"));
    }
  }
}

TEST(P25, FollowsNothingElse) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  origin.route("/y", answer_of("picture"));
  for (const int status : {300, 304, 305, 306}) {
    origin.route("/from", redirect_to("/y", status));
    EXPECT_EQ(world.error_of(origin.url("/from")), ErrorCode::kHttpPermanent) << status;
  }
  OriginAnswer nowhere;
  nowhere.status = 302;
  origin.route("/from", nowhere);
  const auto refused = world.get(origin.url("/from"));
  EXPECT_EQ(refused.error().code, ErrorCode::kHttpPermanent);
  EXPECT_EQ(refused.error().http_status, 302);
  for (const std::string location :
       {"ftp://127.0.0.1/y", "file:///etc/passwd", "javascript:alert(1)", "data:image/png;base64,AA", "mailto:a@b",
        "http://user:pass@127.0.0.1/y", "http://[::1%25lo]/y", "http://127.0.0.1\\y"}) {
    origin.route("/from", redirect_to(location));
    EXPECT_EQ(world.error_of(origin.url("/from")), ErrorCode::kInvalidUrl) << location;
  }
  EXPECT_EQ(origin.requests("/y"), 0u);
}

TEST(P25, NeverGoesFromHttpsToHttp) {
  OriginServer secure(OriginOptions{.tls = true, .tls_names = {"secure.test"}});
  OriginServer plain;
  const testing::TempFolder folder;
  std::ofstream(folder.path() + "/ca.pem") << secure.certificate_pem();
  FetchWorldOptions options = loopback_opened();
  options.ca_file = folder.path() + "/ca.pem";
  FetchWorld world(options);
  world.dns.add("secure.test", {"127.0.0.1"});
  world.dns.add("plain.test", {"127.0.0.1"});
  secure.route("/y", answer_of("picture"));
  secure.route("/down", redirect_to(plain.url("/y", "plain.test")));
  plain.route("/y", answer_of("picture"));
  plain.route("/up", redirect_to(secure.url("/y", "secure.test")));
  EXPECT_TRUE(world.get(secure.url("/y", "secure.test")));
  EXPECT_TRUE(world.get(plain.url("/up", "plain.test"))) << "from http to https is welcome";
  const auto refused = world.get(secure.url("/down", "secure.test"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kHttpPermanent);
  EXPECT_EQ(refused.error().http_status, 302);
  EXPECT_EQ(plain.requests("/y"), 0u);
}

TEST(P25, CredentialsStayWithTheirOrigin) {
  FetchWorld world(loopback_opened());
  OriginServer home;
  OriginServer away(OriginOptions{.host = "127.0.0.2"});
  world.dns.add("home.test", {"127.0.0.1"});
  world.dns.add("alias.test", {"127.0.0.1"});
  const std::vector<HostHeader> headers = {
      parse_host_header(fmt::format("home.test:{}: Authorization: Bearer secret", home.port())).value(),
      parse_host_header(fmt::format("127.0.0.2:{}: Authorization: Bearer other", away.port())).value()};
  const auto authorization = [&](const OriginServer& origin, const std::string& path) {
    return origin.last_request(path)->header("Authorization");
  };
  home.route("/picture", answer_of("picture"));
  home.route("/within", redirect_to("/picture"));
  ASSERT_TRUE(world.get(home.url("/within", "home.test"), headers));
  EXPECT_EQ(authorization(home, "/picture"), "Bearer secret") << "the same origin";

  away.route("/picture", answer_of("picture"));
  home.route("/away", redirect_to(away.url("/picture")));
  ASSERT_TRUE(world.get(home.url("/away", "home.test"), headers));
  EXPECT_EQ(authorization(home, "/away"), "Bearer secret");
  EXPECT_FALSE(authorization(away, "/picture")) << "another origin, although it has a header of its own";

  away.route("/back", redirect_to(home.url("/picture", "home.test")));
  home.route("/there-and-back", redirect_to(away.url("/back")));
  ASSERT_TRUE(world.get(home.url("/there-and-back", "home.test"), headers));
  EXPECT_FALSE(authorization(home, "/picture")) << "the way back was the other's idea";

  home.route("/alias", redirect_to(home.url("/picture", "alias.test")));
  ASSERT_TRUE(world.get(home.url("/alias", "home.test"), headers));
  EXPECT_FALSE(authorization(home, "/picture")) << "the same machine under another name";
}

TEST(P25, CookiesAreNotKept) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  OriginAnswer redirect = redirect_to("/picture");
  redirect.headers.emplace_back("Set-Cookie", "session=1; Path=/");
  origin.route("/from", redirect);
  origin.route("/picture", answer_of("picture"));
  ASSERT_TRUE(world.get(origin.url("/from")));
  EXPECT_FALSE(origin.last_request("/picture")->header("Cookie"));
}

TEST(P25, TakesTheNextHostsTurnAndGivesTheFirstBack) {
  // Two hosts with one place each, whose pictures redirect to the other: holding both turns would be a deadlock.
  FetchWorldOptions options = loopback_opened();
  options.limits.per_host = 1;
  FetchWorld world(options);
  OriginServer one;
  OriginServer two(OriginOptions{.host = "127.0.0.2"});
  one.route("/from", redirect_to(two.url("/picture")));
  two.route("/from", redirect_to(one.url("/picture")));
  one.route("/picture", answer_of("one"));
  two.route("/picture", answer_of("two"));
  std::vector<std::string> urls;
  for (int i = 0; i < 10; ++i) {
    urls.push_back(one.url("/from"));
    urls.push_back(two.url("/from"));
  }
  for (const auto& result : world.get_all(urls)) EXPECT_TRUE(result);
  EXPECT_EQ(one.connections(), 1u);
  EXPECT_EQ(two.connections(), 1u);
}

// ---- P26: bounded, whatever is announced.

TEST(P26, BytesAreBounded) {
  FetchWorldOptions options = loopback_opened();
  options.fetch.body_bytes_max = 100'000;
  FetchWorld world(options);
  OriginServer origin;
  origin.route("/fits", answer_of(std::string(100'000, 'x')));
  origin.route("/announced", answer_of(std::string(100'001, 'x')));
  OriginAnswer endless = answer_of(std::string(10'000, 'x'));
  endless.endless = true;
  origin.route("/endless", endless);
  OriginAnswer chunks = endless;
  chunks.chunked = true;
  origin.route("/chunks", chunks);
  OriginAnswer lying = answer_of("x");
  lying.announced_bytes = 1ULL << 60;
  origin.route("/lying", lying);
  OriginAnswer modest = answer_of(std::string(1'000'000, 'x'));
  modest.announced_bytes = 10;
  origin.route("/modest", modest);
  OriginAnswer negative;
  negative.raw = "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + std::string(200'000, 'x');
  origin.route("/negative", negative);
  EXPECT_EQ(world.get(origin.url("/fits")).value_or(Fetched{}).bytes.size(), 100'000u);
  for (const std::string path : {"/announced", "/endless", "/chunks", "/lying"}) {
    EXPECT_EQ(world.error_of(origin.url(path)), ErrorCode::kTooLarge) << path;
  }
  EXPECT_EQ(world.get(origin.url("/modest")).value_or(Fetched{}).bytes.size(), 10u) << "what follows is no part of it";
  const auto negative_result = world.get(origin.url("/negative"));
  EXPECT_FALSE(negative_result);
}

TEST(P26, ARefusalsBytesAreBoundedToo) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  OriginAnswer endless = answer_of(std::string(100'000, 'x'));
  endless.endless = true;
  for (const int status : {404, 500, 302}) {
    endless.status = status;
    endless.headers = {{"Location", "/picture"}};
    origin.route(fmt::format("/{}", status), endless);
  }
  origin.route("/picture", answer_of("picture"));
  EXPECT_EQ(world.error_of(origin.url("/404")), ErrorCode::kHttpPermanent);
  EXPECT_EQ(world.error_of(origin.url("/500")), ErrorCode::kHttpTransient);
  EXPECT_TRUE(world.get(origin.url("/302")));
}

TEST(P26, HeadersAreBounded) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  OriginAnswer flood = answer_of("x");
  flood.header_flood_bytes = 1 << 20;
  origin.route("/flood", flood);
  OriginAnswer line;
  line.raw = "HTTP/1.1 200 OK\r\nX-Long: " + std::string(1 << 20, 'x') + "\r\n\r\n";
  origin.route("/line", line);
  OriginAnswer trailers;
  trailers.raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
  for (int i = 0; i < 2'000; ++i) trailers.raw += fmt::format("X-Trailer-{}: {:0>900}\r\n", i, i);
  origin.route("/trailers", trailers);
  OriginAnswer many = answer_of("picture");
  for (int i = 0; i < 100; ++i) many.headers.emplace_back(fmt::format("X-{}", i), std::string(100, 'v'));
  origin.route("/many", many);
  for (const std::string path : {"/flood", "/line", "/trailers"}) {
    EXPECT_EQ(world.error_of(origin.url(path)), ErrorCode::kProtocol) << path;
  }
  EXPECT_TRUE(world.get(origin.url("/many")));
}

TEST(P26, TimeIsBounded) {
  FetchWorldOptions options = loopback_opened();
  options.fetch.total_timeout = milliseconds(150);
  FetchWorld world(options);
  OriginServer origin;
  OriginAnswer drip = answer_of(std::string(1'000'000, 'x'));
  drip.drip_interval = milliseconds(5);
  origin.route("/drip", drip);
  OriginAnswer never;
  never.never = true;
  origin.route("/never", never);
  // Each redirect is quick; the whole is not.
  origin.route("/slow", [](const OriginRequest&) {
    OriginAnswer slow = redirect_to("/slow");
    slow.body = std::string(9, 'x');
    slow.drip_interval = milliseconds(5);
    return slow;
  });
  for (const std::string path : {"/drip", "/never", "/slow"}) {
    EXPECT_EQ(world.error_of(origin.url(path)), ErrorCode::kTimeout) << path;
  }
}

TEST(P26, SlownessIsBounded) {
  FetchWorldOptions options = loopback_opened();
  options.fetch.low_speed_time = seconds(1);
  FetchWorld world(options);
  OriginServer origin;
  OriginAnswer drip = answer_of(std::string(1'000'000, 'x'));
  drip.drip_interval = milliseconds(5);
  origin.route("/drip", drip);
  EXPECT_EQ(world.error_of(origin.url("/drip")), ErrorCode::kTimeout);
}

TEST(P26, NothingIsDecoded) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  for (const std::string coding : {"gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip", "unknown"}) {
    OriginAnswer coded = answer_of("coded");
    coded.headers = {{"Content-Encoding", coding}, {"Content-Type", "image/jpeg"}};
    origin.route("/a", coded);
    EXPECT_EQ(world.error_of(origin.url("/a")), ErrorCode::kProtocol) << coding;
  }
  OriginAnswer plain = answer_of("picture");
  plain.headers = {{"Content-Encoding", "identity"}};
  origin.route("/a", plain);
  EXPECT_TRUE(world.get(origin.url("/a")));
  OriginAnswer transfer;
  transfer.raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\ncoded\r\n0\r\n\r\n";
  origin.route("/a", transfer);
  EXPECT_EQ(world.error_of(origin.url("/a")), ErrorCode::kProtocol);
}

TEST(P26, AFileThatEndsEarlyIsNotTaken) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  OriginAnswer half = answer_of("half");
  half.announced_bytes = 8;
  origin.route("/a", half);
  EXPECT_EQ(world.error_of(origin.url("/a")), ErrorCode::kTruncated);
}

TEST(P26, ALyingTypeIsTheDecodersBusiness) {
  FetchWorld world(loopback_opened());
  OriginServer origin;
  OriginAnswer page = answer_of("<html>not a picture</html>");
  page.headers = {{"Content-Type", "image/jpeg"}};
  origin.route("/a", page);
  EXPECT_EQ(world.get(origin.url("/a")).value_or(Fetched{}).bytes, page.body);
}

}  // namespace
}  // namespace pixmill::fetch
