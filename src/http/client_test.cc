#include "http/client.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "base/byte_budget.h"
#include "tests/support/origin_server.h"
#include "tests/support/run_task.h"
#include "tests/support/temp_folder.h"

namespace pixmill::http {
namespace {

using testing::OriginAnswer;
using testing::OriginOptions;
using testing::OriginRequest;
using testing::OriginServer;
using testing::run_task;

const auto kLoopback = asio::ip::make_address("127.0.0.1");

OriginAnswer answer_of(std::string body) {
  OriginAnswer answer;
  answer.body = std::move(body);
  return answer;
}

ClientRequest request_to(const OriginServer& origin, std::string target = "/a") {
  ClientRequest request;
  request.scheme = "http";
  request.host = "pictures.test";
  request.port = origin.port();
  request.target = std::move(target);
  request.addresses = {kLoopback};
  return request;
}

class ClientTest : public ::testing::Test {
 protected:
  Client& client(ClientOptions options = {}) {
    if (!client_) client_ = Client::create(io_.get_executor(), std::move(options)).value();
    return *client_;
  }
  Result<ClientResponse> send(ClientRequest request) { return run_task(io_, client().send(std::move(request))); }
  ErrorCode error_of(ClientRequest request) {
    const auto response = send(std::move(request));
    return response ? ErrorCode::kInternal : response.error().code;
  }
  // Sends all at once and returns when all are answered.
  std::vector<Result<ClientResponse>> send_all(const std::vector<ClientRequest>& requests) {
    std::vector<Result<ClientResponse>> responses;
    for (const auto& request : requests) {
      asio::co_spawn(io_, client().send(request), [&](const std::exception_ptr&, Result<ClientResponse> response) {
        responses.push_back(std::move(response));
      });
    }
    io_.restart();
    while (responses.size() < requests.size() && io_.run_one() > 0) {
    }
    return responses;
  }

  asio::io_context io_;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientTest, ReturnsStatusHeadersAndBody) {
  OriginServer origin;
  OriginAnswer answer = answer_of(std::string(300'000, 'x'));
  answer.status = 203;
  answer.headers = {{"X-One", "1"}, {"x-one", "2"}, {"Empty", ""}};
  origin.route("/a", answer);
  const auto response = send(request_to(origin));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 203);
  EXPECT_EQ(response->headers.get("X-ONE"), "1");
  EXPECT_EQ(response->headers.get("empty"), "");
  EXPECT_EQ(response->headers.all().size(), 4u);
  EXPECT_EQ(response->body, answer.body);
}

TEST_F(ClientTest, ReadsChunkedAndUnannouncedBodies) {
  OriginServer origin;
  OriginAnswer chunked = answer_of("in chunks");
  chunked.chunked = true;
  origin.route("/chunked", chunked);
  OriginAnswer unannounced = answer_of("to the end");
  unannounced.close_after = true;
  origin.route("/unannounced", unannounced);
  EXPECT_EQ(send(request_to(origin, "/chunked"))->body, "in chunks");
  EXPECT_EQ(send(request_to(origin, "/unannounced"))->body, "to the end");
}

TEST_F(ClientTest, SkipsInformationalAnswers) {
  OriginServer origin;
  OriginAnswer answer;
  answer.raw = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  origin.route("/a", answer);
  const auto response = send(request_to(origin));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_FALSE(response->headers.get("Link"));
  EXPECT_EQ(response->body, "ok");
}

TEST_F(ClientTest, KeepsItsConnection) {
  OriginServer origin;
  origin.route("/a", answer_of("a"));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(send(request_to(origin)));
  EXPECT_EQ(origin.requests(), 5u);
  EXPECT_EQ(origin.connections(), 1u);
}

TEST_F(ClientTest, SendsTheRequestAsItIsGiven) {
  OriginServer origin;
  const std::string target = "/a/../b/./c?x=%41&y=[]{}|^";
  origin.route("/a/../b/./c", answer_of("a"));
  ClientRequest request = request_to(origin, target);
  request.headers.add("User-Agent", "test/1");
  request.headers.add("X-Empty", "");
  ASSERT_TRUE(send(request));
  const auto seen = origin.last_request("/a/../b/./c").value();
  EXPECT_EQ(seen.method, "GET");
  EXPECT_EQ(seen.target, target);
  EXPECT_EQ(seen.header("Host"), fmt::format("pictures.test:{}", origin.port()));
  EXPECT_EQ(seen.header("User-Agent"), "test/1");
  EXPECT_EQ(seen.header("X-Empty"), "");
  EXPECT_EQ(seen.header("Accept"), "*/*");
  EXPECT_EQ(seen.headers.size(), 4u) << "nothing is added: no Accept-Encoding, no cookies, no credentials";
}

TEST_F(ClientTest, SendsBodiesWithEveryMethod) {
  OriginServer origin;
  origin.route("/a", answer_of("a"));
  for (const std::string method : {"POST", "PUT", "PATCH", "DELETE"}) {
    ClientRequest request = request_to(origin);
    request.method = method;
    request.body = std::string(100'000, 'b');
    ASSERT_TRUE(send(request)) << method;
    const auto seen = origin.last_request("/a").value();
    EXPECT_EQ(seen.method, method);
    EXPECT_EQ(seen.body, request.body);
    EXPECT_FALSE(seen.header("Expect"));
    EXPECT_FALSE(seen.header("Content-Type"));
  }
  EXPECT_EQ(origin.connections(), 1u);
}

TEST_F(ClientTest, ForgetsTheLastRequestsMethodAndBody) {
  OriginServer origin;
  origin.route("/a", answer_of("answer"));
  ClientRequest post = request_to(origin);
  post.method = "POST";
  post.body = "body";
  post.headers.add("Content-Type", "application/json");
  ASSERT_TRUE(send(post));
  EXPECT_EQ(origin.last_request("/a")->header("Content-Type"), "application/json");
  ClientRequest head = request_to(origin);
  head.method = "HEAD";
  const auto response = send(head);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "");
  EXPECT_EQ(response->headers.get("Content-Length"), "6");
  ClientRequest put = request_to(origin);
  put.method = "PUT";
  ASSERT_TRUE(send(put));
  EXPECT_EQ(origin.last_request("/a")->header("Content-Length"), "0");
  ClientRequest remove = request_to(origin);
  remove.method = "DELETE";
  ASSERT_TRUE(send(remove));
  EXPECT_FALSE(origin.last_request("/a")->header("Content-Length"));
  EXPECT_EQ(send(request_to(origin))->body, "answer");
  EXPECT_EQ(origin.last_request("/a")->method, "GET");
}

TEST_F(ClientTest, AnswersRedirectsInsteadOfFollowingThem) {
  OriginServer origin;
  OriginAnswer redirect;
  redirect.status = 302;
  redirect.headers = {{"Location", "/b"}, {"Set-Cookie", "a=b"}};
  origin.route("/a", redirect);
  EXPECT_EQ(send(request_to(origin))->status, 302);
  EXPECT_EQ(send(request_to(origin))->headers.get("Location"), "/b");
  EXPECT_EQ(origin.requests("/b"), 0u);
  EXPECT_FALSE(origin.last_request("/a")->header("Cookie"));
}

TEST_F(ClientTest, IgnoresTheEnvironmentsProxies) {
  OriginServer origin;
  OriginServer proxy;
  origin.route("/a", answer_of("direct"));
  const std::string address = fmt::format("http://127.0.0.1:{}", proxy.port());
  for (const char* name : {"http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"})
    ::setenv(name, address.c_str(), 1);
  EXPECT_EQ(send(request_to(origin))->body, "direct");
  for (const char* name : {"http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"}) ::unsetenv(name);
  EXPECT_EQ(proxy.connections(), 0u);
}

TEST_F(ClientTest, ConnectsToLiteralAddressesOfBothFamilies) {
  OriginServer v6(OriginOptions{.host = "::1"});
  v6.route("/a", answer_of("six"));
  ClientRequest request = request_to(v6);
  request.host = "::1";
  request.addresses = {asio::ip::make_address("::1")};
  EXPECT_EQ(send(request)->body, "six");
  EXPECT_EQ(v6.last_request("/a")->header("Host"), fmt::format("[::1]:{}", v6.port()));
}

// The pool must not hand out a connection to an address that was checked for an earlier request and not for this one.
TEST_F(ClientTest, ReusesAConnectionOnlyWhenItsAddressIsNamedAgain) {
  OriginServer first(OriginOptions{.host = "127.0.0.2"});
  OriginServer second(OriginOptions{.host = "127.0.0.3", .port = first.port()});
  first.route("/a", answer_of("first"));
  second.route("/a", answer_of("second"));
  ClientRequest to_first = request_to(first);
  to_first.addresses = {asio::ip::make_address("127.0.0.2")};
  ClientRequest to_second = to_first;
  to_second.addresses = {asio::ip::make_address("127.0.0.3")};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(send(to_first)->body, "first");
    EXPECT_EQ(send(to_second)->body, "second");
  }
  EXPECT_EQ(first.connections(), 1u);
  EXPECT_EQ(second.connections(), 1u);
}

TEST_F(ClientTest, AsksBeforeItConnects) {
  OriginServer origin;
  origin.route("/a", answer_of("a"));
  std::vector<std::pair<asio::ip::address, std::uint16_t>> asked;
  bool may = false;
  ClientOptions options;
  options.may_connect = [&](const asio::ip::address& address, std::uint16_t port) {
    asked.emplace_back(address, port);
    return may;
  };
  client(std::move(options));
  EXPECT_EQ(error_of(request_to(origin)), ErrorCode::kBlockedAddress);
  EXPECT_EQ(origin.connections(), 0u);
  may = true;
  EXPECT_TRUE(send(request_to(origin)));
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[1], std::make_pair(kLoopback, origin.port()));
}

TEST_F(ClientTest, TriesTheNextAddressAndRemembersTheOneThatAnswered) {
  OriginServer origin(OriginOptions{.host = "127.0.0.3"});
  origin.route("/a", answer_of("a"));
  std::vector<std::string> asked;
  ClientOptions options;
  options.may_connect = [&](const asio::ip::address& address, std::uint16_t) {
    asked.push_back(address.to_string());
    return true;
  };
  client(std::move(options));
  ClientRequest request = request_to(origin);
  request.addresses = {asio::ip::make_address("127.0.0.2"), asio::ip::make_address("127.0.0.3")};
  EXPECT_TRUE(send(request));
  EXPECT_EQ(asked, (std::vector<std::string>{"127.0.0.2", "127.0.0.3"}));
  EXPECT_TRUE(send(request));
  EXPECT_EQ(asked.size(), 2u) << "the second request goes to the address that answered, on its connection";
}

TEST_F(ClientTest, LeavesAnAddressThatDoesNotAccept) {
  OriginServer deaf(OriginOptions{.host = "127.0.0.2", .never_accepts = true});
  OriginServer origin(OriginOptions{.host = "127.0.0.3", .port = deaf.port()});
  origin.route("/a", answer_of("a"));
  ClientRequest request = request_to(origin);
  request.addresses = {asio::ip::make_address("127.0.0.2"), asio::ip::make_address("127.0.0.3")};
  request.connect_timeout = seconds(2);
  EXPECT_TRUE(send(request));
}

TEST_F(ClientTest, ReportsARefusedConnection) {
  std::uint16_t closed_port = 0;
  {
    OriginServer gone;
    closed_port = gone.port();
  }
  OriginServer other;
  ClientRequest request = request_to(other);
  request.port = closed_port;
  EXPECT_EQ(error_of(request), ErrorCode::kConnect);
}

TEST_F(ClientTest, BoundsTheTimeToConnect) {
  OriginServer deaf(OriginOptions{.never_accepts = true});
  ClientRequest request = request_to(deaf);
  request.connect_timeout = milliseconds(50);
  EXPECT_EQ(error_of(request), ErrorCode::kTimeout);
}

TEST_F(ClientTest, BoundsTheTimeInAll) {
  OriginServer origin;
  OriginAnswer never;
  never.never = true;
  origin.route("/never", never);
  OriginAnswer drip = answer_of(std::string(10'000, 'd'));
  drip.drip_interval = milliseconds(5);
  origin.route("/drip", drip);
  for (const std::string path : {"/never", "/drip"}) {
    ClientRequest request = request_to(origin, path);
    request.total_timeout = milliseconds(60);
    EXPECT_EQ(error_of(request), ErrorCode::kTimeout) << path;
  }
}

TEST_F(ClientTest, BoundsSlowness) {
  OriginServer origin;
  OriginAnswer drip = answer_of(std::string(10'000, 'd'));
  drip.drip_interval = milliseconds(5);
  origin.route("/a", drip);
  ClientRequest request = request_to(origin);
  request.low_speed_time = seconds(1);
  request.low_speed_bytes_per_second = 100'000;
  EXPECT_EQ(error_of(request), ErrorCode::kTimeout);
}

TEST_F(ClientTest, WaitsForAConnectionNoLongerThanItsDeadline) {
  OriginServer origin;
  OriginAnswer never;
  never.never = true;
  origin.route("/a", never);
  ClientOptions options;
  options.connections_max = 1;
  client(std::move(options));
  ClientRequest first = request_to(origin);
  first.total_timeout = milliseconds(400);
  ClientRequest second = first;
  second.total_timeout = milliseconds(50);
  const auto responses = send_all({first, second});
  ASSERT_EQ(responses.size(), 2u);
  EXPECT_EQ(responses[0].error().code, ErrorCode::kTimeout);
  EXPECT_EQ(responses[1].error().code, ErrorCode::kTimeout);
  EXPECT_EQ(origin.connections(), 1u);
}

TEST_F(ClientTest, SharesFewConnectionsAmongManyRequests) {
  OriginServer origin;
  origin.route("/a", answer_of(std::string(20'000, 'x')));
  ClientOptions options;
  options.connections_max = 4;
  client(std::move(options));
  const auto responses = send_all(std::vector<ClientRequest>(200, request_to(origin)));
  ASSERT_EQ(responses.size(), 200u);
  for (const auto& response : responses) EXPECT_TRUE(response && response->body.size() == 20'000);
  EXPECT_LE(origin.connections(), 4u);
}

TEST_F(ClientTest, BoundsTheBodyBeforeAndWhileReadingIt) {
  OriginServer origin;
  origin.route("/announced", answer_of(std::string(5'001, 'x')));
  OriginAnswer chunked = answer_of(std::string(5'001, 'x'));
  chunked.chunked = true;
  origin.route("/chunked", chunked);
  OriginAnswer endless = answer_of(std::string(1'000, 'x'));
  endless.endless = true;
  origin.route("/endless", endless);
  OriginAnswer lying = answer_of(std::string(10, 'x'));
  lying.announced_bytes = 1ULL << 62;
  origin.route("/lying", lying);
  for (const std::string path : {"/announced", "/chunked", "/endless", "/lying"}) {
    ClientRequest request = request_to(origin, path);
    request.body_bytes_max = 5'000;
    EXPECT_EQ(error_of(request), ErrorCode::kTooLarge) << path;
  }
}

TEST_F(ClientTest, CutsABodyOnRequest) {
  OriginServer origin;
  OriginAnswer endless = answer_of(std::string(1'000, 'x'));
  endless.endless = true;
  origin.route("/a", endless);
  ClientRequest request = request_to(origin);
  request.body_bytes_max = 5'500;
  request.truncate_body = true;
  const auto response = send(request);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body.size(), 5'500u);
}

TEST_F(ClientTest, ReadsNoMoreOfARefusalThanAsked) {
  OriginServer origin;
  OriginAnswer refusal = answer_of(std::string(1'000, 'x'));
  refusal.status = 404;
  refusal.endless = true;
  origin.route("/a", refusal);
  ClientRequest request = request_to(origin);
  request.other_body_bytes_max = 1'500;
  const auto response = send(request);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 404);
  EXPECT_EQ(response->body.size(), 1'500u);
}

TEST_F(ClientTest, ReportsAFileThatEndsEarly) {
  OriginServer origin;
  OriginAnswer truncated = answer_of("half");
  truncated.announced_bytes = 8;
  origin.route("/length", truncated);
  OriginAnswer chunks;
  chunks.raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
  origin.route("/chunked", chunks);
  EXPECT_EQ(error_of(request_to(origin, "/length")), ErrorCode::kTruncated);
  EXPECT_EQ(error_of(request_to(origin, "/chunked")), ErrorCode::kTruncated);
}

TEST_F(ClientTest, ReportsWhatIsNotHttp) {
  OriginServer origin;
  const auto add = [&](const std::string& path, std::string raw) {
    OriginAnswer answer;
    answer.raw = std::move(raw);
    origin.route(path, answer);
  };
  add("/garbage", "SSH-2.0-OpenSSH_9.2\r\n");
  add("/html", "<html>an answer as HTTP/0.9 gave it</html>");
  add("/half-head", "HTTP/1.1 200 OK\r\nContent-Le");
  add("/one-line", "HTTP/1.1 200 OK\r\nX: " + std::string(1 << 20, 'x'));
  add("/informational", "HTTP/1.1 200 OK\r\n" + std::string(100'000, ' '));
  std::string hints;
  for (int i = 0; i < 5'000; ++i) hints += "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
  add("/hints", hints);
  OriginAnswer flood = answer_of("x");
  flood.header_flood_bytes = 1 << 20;
  origin.route("/flood", flood);
  OriginAnswer reset = answer_of(std::string(100'000, 'x'));
  reset.reset_after_bytes = 50'000;
  origin.route("/reset", reset);
  for (const std::string path :
       {"/garbage", "/html", "/half-head", "/one-line", "/informational", "/hints", "/flood", "/reset"}) {
    EXPECT_EQ(error_of(request_to(origin, path)), ErrorCode::kProtocol) << path;
  }
}

TEST_F(ClientTest, RefusesARequestThatWouldNotStayOne) {
  OriginServer origin;
  const ClientRequest good = request_to(origin);
  std::vector<ClientRequest> bad(12, good);
  bad[0].scheme = "ftp";
  bad[1].host = "pictures.test/evil";
  bad[2].host = "";
  bad[3].target = "/a b";
  bad[4].target = "/a\r\nX: y";
  bad[5].target = "no-slash";
  bad[6].method = "GET /";
  bad[7].headers.add("X", "a\r\nY: b");
  bad[8].headers.add("X Y", "a");
  bad[9].addresses.clear();
  bad[10].port = 0;
  bad[11].host = "a@b";
  for (std::size_t i = 0; i < bad.size(); ++i) EXPECT_EQ(error_of(bad[i]), ErrorCode::kInvalidArgument) << i;
  EXPECT_EQ(origin.connections(), 0u);
}

TEST_F(ClientTest, VerifiesCertificates) {
  OriginServer origin(OriginOptions{.tls = true, .tls_names = {"pictures.test"}});
  origin.route("/a", answer_of("secret"));
  ClientRequest request = request_to(origin);
  request.scheme = "https";
  EXPECT_EQ(error_of(request), ErrorCode::kTls) << "nobody vouches for it";

  const testing::TempFolder folder;
  const std::string file = folder.path() + "/ca.pem";
  std::ofstream(file) << origin.certificate_pem();
  ClientOptions trusting;
  trusting.ca_file = file;
  client_ = Client::create(io_.get_executor(), trusting).value();
  EXPECT_EQ(send(request)->body, "secret");
  EXPECT_EQ(send(request)->body, "secret");
  ClientRequest other_name = request;
  other_name.host = "other.test";
  EXPECT_EQ(error_of(other_name), ErrorCode::kTls) << "it is another host's";
}

TEST_F(ClientTest, TellsABrokenHandshakeFromABadOne) {
  OriginServer plain;
  plain.route("/a", answer_of("a"));
  ClientRequest to_plain = request_to(plain);
  to_plain.scheme = "https";
  to_plain.total_timeout = milliseconds(100);
  EXPECT_EQ(error_of(to_plain), ErrorCode::kTimeout) << "an HTTP server waits for the rest of a request";

  ClientRequest request = to_plain;
  request.total_timeout = seconds(5);
  OriginServer closing(OriginOptions{.greeting = ""});
  request.port = closing.port();
  EXPECT_EQ(error_of(request), ErrorCode::kConnect) << "broken off: may be load";
  OriginServer speaking(OriginOptions{.greeting = "HTTP/1.1 400 Bad Request\r\n\r\n"});
  request.port = speaking.port();
  EXPECT_EQ(error_of(request), ErrorCode::kTls) << "no TLS there";
}

TEST_F(ClientTest, RefusesRootsThatCannotBeRead) {
  const auto created =
      Client::create(io_.get_executor(), ClientOptions{.may_connect = {}, .ca_file = "/nonexistent/ca.pem"});
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ClientTest, AbortsTheTransferOfACancelledCoroutine) {
  OriginServer origin;
  OriginAnswer endless = answer_of("x");
  endless.drip_interval = milliseconds(5);
  endless.body = std::string(100'000, 'x');
  origin.route("/a", endless);
  asio::cancellation_signal signal;
  std::optional<Result<ClientResponse>> result;
  asio::co_spawn(
      io_, client().send(request_to(origin)),
      asio::bind_cancellation_slot(signal.slot(), [&](const std::exception_ptr&, Result<ClientResponse> response) {
        result = std::move(response);
      }));
  while (origin.requests() == 0) io_.run_one_for(milliseconds(10));
  EXPECT_FALSE(result);
  signal.emit(asio::cancellation_type::terminal);
  while (!result && io_.run_one() > 0) {
  }
  ASSERT_TRUE(result.has_value() && !result->has_value());
  EXPECT_EQ(result->error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(send(request_to(origin, "/other")));
}

TEST_F(ClientTest, EndsWhatIsUnderWayWhenItIsDestroyed) {
  OriginServer origin;
  OriginAnswer never;
  never.never = true;
  origin.route("/a", never);
  std::vector<ErrorCode> codes;
  for (int i = 0; i < 20; ++i) {
    asio::co_spawn(io_, client().send(request_to(origin)),
                   [&](const std::exception_ptr&, const Result<ClientResponse>& response) {
                     codes.push_back(response.error().code);
                   });
  }
  while (origin.requests() < 10) io_.run_one_for(milliseconds(10));
  client_.reset();
  io_.restart();
  io_.run();  // returns: nothing is left
  EXPECT_EQ(codes, std::vector<ErrorCode>(20, ErrorCode::kCancelled));
}

TEST_F(ClientTest, KeepsNoLoopRunningWhenIdle) {
  OriginServer origin;
  origin.route("/a", answer_of("a"));
  ASSERT_TRUE(send(request_to(origin)));
  io_.restart();
  io_.run();  // returns although the connection is kept
  EXPECT_TRUE(send(request_to(origin)));
  EXPECT_EQ(origin.connections(), 1u);
}

// ---- Memory

Task<void> send_counted(Client& client, ByteBudget& budget, ClientRequest request,
                        std::vector<Result<ClientResponse>>& responses) {
  constexpr std::uint64_t kGuessBytes = 100'000;
  auto grant = co_await budget.take(kGuessBytes);
  request.memory = &*grant;
  auto response = co_await client.send(std::move(request));
  EXPECT_LE(response ? response->body.capacity() : 0, grant->bytes());
  responses.push_back(std::move(response));
}

TEST_F(ClientTest, ManyLargeBodiesAtOnceStayWithinTheMemoryBudget) {
  constexpr std::uint64_t kBudgetBytes = 5'000'000;
  constexpr std::uint64_t kBodyBytes = 2'000'000;
  OriginServer origin;
  OriginAnswer known = answer_of(std::string(kBodyBytes, 'k'));
  OriginAnswer unknown = known;
  unknown.chunked = true;
  origin.route("/known", known);
  origin.route("/unknown", unknown);
  for (const std::string target : {"/known", "/unknown"}) {
    ByteBudget budget(io_.get_executor(), kBudgetBytes);
    std::vector<Result<ClientResponse>> responses;
    for (int i = 0; i < 20; ++i) {
      asio::co_spawn(io_, send_counted(client(), budget, request_to(origin, target), responses), asio::detached);
    }
    io_.restart();
    while (responses.size() < 20 && io_.run_one() > 0) {
    }
    for (const auto& response : responses) {
      ASSERT_TRUE(response) << target << response.error().message;
      EXPECT_EQ(response->body, known.body);
    }
    // Steps double, so the one that may pass the limit may hold the double of its body.
    EXPECT_LE(budget.bytes_peak(), target == "/known" ? kBudgetBytes : kBudgetBytes + 2 * kBodyBytes) << target;
    EXPECT_EQ(budget.bytes_in_use(), 0u);
  }
}

TEST_F(ClientTest, BodyWithoutMemoryInTimeIsGivenBack) {
  OriginServer origin;
  origin.route("/a", answer_of(std::string(500'000, 'x')));
  ByteBudget budget(io_.get_executor(), 600'000);
  const auto other = run_task(io_, budget.take(590'000));
  auto grant = run_task(io_, budget.take(10'000));
  ClientRequest request = request_to(origin);
  request.memory = &*grant;
  request.total_timeout = milliseconds(100);
  EXPECT_EQ(error_of(request), ErrorCode::kUnavailable);
  EXPECT_EQ(grant->bytes(), 0u) << "nothing of it came in";
  // The client is none the worse for it.
  request.memory = nullptr;
  request.total_timeout = std::chrono::seconds(60);
  EXPECT_TRUE(send(request));
}

TEST_F(ClientTest, CancelledWhileItRestsLeavesNothingBehind) {
  OriginServer origin;
  origin.route("/a", answer_of(std::string(500'000, 'x')));
  ByteBudget budget(io_.get_executor(), 600'000);
  auto other = run_task(io_, budget.take(590'000));
  std::optional<ByteBudget::Grant> grant = run_task(io_, budget.take(10'000)).value();
  ClientRequest request = request_to(origin);
  request.memory = &*grant;
  asio::cancellation_signal signal;
  bool is_over = false;
  asio::co_spawn(io_, client().send(request),
                 asio::bind_cancellation_slot(
                     signal.slot(), [&](const std::exception_ptr&, const Result<ClientResponse>&) { is_over = true; }));
  io_.restart();
  while (grant->bytes() > 0 && io_.run_one() > 0) {
  }
  signal.emit(asio::cancellation_type::terminal);
  while (!is_over && io_.run_one() > 0) {
  }
  grant.reset();
  other = fail(ErrorCode::kCancelled, "given back");
  EXPECT_EQ(budget.bytes_in_use(), 0u);
}

}  // namespace
}  // namespace pixmill::http
