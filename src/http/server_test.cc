#include "http/server.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <thread>

#include "base/ids.h"
#include "http/multipart.h"
#include "tests/support/loop_thread.h"
#include "tests/support/raw_http_client.h"
#include "tests/support/temp_folder.h"

namespace pixmill::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawHttpClient;
using testing::RawResponse;

// What the server under test serves. Counters are read by the test's thread.
class Site {
 public:
  Task<Response> handle(Request& request) {
    ++requests;
    if (request.path == "/smuggled") ++smuggled;
    if (request.path == "/echo") co_return co_await echo(request);
    if (request.path == "/count") co_return co_await count(request);
    if (request.path == "/form") co_return co_await form(request);
    if (request.path == "/throw") throw std::runtime_error("secret text");
    if (request.path == "/hang") co_await pause_for(milliseconds(3'600'000));
    if (request.path == "/stream" || request.path == "/broken") co_return stream(request.path == "/broken");
    if (request.path == "/empty") co_return Response{.status = 204, .headers = {}, .body = {}};
    if (request.path == "/file" || request.path == "/gone") co_return file(request.path == "/gone");
    if (request.path == "/big") co_return text_response(200, std::string(1'000'000, 'b'));
    Response response = text_response(200, describe(request));
    response.on_sent = [this](const Sent& sent) { sent_bytes = sent.body_bytes + (sent.complete ? 0 : 1'000'000); };
    if (request.path == "/close") response.headers.add("Connection", "close");
    if (request.path == "/inject") response.headers.add("X-Value", "a\r\nSet-Cookie: b\x01");
    co_return response;
  }

  testing::TempFolder folder;
  std::atomic<int> requests = 0;
  std::atomic<int> smuggled = 0;
  std::atomic<std::uint64_t> sent_bytes = 0;
  std::atomic<std::size_t> largest_piece = 0;
  std::atomic<std::uint64_t> form_bytes = 0;

 private:
  static std::string describe(const Request& request) {
    std::string text = fmt::format("{} {} {}", request.method, request.path, request.headers.get("Host").value_or("-"));
    for (const auto& [name, value] : request.query) text += fmt::format(" {}={}", name, value);
    return text;
  }

  static Response failed(const Error& error) {
    return text_response(error.code == ErrorCode::kTooLarge  ? 413
                         : error.code == ErrorCode::kTimeout ? 408
                                                             : 422,
                         error.message);
  }

  static Task<Response> echo(Request& request) {
    auto body = co_await read_all(*request.body, 1'000'000);
    co_return body ? text_response(200, *body) : failed(body.error());
  }

  Task<Response> count(Request& request) {
    std::uint64_t bytes = 0;
    while (true) {
      const auto piece = co_await request.body->next();
      if (!piece) co_return failed(piece.error());
      if (piece->empty()) break;
      bytes += piece->size();
      largest_piece = std::max(largest_piece.load(), piece->size());
    }
    co_return text_response(200, fmt::format("{}", bytes));
  }

  Task<Response> form(Request& request) {
    const auto boundary = multipart_boundary(request.headers.get("Content-Type").value_or(""));
    if (!boundary) co_return text_response(415, "");
    MultipartParser parser(*boundary, {.on_part = [](const PartHeader&) -> Result<void> { return {}; },
                                       .on_data = [this](std::string_view bytes) -> Result<void> {
                                         form_bytes += bytes.size();
                                         return {};
                                       },
                                       .on_part_end = []() -> Result<void> { return {}; }});
    while (true) {
      const auto piece = co_await request.body->next();
      if (!piece) co_return failed(piece.error());
      if (piece->empty()) break;
      largest_piece = std::max(largest_piece.load(), piece->size());
      const auto fed = parser.feed(*piece);
      if (!fed) co_return failed(fed.error());
    }
    const auto finished = parser.finish();
    co_return finished ? text_response(201, "") : failed(finished.error());
  }

  static Response stream(bool breaks) {
    auto left = std::make_shared<int>(3);
    Response response = text_response(200, "");
    response.body = StreamBody{.next = [left, breaks] { return piece(left, breaks); }};
    return response;
  }

  static Task<Result<std::string>> piece(std::shared_ptr<int> left, bool breaks) {
    if (breaks && *left == 1) co_return fail(ErrorCode::kIo, "the disk is gone");
    co_return (*left)-- > 0 ? std::string(70'000, 's') : std::string();
  }

  [[nodiscard]] Response file(bool gone) const {
    Response response = text_response(200, "");
    response.headers.set("ETag", "\"v1\"");
    response.body = FileBody{.path = folder.file(gone ? "gone" : "data"), .bytes = 200'000};
    return response;
  }
};

struct Fixture {
  explicit Fixture(ServerOptions options = {}) {
    options.port = 0;
    server = loop.call([&] {
      return Server::create(loop.executor(), options, [this](Request& request) { return site.handle(request); })
          .value();
    });
    loop.call([&] { return server->start(), true; });
  }
  ~Fixture() {
    loop.run(server->stop(milliseconds(0)));
    loop.stop();
  }

  RawHttpClient connect() const { return RawHttpClient(server->port()); }
  RawResponse request(std::string_view bytes, bool head_only = false) const {
    return RawHttpClient(server->port()).request(bytes, head_only);
  }
  [[nodiscard]] std::uint32_t connections() {
    return loop.call([&] { return server->connections(); });
  }
  // Until the loop has noticed what the test did to a socket; bounded by the test's own timeout.
  void wait_for_connections(std::uint32_t count) {
    while (connections() != count) std::this_thread::yield();
  }

  Site site;
  testing::LoopThread loop;
  std::unique_ptr<Server> server;
};

std::string get(std::string_view target, std::string_view more = "") {
  return fmt::format("GET {} HTTP/1.1\r\nHost: h\r\n{}\r\n", target, more);
}

std::string post(std::string_view target, std::string_view body) {
  return fmt::format("POST {} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{}", target, body.size(), body);
}

TEST(Server, AnswersARequest) {
  Fixture fixture;
  const auto response = fixture.request(get("/a%20b?x=1%262&y=a+b&z&w=%"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "GET /a b h x=1&2 y=a b z= w=%");
  EXPECT_EQ(response.header("content-type"), "text/plain; charset=utf-8");
  EXPECT_EQ(response.header("date").size(), 29U);
  EXPECT_TRUE(Uuid::parse(response.header("x-request-id")).has_value());
}

TEST(Server, ReadsTheAbsoluteFormOfATarget) {
  Fixture fixture;
  EXPECT_EQ(fixture.request("GET HTTP://other:81/p?q=1 HTTP/1.1\r\nHost: h\r\n\r\n").body, "GET /p other:81 q=1");
  EXPECT_EQ(fixture.request("GET http://other?q=1 HTTP/1.1\r\nHost: h\r\n\r\n").body, "GET / other q=1");
  EXPECT_EQ(fixture.request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").body, "OPTIONS * h");
}

TEST(Server, KeepsTheConnectionAndAnswersPipelinedRequestsInOrder) {
  Fixture fixture;
  auto client = fixture.connect();
  client.send(get("/1") + post("/echo", "two") + get("/3") + "\r\n" + get("/4"));
  EXPECT_EQ(client.read_response().body, "GET /1 h");
  EXPECT_EQ(client.read_response().body, "two");
  EXPECT_EQ(client.read_response().body, "GET /3 h");
  EXPECT_EQ(client.read_response().body, "GET /4 h");
  EXPECT_EQ(client.request(get("/5")).header("connection"), "keep-alive");
}

TEST(Server, ClosesWhenAskedByEitherSide) {
  Fixture fixture;
  for (const auto& bytes :
       {get("/", "Connection: foo, CLOSE\r\n"), get("/close"), std::string("GET / HTTP/1.0\r\n\r\n")}) {
    auto client = fixture.connect();
    const auto response = client.request(bytes);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.header("connection"), "close");
    EXPECT_TRUE(client.ends());
  }
  auto client = fixture.connect();
  EXPECT_EQ(client.request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").header("connection"), "keep-alive");
  EXPECT_EQ(client.request("GET / HTTP/1.0\r\n\r\n").status, 200);
}

TEST(Server, AnswersHeadLikeGetWithoutTheBody) {
  Fixture fixture;
  auto client = fixture.connect();
  const auto response = client.request("HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\n", true);
  EXPECT_EQ(response.header("content-length"), "11");
  EXPECT_EQ(client.request("HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n", true).header("transfer-encoding"), "chunked");
  fixture.site.folder.write("data", std::string(200'000, 'f'));
  EXPECT_EQ(client.request("HEAD /file HTTP/1.1\r\nHost: h\r\n\r\n", true).header("content-length"), "200000");
  EXPECT_EQ(client.request(get("/next")).body, "GET /next h");
}

TEST(Server, GivesNoBodyToAStatusWithoutOne) {
  Fixture fixture;
  auto client = fixture.connect();
  const auto response = client.request(get("/empty"));
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.header("content-length"), "");
  EXPECT_EQ(client.request(get("/next")).body, "GET /next h");
}

TEST(Server, StreamsInChunks) {
  Fixture fixture;
  auto client = fixture.connect();
  const auto response = client.request(get("/stream"));
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(response.body, std::string(210'000, 's'));
  EXPECT_EQ(response.header("content-length"), "");
  EXPECT_EQ(client.request(get("/next")).status, 200);
}

TEST(Server, StreamsToTheEndOfTheConnectionForHttp10) {
  Fixture fixture;
  const auto response = fixture.request("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(response.header("transfer-encoding"), "");
  EXPECT_EQ(response.header("connection"), "close");
  EXPECT_EQ(response.body, std::string(210'000, 's'));
  EXPECT_TRUE(response.complete);
}

TEST(Server, BreaksTheConnectionWhenAStreamFails) {
  Fixture fixture;
  EXPECT_FALSE(fixture.request(get("/broken")).complete);
  EXPECT_FALSE(fixture.request("GET /broken HTTP/1.0\r\n\r\n").complete);
}

TEST(Server, SaysWhatItSent) {
  Fixture fixture;
  auto client = fixture.connect();
  EXPECT_EQ(client.request(get("/abc")).body.size(), 10U);
  EXPECT_EQ(client.request(get("/empty")).status, 204);  // the first report has been made by now
  EXPECT_EQ(fixture.site.sent_bytes, 10U);
}

TEST(Server, KeepsControlCharactersOutOfHeaders) {
  Fixture fixture;
  const auto response = fixture.request(get("/inject"));
  EXPECT_EQ(response.header("x-value"), "a  Set-Cookie: b");
  EXPECT_EQ(response.header("set-cookie"), "");
}

TEST(Server, AnswersABare500WhenTheHandlerThrows) {
  Fixture fixture;
  auto client = fixture.connect();
  const auto response = client.request(get("/throw"));
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.header("content-type"), "application/problem+json");
  EXPECT_THAT(response.body, Not(HasSubstr("secret")));
  EXPECT_EQ(client.request(get("/next")).status, 200);
}

// --- Bodies ---

TEST(Server, ReadsCountedAndChunkedBodies) {
  Fixture fixture;
  auto client = fixture.connect();
  const std::string large(300'000, 'x');
  EXPECT_EQ(client.request(post("/echo", large)).body, large);
  const std::string chunked =
      "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "3\r\nabc\r\n00A;name=value;other=\"q\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
  EXPECT_EQ(client.request(chunked).body, "abc0123456789");
  EXPECT_EQ(client.request(get("/next")).body, "GET /next h");
}

TEST(Server, ReadsAChunkedBodySentByteByByte) {
  Fixture fixture;
  auto client = fixture.connect();
  const std::string request =
      "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  for (const char byte : request) ASSERT_TRUE(client.send(std::string_view(&byte, 1)));
  EXPECT_EQ(client.read_response().body, "abcde");
}

TEST(Server, SendsContinueOnlyWhenTheBodyIsWanted) {
  Fixture fixture;
  auto client = fixture.connect();
  EXPECT_EQ(
      client.request("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n").status,
      100);
  EXPECT_EQ(client.request("abc").body, "abc");
  // The handler that does not read answers at once, and the connection ends, because the body may or may not follow.
  const auto refused =
      client.request("POST /no HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(refused.status, 200);
  EXPECT_EQ(refused.header("connection"), "close");
  client.finish_sending();
  EXPECT_TRUE(client.ends());
}

TEST(Server, DropsASmallUnreadBodyAndKeepsTheConnection) {
  Fixture fixture;
  auto client = fixture.connect();
  EXPECT_EQ(client.request(post("/unread", std::string(100'000, 'x'))).status, 200);
  EXPECT_EQ(client.request(get("/next")).body, "GET /next h");
}

TEST(Server, ClosesOverALargeUnreadBodyButLetsTheAnswerArrive) {
  Fixture fixture;
  auto client = fixture.connect();
  const auto response = client.request(post("/unread", std::string(3'000'000, 'x')));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.header("connection"), "close");
  client.finish_sending();
  EXPECT_TRUE(client.ends());
}

TEST(Server, RefusesABodyAboveItsLimit) {
  Fixture fixture({.body_bytes_max = 1'000});
  EXPECT_EQ(fixture.request(post("/count", std::string(1'000, 'x'))).body, "1000");
  // Told by its length, the client is not even asked to continue.
  EXPECT_EQ(
      fixture.request("POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n").status,
      413);
  const std::string chunk = "1f4\r\n" + std::string(500, 'x') + "\r\n";
  const std::string head = "POST /count HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(fixture.request(head + chunk + chunk + "0\r\n\r\n").body, "1000");
  EXPECT_EQ(fixture.request(head + chunk + chunk + "1\r\nx\r\n0\r\n\r\n").status, 413);
}

TEST(Server, TellsTheHandlerThatTheClientLeft) {
  Fixture fixture;
  auto client = fixture.connect();
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
  client.finish_sending();
  const auto response = client.read_response();
  EXPECT_EQ(response.status, 422);
  EXPECT_THAT(response.body, HasSubstr("left"));
}

TEST(Server, GivesUpOnABodyBelowTheMinimumRate) {
  Fixture fixture({.body_bytes_per_second_min = 1'000'000, .body_rate_window = milliseconds(20)});
  const auto response = fixture.request("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc");
  EXPECT_EQ(response.status, 408);
  EXPECT_THAT(response.body, HasSubstr("too slowly"));
}

TEST(P42, AHeaderThatDoesNotComeInTimeIsRefused) {
  Fixture fixture({.header_timeout = milliseconds(30), .idle_timeout = milliseconds(3'600'000)});
  auto slow = fixture.connect();
  slow.send("GET / HTTP/1.1\r\nHost:");
  EXPECT_EQ(slow.read_response().status, 408);
  EXPECT_TRUE(slow.ends());
  auto silent = fixture.connect();
  EXPECT_TRUE(silent.ends());
}

TEST(P42, ClientsThatNeverFinishTheirHeadersKeepNobodyFromBeingServed) {
  Fixture fixture({.header_timeout = milliseconds(3'600'000)});
  std::vector<std::unique_ptr<RawHttpClient>> slow;
  for (int i = 0; i < 300; ++i) {
    slow.push_back(std::make_unique<RawHttpClient>(fixture.server->port()));
    slow.back()->send("GET / HTTP/1.1\r\nHost: h\r\nX: ");
  }
  for (int i = 0; i < 50; ++i) {
    for (const auto& client : slow) client->send("x");
    EXPECT_EQ(fixture.request(get("/next")).status, 200);
  }
  EXPECT_GE(fixture.connections(), 300U);
}

TEST(P42, AnIdleConnectionEnds) {
  Fixture fixture({.idle_timeout = milliseconds(30)});
  auto client = fixture.connect();
  EXPECT_EQ(client.request(get("/")).status, 200);
  EXPECT_TRUE(client.ends());
}

TEST(P42, AHeaderAbove16KilobytesIsRefused) {
  Fixture fixture;
  EXPECT_EQ(fixture.request(get("/", "X: " + std::string(16'000, 'x') + "\r\n")).status, 200);
  EXPECT_EQ(fixture.request(get("/", "X: " + std::string(17'000, 'x') + "\r\n")).status, 431);
  EXPECT_EQ(fixture.request("GET /" + std::string(20'000, 'x')).status, 431);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "X: y\r\n";
  EXPECT_EQ(fixture.request(get("/", many)).status, 431);
}

TEST(P42, AnIdleConnectionMakesRoomAndWithoutOneTheAnswerIs503) {
  Fixture fixture({.connections_max = 2});
  auto idle = fixture.connect();
  EXPECT_EQ(idle.request(get("/")).status, 200);
  auto busy = fixture.connect();
  busy.send(get("/hang"));
  while (fixture.site.requests < 2) std::this_thread::yield();
  auto third = fixture.connect();
  EXPECT_EQ(third.request(get("/")).status, 200);
  EXPECT_TRUE(idle.ends());
  fixture.wait_for_connections(2);
  third.send(get("/hang"));
  while (fixture.site.requests < 4) std::this_thread::yield();
  auto fourth = fixture.connect();
  const auto refused = fourth.read_response();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("retry-after"), "1");
}

TEST(P42, AHeadThatDoesNotEndMakesRoom) {
  Fixture fixture({.connections_max = 3});
  std::vector<std::unique_ptr<RawHttpClient>> slow;
  for (std::uint32_t i = 1; i <= 20; ++i) {
    slow.push_back(std::unique_ptr<RawHttpClient>(new RawHttpClient(fixture.connect())));
    slow.back()->send("GET / HTTP/1.1\r\nX: ");
    if (i <= 3) fixture.wait_for_connections(i);
  }
  auto prompt = fixture.connect();
  EXPECT_EQ(prompt.request(get("/")).status, 200);
  EXPECT_TRUE(slow.front()->ends());
}

// --- Files ---

class ServerFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; content_.size() < 200'000; ++i) content_ += fmt::format("{} ", i);
    content_.resize(200'000);
    fixture_.site.folder.write("data", content_);
  }
  RawResponse range(const std::string& value, const std::string& more = "") {
    return fixture_.request(get("/file", "Range: " + value + "\r\n" + more));
  }
  Fixture fixture_;
  std::string content_;
};

TEST_F(ServerFiles, AreSentWhole) {
  const auto response = fixture_.request(get("/file"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, content_);
  EXPECT_EQ(response.header("accept-ranges"), "bytes");
  EXPECT_EQ(response.header("last-modified").size(), 29U);
}

TEST_F(ServerFiles, HonourASingleRange) {
  struct Case {
    std::string range, content_range;
    std::size_t first, bytes;
  };
  const std::vector<Case> cases = {
      {"bytes=0-0", "bytes 0-0/200000", 0, 1},
      {"bytes=100-149999", "bytes 100-149999/200000", 100, 149'900},
      {"Bytes = 199990-", "bytes 199990-199999/200000", 199'990, 10},
      {"bytes=199990-999999", "bytes 199990-199999/200000", 199'990, 10},
      {"bytes=-10", "bytes 199990-199999/200000", 199'990, 10},
      {"bytes=-999999", "bytes 0-199999/200000", 0, 200'000},
  };
  for (const auto& [asked, content_range, first, bytes] : cases) {
    const auto response = range(asked);
    EXPECT_EQ(response.status, 206) << asked;
    EXPECT_EQ(response.header("content-range"), content_range) << asked;
    EXPECT_EQ(response.body, content_.substr(first, bytes)) << asked;
  }
}

TEST_F(ServerFiles, RefuseARangeBehindTheEnd) {
  for (const std::string asked : {"bytes=200000-", "bytes=200000-200001", "bytes=-0"}) {
    const auto response = range(asked);
    EXPECT_EQ(response.status, 416) << asked;
    EXPECT_EQ(response.header("content-range"), "bytes */200000") << asked;
    EXPECT_EQ(response.header("content-type"), "application/problem+json") << asked;
    EXPECT_NE(response.body.find(R"("code":"range_not_satisfiable")"), std::string::npos) << asked;
  }
}

TEST_F(ServerFiles, AreSentWholeForRangesThatAreNoneOrMany) {
  for (const std::string asked : {"bytes=5-4", "bytes=0-1,5-6", "bytes=a-b", "bytes=", "bytes=-", "lines=0-1",
                                  "bytes 0-1", "bytes=1-x", "bytes=99999999999999999999-"}) {
    EXPECT_EQ(range(asked).status, 200) << asked;
  }
}

TEST_F(ServerFiles, HonourARangeOnlyWhileTheFileIsTheSame) {
  EXPECT_EQ(range("bytes=0-4", "If-Range: \"v1\"\r\n").status, 206);
  EXPECT_EQ(range("bytes=0-4", "If-Range: \"v0\"\r\n").status, 200);
  EXPECT_EQ(range("bytes=0-4", "If-Range: W/\"v1\"\r\n").status, 200);
  const std::string modified = fixture_.request(get("/file")).header("last-modified");
  EXPECT_EQ(range("bytes=0-4", "If-Range: " + modified + "\r\n").status, 206);
  EXPECT_EQ(range("bytes=0-4", "If-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n").status, 200);
}

TEST_F(ServerFiles, ThatVanishedAre404) {
  const auto response = fixture_.request(get("/gone"));
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.header("content-type"), "application/problem+json");
}

TEST_F(ServerFiles, ThatAreNoFilesAre500) {
  std::filesystem::create_directory(fixture_.site.folder.file("gone"));
  EXPECT_EQ(fixture_.request(get("/gone")).status, 500);
}

// --- Start and stop ---

TEST(Server, RefusesAPortInUseAndABadHost) {
  Fixture fixture;
  const auto create = [&](ServerOptions options) {
    return fixture.loop.call([&] {
      return Server::create(fixture.loop.executor(), options, [&](Request& r) { return fixture.site.handle(r); });
    });
  };
  EXPECT_EQ(create({.port = fixture.server->port()}).error().code, ErrorCode::kConflict);
  EXPECT_EQ(create({.host = "localhost", .port = 0}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(create({.host = "192.0.2.1", .port = 0}).error().code, ErrorCode::kInvalidArgument);
}

TEST(Server, StopsIdleConnectionsAtOnceAndLetsRequestsEnd) {
  Fixture fixture;
  auto idle = fixture.connect();
  EXPECT_EQ(idle.request(get("/")).status, 200);
  auto busy = fixture.connect();
  busy.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na");
  while (fixture.site.requests < 2) std::this_thread::yield();
  auto stopped = std::async(std::launch::async, [&] { fixture.loop.run(fixture.server->stop(milliseconds(600'000))); });
  EXPECT_TRUE(idle.ends());
  busy.send("bc");
  const auto response = busy.read_response();
  EXPECT_EQ(response.body, "abc");
  EXPECT_EQ(response.header("connection"), "close");
  busy.close();
  stopped.get();
  EXPECT_EQ(fixture.connections(), 0U);
}

TEST(Server, CancelsWhatDoesNotEndWithinTheGrace) {
  Fixture fixture;
  auto client = fixture.connect();
  client.send(get("/hang"));
  while (fixture.site.requests < 1) std::this_thread::yield();
  fixture.loop.run(fixture.server->stop(milliseconds(1)));
  EXPECT_EQ(fixture.connections(), 0U);
  EXPECT_TRUE(client.ends());
}

TEST(Server, SurvivesClientsThatLeaveWhileItWrites) {
  Fixture fixture;
  for (int i = 0; i < 20; ++i) {
    auto client = fixture.connect();
    client.send(get("/big") + get("/stream") + get("/file"));
  }
  fixture.wait_for_connections(0);
  EXPECT_EQ(fixture.request(get("/")).status, 200);
}

// --- P43: no request that two readers could understand differently ---

struct Smuggle {
  std::string name;
  std::string bytes;
  int status = 400;
};

std::vector<Smuggle> framing_smuggles() {
  return {
      {"two lengths", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"},
      {"two equal lengths", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"},
      {"listed lengths", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc"},
      {"signed length", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc"},
      {"negative length", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabc"},
      {"hexadecimal length", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc"},
      {"spaced length", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1 3\r\n\r\nabc"},
      {"empty length", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nabc"},
      {"huge length", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551617\r\n\r\nabc"},
      {"length and coding",
       "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET "
       "/smuggled HTTP/1.1"},
      {"coding and length",
       "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nGET "
       "/smuggled HTTP/1.1"},
      {"two codings",
       "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"hidden coding", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n"},
      {"coding after chunked",
       "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
      {"vertical tab coding",
       "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0b"
       "chunked\r\n\r\n0\r\n\r\n"},
      {"quoted coding", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"},
      {"unknown coding", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
      {"coding in HTTP/1.0", "POST /echo HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"folded field", "POST /echo HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc"},
      {"folded coding", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
      {"folded by tab", "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\r\n\r\n"},
  };
}

std::vector<Smuggle> field_smuggles() {
  const std::string nul(1, '\0');
  return {
      {"blank before the first field", "GET / HTTP/1.1\r\n Host: h\r\n\r\n"},
      {"space before colon", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\nabc"},
      {"tab before colon", "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"},
      {"no colon", "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n"},
      {"empty name", "GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n"},
      {"separator in name", "GET / HTTP/1.1\r\nHost: h\r\nX(y): z\r\n\r\n"},
      {"bare LF in fields", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"},
      {"bare LF everywhere", "GET / HTTP/1.1\nHost: h\n\n"},
      {"bare LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\n"},
      {"bare CR", "GET / HTTP/1.1\r\nHost: h\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n"},
      {"NUL in value", "GET / HTTP/1.1\r\nHost: h\r\nX: a" + nul + "b\r\n\r\n"},
      {"NUL in name", "GET / HTTP/1.1\r\nHost: h\r\nX" + nul + ": b\r\n\r\n"},
      {"NUL in target", "GET /" + nul + " HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"encoded NUL in target", "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"control character", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n"},
      {"DEL", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x7f\r\n\r\n"},
  };
}

std::vector<Smuggle> request_line_smuggles() {
  return {
      {"no Host", "GET / HTTP/1.1\r\n\r\n"},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"},
      {"Host with path", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n"},
      {"Host with user", "GET / HTTP/1.1\r\nHost: a@h\r\n\r\n"},
      {"listed Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
      {"space in target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"tab in request line", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"no version", "GET /\r\nHost: h\r\n\r\n"},
      {"odd version", "GET / HTTP/1.1x\r\nHost: h\r\n\r\n"},
      {"lower-case version", "GET / http/1.1\r\nHost: h\r\n\r\n"},
      {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
      {"high byte in target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"broken escape", "GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"relative target", "GET a HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"star without OPTIONS", "GET * HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"authority form", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"foreign scheme", "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"user in target", "GET http://a@h/ HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"no method", " / HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"bad method", "G\"T / HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"two empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"TLS", "\x16\x03\x01\x02\n"},
      {"other expectation", "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417},
  };
}

std::vector<Smuggle> head_smuggles() {
  auto all = framing_smuggles();
  std::ranges::move(field_smuggles(), std::back_inserter(all));
  std::ranges::move(request_line_smuggles(), std::back_inserter(all));
  return all;
}

std::vector<Smuggle> chunk_smuggles() {
  const std::string head = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string rest = "abc\r\n0\r\n\r\n";
  return {
      {"0x", head + "0x3\r\n" + rest},
      {"plus", head + "+3\r\n" + rest},
      {"minus", head + "-3\r\n" + rest},
      {"space before", head + " 3\r\n" + rest},
      {"space behind", head + "3 \r\n" + rest},
      {"space before extension", head + "3 ;a\r\n" + rest},
      {"tab behind", head + "3\t\r\n" + rest},
      {"underscore", head + "0_3\r\n" + rest},
      {"empty size", head + "\r\n" + rest},
      {"only an extension", head + ";a=b\r\n" + rest},
      {"16 digits", head + "0000000000000003\r\n" + rest},
      {"overflow", head + "ffffffffffffffff3\r\n" + rest},
      {"letters", head + "3g\r\n" + rest},
      {"bare LF behind the size", head + "3\n" + rest},
      {"bare LF in an extension", head + "3;a\nb\r\n" + rest},
      {"bare CR in an extension", head + "3;a\rb\r\n" + rest},
      {"NUL in an extension", head + "3;" + std::string(1, '\0') + "\r\n" + rest},
      {"long extension", head + "3;" + std::string(300, 'x') + "\r\n" + rest},
      {"bare LF behind the data", head + "3\r\nabc\n0\r\n\r\n"},
      {"more data than said", head + "3\r\nabcd\r\n0\r\n\r\n"},
      {"less data than said", head + "4\r\nabc\r\n0\r\n\r\n"},
      {"bare LF in trailers", head + "3\r\nabc\r\n0\r\nX: y\n\r\n"},
      {"folded trailer", head + "3\r\nabc\r\n0\r\n X: y\r\n\r\n"},
      {"request as trailer", head + "3\r\nabc\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n"},
      {"long trailer", head + "3\r\nabc\r\n0\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"},
  };
}

void expect_refused(const Smuggle& smuggle) {
  SCOPED_TRACE(smuggle.name);
  Fixture fixture;
  auto client = fixture.connect();
  client.send(smuggle.bytes + "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto response = client.read_response();
  EXPECT_EQ(response.status, smuggle.status);
  EXPECT_EQ(response.header("connection"), "close");
  EXPECT_EQ(response.header("content-type"), "application/problem+json");
  client.finish_sending();
  EXPECT_TRUE(client.ends());
  EXPECT_EQ(fixture.site.smuggled, 0);
}

TEST(P43, AmbiguousHeadersAreRefusedAndTheConnectionClosed) {
  for (const auto& smuggle : head_smuggles()) expect_refused(smuggle);
}

TEST(P43, OddChunksAreRefusedAndTheConnectionClosed) {
  for (const auto& smuggle : chunk_smuggles()) expect_refused(smuggle);
}

TEST(P43, AFloodOfChunkExtensionsIsRefused) {
  std::string bytes = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 100; ++i) bytes += "1;" + std::string(200, 'x') + "\r\na\r\n";
  expect_refused({"extensions", bytes + "0\r\n\r\n"});
}

// The control: the same shapes written properly are served, and what follows them is the next request.
TEST(P43, ProperRequestsOfTheSameShapesAreServed) {
  Fixture fixture;
  auto client = fixture.connect();
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n" +
              get("/smuggled") + "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 003\r\n\r\nabc" + get("/smuggled"));
  EXPECT_EQ(client.read_response().body, "abc");
  EXPECT_EQ(client.read_response().body, "GET /smuggled h");
  EXPECT_EQ(client.read_response().body, "abc");
  EXPECT_EQ(client.read_response().body, "GET /smuggled h");
  EXPECT_EQ(fixture.site.smuggled, 2);
}

// A body that the handler leaves unread, or not read to its end, must not become the next request.
TEST(P43, AnUnreadBodyIsNeverTheNextRequest) {
  Fixture fixture;
  auto client = fixture.connect();
  const std::string hidden = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
  EXPECT_EQ(client.request(post("/unread", hidden)).status, 200);
  EXPECT_EQ(client.request(get("/next")).body, "GET /next h");
  EXPECT_EQ(fixture.site.smuggled, 0);
}

// --- P44 ---

std::uint64_t status_kb(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stoull(line.substr(name.size() + 1));
  }
  return 0;
}

TEST(P44, ALargeUploadStreamsThroughServerAndParser) {
  Fixture fixture;
  std::string piece;
  for (int i = 0; piece.size() < 1'000'000; ++i)
    piece += fmt::format("{},SKU{},\"https://example.com/{}.jpg\"\r\n", i, i, i);
  const std::string begin = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n";
  const std::string end = "\r\n--XX--\r\n";
  constexpr std::uint64_t kPieces = 300;
  const std::uint64_t bytes = begin.size() + kPieces * piece.size() + end.size();
  auto client = fixture.connect();
  client.send(
      fmt::format("POST /form HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=XX\r\n"
                  "Content-Length: {}\r\n\r\n{}",
                  bytes, begin));
  client.send(piece);
  std::ofstream("/proc/self/clear_refs") << "5";  // the high-water mark begins again here
  const std::uint64_t before_kb = status_kb("VmRSS");
  for (std::uint64_t i = 1; i < kPieces; ++i) ASSERT_TRUE(client.send(piece));
  EXPECT_EQ(client.request(end).status, 201);
  const std::uint64_t peak_kb = status_kb("VmHWM");
  EXPECT_EQ(fixture.site.form_bytes, kPieces * piece.size());
  EXPECT_LE(fixture.site.largest_piece, 64U << 10);
  RecordProperty("peak_growth_kb", static_cast<int>(peak_kb - before_kb));
#if !defined(__SANITIZE_ADDRESS__)  // which keeps freed memory for a while
  EXPECT_LT(peak_kb, before_kb + 4'000);
#endif
}

}  // namespace
}  // namespace pixmill::http
