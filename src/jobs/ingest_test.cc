#include "jobs/ingest.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <functional>
#include <utility>

#include "jobs/sqlite_store.h"
#include "tests/support/manual_clock.h"
#include "tests/support/run_task.h"
#include "tests/support/temp_folder.h"

namespace pixmill::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Rings a bell of the test's.
class BellQueue final : public Queue {
 public:
  std::function<void()> on_announce;
  int announcements = 0;

  void announce(const JobId&) override {
    ++announcements;
    if (on_announce) on_announce();
  }
  Task<void> wait(milliseconds) override { co_return; }
  void stop() override {}
};

class IngestTest : public ::testing::Test {
 protected:
  IngestTest() {
    auto opened = open_sqlite_store(
        clock_, {.path = folder_.file("pixmill.db"),
                 .master_key = std::string(32, 'k'),
                 .event_body = [](const std::string& type, const Job&, const std::vector<Row>&) { return type; }});
    PIXMILL_CHECK(opened.has_value());
    sqlite_ = std::move(*opened);
    ingest_ = std::make_unique<Ingest>(io_.get_executor(), store(), queue_);
  }

  JobStore& store() { return *sqlite_.jobs; }
  template <class T>
  T wait(Task<T> task) {
    return testing::run_task(io_, std::move(task));
  }

  NewJob new_job(std::string_view table, std::string file_name = "table.csv") {
    NewJob job;
    job.id = JobId{Uuid::random()};
    job.name = "test";
    job.recipe = "format=jpeg quality=50";
    job.name_template = "{product}-{index}.{ext}";
    job.blob_prefix = "images/";
    job.source_path = folder_.write(file_name, table);
    return job;
  }
  JobId create(NewJob job) {
    const JobId id = job.id;
    EXPECT_TRUE(wait(store().create_job(std::move(job))).has_value());
    return id;
  }
  Job job(JobId id) { return *wait(store().job(id)); }
  std::vector<Row> rows(JobId id) {
    std::vector<Row> all;
    while (true) {
      const auto page = wait(store().rows(id, all.empty() ? 0 : all.back().row, 1'000));
      EXPECT_TRUE(page.has_value());
      if (!page || page->empty()) return all;
      all.insert(all.end(), page->begin(), page->end());
    }
  }
  std::vector<std::string> stems() {
    const auto claim = wait(store().claim(ClaimRequest{.worker = "test"}));
    EXPECT_TRUE(claim.has_value());
    std::vector<std::string> names;
    for (const auto& item : claim->items) names.push_back(item.output_stem);
    return names;
  }

  testing::TempFolder folder_;
  testing::ManualClock clock_;
  asio::io_context io_;
  Stores sqlite_;
  BellQueue queue_;
  std::unique_ptr<Ingest> ingest_;
};

TEST_F(IngestTest, GivesRowsTheirOwnRecipesAndNames) {
  auto asked = new_job(
      "url,product,recipe,width,name\n"
      "https://a.example/1.jpg,P,,,\n"
      "https://a.example/2.jpg,P,shop,100,Blue shirt.jpg\n"
      "\"https://a.example/3.jpg,https://a.example/4.jpg\",P,,,Two/three\n"
      "https://a.example/5.jpg,P,,,blue SHIRT\n");
  asked.overrides = true;
  asked.name_template = "{product}/{source_stem}.{ext}";
  asked.row_names = {{.written = "shop", .recipe = {.text = "format=png", .name = "shop@1"}}};
  const JobId id = create(std::move(asked));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  const auto stored = rows(id);
  ASSERT_EQ(stored.size(), 4u);
  EXPECT_EQ(stored[0].items[0].recipe, std::nullopt);
  EXPECT_EQ(stored[1].items[0].recipe, (RecipeChoice{.text = "format=png resize=100x", .name = "shop@1"}));
  EXPECT_EQ(job(id).row_recipes, 1u);
  EXPECT_THAT(stems(), ElementsAre("P/1.{ext}", "P/Blue shirt.{ext}", "P/Two_three-1.{ext}", "P/Two_three-2.{ext}",
                                   "P/blue SHIRT-2.{ext}"));
}

TEST_F(IngestTest, ATemplateThatNamesTheColumnSaysWhereItGoes) {
  auto asked = new_job("url,name\nhttps://a.example/1.jpg,shirt.jpg\n");
  asked.overrides = true;
  asked.name_template = "{Name}-{index}.{ext}";
  const JobId id = create(std::move(asked));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_THAT(stems(), ElementsAre("shirt.jpg-1.{ext}"));
}

TEST_F(IngestTest, ColumnsMeanNothingToAJobThatDoesNotAskForThem) {
  const JobId id = create(new_job("url,name,width,recipe\nhttps://a.example/1.jpg,shirt,wide,none\n"));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_EQ(rows(id).at(0).items.at(0).recipe, std::nullopt);
  EXPECT_THAT(stems(), ElementsAre("1-1.{ext}"));
}

TEST_F(IngestTest, ABadOverrideIsABadRow) {
  const auto table = "url,width\nhttps://a.example/1.jpg,0\nhttps://a.example/2.jpg,9\n";
  auto strict = new_job(table);
  strict.overrides = true;
  const JobId rejected = create(std::move(strict));
  ASSERT_TRUE(wait(ingest_->run(rejected)).has_value());
  EXPECT_EQ(job(rejected).state, JobState::kRejected);
  EXPECT_THAT(job(rejected).error_message, HasSubstr("Invalid width found at row 1: 0"));
  auto lenient = new_job(table);
  lenient.overrides = true;
  lenient.invalid_rows = InvalidRows::kSkip;
  const JobId id = create(std::move(lenient));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_EQ(job(id).invalid, 1u);
  EXPECT_EQ(job(id).total, 1u);
}

TEST_F(IngestTest, TooManyRecipesRejectTheJob) {
  std::string table = "url,width\n";
  for (std::uint64_t i = 1; i <= kRecipesPerJobMax + 1; ++i) table += fmt::format("https://a.example/{0},{0}\n", i);
  auto asked = new_job(table);
  asked.overrides = true;
  const JobId id = create(std::move(asked));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_THAT(job(id).error_message, HasSubstr("10,000 different recipes"));
}

TEST_F(IngestTest, ACheckTellsWhichRecipesAreAskedForByName) {
  const auto path = folder_.write("t.csv", "url,recipe\nhttps://a.example/1.jpg,web\nhttps://a.example/2.jpg,\n");
  TableOptions options;
  options.overrides = true;
  const auto report = wait(ingest_->check(path, options));
  ASSERT_TRUE(report.has_value());
  ASSERT_EQ(report->named_recipes.size(), 1u);
  EXPECT_EQ(report->named_recipes[0].written, "web");
  EXPECT_EQ(report->named_recipes[0].recipe.name, "web@1");
}

TEST_F(IngestTest, ACheckTellsWhichWatermarksRowsHave) {
  const auto path = folder_.write("t.csv",
                                  "url,Recipe,width\nhttps://a.example/1.jpg,,80\n"
                                  "https://a.example/2.jpg,watermark=https://b.example/2.png,\n"
                                  "https://a.example/3.jpg,watermark=https://b.example/2.png,90\n"
                                  "https://a.example/4.jpg,a: watermark=https://b.example/1.png b:,\n");
  TableOptions options;
  options.overrides = true;
  options.recipe.text = "watermark=https://b.example/1.png";
  const auto report = wait(ingest_->check(path, options));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->bad_rows, 0u);
  ASSERT_EQ(report->watermarks.size(), 1u) << "that of the job is not a row's";
  EXPECT_EQ(report->watermarks[0].image, "https://b.example/2.png");
  EXPECT_EQ(report->watermarks[0].row, 2u);
  EXPECT_EQ(report->watermarks[0].column, "Recipe");
}

constexpr std::string_view kTable =
    "S.No.,Product Name,Input Image Urls,Brand\n"
    "001,SKU 1,\"https://a.example/x.jpg, https://a.example/y.jpg\",NA\n"
    "002,SKU/2,https://a.example/z.jpg,null\n";

TEST_F(IngestTest, TurnsRowsIntoItemsAndStartsTheJob) {
  const JobId id = create(new_job(kTable));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  const Job done = job(id);
  EXPECT_EQ(done.state, JobState::kRunning);
  EXPECT_THAT(done.columns, ElementsAre("S.No.", "Product Name", "Input Image Urls", "Brand"));
  EXPECT_EQ(done.rows, 2u);
  EXPECT_EQ(done.total, 3u);
  EXPECT_GE(queue_.announcements, 1);
  const auto stored = rows(id);
  ASSERT_EQ(stored.size(), 2u);
  EXPECT_THAT(stored[1].cells, ElementsAre("002", "SKU/2", "https://a.example/z.jpg", "null"));
  EXPECT_EQ(stored[0].items[1].url, "https://a.example/y.jpg");
  EXPECT_EQ(stored[0].items[1].index, 2u);
  EXPECT_THAT(stems(), ElementsAre("SKU 1-1.{ext}", "SKU 1-2.{ext}", "SKU_2-1.{ext}"));
}

TEST_F(IngestTest, FillsInEveryPlaceholder) {
  NewJob made = new_job(
      "Brand,url\nAcme,https://a.example/photos/Blue%20shirt.final.jpg?size=1.5\nB,https://a.example/\nC,https://"
      "a.example/100%25\n");
  made.name_template = "{BRAND}/{Row}_{index}_{source_stem}_{product}_{job}_{sha}{rendition}.{ext}";
  const JobId id = create(made);
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_THAT(stems(),
              ElementsAre("Acme/1_1_Blue shirt.final_Blue shirt.final_" + id.text() + "_{sha}{rendition}.{ext}",
                          "B/2_1_image_image_" + id.text() + "_{sha}{rendition}.{ext}",
                          "C/3_1_100%_100%_" + id.text() + "_{sha}{rendition}.{ext}"));
}

TEST_F(IngestTest, TakesProductFromAColumnOfThatNameInThePlainForm) {
  const JobId id = create(new_job("product,url\nShoe,https://a.example/1.jpg\n"));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_THAT(stems(), ElementsAre("Shoe-1.{ext}"));
}

TEST_F(IngestTest, KeepsBadRowsWhenTheyAreSkipped) {
  NewJob made =
      new_job("url\nhttps://a.example/1.jpg\nnonsense\n\"https://a.example/2.jpg\",b\nhttps://a.example/3.jpg\n");
  made.invalid_rows = InvalidRows::kSkip;
  const JobId id = create(made);
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  const Job done = job(id);
  EXPECT_EQ(done.rows, 4u);
  EXPECT_EQ(done.invalid, 2u);
  EXPECT_EQ(done.total, 2u);
  const auto stored = rows(id);
  EXPECT_THAT(stored[1].problem, HasSubstr("Invalid URL found at row 2: nonsense"));
  EXPECT_TRUE(stored[1].items.empty());
  EXPECT_EQ(stored[3].problem, "");
}

TEST_F(IngestTest, RejectsTheJobAtItsFirstBadRow) {
  const JobId id = create(new_job("url\nhttps://a.example/1.jpg\nnonsense\n"));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_EQ(job(id).state, JobState::kRejected);
  EXPECT_EQ(job(id).error_code, "invalid_argument");
  EXPECT_THAT(job(id).error_message, HasSubstr("Invalid URL found at row 2: nonsense"));
}

TEST_F(IngestTest, RejectsTablesThatCannotBeRead) {
  std::vector<NewJob> made = {new_job("", "empty.csv"),
                              new_job("url\n", "header.csv"),
                              new_job("a,b\n1,2\n", "columns.csv"),
                              new_job("url\nhttps://a.example/1.jpg\n\"open", "quote.csv"),
                              new_job("url\nhttps://a.example/1.jpg\n", "template.csv"),
                              new_job("", "gone.csv")};
  made[4].name_template = "{unclosed";
  made[5].source_path = folder_.file("none.csv");
  const std::vector<std::string> messages = {"CSV file is empty or unreadable.",
                                             "CSV file is empty or unreadable.",
                                             "Missing required column(s): url",
                                             "Line 3: a quote is never closed.",
                                             "name template",
                                             "cannot be opened"};
  for (std::size_t i = 0; i < made.size(); ++i) {
    const JobId id = create(made[i]);
    ASSERT_TRUE(wait(ingest_->run(id)).has_value()) << messages[i];
    EXPECT_EQ(job(id).state, JobState::kRejected) << messages[i];
    EXPECT_THAT(job(id).error_message, HasSubstr(messages[i]));
  }
}

std::string many_rows(int count) {
  std::string table = "id,url\n";
  for (int i = 1; i <= count; ++i) {
    table += std::to_string(i) + ",https://a.example/" + std::to_string(i) + ".jpg\n";
  }
  return table;
}

TEST_F(IngestTest, TroubleWithReadingRejectsNothing) {
  NewJob made = new_job("url\nhttps://a.example/1.jpg\n");
  const std::string table = std::exchange(made.source_path, folder_.path());  // a folder can be opened, not read
  const JobId id = create(made);
  const auto refused = wait(ingest_->run(id));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kIo);
  EXPECT_EQ(job(id).state, JobState::kIngesting);
  ASSERT_TRUE(wait(ingest_->run(id, table)).has_value()) << "the same table under another name";
  EXPECT_EQ(job(id).state, JobState::kRunning);
  EXPECT_EQ(job(id).total, 1u);
}

TEST_F(IngestTest, MoreImagesThanAJobHoldsRejectIt) {
  sqlite_ = {};
  auto opened = open_sqlite_store(
      clock_, {.path = folder_.file("small.db"),
               .master_key = std::string(32, 'k'),
               .event_body = [](const std::string& type, const Job&, const std::vector<Row>&) { return type; },
               .items_per_job_max = 2});
  ASSERT_TRUE(opened.has_value());
  sqlite_ = std::move(*opened);
  ingest_ = std::make_unique<Ingest>(io_.get_executor(), store(), queue_);
  NewJob made = new_job(many_rows(3));
  TableOptions check;
  check.images_max = 2;
  EXPECT_EQ(wait(ingest_->check(made.source_path, check)).error().code, ErrorCode::kTooLarge);
  const JobId id = create(std::move(made));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_EQ(job(id).state, JobState::kRejected);
  EXPECT_THAT(job(id).error_message, HasSubstr("at most 2 images"));
}

TEST_F(IngestTest, ReadsLegacyUploadsInTheOriginalDialect) {
  NewJob made = new_job("url\nhttps://a.example/1.jpg\n");
  made.origin = JobOrigin::kLegacyUpload;
  const JobId id = create(made);
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_EQ(job(id).error_message, "Missing required column(s): S.No., Product Name, Input Image Urls");
}

TEST_F(IngestTest, ToldByTheFilesName) {
  const JobId id = create(new_job("url,x\tb\nhttps://a.example/1.jpg\tc\n", "upload.tsv"));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_EQ(job(id).state, JobState::kRejected) << "'url,x' is one column of a TSV";
}

TEST_F(IngestTest, LeavesOtherJobsAlone) {
  const JobId id = create(new_job("url\nhttps://a.example/1.jpg\n"));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_EQ(job(id).total, 1u);
  EXPECT_EQ(wait(ingest_->run(JobId{Uuid::random()})).error().code, ErrorCode::kNotFound);
}

void expect_exact(const std::vector<Row>& stored, std::uint64_t count) {
  ASSERT_EQ(stored.size(), count);
  for (std::uint64_t i = 0; i < count; ++i) {
    ASSERT_EQ(stored[i].row, i + 1);
    ASSERT_EQ(stored[i].cells[0], std::to_string(i + 1));
    ASSERT_EQ(stored[i].items.size(), 1u);
  }
}

TEST_F(IngestTest, StopsBetweenChunksAndGoesOnWhereItWas) {
  const JobId id = create(new_job(many_rows(7'000)));
  int rounds = 0;
  Result<void> done = fail(ErrorCode::kCancelled, "");
  while (!done && rounds < 100) {
    ingest_ = std::make_unique<Ingest>(io_.get_executor(), store(), queue_);
    queue_.announcements = 0;
    queue_.on_announce = [&] {
      if (queue_.announcements >= 3) ingest_->stop();
    };
    done = wait(ingest_->run(id));
    ++rounds;
    if (!done) {
      EXPECT_EQ(done.error().code, ErrorCode::kCancelled);
    }
    EXPECT_EQ(job(id).rows % 500, 0u);
  }
  EXPECT_GE(rounds, 4);
  EXPECT_EQ(job(id).state, JobState::kRunning);
  expect_exact(rows(id), 7'000);
}

TEST_F(IngestTest, SeveralJobsTakeTurns) {
  std::vector<JobId> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(create(new_job(many_rows(1'700), "t" + std::to_string(i) + ".csv")));
  const auto start = [](Ingest& ingest, JobId id) -> Task<void> {
    const auto done = co_await ingest.run(id);
    EXPECT_TRUE(done.has_value());
  };
  for (const auto& id : ids) asio::co_spawn(io_, start(*ingest_, id), asio::detached);
  io_.restart();
  io_.run();
  for (const auto& id : ids) expect_exact(rows(id), 1'700);
}

TEST_F(IngestTest, ReadsOnlyTheTableThatTheJobNames) {
  const JobId id = create(new_job(many_rows(10)));
  const auto other = folder_.write("other.csv", many_rows(3));
  EXPECT_EQ(wait(ingest_->run(id, other, other)).error().code, ErrorCode::kConflict);
  EXPECT_EQ(job(id).rows, 0u);
  ASSERT_TRUE(wait(ingest_->run(id, {}, job(id).source_path)).has_value());
  EXPECT_EQ(job(id).rows, 10u);
}

TEST_F(IngestTest, EndsWhenTheJobIsCancelled) {
  const JobId id = create(new_job(many_rows(5'000)));
  const auto cancel = [](JobStore& jobs, JobId job) -> Task<void> {
    const auto cancelled = co_await jobs.cancel(job);
    EXPECT_TRUE(cancelled.has_value());
  };
  queue_.on_announce = [&] {
    if (queue_.announcements == 2) asio::co_spawn(io_, cancel(store(), id), asio::detached);
  };
  EXPECT_EQ(wait(ingest_->run(id)).error().code, ErrorCode::kCancelled);
  EXPECT_LT(job(id).rows, 5'000u);
}

TEST_F(IngestTest, RowsOfManyImagesComeInSmallChunks) {
  std::string table = "S.No.,Product Name,Input Image Urls\n";
  for (int row = 1; row <= 6; ++row) {
    table += std::to_string(row) + ",P,\"";
    for (int i = 0; i < 700; ++i) table += "https://a.example/" + std::to_string(row * 1'000 + i) + ".jpg,";
    table.back() = '"';
    table += '\n';
  }
  const JobId id = create(new_job(table));
  ASSERT_TRUE(wait(ingest_->run(id)).has_value());
  EXPECT_EQ(job(id).total, 4'200u);
  EXPECT_GE(queue_.announcements, 4) << "two rows a chunk, and the end";
}

TEST_F(IngestTest, ChecksTables) {
  const std::string good = folder_.write("good.csv", many_rows(12'000));
  std::vector<std::uint64_t> progress;
  const auto report = wait(ingest_->check(good, TableOptions{}, [&](std::uint64_t rows) { progress.push_back(rows); }));
  EXPECT_THAT(progress, ElementsAre(5'000, 10'000));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->rows, 12'000u);
  EXPECT_EQ(report->images, 12'000u);
  const std::string bad = folder_.write("bad.csv", "id,url\n1,x\n");
  EXPECT_EQ(wait(ingest_->check(bad, TableOptions{}))->problems.size(), 1u);
  const std::string empty = folder_.write("empty.csv", "id,url\n");
  EXPECT_EQ(wait(ingest_->check(empty, TableOptions{})).error().message, "CSV file is empty or unreadable.");
  ingest_->stop();
  EXPECT_EQ(wait(ingest_->check(good, TableOptions{})).error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace pixmill::jobs
