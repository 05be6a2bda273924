#include "api/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <future>

#include "base/crypto.h"
#include "image/tiny_pictures.h"
#include "pipeline/watermarks.h"
#include "tests/support/api_server.h"
#include "tests/support/scripted_store.h"

namespace pixmill::api {
namespace {

namespace json = boost::json;
using testing::ApiServer;
using testing::FormPart;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::original_table;
using testing::RawResponse;
using ::testing::StartsWith;

json::object parsed(const RawResponse& response) { return json::parse(response.body).as_object(); }

std::string text_of(const json::object& object, std::string_view key) {
  return std::string(object.at(key).as_string());
}

// P45: every error has this shape.
json::object problem(const RawResponse& response, int status, const std::string& code) {
  EXPECT_EQ(response.status, status) << response.body;
  EXPECT_EQ(response.header("content-type"), "application/problem+json");
  auto body = parsed(response);
  EXPECT_EQ(body.at("status"), status);
  EXPECT_EQ(text_of(body, "code"), code);
  EXPECT_EQ(text_of(body, "type"), "urn:pixmill:error:" + code);
  EXPECT_EQ(text_of(body, "request_id"), response.header("x-request-id"));
  EXPECT_TRUE(body.contains("title") && body.contains("detail"));
  return body;
}

std::string plain_table(int rows, const std::string& url = "https://a.test/{}.jpg") {
  std::string table = "url,note\r\n";
  for (int i = 1; i <= rows; ++i) table += fmt::format(fmt::runtime(url), i) + ",n\r\n";
  return table;
}

std::string submit(ApiServer& server, const std::string& table, std::vector<FormPart> more = {}) {
  more.push_back({"file", table, "products.csv"});
  const auto response = server.post_form("/v1/jobs", more);
  EXPECT_EQ(response.status, 201) << response.body;
  return text_of(parsed(response), "id");
}

std::string submit_and_ingest(ApiServer& server, const std::string& table, std::vector<FormPart> more = {}) {
  auto id = submit(server, table, std::move(more));
  server.ingested(id);
  return id;
}

// --- Submitting ---

TEST(JobsApi, AcceptsAJob) {
  ApiServer server;
  const auto response = server.post_form("/v1/jobs", {{"file", plain_table(3), "products.csv"},
                                                      {"recipe", R"({"format":"webp","quality":70})"},
                                                      {"webhook_url", "https://hooks.test/x?y=1"},
                                                      {"name", " Spring sale "},
                                                      {"name_template", "{note}/{source_stem}.{ext}"},
                                                      {"priority", "-5"},
                                                      {"headers", "a.test: Authorization: Bearer x\r\nb.test: X: y"}});
  ASSERT_EQ(response.status, 201) << response.body;
  const auto body = parsed(response);
  const auto id = text_of(body, "id");
  EXPECT_EQ(response.header("location"), "http://pixmill.test/v1/jobs/" + id);
  EXPECT_EQ(text_of(body, "name"), "Spring sale");
  const auto job = server.ingested(id);
  EXPECT_EQ(job.origin, jobs::JobOrigin::kApi);
  EXPECT_EQ(job.total, 3U);
  EXPECT_EQ(job.recipe, "format=webp quality=70");
  EXPECT_EQ(job.webhook_url, "https://hooks.test/x?y=1");
  EXPECT_EQ(job.name_template, "{note}/{source_stem}.{ext}");
  const std::vector<jobs::OriginHeader> wanted{{.host = "a.test", .name = "Authorization", .value = "Bearer x"},
                                               {.host = "b.test", .name = "X", .value = "y"}};
  EXPECT_EQ(server.headers_of(job.id), wanted);
  EXPECT_THAT(response.body, Not(HasSubstr("Bearer")));
  EXPECT_EQ(response.header("cache-control"), "no-store");
  EXPECT_EQ(response.header("x-content-type-options"), "nosniff");
}

TEST(JobsApi, ReadsTablesInAllTheirClothes) {
  ApiServer server;
  const auto submit_as = [&](const std::string& table, const std::string& name) {
    const auto response = server.post_form("/v1/jobs", {{"file", table, name}});
    EXPECT_EQ(response.status, 201) << name << response.body;
    return response.status == 201 ? server.ingested(text_of(parsed(response), "id")).total : 0;
  };
  EXPECT_EQ(submit_as(original_table({"https://a.test/1.jpg, https://a.test/2.jpg"}), "a.csv"), 2U);
  EXPECT_EQ(submit_as("sku\timage_url\nx\thttps://a.test/1.jpg\n", "a.tsv"), 1U);
  EXPECT_EQ(submit_as("{\"url\":\"https://a.test/1.jpg\"}\n{\"url\":\"https://a.test/2.jpg\"}\n", "a.jsonl"), 2U);
}

TEST(JobsApi, RowsMayHaveRecipesOfTheirOwn) {
  ApiServer server;
  const std::string table =
      "url,recipe,width,name\r\nhttps://a.test/1.jpg,,,\r\nhttps://a.test/2.jpg,web@1,80,shirt\r\n";
  const auto id = submit_and_ingest(server, table, {{"recipe", "thumbnail"}});
  const auto job = server.job(id);
  EXPECT_EQ(job.recipe_name, "thumbnail@1");
  EXPECT_EQ(job.row_recipes, 1U);
  const auto items = parsed(server.get("/v1/jobs/" + id + "/items")).at("items").as_array();
  ASSERT_EQ(items.size(), 2U);
  EXPECT_TRUE(items[0].at("recipe").is_null());
  EXPECT_EQ(items[1].at("recipe").as_string(), "format=webp quality=80 resize=80x");
  EXPECT_EQ(items[1].at("recipe_name").as_string(), "web@1");

  const auto plain = submit_and_ingest(server, table, {{"overrides", "false"}});
  EXPECT_EQ(server.job(plain).row_recipes, 0U);
  problem(server.post_form("/v1/jobs", {{"file", table, "a.csv"}, {"overrides", "perhaps"}}), 400, "invalid_parameter");
}

TEST(JobsApi, RefusesRowsWithBadRecipes) {
  ApiServer server;
  const std::string table = "url,Width\r\nhttps://a.test/1.jpg,8 cm\r\n";
  const auto body = problem(server.post_form("/v1/jobs", {{"file", table, "a.csv"}}), 422, "invalid_rows");
  const auto& error = body.at("errors").as_array().at(0);
  EXPECT_EQ(error.at("row"), 1);
  EXPECT_EQ(error.at("column"), "Width");
  EXPECT_THAT(std::string(error.at("message").as_string()),
              AllOf(HasSubstr("8 cm"), HasSubstr("a number of pixels from 1 to 65535")));
}

TEST(JobsApi, RefusesRowsThatCannotBeProcessed) {
  ApiServer server;
  const std::string table = "url\r\nhttps://a.test/1.jpg\r\nhtp://x\r\n";
  const auto body = problem(server.post_form("/v1/jobs", {{"file", table, "a.csv"}}), 422, "invalid_rows");
  EXPECT_EQ(body.at("bad_rows"), 1);
  EXPECT_EQ(body.at("rows"), 2);
  ASSERT_EQ(body.at("errors").as_array().size(), 1U);
  EXPECT_EQ(body.at("errors").as_array()[0].at("row"), 2);
  EXPECT_EQ(server.loop.run(server.store().jobs({}))->total, 0U);

  const auto id = submit_and_ingest(server, table, {{"skip_invalid", "true"}});
  EXPECT_EQ(server.job(id).total, 1U);
  EXPECT_EQ(server.job(id).invalid, 1U);
  problem(server.post_form("/v1/jobs", {{"file", "url\r\nhtp://x\r\n", "a.csv"}, {"skip_invalid", "true"}}), 422,
          "invalid_rows");
}

TEST(JobsApi, RefusesTablesThatCannotBeRead) {
  ApiServer server;
  for (const std::string& table :
       {std::string(), std::string("a,b\r\n1,2\r\n"), std::string("url\r\n"),
        std::string("url\r\n\"https://a.test/1.jpg\r\n"), std::string("\xff\xfeu\0r\0l\0", 8)}) {
    const auto body = problem(server.post_form("/v1/jobs", {{"file", table, "a.csv"}}), 422, "invalid_table");
    EXPECT_EQ(body.at("errors").as_array().size(), 1U);
  }
}

TEST(JobsApi, NamesTheWrongParameter) {
  ApiServer server;
  const auto wrong = [&](const std::string& name, const std::string& value) {
    const auto body = problem(server.post_form("/v1/jobs", {{"file", plain_table(1), "a.csv"}, {name, value}}), 400,
                              "invalid_parameter");
    EXPECT_EQ(text_of(body, "parameter"), name);
    EXPECT_FALSE(text_of(body, "allowed").empty());
    return body;
  };
  wrong("recipe", "quality=0");
  wrong("webhook_url", "http://192.168.0.1/");
  wrong("webhook_url", "mailto:x");
  wrong("skip_invalid", "perhaps");
  wrong("priority", "101");
  wrong("priority", "high");
  wrong("name", std::string(201, 'x'));
  wrong("name_template", "{nothing}");
  wrong("name_template", "../{ext}");
  wrong("recipee", "x");
  EXPECT_EQ(text_of(wrong("headers", "secret without colons"), "value"), "(not shown)");
  const auto body = problem(server.post_form("/v1/jobs", {{"recipe", "compress"}}), 400, "invalid_parameter");
  EXPECT_EQ(text_of(body, "parameter"), "file");
  problem(server.post_form("/v1/jobs", {{"file", plain_table(1), "a.csv"}, {"url_column", "photo"}}), 422,
          "invalid_table");
}

TEST(JobsApi, RefusesOtherBodies) {
  ApiServer server;
  problem(server.post("/v1/jobs", "Content-Type: text/csv\r\n", "a,b"), 415, "unsupported_media_type");
  problem(server.post("/v1/jobs", "Content-Type: multipart/form-data; boundary=b\r\n", "--b\r\ncut"), 400,
          "invalid_argument");
  ApiOptions small;
  small.upload_bytes_max = 20;
  problem(ApiServer(small).post_form("/v1/jobs", {{"file", plain_table(3), "a.csv"}}), 413, "too_large");
  ApiOptions full;
  full.free_bytes_min = 1ULL << 62;
  const auto refused = ApiServer(full).post_form("/v1/jobs", {{"file", plain_table(3), "a.csv"}});
  problem(refused, 507, "disk_full");
  EXPECT_NE(refused.header("retry-after"), "");
}

TEST(JobsApi, RefusesPagesOfOtherOrigins) {
  ApiServer server;
  problem(server.post_form("/v1/jobs", {{"file", plain_table(1), "a.csv"}}, "Origin: http://evil.test\r\n"), 403,
          "origin_not_allowed");
  EXPECT_EQ(server.post_form("/v1/jobs", {{"file", plain_table(1), "a.csv"}}, "Origin: http://pixmill.test\r\n").status,
            201);
}

// --- Looking ---

TEST(JobsApi, ShowsAJob) {
  ApiServer server;
  const auto id = submit_and_ingest(server, plain_table(2));
  const auto body = parsed(server.get("/v1/jobs/" + id));
  EXPECT_EQ(text_of(body, "id"), id);
  EXPECT_EQ(text_of(body, "state"), "running");
  EXPECT_EQ(body.at("total"), 2);
  EXPECT_EQ(server.request("HEAD", "/v1/jobs/" + id).status, 200);
}

TEST(JobsApi, KnowsNoOtherJobs) {
  ApiServer server;
  const std::string id = Uuid::random().text();
  for (const std::string path : {"", "/items", "/result.csv", "/images.csv", "/deliveries"}) {
    problem(server.get("/v1/jobs/" + id + path), 404, "not_found");
    problem(server.get("/v1/jobs/nonsense" + path), 404, "not_found");
  }
  for (const std::string path : {"/cancel", "/pause", "/resume", "/retry", "/deliveries/x/resend"}) {
    problem(server.post("/v1/jobs/" + id + path), 404, "not_found");
    problem(server.post("/v1/jobs/nonsense" + path), 404, "not_found");
  }
  problem(server.get("/v2"), 404, "not_found");
}

TEST(JobsApi, ListsJobsPageByPage) {
  ApiServer server;
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(submit_and_ingest(server, plain_table(1)));
  std::vector<std::string> seen;
  std::string before;
  for (int pages = 0; pages < 3; ++pages) {
    const auto body = parsed(server.get("/v1/jobs?limit=2" + before));
    EXPECT_EQ(body.at("total"), 5);
    for (const auto& job : body.at("jobs").as_array()) seen.push_back(text_of(job.as_object(), "id"));
    if (!body.at("next").is_null()) before = "&before=" + text_of(body, "next");
  }
  EXPECT_EQ(seen, std::vector<std::string>(ids.rbegin(), ids.rend()));
  server.work();
  EXPECT_EQ(parsed(server.get("/v1/jobs?state=completed")).at("total"), 5);
  EXPECT_EQ(parsed(server.get("/v1/jobs?state=running")).at("total"), 0);
}

TEST(JobsApi, RefusesBadListParameters) {
  ApiServer server;
  const auto id = submit_and_ingest(server, plain_table(1));
  const auto wrong = [&](const std::string& query, const std::string& name) {
    EXPECT_EQ(text_of(problem(server.get("/v1/jobs" + query), 400, "invalid_parameter"), "parameter"), name);
  };
  wrong("?state=done", "state");
  wrong("?limit=0", "limit");
  wrong("?limit=501", "limit");
  wrong("?limit=x", "limit");
  wrong("?before=nonsense", "before");
  wrong("/" + id + "/items?state=done", "state");
  wrong("/" + id + "/items?limit=1001", "limit");
  wrong("/" + id + "/items?after=-1", "after");
  wrong("/" + id + "/items?offset=99999999999999999999", "offset");
  wrong("/" + id + "/items?after=1&offset=1", "offset");
  wrong("/" + id + "/items?code=';drop", "code");
  wrong("/" + id + "/result.csv?raw=2", "raw");
}

TEST(P49, ItemsComePageByPageWithoutSkipOrRepeat) {
  ApiServer server;
  const auto id = submit_and_ingest(server, plain_table(7));
  std::vector<std::int64_t> seen;
  std::string after;
  while (true) {
    const auto body = parsed(server.get("/v1/jobs/" + id + "/items?limit=3" + after));
    EXPECT_EQ(body.at("total"), 7);
    for (const auto& item : body.at("items").as_array()) seen.push_back(item.at("item").to_number<std::int64_t>());
    if (body.at("next").is_null()) break;
    after = fmt::format("&after={}", body.at("next").to_number<std::int64_t>());
  }
  EXPECT_EQ(seen, (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7}));
  const auto page = parsed(server.get("/v1/jobs/" + id + "/items?limit=2&offset=5"));
  EXPECT_EQ(page.at("items").as_array()[0].at("item"), 6);
  EXPECT_TRUE(page.at("next").is_null());
}

TEST(JobsApi, FiltersItems) {
  ApiServer server;
  const auto id = submit_and_ingest(server, original_table({"https://a.test/1.jpg", "https://a.test/bad.jpg"}));
  server.work();
  const auto failed = parsed(server.get("/v1/jobs/" + id + "/items?state=failed"));
  EXPECT_EQ(failed.at("total"), 1);
  EXPECT_EQ(failed.at("items").as_array()[0].at("row"), 2);
  EXPECT_EQ(parsed(server.get("/v1/jobs/" + id + "/items?code=http_404")).at("total"), 1);
  EXPECT_EQ(parsed(server.get("/v1/jobs/" + id + "/items?code=timeout")).at("total"), 0);
}

// --- Results ---

TEST(ResultsApi, StreamTheResultFiles) {
  ApiServer server;
  const auto id = submit_and_ingest(server, "url,note\r\nhttps://a.test/1.jpg,=1+1\r\n");
  server.work();
  const auto result = server.get("/v1/jobs/" + id + "/result.csv");
  EXPECT_EQ(result.status, 200);
  EXPECT_TRUE(result.complete);
  EXPECT_THAT(result.header("content-type"), StartsWith("text/csv"));
  EXPECT_EQ(result.header("content-disposition"), "attachment; filename=\"products-result.csv\"");
  EXPECT_THAT(result.body, StartsWith("url,note,"));
  EXPECT_THAT(result.body, HasSubstr("'=1+1"));
  EXPECT_THAT(result.body, HasSubstr("http://pixmill.test/files/" + id + "/1.jpg"));
  const auto raw = server.get("/v1/jobs/" + id + "/result.csv?raw=1");
  EXPECT_THAT(raw.body, HasSubstr(",=1+1,"));
  const auto images = server.get("/v1/jobs/" + id + "/images.csv");
  EXPECT_EQ(images.header("content-disposition"), "attachment; filename=\"products-images.csv\"");
  EXPECT_THAT(images.body, HasSubstr("https://a.test/1.jpg"));
  EXPECT_EQ(server.request("HEAD", "/v1/jobs/" + id + "/result.csv").status, 200);
}

TEST(ResultsApi, StreamManyRowsAndNamesOfAllKinds) {
  ApiServer server;
  const auto id = submit_and_ingest(server, plain_table(2'500), {{"name", "Größe \"x\""}});
  const auto result = server.get("/v1/jobs/" + id + "/result.csv");
  EXPECT_EQ(std::ranges::count(result.body, '\n'), 2'501);
  EXPECT_EQ(result.header("content-disposition"),
            "attachment; filename=\"Gr____e _x_-result.csv\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%22x%22-result.csv");
}

// --- Control ---

TEST(JobsApi, CancelsAJob) {
  ApiServer server;
  const auto id = submit_and_ingest(server, plain_table(2));
  const auto body = parsed(server.post("/v1/jobs/" + id + "/cancel"));
  EXPECT_THAT(text_of(body, "state"), StartsWith("cancel"));
  EXPECT_EQ(server.post("/v1/jobs/" + id + "/cancel").status, 200) << "again changes nothing";
  EXPECT_GT(server.wakes, 0);
}

TEST(JobsApi, PausesAJobAndGoesOnWithIt) {
  ApiServer server;
  const auto id = submit_and_ingest(server, plain_table(2));
  for (int times = 0; times < 2; ++times) {
    const auto paused = server.post("/v1/jobs/" + id + "/pause");
    EXPECT_EQ(paused.status, 200);
    EXPECT_EQ(text_of(parsed(paused), "state"), "paused");
    EXPECT_EQ(text_of(parsed(paused), "status"), "processing");
  }
  server.work();
  EXPECT_EQ(parsed(server.get("/v1/jobs?state=paused")).at("total"), 1);
  EXPECT_EQ(text_of(parsed(server.post("/v1/jobs/" + id + "/resume")), "state"), "running");
  server.work();
  EXPECT_EQ(server.job(id).state, jobs::JobState::kCompleted);
  EXPECT_EQ(server.post("/v1/jobs/" + id + "/pause").status, 409);
  EXPECT_EQ(server.post("/v1/jobs/" + id + "/resume").status, 409);
}

TEST(JobsApi, DeletesAJob) {
  ApiServer server;
  const auto id = submit_and_ingest(server, plain_table(2));
  const auto early = server.request("DELETE", "/v1/jobs/" + id);
  EXPECT_EQ(early.status, 409);
  EXPECT_THAT(text_of(parsed(early), "hint"), HasSubstr("cancel"));
  EXPECT_EQ(server.request("DELETE", "/v1/jobs/" + id + "?cancel=perhaps").status, 400);
  server.work();
  const auto gone = server.request("DELETE", "/v1/jobs/" + id);
  EXPECT_EQ(gone.status, 204);
  EXPECT_EQ(gone.body, "");
  EXPECT_EQ(server.removals, 1);
  for (const std::string path : {"", "/items", "/result.csv", "/deliveries"}) {
    EXPECT_EQ(server.get("/v1/jobs/" + id + path).status, 404) << path;
  }
  EXPECT_EQ(server.get("/imgproc/status/" + id + "/").status, 404);
  EXPECT_EQ(server.request("DELETE", "/v1/jobs/" + id).status, 404);
  EXPECT_EQ(parsed(server.get("/v1/jobs")).at("total"), 0);
  EXPECT_EQ(server.get("/v1/jobs?state=deleting").status, 400) << "nobody sees them";
}

TEST(JobsApi, DeletesAJobThatIsUnderWayWhenToldToCancelIt) {
  ApiServer server;
  const auto id = submit_and_ingest(server, plain_table(2));
  const auto claim = server.loop.run(server.store().claim({.worker = "test", .limit = 1})).value();
  const auto answer = server.request("DELETE", "/v1/jobs/" + id + "?cancel=1");
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(text_of(parsed(answer), "state"), "cancelling");
  const auto other = submit_and_ingest(server, plain_table(2));
  EXPECT_EQ(server.request("DELETE", "/v1/jobs/" + other + "?cancel=1").status, 204) << "nothing of it is under way";
}

TEST(JobsApi, KeepsAJobAsLongAsTheFormSays) {
  ApiServer server;
  const auto submit = [&](const std::string& keep) {
    return server.post_form("/v1/jobs", {{"file", plain_table(1), "t.csv"}, {"keep", keep}});
  };
  EXPECT_EQ(server.job(text_of(parsed(submit("12h")), "id")).keep, std::chrono::hours(12));
  EXPECT_EQ(server.job(text_of(parsed(submit("forever")), "id")).keep, jobs::kForever);
  EXPECT_EQ(server.job(text_of(parsed(submit("")), "id")).keep, std::nullopt);
  const auto refused = submit("a while");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(text_of(parsed(refused), "parameter"), "keep");
}

TEST(JobsApi, RetriesFailedItems) {
  ApiServer server;
  const auto id = submit_and_ingest(server, plain_table(2, "https://a.test/bad{}.jpg"));
  problem(server.post("/v1/jobs/" + id + "/retry"), 409, "conflict");
  server.work();
  problem(server.post("/v1/jobs/" + id + "/retry", "", R"({"code":"timeout"})"), 409, "conflict");
  problem(server.post("/v1/jobs/" + id + "/retry", "", "{"), 400, "invalid_parameter");
  problem(server.post("/v1/jobs/" + id + "/retry", "", R"({"kode":"x"})"), 400, "invalid_parameter");
  problem(server.post("/v1/jobs/" + id + "/retry", "", R"({"code":1})"), 400, "invalid_parameter");
  problem(server.post("/v1/jobs/" + id + "/retry", "", std::string(70'000, ' ')), 413, "too_large");
  const auto body = parsed(server.post("/v1/jobs/" + id + "/retry", "", R"({"code":"http_404"})"));
  EXPECT_EQ(body.at("generation"), 2);
  EXPECT_EQ(body.at("remaining"), 2);
  server.work();
  EXPECT_EQ(parsed(server.post("/v1/jobs/" + id + "/retry")).at("generation"), 3);
}

TEST(JobsApi, ShowsAndResendsDeliveries) {
  ApiServer server;
  const auto id = submit_and_ingest(server, plain_table(1), {{"webhook_url", "https://hooks.test/"}});
  EXPECT_TRUE(parsed(server.get("/v1/jobs/" + id + "/deliveries")).at("deliveries").as_array().empty());
  server.work();
  const auto body = parsed(server.get("/v1/jobs/" + id + "/deliveries"));
  ASSERT_EQ(body.at("deliveries").as_array().size(), 1U);
  const auto event = text_of(body.at("deliveries").as_array()[0].as_object(), "id");
  const int wakes = server.wakes;
  EXPECT_EQ(server.post("/v1/jobs/" + id + "/deliveries/" + event + "/resend").status, 202);
  EXPECT_EQ(server.wakes, wakes + 1);
  problem(server.post("/v1/jobs/" + id + "/deliveries/other/resend"), 404, "not_found");
}

// --- What stands around every request ---

TEST(Api, NamesTheMethodsOfAResource) {
  ApiServer server;
  const auto response = server.request("DELETE", "/v1/jobs");
  problem(response, 405, "method_not_allowed");
  EXPECT_EQ(response.header("allow"), "GET, HEAD, POST");
  const auto options = server.request("OPTIONS", "/v1/jobs");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.header("allow"), "GET, HEAD, POST, OPTIONS");
}

TEST(Api, ServesOnlyTheHostsItWasTold) {
  ApiOptions options;
  options.allowed_hosts = {"shop.test"};
  ApiServer server(options);
  problem(server.get("/v1/jobs"), 400, "host_not_allowed");
  EXPECT_EQ(server.connect().request("GET /v1/jobs HTTP/1.1\r\nHost: shop.test:8000\r\n\r\n").status, 200);
  EXPECT_EQ(server.get("/imgproc/hello").status, 400);
  EXPECT_EQ(server.get("/healthz").status, 200) << "probes know only an address";
}

// A page of a name that was pointed to this machine is same-origin to its browser.
TEST(Api, AnswersNoForeignNameUnlessToldSo) {
  const auto ask = [](const ApiServer& server, std::string_view request, std::string_view host) {
    return server.connect().request(
        fmt::format("{} HTTP/1.1\r\nHost: {}\r\nOrigin: http://{}\r\nContent-Length: 0\r\n\r\n", request, host, host));
  };
  ApiServer server;
  for (const std::string request : {"GET /v1/jobs", "POST /v1/jobs", "GET /", "GET /files/x"}) {
    problem(ask(server, request, "evil.test:8000"), 400, "host_not_allowed");
  }
  const auto original = ask(server, "POST /imgproc/upload", "evil.test");
  EXPECT_EQ(original.status, 400);
  EXPECT_THAT(original.body, HasSubstr(R"("error":"The Host of this request)"));
  EXPECT_THAT(original.body, HasSubstr("ALLOWED_HOSTS"));
  for (const std::string host : {"localhost:8000", "shop.localhost", "127.0.0.1:8000", "[::1]:8000", "pixmill.test"}) {
    EXPECT_EQ(ask(server, "GET /v1/jobs", host).status, 200) << host;
    EXPECT_EQ(ask(server, "GET /imgproc/hello", host).status, 200) << host;
  }
  ApiOptions options;
  options.allowed_hosts = {"*"};
  const ApiServer open(options);
  EXPECT_EQ(ask(open, "GET /v1/jobs", "evil.test").status, 200);
}

TEST(Api, CountsRequests) {
  ApiServer server;
  submit_and_ingest(server, plain_table(3));
  auto client = server.connect();
  const std::string get = "GET /v1/jobs/{} HTTP/1.1\r\nHost: pixmill.test\r\n\r\n";
  for (const std::string request : {"GET /v1/jobs/x HTTP/1.1\r\nHost: pixmill.test\r\n\r\n",
                                    "BREW /teapot HTTP/1.1\r\nHost: pixmill.test\r\n\r\n"}) {
    EXPECT_EQ(client.request(request).status, 404);
  }
  const auto metrics = client.request("GET /metrics HTTP/1.1\r\nHost: pixmill.test\r\n\r\n");
  EXPECT_EQ(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(metrics.body,
              HasSubstr(R"(pixmill_http_requests_total{method="GET",route="/v1/jobs/{id}",status="404"} 1)"));
  EXPECT_THAT(metrics.body,
              HasSubstr(R"(pixmill_http_requests_total{method="other",route="unmatched",status="404"} 1)"));
  EXPECT_THAT(metrics.body, HasSubstr(R"(pixmill_queue_items{state="pending"} 3)"));
  EXPECT_THAT(metrics.body, HasSubstr(R"(pixmill_http_request_seconds_count{route="/v1/jobs/{id}"} 1)"));
}

TEST(P45, AFailingStoreIsAProblemWithoutItsDetail) {
  testing::ScriptedStore store;
  store.on_job = [](const JobId&) -> Result<jobs::Job> {
    return fail(ErrorCode::kIo, "The database failed", "SELECT * FROM jobs");
  };
  store.on_jobs = [](const jobs::JobQuery&) -> Result<jobs::JobPage> {
    return fail(ErrorCode::kUnavailable, "Stopping");
  };
  ApiServer server({}, &store);
  const auto response = server.get("/v1/jobs/" + Uuid::random().text());
  problem(response, 500, "io");
  EXPECT_THAT(response.body, Not(HasSubstr("SELECT")));
  const auto away = server.get("/v1/jobs");
  problem(away, 503, "unavailable");
  EXPECT_EQ(away.header("retry-after"), "5");
  problem(server.post_form("/v1/jobs", {{"file", plain_table(1), "a.csv"}}), 500,
          "internal");  // create_job has no script
}

// The database took the job, and its answer got lost: the table must still be read in.
TEST(P01, ATableWhoseJobMayBeThereIsKeptUntilThatIsKnown) {
  testing::ScriptedStore store;
  std::string path;
  store.on_create_job = [&](const jobs::NewJob& job) -> Result<void> {
    path = job.source_path;
    return fail(ErrorCode::kUnavailable, "what became of the last change is not known");
  };
  std::promise<bool> was_there;
  std::atomic<int> questions = 0;
  store.on_job = [&](const JobId&) -> Result<jobs::Job> {
    if (questions++ == 0) was_there.set_value(std::filesystem::exists(path));
    return fail(ErrorCode::kNotFound, "no such job");
  };
  ApiServer server({}, &store);
  problem(server.post_form("/v1/jobs", {{"file", plain_table(1), "a.csv"}}), 503, "unavailable");
  auto answer = was_there.get_future();
  ASSERT_EQ(answer.wait_for(std::chrono::seconds(10)), std::future_status::ready) << "nobody asked whether it is there";
  EXPECT_TRUE(answer.get());
  while (std::filesystem::exists(path)) std::this_thread::yield();
}

// --- System ---

TEST(SystemApi, IsHealthy) {
  ApiServer server;
  const auto response = server.get("/healthz");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, R"({"status":"ok"})");
}

std::map<std::string, bool> checks_of(const RawResponse& response) {
  std::map<std::string, bool> checks;
  const auto body = parsed(response);
  for (const auto& check : body.at("checks").as_array()) {
    checks[text_of(check.as_object(), "name")] = check.at("ok").as_bool();
  }
  return checks;
}

using Checks = std::map<std::string, bool>;

TEST(SystemApi, IsReadyWhenEveryPartIs) {
  ApiServer server;
  const auto ready = server.get("/readyz");
  EXPECT_EQ(ready.status, 200);
  EXPECT_EQ(text_of(parsed(ready), "status"), "ready");
  EXPECT_EQ(checks_of(ready), (Checks{{"store", true}, {"engines", true}, {"sandbox", true}, {"disk", true}}));
  EXPECT_THAT(ready.body, HasSubstr("Landlock ABI 3"));
}

TEST(SystemApi, NamesThePartThatIsNotReady) {
  ApiServer server;
  server.loop.call([&] { return server.engines.alive.clear(), true; });
  EXPECT_EQ(checks_of(server.get("/readyz")),
            (Checks{{"store", true}, {"engines", false}, {"sandbox", true}, {"disk", true}}));
  server.loop.call([&] { return server.engines.report.problem = "open was not denied", true; });
  const auto response = server.get("/readyz");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(text_of(parsed(response), "status"), "not_ready");
  EXPECT_THAT(response.body, HasSubstr("open was not denied"));
  ApiOptions full;
  full.free_bytes_min = 1ULL << 62;
  EXPECT_FALSE(checks_of(ApiServer(full).get("/readyz"))["disk"]);
}

class HangingStore final : public testing::ScriptedStore {
 public:
  std::atomic<int> pings = 0;
  Task<Result<void>> ping() override {
    ++pings;
    co_await pause_for(milliseconds(3'600'000));
    co_return Result<void>();
  }
};

TEST(SystemApi, IsNotReadyWhenTheStoreFailsOrHangs) {
  testing::ScriptedStore failing;
  EXPECT_FALSE(checks_of(ApiServer({}, &failing).get("/readyz"))["store"]);
  HangingStore hanging;
  ApiOptions options;
  options.ready_deadline = milliseconds(20);
  ApiServer server(options, &hanging);
  const auto response = server.get("/readyz");
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, HasSubstr("no answer within 20 ms"));
  EXPECT_EQ(server.get("/readyz").status, 503);
  EXPECT_EQ(server.get("/imgproc/check_db_connection").body, R"({"db_status":"error"})");
  EXPECT_EQ(hanging.pings, 1) << "one question at a time";
}

TEST(SystemApi, HasAFrontPage) {
  ApiServer server;
  const auto page = server.get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.body, HasSubstr("curl -F file=@products.csv http://pixmill.test/v1/jobs"));
  EXPECT_THAT(page.header("content-security-policy"), HasSubstr("style-src 'sha256-"));
}

// --- Files ---

TEST(FilesApi, ServesFinishedPictures) {
  ApiServer server;
  server.folder.write("files/job/a b.jpg", std::string(1'000, 'p'));
  const auto response = server.get("/files/job/a%20b.jpg");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body.size(), 1'000U);
  EXPECT_EQ(response.header("content-type"), "image/jpeg");
  EXPECT_EQ(response.header("content-security-policy"), "sandbox");
  EXPECT_EQ(response.header("x-content-type-options"), "nosniff");
  EXPECT_THAT(response.header("cache-control"), HasSubstr("max-age"));
  const auto part = server.get("/files/job/a%20b.jpg", "Range: bytes=10-19\r\n");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body.size(), 10U);
  const std::string etag = response.header("etag");
  EXPECT_EQ(server.get("/files/job/a%20b.jpg", "If-None-Match: W/" + etag + "\r\n").status, 304);
  EXPECT_EQ(server.get("/files/job/a%20b.jpg", "If-None-Match: \"other\"\r\n").status, 200);
  EXPECT_EQ(
      server.get("/files/job/a%20b.jpg", "If-Modified-Since: " + response.header("last-modified") + "\r\n").status,
      304);
  EXPECT_EQ(server.get("/files/job/a%20b.jpg", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n").status, 200);
}

TEST(FilesApi, ServesNothingElse) {
  ApiServer server;
  server.folder.write("files/job/.pixmill-1.tmp", "unfinished");
  server.folder.write("files/x.html", "<script>");
  EXPECT_EQ(server.get("/files/x.html").header("content-type"), "application/octet-stream");
  for (const std::string path :
       {"/files/", "/files/none.jpg", "/files/job", "/files/job/", "/files/../pixmill.db", "/files/%2e%2e/pixmill.db",
        "/files/..%2fpixmill.db", "/files/job/../../pixmill.db", "/files//etc/passwd", "/files/%2fetc%2fpasswd",
        "/files/job/.pixmill-1.tmp", "/files/a%5c..%5cb", "/files/a%0ab", "/files/%ff.jpg"}) {
    problem(server.get(path), 404, "not_found");
  }
}

// --- Start and stop ---

TEST(Api, GoesOnWithIngestsOfThePreviousProcessAndSweepsTheSpool) {
  testing::TempFolder folder;
  SystemClock clock;
  const JobId id{Uuid::random()};
  testing::LoopThread loop;
  const auto event = [](const std::string& type, const jobs::Job&, const std::vector<jobs::Row>&) { return type; };
  auto sqlite = jobs::open_sqlite_store(
                    clock, {.path = folder.file("pixmill.db"), .master_key = std::string(32, 'k'), .event_body = event})
                    .value();
  jobs::NewJob job;
  job.id = id;
  job.recipe = "format=jpeg quality=50";
  job.name_template = "{uuid}.{ext}";
  job.blob_prefix = id.text() + "/";
  job.source_path = folder.write("spool/" + id.text() + ".csv", plain_table(3));
  folder.write("spool/orphan.csv", "x");
  ASSERT_TRUE(loop.run(sqlite.jobs->create_job(job)));

  Metrics metrics;
  const auto queue = jobs::make_local_queue(loop.executor());
  jobs::Ingest ingest(loop.executor(), *sqlite.jobs, *queue);
  const auto blobs = storage::open_local_store(folder.file("files"), storage::Durability::kProcess).value();
  const auto policy = fetch::AddressPolicy::create("").value();
  testing::FakeFetcher fetcher;
  testing::MemoryBlobs uploads;
  pipeline::Watermarks watermarks(loop.executor(), {.fetcher = fetcher, .uploads = uploads});
  ApiParts parts{.store = *sqlite.jobs,
                 .outbox = *sqlite.outbox,
                 .recipes = *sqlite.recipes,
                 .queue = *queue,
                 .ingest = ingest,
                 .blobs = *blobs,
                 .watermarks = watermarks,
                 .policy = policy,
                 .clock = clock,
                 .metrics = metrics,
                 .engines = nullptr,
                 .wake_deliverer = {}};
  ApiOptions options;
  options.spool_folder = folder.file("spool");
  options.data_folder = folder.path();
  Api api(loop.executor(), std::move(parts), options);
  ASSERT_TRUE(loop.run(api.start()));
  EXPECT_FALSE(std::filesystem::exists(folder.file("spool/orphan.csv")));
  while (loop.run(sqlite.jobs->job(id))->state == jobs::JobState::kIngesting) std::this_thread::yield();
  EXPECT_EQ(loop.run(sqlite.jobs->job(id))->total, 3U);
  while (std::filesystem::exists(job.source_path)) std::this_thread::yield();
  loop.run(api.stop());
  loop.stop();
}

TEST(Watermark, ComesWithTheTableAndIsNamedByItsDigest) {
  ApiServer server;
  const std::string logo(image::tiny_pictures().front().bytes);
  const std::string digest = to_hex(sha256(logo));
  const auto form = [&](const std::string& recipe, const std::string& file) {
    std::vector<testing::FormPart> parts = {{"file", "url\nhttps://h.example/a.jpg\n", "a.csv"}, {"recipe", recipe}};
    if (!file.empty()) parts.push_back({"watermark", file, "logo.png"});
    return server.post_form("/v1/jobs", parts);
  };
  const auto created = form("watermark=southeast:upload", logo);
  ASSERT_EQ(created.status, 201) << created.body;
  EXPECT_THAT(created.body, HasSubstr("watermark=southeast:upload:" + digest));
  EXPECT_EQ(server.uploads.blobs.at(digest), logo);
  EXPECT_EQ(form("watermark=upload:" + digest, "").status, 201) << "one that is there already";
  EXPECT_EQ(form("watermark=https://h.example/logo.png", "").status, 201);
  EXPECT_TRUE(server.fetcher.asked.empty()) << "nothing is fetched before the job runs";
  // Nothing of these is accepted.
  const auto refused = [&](int status, const std::string& text, const std::string& recipe, const std::string& file) {
    const auto response = form(recipe, file);
    EXPECT_EQ(response.status, status) << response.body;
    EXPECT_THAT(response.body, HasSubstr(text));
  };
  refused(400, "no file came", "watermark=upload", "");
  refused(400, "watermark=upload", "format=png", logo);
  refused(400, "was uploaded here", "watermark=upload:" + std::string(64, 'a'), "");
  refused(400, "watermark", "watermark=http://127.0.0.1/logo.png", "");
  refused(400, "watermark", "watermark=http://user@h.example/logo.png", "");
  refused(422, "The watermark", "watermark=upload", "<html></html>");
  refused(413, "The watermark is larger", "watermark=upload", std::string(pipeline::kMarkFileBytesMax + 1, 'x'));
  server.uploads.put_error = Error{.code = ErrorCode::kDiskFull, .message = "full", .detail = {}};
  const std::string other(image::tiny_pictures().back().bytes);
  refused(507, "full", "watermark=upload", other);
  server.uploads.put_error.reset();
  const auto twice = server.post_form("/v1/jobs", {{"file", "url\nhttps://h.example/a.jpg\n", "a.csv"},
                                                   {"watermark", logo, "a.png"},
                                                   {"watermark", logo, "b.png"}});
  EXPECT_EQ(twice.status, 400) << twice.body;
}

TEST(Watermark, AnEmptyInputBesideItChangesNothing) {
  ApiServer server;
  const std::string logo(image::tiny_pictures().front().bytes);
  const auto created = server.post_form("/v1/jobs", {{"file", "url\nhttps://h.example/a.jpg\n", "a.csv"},
                                                     {"recipe", "watermark=upload"},
                                                     {"watermark", logo, "a.png"},
                                                     {.name = "watermark", .value = "more", .empty_file_name = true}});
  ASSERT_EQ(created.status, 201) << created.body;
  EXPECT_TRUE(server.uploads.blobs.contains(to_hex(sha256(logo))));
}

TEST(Watermark, ItsDigestMustFitIntoTheRecipe) {
  ApiServer server;
  const std::string logo(image::tiny_pictures().front().bytes);
  // One output uses the upload; the other's address fills the recipe up.
  const auto recipe_of = [](std::size_t bytes) {
    std::string recipe = "a: watermark=upload";
    for (char name = 'b'; recipe.size() < bytes; ++name) {
      const std::string begin = fmt::format(" {}: watermark=https://h.example/", name);
      recipe += begin + std::string(std::min<std::size_t>(2'000, bytes - recipe.size()), 'x');
    }
    recipe.resize(bytes);
    return recipe;
  };
  const auto form = [&](const std::string& recipe, const std::string& table) {
    return server.post_form(
        "/v1/jobs",
        {{"file", table, "a.csv"}, {"recipe", recipe}, {"skip_invalid", "false"}, {"watermark", logo, "a.png"}});
  };
  const std::string table = "url\nhttps://h.example/a.jpg\n";
  const auto job = form(recipe_of(8'150), table);
  EXPECT_EQ(job.status, 400) << job.body;
  EXPECT_THAT(job.body, HasSubstr("8192"));
  EXPECT_EQ(form(recipe_of(8'100), table).status, 201);
  const auto row = form("watermark=upload", fmt::format("url,recipe\nhttps://h.example/a.jpg,{}\n", recipe_of(8'150)));
  EXPECT_EQ(row.status, 422) << row.body;
  EXPECT_EQ(server.uploads.blobs.size(), 1U) << "nothing is kept of what is refused";
}

TEST(Watermark, OfARowIsCheckedBeforeTheJobIsAccepted) {
  ApiServer server;
  const std::string logo(image::tiny_pictures().front().bytes);
  const std::string digest = to_hex(sha256(logo));
  const auto form = [&](std::string_view target, const std::vector<std::string>& watermarks) {
    std::string table = "S.No.,Product Name,Input Image Urls,Recipe\n";
    for (const auto& image : watermarks) table += "1,A,https://h.example/a.jpg,watermark=" + image + "\n";
    return server.post_form(target, {{"file", table, "a.csv"},
                                     {"recipe", "watermark=upload"},
                                     {"overrides", "true"},
                                     {"watermark", logo, "a.png"}});
  };
  const std::string none = "upload:" + std::string(64, 'a');
  for (const auto& [target, status] : {std::pair{"/v1/jobs", 422}, std::pair{"/imgproc/upload/", 400}}) {
    const auto refused =
        form(target, {"https://h.example/b.png", "http://127.0.0.1/x.png", "http://127.0.0.1/x.png", none});
    EXPECT_EQ(refused.status, status) << refused.body;
    EXPECT_THAT(refused.body, HasSubstr("Invalid recipe found at row 2: http://127.0.0.1/x.png ("));
    EXPECT_THAT(refused.body, HasSubstr("Invalid recipe found at row 4: " + none));
    EXPECT_THAT(refused.body, HasSubstr(R"("column":"Recipe")"));
    EXPECT_THAT(refused.body, Not(HasSubstr("b.png")));
  }
  EXPECT_TRUE(server.uploads.blobs.empty());
  EXPECT_EQ(form("/v1/jobs", {"https://h.example/b.png", "upload", "upload:" + digest}).status, 201);
  EXPECT_TRUE(server.fetcher.asked.empty());
}

TEST(Watermark, ComesThroughTheOldDoorToo) {
  ApiServer server;
  const std::string logo(image::tiny_pictures().front().bytes);
  const auto created =
      server.post_form("/imgproc/upload/", {{"file", original_table({"https://h.example/a.jpg"}), "a.csv"},
                                            {"recipe", "watermark=upload"},
                                            {"watermark", logo, "logo.png"}});
  EXPECT_EQ(created.status, 201) << created.body;
  EXPECT_EQ(server.uploads.blobs.size(), 1U);
}

}  // namespace
}  // namespace pixmill::api
