#include "storage/object_name.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/ids.h"
#include "base/text.h"

namespace pixmill::storage {
namespace {

using Values = std::map<std::string, std::string, std::less<>>;

std::string expand(std::string_view text, const Values& values) {
  const auto parsed = NameTemplate::parse(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  if (!parsed) return "";
  return parsed->expand([&](std::string_view name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  });
}

FinalName final_name(std::string rendition = "") {
  return {.content = sha256("content"),
          .identity = sha256("identity"),
          .rendition = std::move(rendition),
          .extension = "jpg"};
}

TEST(NameTemplate, FillsInWhatTheRowKnowsAndLeavesTheRest) {
  EXPECT_EQ(expand("{product}-{index}.{ext}", {{"product", "SKU1"}, {"index", "2"}}), "SKU1-2.{ext}");
  EXPECT_EQ(expand("{product}_{uuid}.{ext}", {{"product", "Blue shirt"}}), "Blue shirt_{uuid}.{ext}");
  EXPECT_EQ(expand("{ brand }/{product}/{sha}-{rendition}.{EXT}", {{"brand", "B"}, {"product", "P"}}),
            "B/P/{sha}-{rendition}.{ext}");
}

TEST(NameTemplate, AppendsTheExtensionWhenThereIsNone) { EXPECT_EQ(expand("a/{p}", {{"p", "x"}}), "a/x.{ext}"); }

std::string expand_with_base(std::string_view text, bool numbered, const Values& values) {
  return NameTemplate::parse(text)->with_base("base", numbered).expand([&](std::string_view name) {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  });
}

TEST(NameTemplate, TakesAnotherFileInTheSameFolders) {
  const Values values = {{"base", "blue/shirt"}, {"brand", "B"}, {"index", "2"}, {"product", "P"}};
  EXPECT_EQ(expand_with_base("{product}-{index}.{ext}", false, values), "blue_shirt.{ext}");
  EXPECT_EQ(expand_with_base("{product}-{index}.{ext}", true, values), "blue_shirt-2.{ext}");
  EXPECT_EQ(expand_with_base("a/{brand}/x{product}_{uuid}.{ext}", false, values), "a/B/blue_shirt.{ext}");
  EXPECT_EQ(expand_with_base("{brand}-x/y", false, values), "B-x/blue_shirt.{ext}");
  EXPECT_EQ(expand_with_base("{ext}/{sha}", true, values), "{ext}/blue_shirt-2.{ext}");
}

TEST(NameTemplate, KeepsTheRenditionWhereItStands) {
  const Values values = {{"base", "shirt"}, {"index", "1"}};
  EXPECT_EQ(expand_with_base("{sha}_{rendition}.{ext}", true, values), "shirt-1-{rendition}.{ext}");
  EXPECT_EQ(expand_with_base("{rendition}/{sha}.{ext}", false, values), "{rendition}/shirt.{ext}");
}

TEST(NameTemplate, NamesItsPlaceholdersOnce) {
  const auto parsed = NameTemplate::parse("{a}/{b}-{a}{{no}}.{ext}");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->placeholders(), (std::vector<std::string>{"a", "b", "ext"}));
}

TEST(NameTemplate, RefusesWhatCannotBeAName) {
  for (const auto text : {"", "{", "a{b", "}", "a}b", "{}", "{  }", "/a", "/{a}", "../a", "a/../b", "a/..", "a//b",
                          "a/", "./a", "{a{b}}", "a/b/c/d/e/f/g"}) {
    const auto parsed = NameTemplate::parse(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument) << text;
  }
  EXPECT_FALSE(NameTemplate::parse(std::string(119, 'a')).has_value());
  EXPECT_FALSE(NameTemplate::parse(std::string(513, '/')).has_value());
}

TEST(NameTemplate, KeepsBracesOfTemplateAndValues) {
  const std::string stem = expand("{{{p}}}.{ext}", {{"p", "{sha}"}});
  EXPECT_EQ(finish_name(stem, final_name()), "{{sha}}.jpg");
}

struct Hostile {
  std::string value;
  std::string expected;  // of "{p}.{ext}" once finished
};

TEST(NameTemplate, MakesHostileValuesHarmless) {
  const std::vector<Hostile> cases = {
      {"/", "_.jpg"},
      {"..", "_...jpg"},
      {"../../etc/passwd", "_.._.._etc_passwd.jpg"},
      {"a\\b", "a_b.jpg"},
      {"C:\\Windows", "C__Windows.jpg"},
      {std::string("a\0b", 3), "a_b.jpg"},
      {"a\r\nb\t", "a__b_.jpg"},
      {"CON", "CON_.jpg"},
      {"con.tar", "con_.tar.jpg"},
      {"COM1", "COM1_.jpg"},
      {"LPT\xc2\xb9", "LPT\xc2\xb9_.jpg"},
      {"nul ", "nul_.jpg"},
      {"CONSOLE", "CONSOLE.jpg"},
      {"  spaces  ", "spaces.jpg"},
      {"\xe2\x80\xaegpj.exe", "_gpj.exe.jpg"},  // U+202E, right-to-left override
      {"a\xe2\x81\xa6"
       "b",
       "a_b.jpg"},  // U+2066, isolate
      {"a\xe2\x80\xa8"
       "b",
       "a_b.jpg"},                  // U+2028, line separator
      {"\xef\xbb\xbfx", "_x.jpg"},  // U+FEFF
      {"caf\xc3\xa9", "caf\xc3\xa9.jpg"},
      {"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80",
       "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80.jpg"},  // a joined emoji
      {"bad\xff\xfe", "bad__.jpg"},
      {"\xc0\xaf", "__.jpg"},       // an overlong '/'
      {"\xed\xa0\x80", "___.jpg"},  // a surrogate
      {"-rf", "_-rf.jpg"},
      {".htaccess", "_.htaccess.jpg"},
      {".pixmill-1.tmp", "_.pixmill-1.tmp.jpg"},
      {"a<b>c:d\"e|f?g*h", "a_b_c_d_e_f_g_h.jpg"},
      {"", "_.jpg"},
      {"   ", "_.jpg"},
      {"\x7f\xc2\x85", "__.jpg"},
      {"100% #1 & co", "100% #1 & co.jpg"},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(finish_name(expand("{p}.{ext}", {{"p", test.value}}), final_name()), test.expected) << test.value;
  }
}

TEST(NameTemplate, KeepsFoldersInside) {
  EXPECT_EQ(expand("{a}/{b}.{ext}", {{"a", ".."}, {"b", "x"}}), "_/x.{ext}");
  EXPECT_EQ(expand("{a}/{b}.{ext}", {{"a", "."}, {"b", "x"}}), "_/x.{ext}");
  EXPECT_EQ(expand("{a}/{b}.{ext}", {{"a", ""}, {"b", "x"}}), "_/x.{ext}");
  EXPECT_EQ(expand("{a}/{b}.{ext}", {{"a", "dots... "}, {"b", "x"}}), "dots/x.{ext}");
  EXPECT_EQ(expand("{a}/{b}.{ext}", {{"a", "aux"}, {"b", "x"}}), "aux_/x.{ext}");
  EXPECT_EQ(expand("{a}{b}/x.{ext}", {{"a", "."}, {"b", "."}}), "_/x.{ext}");
}

TEST(NameTemplate, CutsLongValuesBetweenCharactersAndKeepsShortOnes) {
  const std::string long_name(300, 'x');
  const std::string stem = expand("{p}-{i}.{ext}", {{"p", long_name}, {"i", "12345"}});
  EXPECT_TRUE(stem.ends_with("x-12345.{ext}"));
  EXPECT_LE(stem.size() - std::string_view("{ext}").size(), 120u);

  std::string accents;
  for (int i = 0; i < 150; ++i) accents += "\xc3\xa9";
  const std::string cut_stem = expand("a{p}.{ext}", {{"p", accents}});
  EXPECT_TRUE(is_valid_utf8(cut_stem));
  EXPECT_LE(cut_stem.size() - std::string_view("{ext}").size(), 120u);

  // Braces are doubled in a stem only; the name itself stays below the limit.
  const std::string braces = finish_name(expand("{p}.{ext}", {{"p", std::string(300, '{')}}), final_name());
  EXPECT_LE(braces.size(), 123u);
  EXPECT_GE(braces.size(), 100u);
}

TEST(NameTemplate, WhateverBytesComeInAStemIsRelativeAndClean) {
  std::uint32_t state = 1;
  const auto next = [&] { return state = state * 1'664'525u + 1'013'904'223u; };
  for (int round = 0; round < 3'000; ++round) {
    std::string value;
    for (std::uint32_t n = next() >> 26; n > 0; --n) {
      constexpr std::string_view kNasty = "./\\ {}-_\x80\xe2\xff:\"";
      value += next() % 2 == 0 ? kNasty[(next() >> 8) % kNasty.size()] : static_cast<char>(next() >> 24);
    }
    const std::string name = finish_name(expand("{p}/{p}-{rendition}.{ext}", {{"p", value}}), final_name());
    ASSERT_TRUE(is_valid_utf8(name)) << value;
    ASSERT_EQ(std::ranges::count(name, '/'), 1) << name;
    for (const auto segment : split(name, '/')) {
      ASSERT_FALSE(segment.empty()) << value;
      ASSERT_FALSE(segment.starts_with('.') || segment.starts_with('-')) << name;
      ASSERT_FALSE(segment.ends_with('.') || segment.ends_with(' ')) << name;
      ASSERT_LE(segment.size(), 125u);
    }
  }
}

TEST(WithSuffix, GoesBeforeTheExtension) {
  EXPECT_EQ(with_suffix("SKU-1.{ext}", 2), "SKU-1-2.{ext}");
  EXPECT_EQ(with_suffix("{ext}/SKU.{ext}", 3), "{ext}/SKU-3.{ext}");
  EXPECT_EQ(with_suffix("a{ext}", 4), "a-4{ext}");
  EXPECT_EQ(with_suffix("{ext}", 4), "-4{ext}");
  EXPECT_EQ(with_suffix("{uuid}{ext}", 4), "{uuid}-4{ext}");
  EXPECT_EQ(with_suffix("{ext}/SKU", 5), "{ext}/SKU-5");
  EXPECT_EQ(with_suffix("{{ext}}.{ext}", 6), "{{ext}}-6.{ext}");
}

TEST(FanOut, KeepsFoldersBelowTenThousandFiles) {
  EXPECT_EQ(fan_out("images", 1, "a.{ext}"), "images/a.{ext}");
  EXPECT_EQ(fan_out("images/", 10'000, "a.{ext}"), "images/a.{ext}");
  EXPECT_EQ(fan_out("images", 10'001, "a.{ext}"), "images/0001/a.{ext}");
  EXPECT_EQ(fan_out("", 20'001, "a.{ext}"), "0002/a.{ext}");
  EXPECT_EQ(fan_out("", 7, "a.{ext}"), "a.{ext}");
  EXPECT_EQ(fan_out("", 200'000'001, "a"), "20000/a");
}

TEST(FinishName, FillsInDigestsAndExtension) {
  const FinalName values = final_name("thumb");
  EXPECT_EQ(finish_name("a-{sha}-{rendition}.{ext}", values),
            "a-" + to_hex(values.content).substr(0, 16) + "-thumb.jpg");
  EXPECT_EQ(finish_name("P_{uuid}.{ext}", final_name()), "P_" + Uuid::from_digest(values.identity).text() + ".jpg");
}

TEST(FinishName, PutsRenditionsIntoFoldersWhereTheTemplateDoesNotNameThem) {
  EXPECT_EQ(finish_name("SKU.{ext}", final_name("thumb")), "thumb/SKU.jpg");
  EXPECT_EQ(finish_name("images/0001/SKU.{ext}", final_name("thumb")), "images/0001/thumb/SKU.jpg");
  EXPECT_EQ(finish_name("{{rendition}}.{ext}", final_name("thumb")), "thumb/{rendition}.jpg");
}

TEST(FinishName, LeavesOutTheNamelessRenditionWithItsSeparator) {
  EXPECT_EQ(finish_name("SKU-{rendition}.{ext}", final_name()), "SKU.jpg");
  EXPECT_EQ(finish_name("{rendition}-SKU.{ext}", final_name()), "SKU.jpg");
  EXPECT_EQ(finish_name("{rendition}/SKU.{ext}", final_name()), "SKU.jpg");
  EXPECT_EQ(finish_name("a/{rendition}/SKU.{ext}", final_name()), "a/SKU.jpg");
  EXPECT_EQ(finish_name("{rendition}.{ext}", final_name()), "_.jpg");
  EXPECT_EQ(finish_name("{rendition}-CON.{ext}", final_name()), "CON_.jpg");
  EXPECT_EQ(finish_name("a/{rendition}", final_name()), "a");
  EXPECT_EQ(finish_name("{rendition}", final_name()), "_");
}

TEST(FinishName, ARenditionNameCannotLeaveItsFolder) {
  EXPECT_EQ(finish_name("a/{rendition}.{ext}", final_name("../x")), "a/.._x.jpg");
}

TEST(MayComeFrom, RecognisesEveryFinishedName) {
  const std::vector<std::string> stems = {"SKU-{rendition}.{ext}", "{sha}.{ext}",   "a/{uuid}_{rendition}_{sha}.{ext}",
                                          "{{x}}.{ext}",           "{rendition}/a", "0001/Blue shirt_{uuid}.{ext}"};
  for (const auto& stem : stems) {
    for (const auto rendition : {"", "thumb", "a-b"}) {
      const std::string key = finish_name(stem, final_name(rendition));
      EXPECT_TRUE(may_come_from(key, stem)) << key << " from " << stem;
      EXPECT_FALSE(may_come_from(key + "!", stem)) << key;
      EXPECT_FALSE(may_come_from("x" + key, "y" + stem)) << key;
    }
  }
  EXPECT_FALSE(may_come_from("0123456789abcdeX.jpg", "{sha}.{ext}"));
  EXPECT_FALSE(may_come_from("ABCDEF00-0000-4000-8000-00000000000A.jpg", "{uuid}.{ext}"));
  EXPECT_FALSE(may_come_from("a/b.jpg", "a-{rendition}.{ext}"));
  EXPECT_FALSE(may_come_from("a.jpeg2000", "a.{ext}"));
}

}  // namespace
}  // namespace pixmill::storage
