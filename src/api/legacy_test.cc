// The original platform's interface, with the requests its clients send (COMPATIBILITY.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <filesystem>

#include "tests/support/api_server.h"
#include "tests/support/scripted_store.h"

namespace pixmill::api {
namespace {

namespace json = boost::json;
using testing::ApiServer;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::original_table;
using testing::RawResponse;

json::object parsed(const RawResponse& response) { return json::parse(response.body).as_object(); }

std::string text_of(const json::object& object, std::string_view key) {
  return std::string(object.at(key).as_string());
}

RawResponse upload(const ApiServer& server, const std::string& table, const std::string& file_name = "products.csv") {
  return server.post_form("/imgproc/upload", {{"file", table, file_name}});
}

std::string error_of(const RawResponse& response) {
  EXPECT_EQ(response.status, 400) << response.body;
  EXPECT_EQ(response.header("content-type"), "application/json");
  return text_of(parsed(response), "error");
}

std::size_t spooled(const ApiServer& server) {
  namespace fs = std::filesystem;
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(server.folder.file("spool")), fs::directory_iterator()));
}

TEST(LegacyUpload, AnswersAsTheOriginalDoes) {
  ApiServer server;
  for (const std::string path : {"/imgproc/upload", "/imgproc/upload/"}) {
    const auto response = server.post_form(path, {{"file", original_table({"https://a.test/x.jpg"}), "products.csv"}});
    ASSERT_EQ(response.status, 201) << response.body;
    EXPECT_EQ(response.header("content-type"), "application/json");
    const auto id = text_of(parsed(response), "request_id");
    EXPECT_EQ(response.body, R"({"request_id":")" + id + R"(","message":"File uploaded successfully"})");
    const auto job = server.ingested(id);
    EXPECT_EQ(job.state, jobs::JobState::kRunning);
    EXPECT_EQ(job.total, 1U);
    EXPECT_EQ(job.name, "products.csv");
    EXPECT_EQ(job.origin, jobs::JobOrigin::kLegacyUpload);
    EXPECT_EQ(job.recipe, "format=jpeg quality=50");
    EXPECT_EQ(job.blob_prefix, id + "/");
  }
}

TEST(LegacyUpload, TakesARecipeAndAWebhook) {
  ApiServer server;
  const auto response =
      server.post_form("/imgproc/upload", {{"webhook_url", "https://hooks.test/api/webhook"},
                                           {"recipe", "quality=80   format=webp"},
                                           {"file", original_table({"https://a.test/x.jpg"}), "A.CSV"}});
  ASSERT_EQ(response.status, 201) << response.body;
  const auto job = server.job(text_of(parsed(response), "request_id"));
  EXPECT_EQ(job.recipe, "format=webp quality=80");
  EXPECT_EQ(job.webhook_url, "https://hooks.test/api/webhook");
}

// Tables that were made for the original may have such columns for ends of their own.
TEST(LegacyUpload, ColumnsChangeTheRecipeOnlyWhenAsked) {
  ApiServer server;
  const std::string theirs =
      "S.No.,Product Name,Input Image Urls,name,format,width\r\n1,SKU1,https://a.test/x.jpg,Chair,A4,12.5 cm\r\n";
  const auto response = upload(server, theirs);
  ASSERT_EQ(response.status, 201) << response.body;
  const auto id = text_of(parsed(response), "request_id");
  EXPECT_EQ(server.ingested(id).row_recipes, 0U);

  EXPECT_EQ(error_of(server.post_form("/imgproc/upload", {{"file", theirs, "products.csv"}, {"overrides", "true"}})),
            "Invalid width found at row 1: 12.5 cm (use a number of pixels from 1 to 65535)");
  const std::string ours =
      "S.No.,Product Name,Input Image "
      "Urls,format\r\n1,SKU1,https://a.test/x.jpg,png\r\n2,SKU2,https://a.test/y.jpg,\r\n";
  const auto asked = server.post_form("/imgproc/upload", {{"file", ours, "products.csv"}, {"overrides", "true"}});
  ASSERT_EQ(asked.status, 201) << asked.body;
  EXPECT_EQ(server.ingested(text_of(parsed(asked), "request_id")).row_recipes, 1U);
}

TEST(LegacyUpload, UsesTheDefaultRecipeItWasTold) {
  ApiOptions options;
  options.default_recipe = "format=png";
  ApiServer server(options);
  const auto response = upload(server, original_table({"https://a.test/x.jpg"}));
  EXPECT_EQ(server.job(text_of(parsed(response), "request_id")).recipe, "format=png");
}

TEST(LegacyUpload, SaysTheOriginalsEightTexts) {
  ApiServer server;
  const std::string no_csv = "Invalid file format. Please upload a CSV.";
  EXPECT_EQ(error_of(server.post_form("/imgproc/upload", {})), no_csv);
  EXPECT_EQ(error_of(server.post_form("/imgproc/upload", {{"file", "not a file"}})), no_csv);
  EXPECT_EQ(error_of(upload(server, "x", "products.txt")), no_csv);
  EXPECT_EQ(error_of(server.post("/imgproc/upload", "Content-Type: application/json\r\n", "{}")), no_csv);
  EXPECT_EQ(error_of(server.post("/imgproc/upload")), no_csv);
  EXPECT_EQ(error_of(upload(server, "")), "CSV file is empty or unreadable.");
  EXPECT_EQ(error_of(upload(server, "S.No.,Product Name,Input Image Urls\r\n")), "CSV file is empty or unreadable.");
  EXPECT_EQ(error_of(upload(server, "S.No.,Product Name,Input Image Urls\r\n1,\"a,b\r\n")),
            "CSV file contains parsing errors (e.g., incorrect delimiters or corrupted data).");
  EXPECT_EQ(error_of(upload(server, "Input Image Urls\r\nhttps://a.test/x.jpg\r\n")),
            "Missing required column(s): S.No., Product Name");
  EXPECT_EQ(error_of(upload(server, "S.No.,Product Name,Input Image Urls\r\n1,,https://a.test/x.jpg\r\n")),
            "Column 'Product Name' contains empty values.");
  EXPECT_EQ(error_of(upload(server, original_table({" , "}))), "Empty URL field found at row 1");
  EXPECT_EQ(error_of(upload(server, original_table({"https://a.test/x.jpg", "htp://x"}))),
            "Invalid URL found at row 2: htp://x");
  EXPECT_THAT(
      error_of(server.post("/imgproc/upload", "Content-Type: multipart/form-data; boundary=b\r\n", "--b\r\ncut off")),
      HasSubstr("An unexpected error occurred: "));
  EXPECT_EQ(spooled(server), 0U);
  EXPECT_EQ(server.loop.run(server.store().jobs({}))->total, 0U);
}

TEST(LegacyUpload, ListsEveryRowsProblemBesideTheText) {
  ApiServer server;
  const auto body = parsed(upload(server, original_table({"htp://x", "https://a.test/x.jpg", "nothing"})));
  const auto& errors = body.at("errors").as_array();
  ASSERT_EQ(errors.size(), 2U);
  EXPECT_EQ(errors[0].at("row"), 1);
  EXPECT_EQ(errors[0].at("message"), body.at("error"));
  EXPECT_EQ(errors[1].at("row"), 3);
}

TEST(LegacyUpload, RefusesABadRecipeAndForbiddenWebhooks) {
  ApiServer server;
  const std::string table = original_table({"https://a.test/x.jpg"});
  const auto with = [&](const std::string& name, const std::string& value) {
    return server.post_form("/imgproc/upload", {{"file", table, "a.csv"}, {name, value}});
  };
  EXPECT_THAT(error_of(with("recipe", "quality=1000")), HasSubstr("recipe"));
  for (const std::string url :
       {"http://127.0.0.1/hook", "http://10.0.0.1:8080/", "http://[::1]/", "http://169.254.169.254/x"}) {
    EXPECT_THAT(error_of(with("webhook_url", url)), HasSubstr("webhook_url")) << url;
  }
  EXPECT_THAT(error_of(with("webhook_url", "ftp://hooks.test/")), HasSubstr("webhook_url"));
  EXPECT_EQ(with("webhook_url", "").status, 201);
  EXPECT_EQ(with("webhook_url", "https://hooks.test/").status, 201);
}

TEST(LegacyUpload, AnswersOtherMethodsAsTheOriginalDoes) {
  ApiServer server;
  const auto response = server.get("/imgproc/upload");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.body, R"({"detail":"Method \"GET\" not allowed."})");
  EXPECT_EQ(response.header("allow"), "POST");
  EXPECT_EQ(server.post("/imgproc/status/" + Uuid::random().text() + "/").status, 405);
}

TEST(LegacyUpload, HasAnAnswerForFullDisksAndLargeFiles) {
  ApiOptions options;
  options.upload_bytes_max = 50;
  ApiServer small(options);
  const auto large = upload(small, original_table({"https://a.test/x.jpg"}));
  EXPECT_EQ(large.status, 413);
  EXPECT_TRUE(parsed(large).contains("error"));
  ApiOptions full;
  full.free_bytes_min = 1ULL << 62;
  const auto refused = upload(ApiServer(full), original_table({"https://a.test/x.jpg"}));
  EXPECT_EQ(refused.status, 507);
  EXPECT_TRUE(parsed(refused).contains("error"));
}

TEST(LegacyStatus, UsesTheFourWords) {
  ApiServer server;
  const auto id =
      text_of(parsed(upload(server, original_table({"https://a.test/x.jpg", "https://a.test/bad.jpg"}))), "request_id");
  server.ingested(id);
  auto body = parsed(server.get("/imgproc/status/" + id + "/"));
  EXPECT_EQ(body.at("status"), "processing");
  EXPECT_EQ(body.at("total"), 2);
  server.work();
  for (const std::string& path : {"/imgproc/status/" + id, "/imgproc/status/" + id + "/"}) {
    body = parsed(server.get(path));
    EXPECT_EQ(body.at("status"), "completed");
    EXPECT_EQ(body.at("state"), "completed_with_errors");
    EXPECT_EQ(body.at("succeeded"), 1);
    EXPECT_EQ(body.at("failed"), 1);
    EXPECT_EQ(text_of(body, "result_csv"), "http://pixmill.test/v1/jobs/" + id + "/result.csv");
  }
}

TEST(LegacyStatus, ShowsACompletedJobAsAPageToThoseWhoPreferOne) {
  ApiServer server;
  const auto id = text_of(
      parsed(upload(server, "S.No.,Product Name,Input Image Urls\r\n1,<script>x</script>,https://a.test/x.jpg\r\n")),
      "request_id");
  server.ingested(id);
  const std::string path = "/imgproc/status/" + id + "/";
  const std::string browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
  EXPECT_EQ(server.get(path, browser).header("content-type"), "application/json") << "not completed yet";
  server.work();
  const auto page = server.get(path, browser);
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
  for (const std::string heading : {"S.No.", "Product Name", "Input Image URLs", "Output Image URLs"}) {
    EXPECT_THAT(page.body, HasSubstr("<th>" + heading + "</th>"));
  }
  EXPECT_THAT(page.body, HasSubstr("https://a.test/x.jpg"));
  EXPECT_THAT(page.body, HasSubstr("http://pixmill.test/files/" + id + "/1.jpg"));
  EXPECT_THAT(page.body, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(page.body, Not(HasSubstr("<script")));
  EXPECT_THAT(page.header("content-security-policy"), HasSubstr("default-src 'none'"));
  EXPECT_EQ(server.get(path).header("content-type"), "application/json");
  EXPECT_EQ(server.get(path, "Accept: application/json, text/html\r\n").header("content-type"), "application/json");
}

TEST(LegacyStatus, KnowsNoOtherJobs) {
  ApiServer server;
  for (const std::string& id : {Uuid::random().text(), std::string("7"), std::string("a%2Fb"), std::string("%00x")}) {
    const auto response = server.get("/imgproc/status/" + id);
    EXPECT_TRUE(response.status == 404 || (id == "%00x" && response.status == 400)) << id;
    EXPECT_THAT(response.header("content-type"), HasSubstr("json")) << id;
  }
  EXPECT_TRUE(parsed(server.get("/imgproc/status/7")).contains("error"));
  EXPECT_TRUE(parsed(server.get("/imgproc/nothing")).contains("error"));
}

TEST(LegacySmallRoutes, AnswerInBothForms) {
  ApiServer server;
  for (const std::string slash : {"", "/"}) {
    const auto hello = server.get("/imgproc/hello" + slash);
    EXPECT_EQ(hello.status, 200);
    EXPECT_EQ(hello.body, "Hello World");
    const auto connection = server.get("/imgproc/check_db_connection" + slash);
    EXPECT_EQ(connection.status, 200);
    EXPECT_EQ(connection.body, R"({"db_status":"connected"})");
  }
}

TEST(LegacySmallRoutes, SayWhenTheDatabaseIsAway) {
  testing::ScriptedStore store;
  ApiServer server({}, &store);
  const auto connection = server.get("/imgproc/check_db_connection/");
  EXPECT_EQ(connection.status, 500);
  EXPECT_EQ(connection.body, R"({"db_status":"error"})");
  const auto status = server.get("/imgproc/status/" + Uuid::random().text());
  EXPECT_EQ(status.status, 500);
  EXPECT_TRUE(parsed(status).contains("error"));
}

// What the original web client does: perhaps a preflight, the form, then the status with both types accepted.
TEST(LegacyClients, TheWebClientWorks) {
  ApiServer server;
  const std::string origin = "Origin: http://localhost:3000\r\n";
  const auto preflight = server.request(
      "OPTIONS", "/imgproc/upload",
      origin + "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.header("access-control-allow-origin"), "http://localhost:3000");
  EXPECT_THAT(preflight.header("access-control-allow-methods"), HasSubstr("POST"));
  EXPECT_THAT(preflight.header("access-control-allow-headers"), HasSubstr("content-type"));

  const auto uploaded = server.post_form("/imgproc/upload",
                                         {{"file", original_table({"https://a.test/x.jpg"}), "x.csv"},
                                          {"webhook_url", "https://frontend.test/api/webhook"}},
                                         origin);
  ASSERT_EQ(uploaded.status, 201) << uploaded.body;
  EXPECT_EQ(uploaded.header("access-control-allow-origin"), "http://localhost:3000");
  const auto id = text_of(parsed(uploaded), "request_id");
  server.ingested(id);
  server.work();
  const auto status = server.get("/imgproc/status/" + id + "/", origin + "Accept: application/json, text/html\r\n");
  EXPECT_THAT(status.header("content-type"), HasSubstr("application/json"));
  EXPECT_EQ(parsed(status).at("status"), "completed");
  EXPECT_EQ(status.header("access-control-allow-origin"), "http://localhost:3000");
}

TEST(LegacyClients, TheWebClientAtAnUnknownOriginIsNotServed) {
  ApiServer server;
  const std::vector<testing::FormPart> form = {{"file", original_table({"https://a.test/x.jpg"}), "x.csv"}};
  const auto refused = server.post_form("/imgproc/upload", form, "Origin: http://evil.test\r\n");
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.header("access-control-allow-origin"), "");
  EXPECT_EQ(server.loop.run(server.store().jobs({}))->total, 0U);
  ApiOptions open;
  open.cors_allow_all = true;
  const auto served = ApiServer(open).post_form("/imgproc/upload", form, "Origin: http://evil.test\r\n");
  EXPECT_EQ(served.status, 201);
  EXPECT_EQ(served.header("access-control-allow-origin"), "*");
}

}  // namespace
}  // namespace pixmill::api
