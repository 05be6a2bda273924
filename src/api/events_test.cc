#include "api/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value_to.hpp>

#include "tests/support/api_server.h"

namespace pixmill::api {
namespace {

namespace json = boost::json;
using testing::ApiServer;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawHttpClient;

class EventsTest : public ::testing::Test {
 protected:
  EventsTest() { start({}); }
  void start(ApiOptions options) { server_ = std::make_unique<ApiServer>(std::move(options)); }

  std::string upload(const std::vector<std::string>& urls) {
    std::string table = "url\n";
    for (const auto& url : urls) table += url + "\n";
    const auto answer = server_->post_form("/v1/jobs", {{"file", table, "a.csv"}});
    EXPECT_EQ(answer.status, 201) << answer.body;
    auto id = json::value_to<std::string>(json::parse(answer.body).at("id"));
    server_->ingested(id);
    return id;
  }
  RawHttpClient listen(const std::string& id, const std::string& last_event_id = "") {
    RawHttpClient client = server_->connect();
    const std::string last = last_event_id.empty() ? "" : fmt::format("Last-Event-ID: {}\r\n", last_event_id);
    client.send(
        fmt::format("GET /v1/jobs/{}/events HTTP/1.1\r\nHost: pixmill.test\r\nConnection: close\r\n{}\r\n", id, last));
    return client;
  }
  // All pictures of all jobs get their results, and who listens hears of it.
  void work(const std::string& id) {
    server_->work();
    server_->loop.call([&] { return server_->progress->tell(JobId{*Uuid::parse(id)}), true; });
  }
  static std::string field(const std::string& text, const std::string& name) {
    const auto begin = text.rfind(name + ": ");
    if (begin == std::string::npos) return "";
    const auto from = begin + name.size() + 2;
    return text.substr(from, text.find('\n', from) - from);
  }

  std::unique_ptr<ApiServer> server_;
};

TEST_F(EventsTest, TellAJobFromItsSnapshotToItsEnd) {
  const auto id = upload({"https://h.example/a.jpg", "https://h.example/b.jpg", "https://h.example/bad.jpg"});
  auto client = listen(id);
  const auto begun = client.read_until("\"errors\":[]}\n\n");
  EXPECT_THAT(begun, HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(begun, HasSubstr("Content-Type: text/event-stream"));
  EXPECT_THAT(begun, HasSubstr("retry: 2000\n\n"));
  EXPECT_THAT(begun, HasSubstr("event: snapshot\n"));
  const auto snapshot = json::parse(field(begun, "data")).as_object();
  EXPECT_EQ(snapshot.at("job").at("id").as_string(), id);
  EXPECT_EQ(snapshot.at("progress").at("remaining").as_int64(), 3);
  work(id);
  const auto rest = client.read_to_end();
  EXPECT_THAT(rest, HasSubstr("event: state\n"));
  EXPECT_THAT(rest, HasSubstr(R"(data: {"state":"completed_with_errors"})"));
  EXPECT_THAT(rest, HasSubstr("event: progress\n"));
  EXPECT_THAT(rest, HasSubstr("event: errors\n"));
  EXPECT_THAT(rest, HasSubstr(R"([{"code":"http_404","count":1,"example":"404 Not Found"}])"));
  EXPECT_THAT(rest, HasSubstr("event: end\n"));
  const auto end = json::parse(field(rest, "data")).as_object();
  EXPECT_EQ(end.at("succeeded").as_int64(), 2);
}

TEST_F(EventsTest, GoOnWhereAClientWas) {
  const auto id = upload({"https://h.example/a.jpg"});
  std::string seen;
  {
    auto client = listen(id);
    seen = field(client.read_until("\"errors\":[]}\n\n"), "id");
    EXPECT_FALSE(seen.empty());
  }
  auto again = listen(id, seen);
  again.read_until("retry: 2000\n\n");
  work(id);
  const auto rest = again.read_to_end();
  EXPECT_THAT(rest, Not(HasSubstr("event: snapshot"))) << "nothing had changed";
  EXPECT_THAT(rest, HasSubstr("event: end"));
  const auto last = field(rest, "id");
  EXPECT_THAT(listen(id, last).read_to_end(), HasSubstr("HTTP/1.1 204")) << "so that it does not ask for ever";
  const auto unknown = listen(id, "no such id").read_to_end();
  EXPECT_THAT(unknown, HasSubstr("event: snapshot"));
  EXPECT_THAT(unknown, HasSubstr("event: end"));
}

TEST_F(EventsTest, SeveralClientsSeeTheSame) {
  const auto id = upload({"https://h.example/a.jpg", "https://h.example/bad.jpg"});
  auto first = listen(id);
  first.read_until("event: snapshot");
  auto second = listen(id);
  second.read_until("event: snapshot");
  work(id);
  const auto told = first.read_to_end();
  EXPECT_EQ(field(told, "data"), field(second.read_to_end(), "data"));
  EXPECT_FALSE(field(told, "data").empty());
}

TEST_F(EventsTest, AreRefusedBeyondTheirNumber) {
  ApiOptions options;
  options.event_streams_max = 1;
  start(options);
  const auto id = upload({"https://h.example/a.jpg"});
  {
    auto first = listen(id);
    first.read_until("event: snapshot");
    const auto refused = listen(id).read_to_end();
    EXPECT_THAT(refused, HasSubstr("HTTP/1.1 503"));
    EXPECT_THAT(refused, HasSubstr("Retry-After: 30"));
    work(id);
    EXPECT_THAT(first.read_to_end(), HasSubstr("event: end"));
  }
  EXPECT_THAT(listen(id).read_to_end(), HasSubstr("event: end")) << "there is room again";
}

TEST_F(EventsTest, EndWithTheServer) {
  const auto id = upload({"https://h.example/a.jpg"});
  auto client = listen(id);
  client.read_until("event: snapshot");
  server_->loop.call([&] { return server_->api->end_streams(), true; });
  const auto rest = client.read_to_end();
  EXPECT_THAT(rest, Not(HasSubstr("event: end"))) << "the job has not ended";
  EXPECT_TRUE(rest.ends_with("0\r\n\r\n")) << rest;
  EXPECT_THAT(listen(id).read_to_end(), HasSubstr("HTTP/1.1 503"));
}

TEST_F(EventsTest, KnowNoOtherJobs) {
  EXPECT_EQ(server_->get("/v1/jobs/nonsense/events").status, 404);
  EXPECT_EQ(server_->get("/v1/jobs/5a1c9a0e-3c1c-4d7e-8a5d-6f2f8c7f0f11/events").status, 404);
}

}  // namespace
}  // namespace pixmill::api
