#include "api/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <string>

#include "tests/support/api_server.h"

namespace pixmill::api {
namespace {

namespace json = boost::json;
using testing::ApiServer;
using testing::RawResponse;

json::object parsed(const RawResponse& response) { return json::parse(response.body).as_object(); }

std::string finished_job(ApiServer& server) {
  const auto created = server.post_form(
      "/v1/jobs",
      {{.name = "file", .value = "url\r\nhttps://a.test/1.jpg\r\nhttps://a.test/2.jpg\r\n", .file_name = "a.csv"}});
  EXPECT_EQ(created.status, 201) << created.body;
  const auto id = std::string(parsed(created).at("id").as_string());
  server.ingested(id);
  server.work();
  return id;
}

TEST(AuditApi, SaysWhatIsWrongAndRepairsOnlyWhenAsked) {
  ApiServer server;
  const auto id = finished_job(server);
  server.folder.write("files/" + id + "/1.jpg", std::string(50, 'x'));
  server.folder.write("files/" + id + "/stray.jpg", "nobody's");
  const auto found = server.post("/v1/jobs/" + id + "/audit");
  ASSERT_EQ(found.status, 200) << found.body;
  EXPECT_EQ(parsed(found).at("orphan").to_number<int>(), 1);
  EXPECT_EQ(parsed(found).at("dangling").to_number<int>(), 1);
  EXPECT_FALSE(parsed(found).at("clean").as_bool());
  const auto deep = parsed(server.post("/v1/jobs/" + id + "/audit?deep=1"));
  EXPECT_EQ(deep.at("files").as_object().at("wrong_bytes").to_number<int>(), 1);
  EXPECT_TRUE(std::filesystem::exists(server.folder.file("files/" + id + "/stray.jpg")));
  const auto repaired = parsed(server.post("/v1/jobs/" + id + "/audit?repair=true"));
  EXPECT_EQ(repaired.at("orphan").to_number<int>(), 0);
  EXPECT_FALSE(std::filesystem::exists(server.folder.file("files/" + id + "/stray.jpg")));
}

TEST(AuditApi, RefusesWhatMakesNoSense) {
  ApiServer server;
  EXPECT_EQ(server.post("/v1/jobs/6f9619ff-8b86-4d01-b42d-00cf4fc964ff/audit").status, 404);
  EXPECT_EQ(server.post("/v1/jobs/shoes/audit").status, 404);
  const auto id = finished_job(server);
  EXPECT_EQ(server.post("/v1/jobs/" + id + "/audit?repair=perhaps").status, 400);
  EXPECT_EQ(server.post("/v1/jobs/" + id + "/audit?deep=perhaps").status, 400);
  EXPECT_EQ(server.get("/v1/jobs/" + id + "/audit").status, 405);
}

TEST(AuditApi, AServerThatAuditsNothingSaysSo) {
  ApiServer server({}, nullptr, false);
  EXPECT_EQ(server.post("/v1/jobs/6f9619ff-8b86-4d01-b42d-00cf4fc964ff/audit").status, 404);
}

}  // namespace
}  // namespace pixmill::api
