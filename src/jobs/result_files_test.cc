#include "jobs/result_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jobs/csv_reader.h"
#include "tests/support/run_task.h"
#include "tests/support/scripted_store.h"

namespace pixmill::jobs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Cells = std::vector<std::string>;

const Links kLinks{.base_url = "http://h", .files_base = "http://h/files"};

std::vector<Cells> parse(const std::string& text) {
  std::string_view rest = text;
  CsvReader reader([&]() -> Result<std::string_view> { return std::exchange(rest, {}); }, {});
  std::vector<Cells> records;
  while (true) {
    auto record = reader.next();
    EXPECT_TRUE(record.has_value());
    if (!record || !*record) return records;
    records.push_back(std::move(**record));
  }
}

TEST(CsvRecord, QuotesWhereItMust) {
  EXPECT_EQ(csv_record({"a", "b c", ""}), "a,b c,\r\n");
  EXPECT_EQ(csv_record({"a,b", "c\"d", "e\nf", "g\rh", " i"}), "\"a,b\",\"c\"\"d\",\"e\nf\",\"g\rh\",\" i\"\r\n");
  EXPECT_EQ(csv_record({""}), "\"\"\r\n");
}

TEST(P39, CellsThatASpreadsheetWouldRunGetAnApostrophe) {
  for (const std::string cell : {"=1+1",        "=cmd|' /C calc'!A0",
                                 "+cmd|x",      "-cmd|x",
                                 "@SUM(A1)",    "\t=1",
                                 "\r=1",        "\n=1",
                                 "=",           "-",
                                 "+",           "@",
                                 "-1-2",        "+1-2",
                                 "-A1",         "+49x",
                                 "-1e",         "-1e+",
                                 "--1",         "-1,2+3",
                                 "+1 (555) A1", "-.",
                                 "+()-",        "=IMPORTXML(\"http://x\")"}) {
    EXPECT_EQ(spreadsheet_safe(cell), "'" + cell);
  }
}

TEST(P39, NumbersAndPhonesStayAsTheyAre) {
  for (const std::string cell : {"-1",
                                 "+1",
                                 "-12.5",
                                 "+1,234.50",
                                 "-.5",
                                 "-3e-5",
                                 "+2E10",
                                 "-7%",
                                 "-7 %",
                                 "+49 170 1234567",
                                 "+1 (555) 010-9999",
                                 "+49/30/123.45",
                                 "",
                                 "a",
                                 "1=2",
                                 "a@b.example",
                                 "'=1",
                                 " =1",
                                 "NA",
                                 "001",
                                 "\xef\xbc\x9d"
                                 "1"}) {
    EXPECT_EQ(spreadsheet_safe(cell), cell);
  }
}

Item make_item(std::uint64_t number, std::uint64_t row, std::uint32_t index, ItemState state) {
  Item item;
  item.item = number;
  item.row = row;
  item.index = index;
  item.url = "https://a.example/" + std::to_string(number) + ".jpg";
  item.state = state;
  item.attempts = 2;
  item.times = {.fetch_ms = 10, .transform_ms = 20, .store_ms = 30};
  if (state == ItemState::kSucceeded) {
    item.bytes_in = 1'000;
    item.outputs = {{.rendition = "",
                     .key = "k/" + std::to_string(number) + " a.jpg",
                     .bytes = 400,
                     .width_px = 8,
                     .height_px = 6,
                     .format = "jpeg",
                     .quality = 50,
                     .sha256 = "cafe",
                     .note = "first frame of an animation"}};
  } else if (state == ItemState::kFailed) {
    item.error_code = "http_404";
    item.error_message = "The server answered 404";
  }
  return item;
}

class ResultFiles : public ::testing::Test {
 protected:
  class RowStore final : public testing::ScriptedStore {
   public:
    std::vector<Row> stored;
    std::optional<Error> error;
    std::size_t page_max = 2;
    Task<Result<std::vector<Row>>> rows(JobId, std::uint64_t after_row, std::uint32_t limit) override {
      if (error) co_return std::unexpected(*error);
      EXPECT_LE(limit, 1'000u);
      std::vector<Row> page;
      for (const auto& row : stored) {
        if (row.row > after_row && page.size() < page_max) page.push_back(row);
      }
      co_return page;
    }
    std::vector<GoneUrl> gone_urls;
    Task<Result<std::vector<GoneUrl>>> gone(JobId, std::uint64_t after, std::uint32_t) override {
      if (error) co_return std::unexpected(*error);
      std::vector<GoneUrl> page;
      for (const auto& url : gone_urls) {
        if (url.item > after && page.size() < page_max) page.push_back(url);
      }
      co_return page;
    }
  };

  ResultFiles() {
    job_.columns = {"S.No.", "Input Image Urls", "=Note"};
    job_.recipe = "format=jpeg quality=50";
    store_.stored = {
        {.row = 1,
         .cells = {"001", "u1, u2", "=1+1"},
         .problem = "",
         .items = {make_item(1, 1, 1, ItemState::kSucceeded), make_item(2, 1, 2, ItemState::kFailed)}},
        {.row = 2,
         .cells = {"2", "u3", "a,\"b\"\n"},
         .problem = "",
         .items = {make_item(3, 2, 1, ItemState::kSucceeded)}},
        {.row = 3, .cells = {"3", "bad", "-5"}, .problem = "Invalid URL found at row 3: bad", .items = {}},
        {.row = 4, .cells = {"4", "bad", " x"}, .problem = "Invalid URL found at row 4: bad", .items = {}},
        {.row = 5, .cells = {"5", "u", ""}, .problem = "", .items = {make_item(4, 5, 1, ItemState::kFailed)}},
        {.row = 6, .cells = {"6", "u", ""}, .problem = "", .items = {make_item(5, 6, 1, ItemState::kCancelled)}},
        {.row = 7,
         .cells = {"7", "u", ""},
         .problem = "",
         .items = {make_item(6, 7, 1, ItemState::kPending), make_item(7, 7, 2, ItemState::kSucceeded)}},
    };
    store_.stored[1].items[0].recipe = RecipeChoice{.text = "format=webp", .name = "shop@2"};
  }

  std::string read(ResultFile file, CellSafety safety) {
    const auto next = stream_result_file(store_, job_, file, safety, kLinks);
    std::string text;
    while (true) {
      const auto piece = testing::run_task(io_, next());
      EXPECT_TRUE(piece.has_value());
      if (!piece || piece->empty()) return text;
      text += *piece;
    }
  }

  asio::io_context io_;
  RowStore store_;
  Job job_;
};

TEST_F(ResultFiles, ARowIsUnchangedWhenAllOfItIs) {
  store_.stored = {{.row = 1, .cells = {}, .problem = "", .items = {make_item(1, 1, 1, ItemState::kUnchanged)}},
                   {.row = 2,
                    .cells = {},
                    .problem = "",
                    .items = {make_item(2, 2, 1, ItemState::kUnchanged), make_item(3, 2, 2, ItemState::kSucceeded)}},
                   {.row = 3,
                    .cells = {},
                    .problem = "",
                    .items = {make_item(4, 3, 1, ItemState::kUnchanged), make_item(5, 3, 2, ItemState::kFailed)}}};
  const auto records = parse(read(ResultFile::kResultCsv, CellSafety::kExact));
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[1].at(4), "unchanged");
  EXPECT_EQ(records[2].at(4), "succeeded");
  EXPECT_EQ(records[3].at(4), "partly_succeeded");
  EXPECT_EQ(parse(read(ResultFile::kImagesCsv, CellSafety::kExact)).at(1).at(4), "unchanged");
}

TEST_F(ResultFiles, GoneCsvNamesWhatIsNoLongerThere) {
  for (std::uint64_t item = 3; item <= 7; ++item) {
    store_.gone_urls.push_back({.item = item, .row = item - 1, .index = 2, .url = "=u" + std::to_string(item)});
  }
  const auto records = parse(read(ResultFile::kGoneCsv, CellSafety::kExact));
  ASSERT_EQ(records.size(), 6u);
  EXPECT_THAT(records[0], ElementsAre("row", "index", "source"));
  EXPECT_THAT(records[1], ElementsAre("2", "2", "=u3"));
  EXPECT_THAT(records[5], ElementsAre("6", "2", "=u7"));
  EXPECT_THAT(parse(read(ResultFile::kGoneCsv, CellSafety::kSpreadsheet))[1], ElementsAre("2", "2", "'=u3"));
  store_.gone_urls.clear();
  EXPECT_EQ(read(ResultFile::kGoneCsv, CellSafety::kExact), "row,index,source\r\n");
}

TEST_F(ResultFiles, ResultCsvHasTheInputsRowsAndSevenColumnsMore) {
  const std::string text = read(ResultFile::kResultCsv, CellSafety::kExact);
  EXPECT_THAT(text, StartsWith("S.No.,Input Image Urls,=Note,Output Image Urls,Status,Errors,Bytes In,Bytes Out,"
                               "Recipe Used,Recipe Name\r\n"));
  const auto records = parse(text);
  ASSERT_EQ(records.size(), 8u);
  EXPECT_THAT(records[1],
              ElementsAre("001", "u1, u2", "=1+1", "http://h/files/k/1%20a.jpg, ", "partly_succeeded",
                          "image 2: http_404: The server answered 404", "1000", "400", "format=jpeg quality=50", ""));
  EXPECT_THAT(records[2], ElementsAre("2", "u3", "a,\"b\"\n", "http://h/files/k/3%20a.jpg", "succeeded", "", "1000",
                                      "400", "format=webp", "shop@2"));
  EXPECT_THAT(records[3],
              ElementsAre("3", "bad", "-5", "", "invalid", "Invalid URL found at row 3: bad", "", "", "", ""));
  EXPECT_THAT(records[5], ElementsAre("5", "u", "", "", "failed", "http_404: The server answered 404", "", "",
                                      "format=jpeg quality=50", ""));
  EXPECT_THAT(records[6], ElementsAre("6", "u", "", "", "cancelled", "", "", "", "format=jpeg quality=50", ""));
  EXPECT_THAT(records[7], ElementsAre("7", "u", "", ", http://h/files/k/7%20a.jpg", "pending", "", "1000", "400",
                                      "format=jpeg quality=50", ""));
}

TEST_F(ResultFiles, ImagesCsvHasALinePerImage) {
  const auto records = parse(read(ResultFile::kImagesCsv, CellSafety::kExact));
  ASSERT_EQ(records.size(), 8u);
  EXPECT_THAT(records[0], ElementsAre("row", "index", "source", "output", "state", "code", "bytes", "width", "height",
                                      "format", "quality", "ssim", "sha256", "fetch_ms", "transform_ms", "store_ms",
                                      "attempts", "rendition", "bytes_in", "error", "note", "recipe", "recipe_name"));
  EXPECT_THAT(records[1], ElementsAre("1", "1", "https://a.example/1.jpg", "http://h/files/k/1%20a.jpg", "succeeded",
                                      "", "400", "8", "6", "jpeg", "50", "", "cafe", "10", "20", "30", "2", "", "1000",
                                      "", "first frame of an animation", "format=jpeg quality=50", ""));
  EXPECT_THAT(records[2],
              ElementsAre("1", "2", "https://a.example/2.jpg", "", "failed", "http_404", "", "", "", "", "", "", "",
                          "10", "20", "30", "2", "", "", "The server answered 404", "", "format=jpeg quality=50", ""));
  EXPECT_EQ(records[3][21], "format=webp");
  EXPECT_EQ(records[3][22], "shop@2");
}

TEST_F(ResultFiles, ImagesCsvHasALinePerRendition) {
  Output thumb = store_.stored[1].items[0].outputs[0];
  thumb.rendition = "thumb";
  thumb.quality = 0;
  store_.stored[1].items[0].outputs.push_back(thumb);
  const auto records = parse(read(ResultFile::kImagesCsv, CellSafety::kExact));
  ASSERT_EQ(records.size(), 9u);
  EXPECT_EQ(records[4][17], "thumb");
  EXPECT_EQ(records[4][10], "") << "lossless formats have no quality";
}

TEST_F(ResultFiles, AJobWithoutRowsHasAHeader) {
  store_.stored.clear();
  job_.columns.clear();
  EXPECT_EQ(read(ResultFile::kResultCsv, CellSafety::kSpreadsheet),
            "Output Image Urls,Status,Errors,Bytes In,Bytes Out,Recipe Used,Recipe Name\r\n");
}

TEST_F(ResultFiles, PassesOnTheStoresError) {
  store_.error = Error{.code = ErrorCode::kUnavailable, .message = "away", .detail = {}};
  const auto next = stream_result_file(store_, job_, ResultFile::kResultCsv, CellSafety::kExact, kLinks);
  EXPECT_EQ(testing::run_task(io_, next()).error().code, ErrorCode::kUnavailable);
}

TEST_F(ResultFiles, TheStreamMayBeDroppedWhileAPieceIsMade) {
  auto next = stream_result_file(store_, job_, ResultFile::kResultCsv, CellSafety::kExact, kLinks);
  auto piece = next();
  next = nullptr;
  EXPECT_THAT(*testing::run_task(io_, std::move(piece)), HasSubstr("001"));
}

TEST_F(ResultFiles, P39RoundTrip) {
  const auto exact = parse(read(ResultFile::kResultCsv, CellSafety::kExact));
  const auto safe = parse(read(ResultFile::kResultCsv, CellSafety::kSpreadsheet));
  ASSERT_EQ(exact.size(), safe.size());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    ASSERT_EQ(exact[i].size(), safe[i].size());
    for (std::size_t k = 0; k < exact[i].size(); ++k) EXPECT_EQ(safe[i][k], spreadsheet_safe(exact[i][k]));
  }
  EXPECT_EQ(safe[0][2], "'=Note");
  EXPECT_EQ(safe[1][2], "'=1+1");
  EXPECT_EQ(safe[3][2], "-5");
}

TEST(P39, AnyCellsComeBackByteForByte) {
  std::uint32_t state = 39;
  const auto next = [&] { return state = state * 1'664'525u + 1'013'904'223u; };
  constexpr std::string_view kPieces[] = {"=",  "+", "-", "@", "\t", "\r",       "\n", "\r\n",
                                          "\"", ",", " ", "'", "a",  "\xc3\xa9", "0"};
  for (int round = 0; round < 2'000; ++round) {
    Cells cells(next() % 4 + 1);
    for (auto& cell : cells) {
      for (std::uint32_t n = (next() >> 8) % 6; n > 0; --n) cell += kPieces[(next() >> 8) % std::size(kPieces)];
    }
    const auto records = parse(csv_record(cells));
    ASSERT_THAT(records, ElementsAre(cells));
    for (const auto& cell : cells) {
      const std::string safe = spreadsheet_safe(cell);
      ASSERT_TRUE(safe == cell || safe == "'" + cell);
      const bool still_runs = std::string_view("=@\t\r\n").find(safe.empty() ? 'a' : safe[0]) != std::string_view::npos;
      ASSERT_FALSE(still_runs) << cell;
    }
  }
}

}  // namespace
}  // namespace pixmill::jobs
