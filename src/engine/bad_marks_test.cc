#include "engine/bad_marks.h"

#include <gtest/gtest.h>

namespace pixmill::engine {
namespace {

const Error kPage{.code = ErrorCode::kNotAnImage, .message = "a page", .detail = {}};

TEST(BadMarks, KnowWhatAnEngineSaid) {
  BadMarks marks;
  EXPECT_FALSE(marks.find("a"));
  marks.refuse("a", kPage);
  ASSERT_TRUE(marks.find("a"));
  EXPECT_EQ(marks.find("a")->message, "a page");
  EXPECT_FALSE(marks.find("b"));
}

TEST(BadMarks, RefuseAFileThatTookTwoEngines) {
  BadMarks marks;
  marks.lose_engine("a", ErrorCode::kEngineCrash);
  EXPECT_FALSE(marks.find("a")) << "somebody may have killed it";
  marks.lose_engine("b", ErrorCode::kEngineTimeout);
  marks.lose_engine("a", ErrorCode::kEngineCrash);
  ASSERT_TRUE(marks.find("a"));
  EXPECT_FALSE(is_transient(marks.find("a")->code));
  EXPECT_EQ(marks.find("a")->message, "the decoder crashes on it");
  marks.lose_engine("b", ErrorCode::kEngineTimeout);
  EXPECT_EQ(marks.find("b")->message, "it takes too long to decode");
}

TEST(BadMarks, ForgetLossesOnAFileThatIsGood) {
  BadMarks marks;
  marks.lose_engine("a", ErrorCode::kEngineCrash);
  marks.forget("a");
  marks.lose_engine("a", ErrorCode::kEngineCrash);
  EXPECT_FALSE(marks.find("a"));
}

TEST(BadMarks, KeepABoundedNumber) {
  BadMarks marks;
  for (std::size_t i = 0; i <= BadMarks::kMarksKept; ++i) marks.refuse(std::to_string(i), kPage);
  EXPECT_FALSE(marks.find("0"));
  EXPECT_TRUE(marks.find("1"));
}

}  // namespace
}  // namespace pixmill::engine
