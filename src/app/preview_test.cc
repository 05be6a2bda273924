#include "app/preview.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"

namespace pixmill::app {
namespace {

using ::testing::HasSubstr;
using testing::TempFolder;

image::Recipe two_outputs() {
  image::Recipe recipe;
  recipe.outputs.resize(2);
  recipe.outputs[0].name = "small";
  recipe.outputs[1].name = "large";
  return recipe;
}

PreviewOptions to(const std::string& output) { return {.input = "in/photo.jpeg", .output = output}; }

image::Rendition webp(const std::string& name) { return {.name = name, .format = image::Format::kWebp, .bytes = {}}; }

TEST(Preview, RefusesOneNameForSeveralOutputs) {
  for (const char* output : {"out.webp", "-"}) {
    const auto fits = check_preview_output(to(output), two_outputs());
    ASSERT_FALSE(fits) << output;
    EXPECT_EQ(fits.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(fits.error().message, HasSubstr("{rendition}"));
    EXPECT_TRUE(check_preview_output(to(output), image::Recipe{})) << output;
  }
}

TEST(Preview, TakesAPlaceholderOrAFolderForSeveralOutputs) {
  const TempFolder folder;
  for (const std::string& output : {std::string("{rendition}.webp"), std::string("new/"), folder.path()}) {
    EXPECT_TRUE(check_preview_output(to(output), two_outputs())) << output;
  }
}

TEST(Preview, NamesItsFiles) {
  EXPECT_EQ(preview_path(to("out.x"), webp(""), false), "out.x");
  EXPECT_EQ(preview_path(to("-"), webp(""), false), "-");
  EXPECT_EQ(preview_path(to("a-{rendition}.{ext}"), webp("small"), false), "a-small.webp");
  EXPECT_EQ(preview_path(to("out/"), webp("small"), true), "out/photo-small.webp");
  EXPECT_EQ(preview_path(to("out"), webp(""), true), "out/photo.webp");
  EXPECT_EQ(preview_path({.input = "-", .output = "out"}, webp(""), true), "out/preview.webp");
}

TEST(Preview, TellsThePicturesFaultFromOurs) {
  for (const auto code : {ErrorCode::kNotAnImage, ErrorCode::kUnsupportedFormat, ErrorCode::kTooLarge,
                          ErrorCode::kTruncated, ErrorCode::kDecodeFailed}) {
    EXPECT_EQ(preview_exit_code(code), ExitCode::kInputRejected);
  }
  EXPECT_EQ(preview_exit_code(ErrorCode::kEngineCrash), ExitCode::kJobFailed);
  EXPECT_EQ(preview_exit_code(ErrorCode::kEngineTimeout), ExitCode::kJobFailed);
  EXPECT_EQ(preview_exit_code(ErrorCode::kNotFound), ExitCode::kNotFound);
  EXPECT_EQ(preview_exit_code(ErrorCode::kInvalidArgument), ExitCode::kUsage);
  EXPECT_EQ(preview_exit_code(ErrorCode::kIo), ExitCode::kUnexpected);
}

}  // namespace
}  // namespace pixmill::app
