#include "jobs/job_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include <boost/json.hpp>

namespace pixmill::jobs {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using ::testing::Not;

const Links kLinks{.base_url = "http://127.0.0.1:8000", .files_base = "http://127.0.0.1:8000/files"};

Job make_job() {
  Job job;
  job.id = JobId{*Uuid::parse("11111111-2222-4333-8444-555555555555")};
  job.state = JobState::kCompletedWithErrors;
  job.origin = JobOrigin::kApi;
  job.name = "products.csv";
  job.recipe = "format=jpeg quality=50";
  job.columns = {"S.No.", "Product Name", "Input Image Urls"};
  job.rows = 3;
  job.invalid = 1;
  job.total = 4;
  job.succeeded = 3;
  job.failed = 1;
  job.bytes_in = 5'000'000'000;
  job.bytes_out = 1'000;
  job.created_at = from_unix_ms(1'750'000'000'123);
  return job;
}

Row make_row() {
  Item good;
  good.item = 7;
  good.row = 2;
  good.url = "https://a.example/x.jpg";
  good.state = ItemState::kSucceeded;
  good.attempts = 1;
  good.bytes_in = 300;
  good.times = {.fetch_ms = 12, .transform_ms = 34, .store_ms = 5};
  good.finished_at = from_unix_ms(1'750'000'001'000);
  good.outputs = {{.rendition = "",
                   .key = "id/SKU 1.jpg",
                   .bytes = 100,
                   .width_px = 4,
                   .height_px = 3,
                   .format = "jpeg",
                   .quality = 50,
                   .sha256 = "ab",
                   .note = ""}};
  Item bad = good;
  bad.item = 8;
  bad.index = 2;
  bad.url = "https://a.example/y.jpg";
  bad.state = ItemState::kFailed;
  bad.error_code = "http_404";
  bad.error_message = "The server answered 404";
  bad.outputs.clear();
  return {.row = 2,
          .cells = {"002", "<b>SKU</b>", "https://a.example/x.jpg, https://a.example/y.jpg"},
          .problem = "",
          .items = {good, bad}};
}

TEST(JobDocument, HasEveryFieldInAStableOrder) {
  EXPECT_EQ(
      job_document(make_job(), kLinks),
      R"({"id":"11111111-2222-4333-8444-555555555555","name":"products.csv","state":"completed_with_errors",)"
      R"("status":"completed","origin":"api","generation":1,"recipe":"format=jpeg quality=50","recipe_name":null,)"
      R"("row_recipes":0,"total":4,)"
      R"("remaining":0,"succeeded":3,"failed":1,"cancelled":0,"since":null,"new":null,"changed":null,)"
      R"("unchanged":null,"gone":null,"rows":3,"invalid_rows":1,"bytes_in":5000000000,)"
      R"("bytes_out":1000,"created_at":"2025-06-15T15:06:40.123Z","started_at":null,"finished_at":null,)"
      R"("webhook_url":null,"error":null,"links":{)"
      R"("self":"http://127.0.0.1:8000/v1/jobs/11111111-2222-4333-8444-555555555555",)"
      R"("items":"http://127.0.0.1:8000/v1/jobs/11111111-2222-4333-8444-555555555555/items",)"
      R"("result_csv":"http://127.0.0.1:8000/v1/jobs/11111111-2222-4333-8444-555555555555/result.csv",)"
      R"("images_csv":"http://127.0.0.1:8000/v1/jobs/11111111-2222-4333-8444-555555555555/images.csv","gone_csv":null}})");
}

TEST(JobDocument, SaysHowItComparesWithAnEarlierJob) {
  Job job = make_job();
  job.since = JobId{*Uuid::parse("22222222-2222-4333-8444-555555555555")};
  job.succeeded = 10;
  job.changed = 3;
  job.unchanged = 5;
  job.gone = 4;
  const json::object document = json::parse(job_document(job, kLinks)).as_object();
  EXPECT_EQ(document.at("since").as_string(), "22222222-2222-4333-8444-555555555555");
  EXPECT_EQ(document.at("new").to_number<int>(), 2);
  EXPECT_EQ(document.at("changed").to_number<int>(), 3);
  EXPECT_EQ(document.at("unchanged").to_number<int>(), 5);
  EXPECT_EQ(document.at("gone").to_number<int>(), 4);
  EXPECT_THAT(std::string(document.at("links").at("gone_csv").as_string()), ::testing::EndsWith("/gone.csv"));
  job.origin = JobOrigin::kRun;
  job.blob_prefix = "images/";
  const Links files{.base_url = "", .files_base = "/home/me/out"};
  const json::object of_run = json::parse(job_document(job, files)).as_object();
  EXPECT_EQ(of_run.at("links").at("gone_csv").as_string(), "/home/me/out/gone.csv");
}

TEST(JobDocument, SaysWhyAJobWasRejectedAndWhenThingsHappened) {
  Job job = make_job();
  job.state = JobState::kRejected;
  job.error_code = "invalid_argument";
  job.error_message = "CSV file is empty or unreadable.";
  job.started_at = from_unix_ms(0);
  job.finished_at = from_unix_ms(1'000);
  job.webhook_url = "https://hook.example/";
  const json::object document = json::parse(job_document(job, kLinks)).as_object();
  EXPECT_EQ(document.at("error").at("code").as_string(), "invalid_argument");
  EXPECT_EQ(document.at("error").at("message").as_string(), "CSV file is empty or unreadable.");
  EXPECT_EQ(document.at("error").at("advice").as_string(), "Correct the table and send it again.");
  EXPECT_EQ(document.at("started_at").as_string(), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(document.at("finished_at").as_string(), "1970-01-01T00:00:01.000Z");
  EXPECT_EQ(document.at("webhook_url").as_string(), "https://hook.example/");
  EXPECT_EQ(document.at("status").as_string(), "failed");
}

TEST(JobDocument, LinksOfARunAreFiles) {
  Job job = make_job();
  job.origin = JobOrigin::kRun;
  job.blob_prefix = "set/images/";
  const Links links{.base_url = "", .files_base = "/home/me/out"};
  const json::object document = json::parse(job_document(job, links)).as_object();
  EXPECT_TRUE(document.at("links").at("self").is_null());
  EXPECT_EQ(document.at("links").at("result_csv").as_string(), "/home/me/out/set/result.csv");
  job.blob_prefix = "images/";
  EXPECT_THAT(job_document(job, links), HasSubstr("\"/home/me/out/images.csv\""));
}

TEST(Links, EncodeAddressesAndLeavePathsAlone) {
  EXPECT_EQ(kLinks.file("a b/#1,2.jpg"), "http://127.0.0.1:8000/files/a%20b/%231%2C2.jpg");
  EXPECT_EQ((Links{.base_url = "", .files_base = "/files"}.file("a b.jpg")), "/files/a%20b.jpg");
  EXPECT_EQ((Links{.base_url = "", .files_base = "/home/me/out"}.file("a b.jpg")), "/home/me/out/a b.jpg");
}

TEST(ItemDocument, TellsOutputsAndErrors) {
  const Row row = make_row();
  const json::object good = json::parse(item_document(row.items[0], kLinks)).as_object();
  EXPECT_EQ(good.at("item").as_int64(), 7);
  EXPECT_EQ(good.at("state").as_string(), "succeeded");
  EXPECT_TRUE(good.at("error").is_null());
  EXPECT_TRUE(good.at("same_as").is_null());
  EXPECT_TRUE(good.at("retry_at").is_null());
  EXPECT_EQ(good.at("times").at("transform_ms").as_int64(), 34);
  EXPECT_EQ(good.at("finished_at").as_string(), "2025-06-15T15:06:41.000Z");
  const json::value& output = good.at("outputs").at(0);
  EXPECT_EQ(output.at("url").as_string(), "http://127.0.0.1:8000/files/id/SKU%201.jpg");
  EXPECT_EQ(output.at("quality").as_int64(), 50);
  EXPECT_TRUE(output.at("note").is_null());

  Item waiting = row.items[1];
  waiting.state = ItemState::kPending;
  waiting.retry_at = from_unix_ms(5'000);
  waiting.leased_until = from_unix_ms(6'000);
  waiting.same_as = 3;
  const json::object bad = json::parse(item_document(waiting, kLinks)).as_object();
  EXPECT_EQ(bad.at("error").at("code").as_string(), "http_404");
  EXPECT_EQ(bad.at("error").at("advice").as_string(), "The picture is gone from its server; correct the URL.");
  EXPECT_EQ(bad.at("retry_at").as_string(), "1970-01-01T00:00:05.000Z");
  EXPECT_EQ(bad.at("leased_until").as_string(), "1970-01-01T00:00:06.000Z");
  EXPECT_EQ(bad.at("same_as").as_int64(), 3);
  EXPECT_TRUE(bad.at("outputs").as_array().empty());
}

TEST(ItemDocument, NamesARecipeOfItsOwn) {
  Item item = make_row().items[0];
  EXPECT_TRUE(json::parse(item_document(item, kLinks)).at("recipe").is_null()) << "the job's";
  item.recipe = RecipeChoice{.text = "format=webp", .name = "shop@2"};
  const json::value document = json::parse(item_document(item, kLinks));
  EXPECT_EQ(document.at("recipe").as_string(), "format=webp");
  EXPECT_EQ(document.at("recipe_name").as_string(), "shop@2");
}

TEST(ItemDocument, LosslessFormatsHaveNoQuality) {
  Item item = make_row().items[0];
  item.outputs[0].quality = 0;
  item.outputs[0].note = "source kept";
  const json::value output = json::parse(item_document(item, kLinks)).at("outputs").at(0);
  EXPECT_TRUE(output.at("quality").is_null());
  EXPECT_EQ(output.at("note").as_string(), "source kept");
}

TEST(ListDocuments, CountAndPointOn) {
  EXPECT_EQ(job_list_document({}, 0, std::nullopt, kLinks), R"({"jobs":[],"total":0,"next":null})");
  const json::value jobs = json::parse(job_list_document({make_job(), make_job()}, 9, "cursor", kLinks));
  EXPECT_EQ(jobs.at("jobs").as_array().size(), 2u);
  EXPECT_EQ(jobs.at("next").as_string(), "cursor");
  const json::value items = json::parse(item_list_document(make_row().items, 9, 8, kLinks));
  EXPECT_EQ(items.at("items").as_array().size(), 2u);
  EXPECT_EQ(items.at("total").as_int64(), 9);
  EXPECT_EQ(items.at("next").as_int64(), 8);
  EXPECT_EQ(item_list_document({}, 0, std::nullopt, kLinks), R"({"items":[],"total":0,"next":null})");
}

TEST(DeliveryDocument, ListsAttempts) {
  const Delivery delivery{
      .event_id = "evt",
      .type = "job.completed",
      .url = "https://hook.example/",
      .state = DeliveryState::kPending,
      .next_at = from_unix_ms(9'000),
      .attempts = {{.attempt = 1, .at = from_unix_ms(1'000), .http_status = 500, .error = "http_500", .elapsed_ms = 7},
                   {.attempt = 2, .at = from_unix_ms(2'000), .http_status = 0, .error = "timeout", .elapsed_ms = 8}}};
  EXPECT_EQ(delivery_document(delivery),
            R"({"id":"evt","type":"job.completed","url":"https://hook.example/","state":"pending",)"
            R"("next_at":"1970-01-01T00:00:09.000Z","attempts":[)"
            R"({"attempt":1,"at":"1970-01-01T00:00:01.000Z","http_status":500,"error":"http_500","elapsed_ms":7},)"
            R"({"attempt":2,"at":"1970-01-01T00:00:02.000Z","http_status":null,"error":"timeout","elapsed_ms":8}]})");
}

TEST(EventBody, CarriesTheJobAndHtmlOnlyForLegacyUploads) {
  Job job = make_job();
  const json::object event = json::parse(event_body("job.completed", job, {}, from_unix_ms(0), kLinks)).as_object();
  EXPECT_EQ(event.at("type").as_string(), "job.completed");
  EXPECT_EQ(event.at("timestamp").as_string(), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(event.at("request_id").as_string(), job.id.text());
  EXPECT_EQ(event.at("status").as_string(), "completed");
  EXPECT_EQ(json::serialize(event.at("job")), job_document(job, kLinks));
  EXPECT_FALSE(event.contains("data"));
  job.origin = JobOrigin::kLegacyUpload;
  const json::object legacy =
      json::parse(event_body("job.completed", job, {make_row()}, from_unix_ms(0), kLinks)).as_object();
  EXPECT_EQ(legacy.at("data").as_string(), legacy_table(job, {make_row()}, kLinks));
}

TEST(FailuresDocument, ListsTheFirstFifty) {
  EXPECT_EQ(failures_document({}), "[]");
  EXPECT_EQ(failures_document({{.code = "timeout", .count = 3, .example = "\"slow\""}}),
            R"([{"code":"timeout","count":3,"example":"\"slow\""}])");
  const auto text = failures_document(std::vector<FailureGroup>(51, {.code = "x", .count = 1, .example = ""}));
  EXPECT_EQ(std::ranges::count(text, '{'), 50);
}

TEST(LegacyTable, ShowsTheFourColumnsEscaped) {
  Job job = make_job();
  job.rows = 1;
  EXPECT_EQ(legacy_table(job, {make_row()}, kLinks),
            "<table>\n<thead><tr><th>S.No.</th><th>Product Name</th><th>Input Image URLs</th><th>Output Image URLs</th>"
            "</tr></thead>\n<tbody>\n"
            "<tr><td>002</td><td>&lt;b&gt;SKU&lt;/b&gt;</td>"
            "<td>https://a.example/x.jpg, https://a.example/y.jpg</td>"
            "<td><a href=\"http://127.0.0.1:8000/files/id/SKU%201.jpg\" target=\"_blank\" rel=\"noopener\">"
            "http://127.0.0.1:8000/files/id/SKU%201.jpg</a>, failed: http_404</td></tr>\n"
            "</tbody>\n</table>\n");
}

TEST(LegacyTable, NoUserTextBecomesMarkup) {
  Job job = make_job();
  Row row = make_row();
  const std::string hostile = "\"'><script>alert(1)</script>";
  row.cells = {hostile, hostile, hostile};
  row.items[0].outputs[0].key = hostile;
  row.items[1].error_code = hostile;
  Row bad = row;
  bad.problem = hostile;
  const std::string html = legacy_table(job, {row, bad}, {.base_url = "", .files_base = hostile});
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("\"'>")));
}

TEST(LegacyTable, LinksToAllRowsWhenThereAreMore) {
  Job job = make_job();
  job.rows = 1'234;
  EXPECT_THAT(legacy_table(job, {make_row()}, kLinks),
              HasSubstr("<p>The first 1 of 1,234 rows. <a href=\"http://127.0.0.1:8000/v1/jobs/"
                        "11111111-2222-4333-8444-555555555555/result.csv\">All rows as CSV</a></p>"));
  job.rows = 200;
  Row large = make_row();
  large.cells[1] = std::string(60'000, '<');
  const std::string html = legacy_table(job, std::vector<Row>(200, large), kLinks);
  EXPECT_LT(html.size(), 3u << 20);
  EXPECT_THAT(html, HasSubstr("of 200 rows"));
}

TEST(LegacyTable, ShowsPlainTablesToo) {
  Job job = make_job();
  job.rows = 1;
  job.columns = {"url"};
  Row row = make_row();
  row.cells = {"https://a.example/x.jpg"};
  EXPECT_THAT(legacy_table(job, {row}, kLinks),
              HasSubstr("<tr><td>2</td><td></td><td>https://a.example/x.jpg, https://a.example/y.jpg</td>"));
}

}  // namespace
}  // namespace pixmill::jobs
