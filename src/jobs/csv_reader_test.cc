#include "jobs/csv_reader.h"

#include <gtest/gtest.h>

namespace pixmill::jobs {
namespace {

using Record = std::vector<std::string>;
using Records = std::vector<Record>;

// Gives `text` in pieces of `piece_bytes`.
CsvReader::Source pieces_of(std::string text, std::size_t piece_bytes) {
  return [text = std::move(text), piece_bytes, at = std::size_t{0}]() mutable -> Result<std::string_view> {
    const auto piece = std::string_view(text).substr(at, piece_bytes);
    at += piece.size();
    return piece;
  };
}

Result<Records> parse(const std::string& text, CsvOptions options = {}, std::size_t piece_bytes = 1 << 20) {
  CsvReader reader(pieces_of(text, piece_bytes), options);
  Records records;
  while (true) {
    PIXMILL_TRY(auto record, reader.next());
    if (!record) return records;
    records.push_back(std::move(*record));
  }
}

struct Case {
  std::string text;
  Records records;
};

const std::vector<Case>& leniencies() {
  static const std::vector<Case> cases = {
      {"", {}},
      {"a,b\nc,d\n", {{"a", "b"}, {"c", "d"}}},
      {"a,b\r\nc,d", {{"a", "b"}, {"c", "d"}}},
      {"a,b\rc,d\r", {{"a", "b"}, {"c", "d"}}},
      {"\n\r\n\ra\n\n\nb\n\n", {{"a"}, {"b"}}},
      {"a,\n,b\n,", {{"a", ""}, {"", "b"}, {"", ""}}},
      {"\"a,b\",\"c\"\"d\"\n", {{"a,b", "c\"d"}}},
      {"\"a\r\nb\",\"c\nd\",\"e\rf\"\n", {{"a\r\nb", "c\nd", "e\rf"}}},
      {"a\"b,c\"\"d\n", {{"a\"b", "c\"\"d"}}},
      {"\"a\"b\"c,d\n", {{"ab\"c", "d"}}},
      {"\"a\" ,b\n", {{"a ", "b"}}},
      {" a,  b, \"c, d\" \n", {{"a", "b", "c, d "}}},
      {"\"  a\", b \n", {{"  a", "b "}}},
      {"   \n", {{""}}},
      {"\"\"\n", {{""}}},
      {"\"\",\"\"\"\"\n", {{"", "\""}}},
      {"a,\"b\"", {{"a", "b"}}},
      {"1,SKU1,\"https://a/x.jpg, https://a/y.jpg\"\n", {{"1", "SKU1", "https://a/x.jpg, https://a/y.jpg"}}},
      {"caf\xc3\xa9,\xf0\x9f\x9a\x80\n", {{"caf\xc3\xa9", "\xf0\x9f\x9a\x80"}}},
  };
  return cases;
}

TEST(CsvReader, ReadsWithPythonsLeniencies) {
  for (const auto& test : leniencies()) {
    for (const std::size_t piece_bytes : {1u, 2u, 3u, 1000u}) {
      const auto records = parse(test.text, {}, piece_bytes);
      ASSERT_TRUE(records.has_value()) << test.text;
      EXPECT_EQ(*records, test.records) << test.text << " in pieces of " << piece_bytes;
    }
  }
}

TEST(CsvReader, KeepsSpacesWhenTold) {
  EXPECT_EQ(*parse(" a, \"b\"\n", {.skip_spaces_after_delimiter = false}), (Records{{" a", " \"b\""}}));
}

TEST(CsvReader, TakesOtherDelimiters) {
  EXPECT_EQ(*parse("a\tb,c\t\"d\te\"\n", {.delimiter = '\t'}), (Records{{"a", "b,c", "d\te"}}));
}

TEST(CsvReader, CountsTheLinesOfRecords) {
  CsvReader reader(pieces_of("a\r\n\r\n\"b\nc\rd\"\r\ne\rf\n", 1), {});
  const std::vector<std::uint64_t> expected = {1, 3, 6, 7};
  for (const auto line : expected) {
    ASSERT_TRUE(reader.next()->has_value());
    EXPECT_EQ(reader.line(), line);
  }
  EXPECT_FALSE(reader.next()->has_value());
  EXPECT_FALSE(reader.next()->has_value()) << "the end stays the end";
}

TEST(CsvReader, NamesTheLineOfWhatIsBroken) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a\n\"b\nc\n", "Line 2: a quote is never closed."},
      {"a\nb\n\"", "Line 3: a quote is never closed."},
      {std::string("a\nb\0c\n", 6), "Line 2: it holds a NUL byte."},
      {"a\n\xe9t\xe9\n", "Line 2: it is not UTF-8 text."},
      {"a,\xf0\x9f\x9a\n", "Line 1: it is not UTF-8 text."},
  };
  for (const auto& [text, message] : cases) {
    const auto records = parse(text, {}, 2);
    ASSERT_FALSE(records.has_value()) << text;
    EXPECT_EQ(records.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(records.error().message, message);
  }
}

TEST(CsvReader, RepeatsItsError) {
  CsvReader reader(pieces_of("\"a", 1), {});
  const auto first = reader.next();
  const auto second = reader.next();
  ASSERT_FALSE(first.has_value());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(first.error().message, second.error().message);
}

TEST(CsvReader, PassesOnTheErrorOfItsSource) {
  CsvReader reader([]() -> Result<std::string_view> { return fail(ErrorCode::kTruncated, "cut off"); }, {});
  EXPECT_EQ(reader.next().error().code, ErrorCode::kTruncated);
}

TEST(CsvReader, TakesWhatIsJustWithinTheLimits) {
  const CsvOptions options{.field_bytes_max = 10, .record_bytes_max = 20, .columns_max = 4};
  EXPECT_TRUE(parse("0123456789,0,0,0\n\"0123456789\"\n", options).has_value());
  EXPECT_TRUE(parse("0123456789,012345678\n", options).has_value());
  for (const auto text : {"0123456789a\n", "\"0123456789a\"\n", "0123456789,0123456789\n", "1,2,3,4,5\n", ",,,,\n",
                          "                     a\n", "\"\n\n\n\n\n\n\n\n\n\n\n\"\n"}) {
    for (const std::size_t piece_bytes : {1u, 1000u}) {
      const auto records = parse(text, options, piece_bytes);
      ASSERT_FALSE(records.has_value()) << text;
      EXPECT_EQ(records.error().code, ErrorCode::kTooLarge) << text;
    }
  }
}

// A source that would go on for `total_bytes`, made of one piece again and again; counts what was taken from it.
class EndlessSource {
 public:
  EndlessSource(std::string beginning, std::string piece, std::uint64_t total_bytes)
      : beginning_(std::move(beginning)), piece_(std::move(piece)), total_bytes_(total_bytes) {}

  Result<std::string_view> operator()() {
    const std::string& next = given_bytes_ == 0 ? beginning_ : piece_;
    if (given_bytes_ >= total_bytes_) return std::string_view();
    given_bytes_ += next.size();
    return next;
  }
  [[nodiscard]] std::uint64_t given_bytes() const { return given_bytes_; }

 private:
  std::string beginning_;
  std::string piece_;
  std::uint64_t total_bytes_;
  std::uint64_t given_bytes_ = 0;
};

constexpr std::uint64_t kGigabyte = 1'000'000'000;

void expect_stopped_early(EndlessSource source, std::string_view message) {
  CsvReader reader([&source] { return source(); }, {});
  const auto record = reader.next();
  ASSERT_FALSE(record.has_value()) << message;
  EXPECT_EQ(record.error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(record.error().message, message);
  // Memory holds at most what was taken, and no more was taken than the largest record and one piece.
  EXPECT_LE(source.given_bytes(), (1u << 20) + (64u << 10)) << message;
}

TEST(P37, AFieldOfOneGigabyteStopsAtItsLimit) {
  const std::string piece(64u << 10, 'x');
  expect_stopped_early({piece, piece, kGigabyte}, "Line 1: a field is longer than 65,536 bytes.");
  expect_stopped_early({"a,\"", piece, kGigabyte},
                       "Line 1: a field is longer than 65,536 bytes; perhaps a quote is never closed.");
  const std::string lines(64u << 10, '\n');
  expect_stopped_early({"\"", lines, kGigabyte},
                       "Line 1: a field is longer than 65,536 bytes; perhaps a quote is never closed.");
}

TEST(P37, ALineOfTenGigabytesStopsAtItsLimit) {
  std::string columns;
  while (columns.size() < (64u << 10)) columns += "a,";
  expect_stopped_early({columns, columns, 10 * kGigabyte}, "Line 1: it has more than 256 columns.");
  std::string long_fields(60'000, 'x');
  long_fields += ',';
  expect_stopped_early({long_fields, long_fields, 10 * kGigabyte}, "Line 1: it is longer than 1,048,576 bytes.");
  const std::string spaces(64u << 10, ' ');
  expect_stopped_early({spaces, spaces, 10 * kGigabyte}, "Line 1: it is longer than 1,048,576 bytes.");
}

TEST(P37, ManyRecordsHoldNoMoreMemoryThanOne) {
  std::string rows;
  while (rows.size() < (64u << 10)) rows += "1,SKU,\"https://example.com/a.jpg\"\r\n\r\n";
  EndlessSource source(rows, rows, kGigabyte / 50);
  CsvReader reader([&source] { return source(); }, {});
  std::uint64_t records = 0;
  while (true) {
    const auto record = reader.next();
    ASSERT_TRUE(record.has_value());
    if (!*record) break;
    ++records;
    ASSERT_EQ((*record)->size(), 3u);
  }
  EXPECT_EQ(records, source.given_bytes() / std::string_view("1,SKU,\"https://example.com/a.jpg\"\r\n\r\n").size());
}

}  // namespace
}  // namespace pixmill::jobs
