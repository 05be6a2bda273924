#include "base/text.h"

#include <gtest/gtest.h>

namespace pixmill {
namespace {

using std::string_view_literals::operator""sv;

TEST(Text, CaseIsFoldedInAsciiOnly) {
  EXPECT_EQ(to_lower("AbC-Ä"), "abc-Ä");
  EXPECT_TRUE(equals_ignoring_case("Content-Type", "content-TYPE"));
  EXPECT_FALSE(equals_ignoring_case("abc", "abcd"));
  EXPECT_FALSE(equals_ignoring_case("[", "{"));
}

TEST(Text, TrimTakesBlanksFromBothEnds) {
  EXPECT_EQ(trim(" \t\r\n a b \n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(trim(""), "");
}

TEST(Text, SplitKeepsEmptyParts) {
  EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string_view>{"a", "", "b", ""}));
  EXPECT_EQ(split("", ','), (std::vector<std::string_view>{""}));
}

TEST(Text, IntegersAreWholeOrNothing) {
  EXPECT_EQ(parse_integer("-42"), -42);
  EXPECT_EQ(parse_integer("9223372036854775807"), 9223372036854775807);
  for (const auto text : {"", "-", "+1", " 1", "1 ", "1.0", "0x10", "9223372036854775808", "1e3"}) {
    EXPECT_FALSE(parse_integer(text)) << text;
  }
}

TEST(Text, DecimalsAreFiniteAndPlain) {
  EXPECT_EQ(parse_decimal("2.5"), 2.5);
  EXPECT_EQ(parse_decimal("-0.125"), -0.125);
  for (const auto text : {"", ".", "1,5", "inf", "nan", "1e400", "2.5x", " 2"})
    EXPECT_FALSE(parse_decimal(text)) << text;
}

TEST(Text, BytesUsePowersOfAThousand) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1'000), "1.0 kB");
  EXPECT_EQ(format_bytes(999'949), "999.9 kB");
  EXPECT_EQ(format_bytes(999'999), "1.0 MB");
  EXPECT_EQ(format_bytes(312'400'000'000), "312.4 GB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "18.4 EB");
}

TEST(Text, CountsHaveThousandsSeparators) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1'000), "1,000");
  EXPECT_EQ(format_count(998'871), "998,871");
  EXPECT_EQ(format_count(UINT64_MAX), "18,446,744,073,709,551,615");
}

TEST(Text, DurationsAreClockLike) {
  EXPECT_EQ(format_duration(-5), "0:00");
  EXPECT_EQ(format_duration(9), "0:09");
  EXPECT_EQ(format_duration(20 * 60 + 14), "20:14");
  EXPECT_EQ(format_duration(3'723), "1:02:03");
  EXPECT_EQ(format_duration(100 * 3600), "100:00:00");
}

TEST(Text, HtmlEscapesTheFiveCharacters) {
  EXPECT_EQ(html_escape(R"(<a b="c">&'ü)"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;ü");
}

TEST(Text, PathsKeepUnreservedAndSlash) {
  EXPECT_EQ(percent_encode_path("a/b c-._~%?#ü"), "a/b%20c-._~%25%3F%23%C3%BC");
  EXPECT_EQ(percent_decode("a/b%20c%2f%C3%bc"), "a/b c/ü");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  for (const auto text : {"%", "%2", "%zz", "a%2"}) EXPECT_FALSE(percent_decode(text)) << text;
}

TEST(Text, Utf8IsWellFormedOrNot) {
  for (const auto text : {""sv, "plain"sv, "ü€𝄞"sv, "\xed\x9f\xbf"sv, "\xf4\x8f\xbf\xbf"sv, "a\0b"sv}) {
    EXPECT_TRUE(is_valid_utf8(text)) << text;
    EXPECT_EQ(replace_invalid_utf8(text), text);
  }
  // Lone continuation, overlong slash, overlong NUL, surrogate, above U+10FFFF, cut short, Latin-1.
  for (const auto text : {"\x80"sv, "\xc0\xaf"sv, "\xe0\x80\x80"sv, "\xed\xa0\x80"sv, "\xf4\x90\x80\x80"sv,
                          "\xe2\x82"sv, "M\xfcller"sv, "\xf0\x9d\x84"sv, "\xff"sv}) {
    EXPECT_FALSE(is_valid_utf8(text));
    EXPECT_TRUE(is_valid_utf8(replace_invalid_utf8(text)));
  }
  EXPECT_EQ(replace_invalid_utf8("M\xfcller"), "M\xef\xbf\xbdller");
}

TEST(Text, PrefixesEndBetweenCharacters) {
  EXPECT_EQ(utf8_prefix("abc", 3), "abc");
  EXPECT_EQ(utf8_prefix("abc", 2), "ab");
  EXPECT_EQ(utf8_prefix("a€b", 3), "a");
  EXPECT_EQ(utf8_prefix("a€b", 4), "a€");
  EXPECT_EQ(utf8_prefix("𝄞", 3), "");
  EXPECT_EQ(utf8_prefix("\x80\x80\x80\x80\x80\x80\x80\x80", 6).size(), 3u);
}

}  // namespace
}  // namespace pixmill
