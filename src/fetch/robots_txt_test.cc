#include "fetch/robots_txt.h"

#include <gtest/gtest.h>

#include <string>

namespace pixmill::fetch {
namespace {

struct Case {
  const char* robots;
  const char* target;
  bool allowed;
  const char* why;
};

// Examples of RFC 9309 where it has them (section 5), and what it says in words where it has none.
constexpr Case kCases[] = {
    {"", "/a.jpg", true, "no rules"},
    {"User-agent: *\nDisallow: /\n", "/a.jpg", false, "everything"},
    {"User-agent: *\nDisallow:\n", "/a.jpg", true, "an empty rule forbids nothing"},
    {"User-agent: *\nDisallow: /private/\n", "/private/a.jpg", false, "below"},
    {"User-agent: *\nDisallow: /private/\n", "/privately.jpg", true, "beside"},
    {"User-agent: *\nDisallow: /\n", "/robots.txt", true, "the file itself"},
    {"Disallow: /\n", "/a.jpg", true, "a rule without a group"},

    {"User-agent: Pixmill\nDisallow: /x\nUser-agent: *\nDisallow: /\n", "/a.jpg", true, "our group alone counts"},
    {"User-agent: *\nDisallow: /\nUser-agent: pixMILL\nDisallow: /x\n", "/x.jpg", false, "without case"},
    {"User-agent: *\nDisallow: /\nUser-agent: pixmill\n", "/a.jpg", true, "a group of ours without rules"},
    {"User-agent: Pixmill/2.0\nDisallow: /x\n", "/x", false, "a version behind the name"},
    {"User-agent: pixmillion\nDisallow: /\n", "/a.jpg", true, "another product whose name begins alike"},
    {"User-agent: a\nUser-agent: pixmill\nDisallow: /x\n", "/x", false, "several products of one group"},
    {"User-agent: pixmill\nSitemap: https://h/s\nUser-agent: b\nDisallow: /x\n", "/x", false,
     "other lines end no group"},
    {"User-agent: pixmill\nDisallow: /x\nUser-agent: b\nDisallow: /y\n", "/y", true, "the next group is another's"},
    {"User-agent: pixmill\nDisallow: /x\nUser-agent: b\nDisallow: /y\nUser-agent: pixmill\nDisallow: /z\n", "/z", false,
     "two groups of one product are one"},
    {"User-agent: b\nDisallow: /\n", "/a.jpg", true, "nobody speaks of us"},

    {"User-agent: *\nAllow: /p\nDisallow: /\n", "/page", true, "the longest rule"},
    {"User-agent: *\nAllow: /folder\nDisallow: /folder\n", "/folder/page", true,
     "of two equally long ones the one that allows"},
    {"User-agent: *\nDisallow: /folder\nAllow: /folder\n", "/folder/page", true, "in any order"},
    {"User-agent: *\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n", "/example/page/disallowed.gif",
     false, "RFC 9309 section 5.2"},
    {"User-agent: *\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n", "/example/page/", true,
     "RFC 9309 section 5.2"},

    {"User-agent: *\nDisallow: *.gif$\n", "/a/b.gif", false, "RFC 9309 section 5.1"},
    {"User-agent: *\nDisallow: *.gif$\n", "/a/b.gif?x", true, "the end is the end"},
    {"User-agent: *\nDisallow: *.gif$\n", "/a.gif/b.gif", false, "the last one decides"},
    {"User-agent: *\nDisallow: /a*c\n", "/abbbcd", false, "anything between"},
    {"User-agent: *\nDisallow: /a*c\n", "/ac", false, "also nothing"},
    {"User-agent: *\nDisallow: /a**c*\n", "/abc", false, "several stars are one"},
    {"User-agent: *\nDisallow: /a*b*b\n", "/ab", true, "each part needs its own place"},
    {"User-agent: *\nDisallow: /*?\n", "/a.jpg?w=1", false, "a query"},
    {"User-agent: *\nDisallow: /*?\n", "/a.jpg", true, "without one"},
    {"User-agent: *\nDisallow: /$\n", "/", false, "the front page alone"},
    {"User-agent: *\nDisallow: /$\n", "/a", true, "the front page alone"},
    {"User-agent: *\nDisallow: /a$b\n", "/a$b", false, "a '$' elsewhere is a '$'"},

    {"User-agent: *\nDisallow: /foo/bar/\xe3\x83\x84\n", "/foo/bar/%E3%83%84", false, "RFC 9309 section 2.2.2"},
    {"User-agent: *\nDisallow: /foo/bar/%e3%83%84\n", "/foo/bar/%E3%83%84", false, "case of digits"},
    {"User-agent: *\nDisallow: /foo/bar/%62%61%7A\n", "/foo/bar/baz", false, "RFC 9309 section 2.2.2"},
    {"User-agent: *\nDisallow: /a%2Fb\n", "/a/b", true, "an encoded slash is none"},
    {"User-agent: *\nDisallow: /50%\n", "/50%", false, "a '%' that encodes nothing"},

    {"\xef\xbb\xbfUser-agent: *\r\nDisallow: /x # why\r\n", "/x", false, "byte order mark, CRLF, comment"},
    {"User-agent: *\rDisallow: /x\r", "/x", false, "CR alone"},
    {"  USER-AGENT :  *  \n\tdisallow\t:\t/x\t\n", "/x", false, "blanks and case"},
    {"User-agent: *\n\n\nDisallow: /x\n", "/x", false, "empty lines end no group"},
    {"User-agent: *\nnonsense\nDisallow /y\nDisallow: /x\n", "/x", false, "lines that mean nothing"},
    {"User-agent: *\nCrawl-delay: 10\nDisallow: /x\n", "/x", false, "lines of other kinds"},
    {"<html>User-agent: *\nDisallow: /</html>", "/a.jpg", true, "a page instead of the file names no product"},
};

TEST(RobotsTxt, P28DecidesAsRfc9309Says) {
  for (const auto& [robots, target, allowed, why] : kCases) {
    EXPECT_EQ(RobotsTxt::parse(robots, "Pixmill").allows(target), allowed) << why << "\n" << robots << "\n" << target;
  }
}

TEST(RobotsTxt, ReadsNoMoreThanItsBound) {
  std::string large = "User-agent: *\n";
  while (large.size() < RobotsTxt::kBytesMax) large += "# filler, filler, filler, filler\n";
  large += "Disallow: /late\n";
  EXPECT_TRUE(RobotsTxt::parse(large, "Pixmill").allows("/late"));
  std::string many = "User-agent: *\n";
  for (int i = 0; i < 40'000; ++i) many += "Allow:/\n";
  EXPECT_LE(RobotsTxt::parse(many, "Pixmill").bytes(), RobotsTxt::kRulesMax * 128);
}

TEST(RobotsTxt, TakesItsNameFromTheUserAgent) {
  EXPECT_EQ(product_token("Pixmill/0.1.0 (+https://example.com)"), "Pixmill");
  EXPECT_EQ(product_token("My_Shop-Bot"), "My_Shop-Bot");
  EXPECT_EQ(product_token("(none)"), "");
}

TEST(RobotsTag, P28ForbidsUseWhenItSaysSo) {
  for (const auto* no :
       {"noai", "NoAI, noimageai", "noimageai", "noindex", "max-snippet: 5, noimageindex", "none", "pixmill: noai",
        "otherbot: nofollow, pixmill: none", "*: noindex", "unavailable_after: 25 Jun 2030 15:00:00 PST, noai"}) {
    EXPECT_TRUE(forbids_use(no, "Pixmill")) << no;
  }
  for (const auto* yes : {"", "all", "nofollow", "noarchive, nosnippet", "otherbot: noindex, noai",
                          "max-image-preview: none", "noaix", "unavailable_after: none"}) {
    EXPECT_FALSE(forbids_use(yes, "Pixmill")) << yes;
  }
}

}  // namespace
}  // namespace pixmill::fetch
