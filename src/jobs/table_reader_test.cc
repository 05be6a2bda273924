#include "jobs/table_reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>

#include "jobs/json_line.h"
#include "tests/support/temp_folder.h"

namespace pixmill::jobs {
namespace {

using Cells = std::vector<std::string>;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr std::string_view kHeader = "S.No.,Product Name,Input Image Urls\n";

TableOptions original() { return {.dialect = TableDialect::kOriginal, .url_column = "", .file_name = "x.csv"}; }
TableOptions any(std::string file_name = "") {
  return {.dialect = TableDialect::kAny, .url_column = "", .file_name = std::move(file_name)};
}

struct Table {
  Cells columns;
  int url_column = -1;
  int product_column = -1;
  std::vector<TableRow> rows;
};

Result<Table> read(std::string text, const TableOptions& options) {
  PIXMILL_TRY(const auto reader, TableReader::open_bytes(std::move(text), options));
  Table table{.columns = reader->columns(),
              .url_column = reader->url_column(),
              .product_column = reader->product_column(),
              .rows = {}};
  while (true) {
    PIXMILL_TRY(auto row, reader->next());
    if (!row) return table;
    EXPECT_EQ(row->row, table.rows.size() + 1);
    EXPECT_EQ(row->cells.size(), table.columns.size());
    EXPECT_EQ(row->urls.empty(), !row->problems.empty());
    table.rows.push_back(std::move(*row));
  }
}

Error error_of(std::string text, const TableOptions& options) {
  const auto table = read(std::move(text), options);
  EXPECT_FALSE(table.has_value());
  return table ? Error{} : table.error();
}

std::string gzip(std::string_view text, int level = Z_DEFAULT_COMPRESSION) {
  z_stream stream{};
  PIXMILL_CHECK(deflateInit2(&stream, level, Z_DEFLATED, MAX_WBITS + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string packed(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  PIXMILL_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

TEST(TableReader, ReadsTheOriginalForm) {
  const auto table = read(std::string(kHeader) +
                              "1,SKU1,\"https://a.example/x.jpg, https://b.example/y.jpg\"\n"
                              "002, SKU 2, https://c.example/z.jpg\r\n",
                          original());
  ASSERT_TRUE(table.has_value());
  EXPECT_THAT(table->columns, ElementsAre("S.No.", "Product Name", "Input Image Urls"));
  EXPECT_EQ(table->url_column, 2);
  EXPECT_EQ(table->product_column, 1);
  ASSERT_EQ(table->rows.size(), 2u);
  EXPECT_THAT(table->rows[0].urls, ElementsAre("https://a.example/x.jpg", "https://b.example/y.jpg"));
  EXPECT_THAT(table->rows[1].cells, ElementsAre("002", "SKU 2", "https://c.example/z.jpg"));
}

TEST(TableReader, KeepsCellsAsTheyAreInAnyOrderWithMoreColumns) {
  for (const auto& options : {original(), any()}) {
    const auto table = read(
        "Brand, Input Image Urls, S.No. ,Product Name,Note\n"
        "NA,http://a.example/,001,null,\n"
        "nan,http://a.example/,1.0,NULL,\"a\nb\"\n",
        options);
    ASSERT_TRUE(table.has_value());
    EXPECT_EQ(table->url_column, 1);
    EXPECT_EQ(table->product_column, 3);
    EXPECT_THAT(table->rows[0].cells, ElementsAre("NA", "http://a.example/", "001", "null", ""));
    EXPECT_THAT(table->rows[1].cells, ElementsAre("nan", "http://a.example/", "1.0", "NULL", "a\nb"));
    EXPECT_TRUE(table->rows[0].problems.empty());
  }
}

// --- The eight texts of the original (1 and 8's other causes belong to its route) ---

TEST(TableReader, TakesObjectsOfOpenBucketsOnly) {
  auto options = any();
  const std::string text = "url\n\"s3://shop/a b,c.jpg\"\n\"s3://shop/x,s3://shop/y, https://a/z\"\n";
  const auto closed = read(text, options);
  ASSERT_TRUE(closed);
  EXPECT_THAT(closed->rows[0].problems.at(0).message, StartsWith("Invalid URL found at row 1: s3://shop/a b,c.jpg ("));
  options.s3_buckets = {"other", "shop"};
  const auto open = read(text, options);
  ASSERT_TRUE(open);
  EXPECT_THAT(open->rows[1].urls, ElementsAre("s3://shop/x", "s3://shop/y", "https://a/z"));
  options.s3_buckets = {"other"};
  EXPECT_THAT(read(text, options)->rows[1].problems.at(0).message, HasSubstr("S3_SOURCES"));
  options.s3_buckets = {std::string(kEveryBucket)};
  EXPECT_THAT(read("s3://shop/a.jpg\n", options)->rows.at(0).urls, ElementsAre("s3://shop/a.jpg"));
  EXPECT_THAT(read("url\ns3://shop/\n", options)->rows.at(0).problems.at(0).message, HasSubstr("no object"));
}

TEST(OriginalTexts, TwoForAnEmptyFile) {
  for (const std::string text : {"", "\n\n\r\n", "   \n", "\xef\xbb\xbf", "\xef\xbb\xbf\n"}) {
    for (const auto& options : {original(), any(), any("x.tsv"), any("x.jsonl")}) {
      const Error error = error_of(text, options);
      EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
      EXPECT_EQ(error.message, "CSV file is empty or unreadable.");
    }
  }
}

TEST(OriginalTexts, ThreeForWhatCannotBeParsed) {
  const std::string text3 = "CSV file contains parsing errors (e.g., incorrect delimiters or corrupted data).";
  const std::string good = std::string(kHeader) + "1,SKU,http://a.example/\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {good + "2,\"SKU,http://a.example/\n", "Line 3: a quote is never closed."},
      {good + std::string("2,S\0KU,x\n", 9), "Line 3: it holds a NUL byte."},
      {good + "2,caf\xe9,http://a.example/\n", "Line 3: it is not UTF-8 text."},
      {good + "2,SKU,http://a.example/,http://b.example/\n", "Line 3: it has 4 cells where the header has 3."},
      {"S.No.;Product Name;Input Image Urls\n1;SKU;http://a.example/\n",
       "The columns are separated by ';'; save the file with commas."},
      {"S.No.\tProduct Name\tInput Image Urls\n1\tSKU\thttp://a.example/\n",
       "The columns are separated by tabs; save the file with commas."},
      {gzip(good), "The file is gzipped."},
      {"S.No.,Product\n1,2\n3,4,5\n", "Line 3: it has 3 cells where the header has 2."},  // before text 4
      {"S.No.,Product\n1,\"\n", "Line 2: a quote is never closed."},
      {"\"S.No.\n", "Line 1: a quote is never closed."},
  };
  for (const auto& [table, detail] : cases) {
    const Error error = error_of(table, original());
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << detail;
    EXPECT_EQ(error.message, text3) << detail;
    EXPECT_EQ(error.detail, detail);
  }
  EXPECT_EQ(error_of(good + "2,\"SKU\n", any()).message, text3 + " Line 3: a quote is never closed.");
}

TEST(OriginalTexts, FourForMissingColumns) {
  EXPECT_EQ(error_of("Input Image Urls,Name\nhttp://a.example/,x\n", original()).message,
            "Missing required column(s): S.No., Product Name");
  EXPECT_EQ(error_of("a,b\n", original()).message, "Missing required column(s): S.No., Product Name, Input Image Urls");
  EXPECT_EQ(error_of("s.no.,Product Name,Input Image Urls\n1,a,http://a.example/\n", original()).message,
            "Missing required column(s): S.No.");
  EXPECT_THAT(error_of("a,b\n1,2\n", any()).message, StartsWith("Missing required column(s): url"));
  TableOptions named = any();
  named.url_column = "photo";
  EXPECT_EQ(error_of("url,b\nhttp://a.example/,2\n", named).message, "Missing required column(s): photo");
}

TEST(OriginalTexts, FiveToSevenForRows) {
  const auto table = read(std::string(kHeader) +
                              "1, ,http://a.example/\n"
                              ",SKU,http://a.example/\n"
                              "3,SKU,\n"
                              "4,SKU,\" , \"\n"
                              "5,SKU,htp://x\n"
                              "6,SKU,\"http://a.example/,\"\n"
                              "7,SKU\n"
                              "8,SKU,\"http://a.example/, nonsense, ftp://b.example\"\n"
                              "9,SKU,http://a.example/,,  \n",
                          original());
  ASSERT_TRUE(table.has_value());
  std::vector<std::string> messages;
  for (const auto& row : table->rows) {
    for (const auto& problem : row.problems) {
      EXPECT_EQ(problem.row, row.row);
      messages.push_back(problem.column + ": " + problem.message);
    }
  }
  EXPECT_THAT(
      messages,
      ElementsAre("Product Name: Column 'Product Name' contains empty values.",
                  "S.No.: Column 'S.No.' contains empty values.", "Input Image Urls: Empty URL field found at row 3",
                  "Input Image Urls: Empty URL field found at row 4",
                  "Input Image Urls: Invalid URL found at row 5: htp://x",
                  "Input Image Urls: Invalid URL found at row 6: ", "Input Image Urls: Empty URL field found at row 7",
                  "Input Image Urls: Invalid URL found at row 8: nonsense",
                  "Input Image Urls: Invalid URL found at row 8: ftp://b.example"));
  EXPECT_TRUE(table->rows[8].problems.empty()) << "empty cells too many are no problem";
}

TEST(OriginalTexts, EightForWhatTheOriginalHasNoWordFor) {
  const std::string utf16("\xff\xfeS\0.\0N\0o\0", 10);
  EXPECT_EQ(error_of(utf16, original()).message,
            "An unexpected error occurred: the file is UTF-16 text; save it as UTF-8 and try again");
  const Error too_long =
      error_of(std::string(kHeader) + "1,SKU,http://a.example/" + std::string(10u << 20, 'x'), original());
  EXPECT_EQ(too_long.code, ErrorCode::kTooLarge);
  EXPECT_EQ(too_long.message, "An unexpected error occurred: line 2: a field is longer than 65,536 bytes");
}

class CheckTable : public ::testing::Test {
 protected:
  Result<TableReport> check(std::string_view text, const TableOptions& options, std::size_t problems_max = 100) {
    return check_table(folder_.write("table", text), options, problems_max);
  }
  testing::TempFolder folder_;
};

TEST_F(CheckTable, CountsRowsImagesAndBadRows) {
  const auto report =
      check(std::string(kHeader) + "1,A,\"http://a.example/,http://b.example/\"\n2,B,bad\n3,C,\"x, y\"\n", original());
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->rows, 3u);
  EXPECT_EQ(report->images, 2u);
  EXPECT_EQ(report->bad_rows, 2u);
  EXPECT_EQ(report->problems.size(), 3u);
}

TEST_F(CheckTable, LimitsTheProblemsItKeeps) {
  std::string text(kHeader);
  for (int i = 0; i < 50; ++i) text += "1,A,bad\n";
  const auto report = check(text, any(), 10);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->bad_rows, 50u);
  EXPECT_EQ(report->problems.size(), 10u);
}

TEST_F(CheckTable, PutsTheDecidingProblemFirst) {
  const std::string text = std::string(kHeader) + "1,A,bad\n2,,http://a.example/\n,,http://a.example/\n";
  const auto all = check(text, original());
  ASSERT_TRUE(all.has_value());
  ASSERT_EQ(all->problems.size(), 4u);
  EXPECT_EQ(all->problems[0].message, "Column 'S.No.' contains empty values.");
  EXPECT_EQ(all->problems[1].message, "Invalid URL found at row 1: bad");
  const auto one = check(text, original(), 1);
  ASSERT_EQ(one->problems.size(), 1u);
  EXPECT_EQ(one->problems[0].message, "Column 'S.No.' contains empty values.");
  EXPECT_EQ(check(text, any())->problems[0].row, 1u);
}

TEST_F(CheckTable, SaysTextTwoForAHeaderWithoutRows) {
  for (const auto& options : {original(), any()}) {
    const auto report = check(kHeader, options);
    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(report.error().message, "CSV file is empty or unreadable.");
  }
}

TEST_F(CheckTable, SaysWhenTheFileCannotBeRead) {
  for (const auto& [path, code] : {std::pair(folder_.file("none"), ErrorCode::kNotFound),
                                   std::pair(std::string(folder_.path()), ErrorCode::kIo)}) {
    const auto report = check_table(path, any(), 10);
    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code, code);
    EXPECT_THAT(report.error().message, ::testing::Not(HasSubstr(folder_.path())));
  }
}

// --- Other clothes ---

TEST(TableReader, FindsThePlainFormsUrlColumn) {
  for (const auto name : {"url", "URL", "image_url", "image", "Src", " src ", "Input Image Urls"}) {
    const auto table = read(std::string("id,") + name + "\n1,http://a.example/\n", any());
    ASSERT_TRUE(table.has_value()) << name;
    EXPECT_EQ(table->url_column, 1);
    EXPECT_EQ(table->product_column, -1);
    EXPECT_THAT(table->rows[0].urls, ElementsAre("http://a.example/"));
  }
  TableOptions named = any();
  named.url_column = "Photo";
  EXPECT_EQ(read("url,photo\nx,http://a.example/\n", named)->url_column, 1);
  EXPECT_EQ(read("image,url\nx,http://a.example/\n", any())->url_column, 1) << "url goes before image";
}

TEST(TableReader, SplitsPlainCellsOnlyWhereAUrlBegins) {
  const auto table = read(
      "url\n\"https://cdn.example/w_300,h_200/a.jpg\"\n"
      "\"https://cdn.example/w_300,h_200/a.jpg , HTTPS://b.example/y.jpg,http://c.example/\"\n",
      any());
  ASSERT_TRUE(table.has_value());
  EXPECT_THAT(table->rows[0].urls, ElementsAre("https://cdn.example/w_300,h_200/a.jpg"));
  EXPECT_THAT(table->rows[1].urls,
              ElementsAre("https://cdn.example/w_300,h_200/a.jpg", "HTTPS://b.example/y.jpg", "http://c.example/"));
}

TEST(TableReader, SaysWhyAUrlIsInvalidOutsideTheOriginalDialect) {
  const auto table = read("url\nhtp://x\n", any());
  ASSERT_TRUE(table.has_value());
  EXPECT_THAT(table->rows[0].problems[0].message, StartsWith("Invalid URL found at row 1: htp://x ("));
}

TEST(TableReader, KeepsMessagesAboutLongUrlsShort) {
  std::string accents = "url\n";
  for (int i = 0; i < 2'000; ++i) accents += "\xc3\xa9";
  const auto table = read(accents + "\n", any());
  ASSERT_TRUE(table.has_value());
  EXPECT_LT(table->rows[0].problems[0].message.size(), 700u);
  std::string commas = "S.No.,Product Name,Input Image Urls\n1,A,\"";
  for (int i = 0; i < 20'000; ++i) commas += "x,";
  EXPECT_EQ(read(commas + "\"\n", any())->rows[0].problems.size(), 20u);
}

TEST(TableReader, KeepsARowWithTooManyCellsWhole) {
  const auto table = read("id,url\n1,http://a.example/,http://b.example/\n2,http://c.example/\n", any());
  ASSERT_TRUE(table.has_value());
  EXPECT_THAT(table->rows[0].cells, ElementsAre("1", "http://a.example/,http://b.example/"));
  EXPECT_EQ(table->rows[0].problems[0].message,
            "Row 1 has 3 cells where the header has 2; a cell that holds the separator must stand in quotes");
  EXPECT_TRUE(table->rows[1].problems.empty());
}

TableOptions with_overrides(TableOptions options) {
  options.overrides = true;
  options.recipe = {.text = "format=jpeg quality=50", .name = "compress@1"};
  return options;
}

TEST(Overrides, GiveARowARecipeAndAName) {
  const auto table = read(
      "url,Width,NAME, quality ,recipe,format\n"
      "https://a.example/1.jpg,800,Shirt.jpg,,,\n"
      "https://a.example/2.jpg,,,,,\n"
      "https://a.example/3.jpg,,,7,web,\n",
      with_overrides(any()));
  ASSERT_TRUE(table.has_value());
  ASSERT_EQ(table->rows.size(), 3u);
  EXPECT_EQ(table->rows[0].name, "Shirt");
  ASSERT_NE(table->rows[0].recipe, nullptr);
  EXPECT_EQ(table->rows[0].recipe->text, "format=jpeg quality=50 resize=800x");
  EXPECT_EQ(table->rows[0].recipe->name, "compress@1");
  EXPECT_EQ(table->rows[0].cells[1], "800") << "cells stay what they are";
  EXPECT_EQ(table->rows[1].recipe, nullptr);
  EXPECT_EQ(table->rows[1].name, "");
  EXPECT_EQ(table->rows[2].recipe->text, "format=webp quality=7 resize=1600x1600");
}

TEST(Overrides, MeanNothingWhereTheyAreNotAskedFor) {
  for (const auto& options : {any(), original()}) {
    const auto table = read(
        "S.No.,Product Name,Input Image Urls,format,name,width,quality,recipe\n"
        "1,a,https://a.example/1.jpg,A4 landscape,Some name,12.5 cm,good,with butter\n",
        options);
    ASSERT_TRUE(table.has_value());
    EXPECT_THAT(table->rows[0].problems, IsEmpty());
    EXPECT_EQ(table->rows[0].recipe, nullptr);
    EXPECT_EQ(table->rows[0].name, "");
  }
}

TEST(Overrides, AreReadInEveryFormOfTable) {
  const auto tabs = read("url\tformat\nhttps://a.example/1.jpg\tpng\n", with_overrides(any("x.tsv")));
  EXPECT_EQ(tabs->rows[0].recipe->text, "format=png quality=50");
  const auto lines = read(R"({"url":["https://a.example/1.jpg"],"width":800,"quality":null,"name":"n"})",
                          with_overrides(any("x.jsonl")));
  EXPECT_EQ(lines->rows[0].recipe->text, "format=jpeg quality=50 resize=800x");
  EXPECT_EQ(lines->rows[0].name, "n");
  const auto form =
      read("S.No.,Product Name,Input Image Urls,Quality\n1,a,https://a.example/1.jpg,9\n", with_overrides(original()));
  EXPECT_EQ(form->rows[0].recipe->text, "format=jpeg quality=9");
}

TEST(Overrides, BadOnesAreRefusedByRowColumnValueAndWhatIsAllowed) {
  const auto table = read(
      "url,WIDTH,format,recipe,name\n"
      "https://a.example/1.jpg,,,,\n"
      "https://a.example/2.jpg,80 cm,tga,resiz=5,\"a\nb\"\n",
      with_overrides(any()));
  ASSERT_EQ(table->rows.size(), 2u);
  EXPECT_THAT(table->rows[0].problems, IsEmpty());
  const auto& problems = table->rows[1].problems;
  ASSERT_EQ(problems.size(), 4u);
  EXPECT_THAT(problems[0].message, StartsWith("Invalid recipe found at row 2: resiz=5 ("));
  EXPECT_EQ(problems[1].column, "WIDTH");
  EXPECT_EQ(problems[1].message, "Invalid width found at row 2: 80 cm (use a number of pixels from 1 to 65535)");
  EXPECT_EQ(problems[2].message, "Invalid format found at row 2: tga (use keep, jpeg, png, webp, avif, gif or tiff)");
  EXPECT_THAT(problems[3].message, HasSubstr("Invalid name found at row 2"));
  EXPECT_EQ(table->rows[1].row, 2u);
  EXPECT_THAT(table->rows[1].urls, IsEmpty());
}

TEST(Overrides, AreNotTheColumnsThatMeanSomethingElse) {
  auto options = with_overrides(any());
  options.url_column = "name";
  const auto table = read("name,title\nhttps://a.example/1.jpg,x\n", options);
  ASSERT_TRUE(table.has_value());
  EXPECT_EQ(table->rows[0].name, "");
  EXPECT_THAT(table->rows[0].urls, ElementsAre("https://a.example/1.jpg"));
}

TEST(Overrides, OfTooManyKindsEndTheTable) {
  std::string text = "url,width\n";
  for (std::uint64_t i = 1; i <= kRecipesPerJobMax + 1; ++i) text += fmt::format("https://a.example/x.jpg,{}\n", i);
  const auto error = error_of(text, with_overrides(any()));
  EXPECT_EQ(error.code, ErrorCode::kTooLarge);
  EXPECT_THAT(error.message, StartsWith("The rows of a job have at most 10,000 different recipes"));
}

TEST(TableReader, ReadsTabs) {
  const std::string text = "id\turl\tnote\n1\thttp://a.example/\ta, b\n";
  for (const auto name : {"x.tsv", "x.TAB", "x.tsv.gz", "x.csv", ""}) {
    const auto table = read(text, any(name));
    ASSERT_TRUE(table.has_value()) << name;
    EXPECT_THAT(table->rows[0].cells, ElementsAre("1", "http://a.example/", "a, b"));
  }
  EXPECT_THAT(read("url, a\tb\nhttp://a.example/,x\n", any())->columns, ElementsAre("url", "a\tb"));
}

TEST(TableReader, ReadsAListOfUrls) {
  const auto table = read("https://a.example/1.jpg\n\nhttps://a.example/2.jpg\nnonsense\n", any("urls.txt"));
  ASSERT_TRUE(table.has_value());
  EXPECT_THAT(table->columns, ElementsAre("url"));
  ASSERT_EQ(table->rows.size(), 3u);
  EXPECT_THAT(table->rows[0].urls, ElementsAre("https://a.example/1.jpg"));
  EXPECT_EQ(table->rows[2].problems.size(), 1u);
  EXPECT_EQ(error_of("https://a.example/1.jpg\n", original()).message,
            "Missing required column(s): S.No., Product Name, Input Image Urls");
}

TEST(TableReader, StripsTheByteOrderMark) {
  EXPECT_THAT(read("\xef\xbb\xbfurl\nhttp://a.example/\n", any())->columns, ElementsAre("url"));
  EXPECT_THAT(read("\xef\xbb\xbf\"S.No.\",Product Name,Input Image Urls\n1,A,http://a.example/\n", original())->columns,
              ElementsAre("S.No.", "Product Name", "Input Image Urls"));
}

TEST(TableReader, RefusesOtherFilesWithAWord) {
  const std::vector<std::string> utf16 = {std::string("\xff\xfeu\0r\0l\0", 8), std::string("\xfe\xff\0u\0r\0l", 8),
                                          std::string("u\0r\0l\0\n\0", 8), std::string("\0u\0r\0l\0\n", 8)};
  for (const auto& text : utf16) {
    EXPECT_EQ(error_of(text, any()).message, "The file is UTF-16 text; save it as UTF-8 and try again.");
    EXPECT_EQ(error_of(gzip(text), any()).message, "The file is UTF-16 text; save it as UTF-8 and try again.");
  }
  EXPECT_THAT(error_of("PK\x03\x04...", any()).message, StartsWith("The file is a spreadsheet or an archive"));
  EXPECT_EQ(error_of("PK\x03\x04...", any()).code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error_of("a;url\n1;http://a.example/\n", any()).message, HasSubstr("separated by ';'"));
}

TEST(TableReader, ReadsJsonLines) {
  const std::string text =
      "{\"sku\":\"001\",\"url\":\"https://a.example/1.jpg\",\"price\":1.50,\"tags\":[\"a\", "
      "2],\"ok\":true,\"none\":null}\n"
      "\r\n"
      "{\"url\":[\"https://a.example/1,2.jpg\", \" "
      "https://a.example/3.jpg\"],\"extra\":{\"a\":\"}\"},\"sku\":\"\\u00e9\\\"\"}\r\n"
      "not json\n[1]\n"
      "{\"sku\":\"A\"}";
  for (const auto name : {"x.jsonl", "x.ndjson.gz", ""}) {
    const auto table = read(text, any(name));
    ASSERT_TRUE(table.has_value()) << name;
    EXPECT_THAT(table->columns, ElementsAre("sku", "url", "price", "tags", "ok", "none", "extra"));
    EXPECT_EQ(table->url_column, 1);
    ASSERT_EQ(table->rows.size(), 5u);
    EXPECT_THAT(table->rows[0].cells,
                ElementsAre("001", "https://a.example/1.jpg", "1.50", "[\"a\", 2]", "true", "", ""));
    EXPECT_THAT(table->rows[1].cells, ElementsAre("\xc3\xa9\"", "https://a.example/1,2.jpg, https://a.example/3.jpg",
                                                  "", "", "", "", "{\"a\":\"}\"}"));
    EXPECT_THAT(table->rows[1].urls, ElementsAre("https://a.example/1,2.jpg", "https://a.example/3.jpg"));
    EXPECT_EQ(table->rows[2].problems[0].message, "Row 3 is not valid JSON");
    EXPECT_EQ(table->rows[3].problems[0].message, "Row 4 is not a JSON object");
    EXPECT_EQ(table->rows[4].problems[0].message, "Empty URL field found at row 5");
  }
}

TEST(TableReader, FindsJsonColumnsInTheFirstHundredLines) {
  std::string text;
  for (int i = 0; i < 150; ++i) {
    text += i == 99 ? "{\"url\":\"http://a.example/\",\"seen\":1}\n" : "{\"url\":\"http://a.example/\"}\n";
  }
  text += "{\"url\":\"http://a.example/\",\"late\":1}\n";
  const auto table = read(text, any());
  ASSERT_TRUE(table.has_value());
  EXPECT_THAT(table->columns, ElementsAre("url", "seen"));
  EXPECT_EQ(table->rows.size(), 151u);
}

TEST(TableReader, RefusesJsonLinesAboveTheLimits) {
  std::string many = "{";
  for (int i = 0; i < 257; ++i) many += "\"k" + std::to_string(i) + "\":1,";
  many.back() = '}';
  EXPECT_EQ(error_of(many, any()).code, ErrorCode::kTooLarge);
  const std::string url = "{\"url\":\"http://a.example/\"}\n";
  const Error value = error_of(url + "{\"url\":\"" + std::string(70'000, 'x') + "\"}", any());
  EXPECT_EQ(value.code, ErrorCode::kTooLarge);
  EXPECT_EQ(value.message, "Line 2 has a value longer than 65,536 bytes.");
  EXPECT_EQ(error_of(url + std::string(2u << 20, ' '), any()).message, "Line 2 is longer than 1,048,576 bytes.");
  EXPECT_THAT(error_of("{\"a\":1}\n", any()).message, StartsWith("Missing required column(s): url"));
  std::string different;
  for (int i = 0; i < 90; ++i) {
    different += "{";
    for (int k = 0; k < 4; ++k) different += "\"" + std::to_string(i * 4 + k) + "\":1" + (k < 3 ? "," : "}\n");
  }
  EXPECT_EQ(error_of(different, any()).code, ErrorCode::kTooLarge);
}

TEST(JsonLine, TakesTheLastOfEqualKeysAndRefusesNul) {
  const auto members = parse_json_line(" { \"a\" : 1 , \"b\":[] , \"a\" : -2.50e+3 } ", 10, 100);
  ASSERT_TRUE(members.has_value());
  ASSERT_EQ(members->size(), 2u);
  EXPECT_EQ((*members)[0].cell, "-2.50e+3");
  EXPECT_EQ((*members)[1].cell, "");
  EXPECT_TRUE((*members)[1].list.has_value());
  EXPECT_TRUE(parse_json_line("{}", 10, 100)->empty());
  EXPECT_EQ(parse_json_line("{\"a\":\"\\u0000\"}", 10, 100).error().message, "holds a NUL character");
}

// --- gzip ---

TEST(TableReader, UnpacksGzip) {
  const std::string text = "url\nhttp://a.example/\nhttp://b.example/\n";
  EXPECT_EQ(read(gzip(text), any("x.csv.gz"))->rows.size(), 2u);
  EXPECT_EQ(read(gzip("url\nhttp://a.exam") + gzip("ple/\nhttp://b.example/\n"), any())->rows.size(), 2u)
      << "two members";
  EXPECT_EQ(read(gzip(text) + std::string(1'000, '\0'), any())->rows.size(), 2u) << "padding";
  EXPECT_EQ(error_of(gzip(""), any()).message, "CSV file is empty or unreadable.");
}

TEST(TableReader, SaysWhenGzipIsCutOffOrDamaged) {
  std::string text = "url\n";
  for (int i = 0; i < 20'000; ++i) text += "http://a.example/" + std::to_string(i * 7919) + ".jpg\n";
  const std::string packed = gzip(text);
  for (const std::size_t bytes : {std::size_t{2}, std::size_t{12}, packed.size() / 2, packed.size() - 1}) {
    const Error error = error_of(packed.substr(0, bytes), any());
    EXPECT_EQ(error.code, ErrorCode::kTruncated) << bytes;
    EXPECT_EQ(error.message, "The gzip file ends too early.");
  }
  std::string damaged = packed;
  damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);  // in the checksum
  EXPECT_EQ(error_of(damaged, any()).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of(damaged, any()).message, "The gzip data is damaged.");
  EXPECT_EQ(error_of(gzip(text) + "garbage", any()).code, ErrorCode::kInvalidArgument);
}

TEST(P38, AGzipBombStopsAtAHundredTimesItsSize) {
  std::string rows = "url\n";
  while (rows.size() < (8u << 20)) rows += "http://a.example/b.jpg\n";
  const std::string bomb = gzip(rows, 9);
  ASSERT_GT(rows.size() / bomb.size(), 200u);
  const auto reader = TableReader::open_bytes(bomb, any());
  ASSERT_TRUE(reader.has_value());
  std::uint64_t bytes = 0;
  while (true) {
    const auto row = (*reader)->next();
    if (!row) {
      EXPECT_EQ(row.error().code, ErrorCode::kTooLarge);
      EXPECT_EQ(row.error().message, "The gzip file unpacks to more than 100 times its size.");
      break;
    }
    ASSERT_TRUE(row->has_value()) << "the whole bomb went off";
    bytes += (*row)->cells[0].size() + 1;
  }
  EXPECT_LE(bytes, bomb.size() * 100 + (64u << 10));
  EXPECT_EQ(error_of(gzip(std::string(8u << 20, '\n'), 9), any()).code, ErrorCode::kTooLarge);
  EXPECT_EQ(error_of(gzip(std::string(8u << 20, '\0'), 9), any()).code, ErrorCode::kTooLarge);
}

TEST(P38, ABombInsideABombIsOnlyBytes) {
  const std::string inner = gzip(std::string(8u << 20, '\n'), 9);
  const Error error = error_of(gzip(inner, 9), any());
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
}

TEST(P38, SmallTablesOfEqualRowsAreNoBomb) {
  std::string rows = "url\n";
  while (rows.size() < 900'000) rows += "http://a.example/b.jpg\n";
  EXPECT_TRUE(read(gzip(rows, 9), any()).has_value());
}

TEST(P38, TheSizeCapHoldsForPackedAndPlainTables) {
  std::string rows = "url\n";
  for (int i = 0; rows.size() < (1u << 20); ++i) rows += "http://a.example/" + std::to_string(i * 7919) + ".jpg\n";
  TableOptions options = any();
  options.unpacked_bytes_max = 300'000;
  EXPECT_EQ(error_of(gzip(rows), options).code, ErrorCode::kTooLarge);
  EXPECT_EQ(error_of(rows, options).message, "The table is larger than 300.0 kB.");
  options.unpacked_bytes_max = rows.size();
  EXPECT_TRUE(read(rows, options).has_value());
}

TEST(P37, ATableOfTooManyColumnsIsRefused) {
  std::string header = "url";
  for (int i = 0; i < 256; ++i) header += ",c";
  EXPECT_EQ(error_of(header + "\n", any()).message, "Line 1: it has more than 256 columns.");
  EXPECT_EQ(error_of("url\n" + std::string(300, ','), any()).code, ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace pixmill::jobs
