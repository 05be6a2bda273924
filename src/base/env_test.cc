#include "base/env.h"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_folder.h"

namespace pixmill {
namespace {

using ::testing::HasSubstr;

TEST(Dotenv, ReadsEverySpelling) {
  const auto values = parse_dotenv(
      "\xef\xbb\xbf# a comment\r\n"
      "PLAIN=value\r\n"
      "  SPACED =  two words  # comment\n"
      "export EXPORTED=1\n"
      "HASH=pass#word\n"
      "EMPTY=\n"
      "ONLY_COMMENT= # nothing\n"
      "SINGLE='a \\n # \"b\"' # comment\n"
      "DOUBLE=\"a\\nb \\\"c\\\" \\\\ \\d #\"\n"
      "EQUALS=a=b\n"
      "PLAIN=later wins\n"
      "\n"
      "LAST=end");
  ASSERT_TRUE(values) << values.error().message;
  EXPECT_EQ(*values, (std::map<std::string, std::string>{{"PLAIN", "later wins"},
                                                         {"SPACED", "two words"},
                                                         {"EXPORTED", "1"},
                                                         {"HASH", "pass#word"},
                                                         {"EMPTY", ""},
                                                         {"ONLY_COMMENT", ""},
                                                         {"SINGLE", "a \\n # \"b\""},
                                                         {"DOUBLE", "a\nb \"c\" \\ \\d #"},
                                                         {"EQUALS", "a=b"},
                                                         {"LAST", "end"}}));
}

TEST(Dotenv, NamesTheBadLine) {
  for (const auto text :
       {"A=1\nno equals\n", "A=1\n=x\n", "A=1\n1X=x\n", "A=1\nA-B=x\n", "A=1\nB=\"open\n", "A=1\nB='x' y\n"}) {
    const auto values = parse_dotenv(text);
    ASSERT_FALSE(values) << text;
    EXPECT_EQ(values.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(values.error().message, HasSubstr("line 2")) << text;
  }
}

TEST(Env, TheEnvironmentWinsOverTheFile) {
  const testing::TempFolder folder;
  std::ofstream(folder.path() + "/.env") << "PIXMILL_TEST_A=file\nPIXMILL_TEST_B=file\n";
  ::setenv("PIXMILL_TEST_A", "environment", 1);
  const auto env = Env::load(folder.path() + "/.env");
  ::unsetenv("PIXMILL_TEST_A");
  ASSERT_TRUE(env) << env.error().message;
  EXPECT_EQ(env->get("PIXMILL_TEST_A"), "environment");
  EXPECT_EQ(env->get("PIXMILL_TEST_B"), "file");
}

TEST(Env, AMissingFileIsFineAnUnreadableOneIsNot) {
  const testing::TempFolder folder;
  EXPECT_TRUE(Env::load(folder.path() + "/absent"));
  EXPECT_EQ(Env::load(folder.path()).error().code, ErrorCode::kIo);  // a folder opens and cannot be read
  std::ofstream(folder.path() + "/bad") << "nonsense\n";
  EXPECT_EQ(Env::load(folder.path() + "/bad").error().code, ErrorCode::kInvalidArgument);
}

TEST(Env, EmptyIsUnset) {
  const auto env = Env::from_map({{"EMPTY", ""}, {"SET", "x"}});
  EXPECT_FALSE(env.get("EMPTY"));
  EXPECT_FALSE(env.get("ABSENT"));
  EXPECT_EQ(env.get_or("EMPTY", "fallback"), "fallback");
  EXPECT_EQ(env.get_or("SET", "fallback"), "x");
}

TEST(Env, FlagsAndNumbersSayWhatIsWrong) {
  const auto env = Env::from_map({{"YES", "On"}, {"NO", "FALSE"}, {"ODD", "maybe"}, {"N", "8"}, {"BIG", "9000"}});
  EXPECT_TRUE(env.flag("YES", false).value());
  EXPECT_FALSE(env.flag("NO", true).value());
  EXPECT_TRUE(env.flag("ABSENT", true).value());
  EXPECT_EQ(env.flag("ODD", false).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(env.integer("N", 1, 1, 64).value(), 8);
  EXPECT_EQ(env.integer("ABSENT", 3, 1, 64).value(), 3);
  EXPECT_EQ(env.integer("BIG", 1, 1, 64).error().message, "BIG must be a whole number from 1 to 64");
  EXPECT_EQ(env.integer("ODD", 1, 1, 64).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace pixmill
