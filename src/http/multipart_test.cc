#include "http/multipart.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace pixmill::http {
namespace {

using ::testing::HasSubstr;

// Parts as text, "name|filename|type=data" each, so that any two ways of feeding compare whole.
struct Collected {
  Result<void> result;
  std::vector<std::string> parts;
};

Collected parse(const std::string& body, const std::vector<std::size_t>& splits, const std::string& boundary = "XX",
                MultipartLimits limits = {}) {
  Collected collected;
  MultipartParser parser(
      boundary,
      {.on_part = [&](const PartHeader& part) -> Result<void> {
         collected.parts.push_back(fmt::format("{}|{}|{}=", part.name, part.filename.value_or("-"), part.content_type));
         return {};
       },
       .on_data = [&](std::string_view bytes) -> Result<void> {
         collected.parts.back() += bytes;
         return {};
       },
       .on_part_end = [&]() -> Result<void> {
         collected.parts.back() += "$";
         return {};
       }},
      limits);
  std::size_t from = 0;
  for (const std::size_t split : splits) {
    if (collected.result) collected.result = parser.feed(std::string_view(body).substr(from, split - from));
    from = split;
  }
  if (collected.result) collected.result = parser.feed(std::string_view(body).substr(from));
  if (collected.result) collected.result = parser.finish();
  return collected;
}

std::string one_part(const std::string& header, const std::string& data = "d") {
  return "--XX\r\n" + header + "\r\n\r\n" + data + "\r\n--XX--\r\n";
}

std::string error_of(const std::string& body) {
  const auto collected = parse(body, {});
  return collected.result ? "" : collected.result.error().message;
}

const std::string kSample =
    "preamble\r\n--XX\r\n"
    "Content-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\n"
    "line\r\n--X\r\n--XXY\r\n-\r\n--XX \tq\r\n\r\n--XX  \r\n"
    "content-disposition:form-data;name=webhook_url\r\n\r\n"
    "\r\n--XX\r\n"
    "Content-Disposition: form-data; name=\"last\"\r\n\r\n"
    "\r\n\r\n\r\n--XX--\r\nepilogue --XX\r\n";

const std::vector<std::string> kSampleParts = {"file|a.csv|text/csv=line\r\n--X\r\n--XXY\r\n-\r\n--XX \tq\r\n$",
                                               "webhook_url|-|=$", "last|-|=\r\n\r\n$"};

TEST(Multipart, ReadsPartsAndLeavesBoundaryLookAlikesInTheData) {
  const auto whole = parse(kSample, {});
  ASSERT_TRUE(whole.result) << whole.result.error().message;
  EXPECT_EQ(whole.parts, kSampleParts);
}

TEST(Multipart, GivesTheSameEventsForEverySplit) {
  for (std::size_t first = 0; first <= kSample.size(); ++first) {
    EXPECT_EQ(parse(kSample, {first}).parts, kSampleParts) << first;
    for (std::size_t second = first; second <= kSample.size(); second += 7) {
      const auto split = parse(kSample, {first, second});
      ASSERT_TRUE(split.result) << first << " " << second;
      ASSERT_EQ(split.parts, kSampleParts) << first << " " << second;
    }
  }
}

TEST(Multipart, GivesTheSameEventsByteByByte) {
  std::vector<std::size_t> splits;
  for (std::size_t i = 0; i < kSample.size(); ++i) splits.push_back(i);
  const auto bytewise = parse(kSample, splits);
  ASSERT_TRUE(bytewise.result) << bytewise.result.error().message;
  EXPECT_EQ(bytewise.parts, kSampleParts);
}

TEST(Multipart, RefusesABodyCutAnywhere) {
  const auto close = kSample.find("--XX--") + 6;
  for (std::size_t bytes = 0; bytes < close; ++bytes) {
    const auto cut = parse(kSample.substr(0, bytes), {});
    ASSERT_FALSE(cut.result) << bytes;
    EXPECT_EQ(cut.result.error().code, ErrorCode::kInvalidArgument) << bytes;
  }
}

TEST(Multipart, TakesAnEmptyForm) {
  const auto empty = parse("--XX--\r\n", {});
  EXPECT_TRUE(empty.result);
  EXPECT_TRUE(empty.parts.empty());
}

struct Disposition {
  std::string written;
  std::string expected;  // "name|filename"
};

TEST(Multipart, ReadsNamesAsClientsWriteThem) {
  const std::vector<Disposition> dispositions = {
      {R"(form-data; name="a"; filename="b.csv")", "a|b.csv"},
      {R"(form-data; name=a; filename=b.csv)", "a|b.csv"},
      {R"(FORM-DATA;NAME="a";FileName="b c.csv";)", "a|b c.csv"},
      {R"(form-data; name="a"; filename="C:\Users\me\b.csv")", "a|b.csv"},
      {R"(form-data; name="a"; filename="../../etc/b.csv")", "a|b.csv"},
      {R"(form-data; name="a"; filename="..")", "a|"},
      {R"(form-data; name="a"; filename="")", "a|"},
      {R"(form-data; name="a"; filename="say \"hi\".csv")", "a|say \"hi\".csv"},
      {R"(form-data; name="a"; filename="say %22hi%22 100%.csv")", "a|say \"hi\" 100%.csv"},
      {R"(form-data; name="a;b"; filename="x;y.csv")", "a;b|x;y.csv"},
      {R"(form-data; name="a"; filename="plain.csv"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.csv)", "a|naïve €.csv"},
      {R"(form-data; name="a"; filename*=utf-8'en'..%2Fb.csv)", "a|b.csv"},
      {"form-data; name=\"a\"; filename=\"b\x01\x7f.csv\"", "a|b.csv"},
      {R"(form-data; name="a"; filename="größe.csv")", "a|größe.csv"},
  };
  for (const auto& [written, expected] : dispositions) {
    const auto collected = parse(one_part("Content-Disposition: " + written), {});
    ASSERT_TRUE(collected.result) << written << ": " << collected.result.error().message;
    EXPECT_EQ(collected.parts.at(0), expected + "|=d$") << written;
  }
}

TEST(Multipart, RefusesPartHeadersItCannotRead) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"Content-Type: text/csv", "no Content-Disposition"},
      {"Content-Disposition: attachment; name=\"a\"", "not form-data"},
      {"Content-Disposition: form-data; filename=\"a\"", "no name"},
      {"Content-Disposition: form-data; name=\"a", "cannot be read"},
      {"Content-Disposition: form-data name=\"a\"", "cannot be read"},
      {"Content-Disposition: form-data; =\"a\"", "cannot be read"},
      {"Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"", "two"},
      {"Content-Disposition: form-data; name=\"a\"\r\n folded: x", "header line cannot be read"},
      {"Content-Disposition: form-data; name=\"a\"\r\nno colon", "header line cannot be read"},
      {"Content-Disposition: form-data; name=\"a\nb\"", "control character"},
      {std::string("Content-Disposition: form-data; name=\"a\0\"", 41), "control character"},
      {"Content-Disposition: form-data; name=\"a\"; filename*=ISO-8859-1''x", "not UTF-8"},
      {"Content-Disposition: form-data; name=\"a\"; filename*=x", "not UTF-8"},
      {"Content-Disposition: form-data; name=\"\xff\"", "not UTF-8"},
      {"Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64", "Transfer-Encoding"},
  };
  for (const auto& [header, message] : bad) EXPECT_THAT(error_of(one_part(header)), HasSubstr(message)) << header;
}

TEST(Multipart, BoundsAPartsHeader) {
  const std::string header = "Content-Disposition: form-data; name=\"a\"\r\nX: ";
  const MultipartLimits limits{.parts_max = 2, .header_bytes_max = 200};
  EXPECT_TRUE(parse(one_part(header + std::string(100, 'x')), {}, "XX", limits).result);
  EXPECT_EQ(parse(one_part(header + std::string(300, 'x')), {}, "XX", limits).result.error().code,
            ErrorCode::kTooLarge);
  // Also when the header's end never comes.
  EXPECT_EQ(parse("--XX\r\n" + std::string(300, 'x'), {50}, "XX", limits).result.error().code, ErrorCode::kTooLarge);
}

TEST(Multipart, BoundsTheNumberOfParts) {
  const std::string part = "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nd\r\n";
  const MultipartLimits limits{.parts_max = 2, .header_bytes_max = 200};
  EXPECT_TRUE(parse(part + part + "--XX--", {}, "XX", limits).result);
  EXPECT_EQ(parse(part + part + part + "--XX--", {}, "XX", limits).result.error().code, ErrorCode::kTooLarge);
}

TEST(Multipart, StopsAtACallbacksErrorAndStaysThere) {
  MultipartParser parser(
      "XX", {.on_part = [](const PartHeader&) -> Result<void> { return {}; },
             .on_data = [](std::string_view) -> Result<void> { return fail(ErrorCode::kDiskFull, "no space"); },
             .on_part_end = []() -> Result<void> { return {}; }});
  const std::string body = one_part("Content-Disposition: form-data; name=a");
  EXPECT_EQ(parser.feed(body).error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(parser.feed("more").error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(parser.finish().error().code, ErrorCode::kDiskFull);
}

TEST(Multipart, HandsDataOnWithoutHoardingIt) {
  std::size_t given = 0;
  MultipartParser parser("XX", {.on_part = [](const PartHeader&) -> Result<void> { return {}; },
                                .on_data = [&](std::string_view bytes) -> Result<void> {
                                  given += bytes.size();
                                  return {};
                                },
                                .on_part_end = []() -> Result<void> { return {}; }});
  ASSERT_TRUE(parser.feed("--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n"));
  std::size_t fed = 0;
  // Line ends and hyphens are what a delimiter begins with, so they make the parser hold back as much as it ever does.
  const std::string piece = std::string(1000, 'x') + "\r\n--X";
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(parser.feed(piece));
    fed += piece.size();
    ASSERT_LE(fed - given, 6U);
  }
}

TEST(MultipartBoundary, IsReadFromContentType) {
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(multipart_boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a b:c\""), "a b:c");
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=" + std::string(70, 'x')), std::string(70, 'x'));
}

TEST(MultipartBoundary, IsAbsentOtherwise) {
  for (const std::string type : {"", "text/csv", "multipart/form-data", "multipart/form-data; boundary=",
                                 "multipart/mixed; boundary=a", "multipart/form-data; boundary=\"a ",
                                 "multipart/form-data; boundary=\"a \"", "multipart/form-data; boundary=\"<a>\""}) {
    EXPECT_EQ(multipart_boundary(type), std::nullopt) << type;
  }
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=" + std::string(71, 'x')), std::nullopt);
}

}  // namespace
}  // namespace pixmill::http
