#include "image/vips_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <vips/vips.h>

#include <string>

#include "image/picture.h"

namespace pixmill::image {
namespace {

TEST(P30, NoLoaderIsOpenButThoseThatAreNeeded) {
  ASSERT_TRUE(start_vips());
  EXPECT_EQ(open_loaders(), expected_loaders());
  EXPECT_EQ(open_loaders().size(), 5U);
}

TEST(P30, LibvipsRefusesToLoadUntrustedFormatsEvenWhenAskedByName) {
  ASSERT_TRUE(start_vips());
  Picture picture;
  for (const int failed :
       {vips_svgload("/dev/null", picture.out(), nullptr), vips_magickload("/dev/null", picture.out(), nullptr),
        vips_matload("/dev/null", picture.out(), nullptr), vips_ppmload("/dev/null", picture.out(), nullptr),
        vips_fitsload("/dev/null", picture.out(), nullptr), vips_jpegload("/dev/null", picture.out(), nullptr)}) {
    EXPECT_NE(failed, 0);
  }
  EXPECT_THAT(take_vips_message(), testing::HasSubstr("blocked"));
}

TEST(VipsRuntime, RunsWorkOnAThreadOfItsOwn) {
  ASSERT_TRUE(start_vips());
  int calls = 0;
  EXPECT_TRUE(run_on_vips_thread([&] { ++calls; }));
  EXPECT_EQ(calls, 1);
}

TEST(VipsRuntime, ForgetsItsMessageOnceTaken) {
  ASSERT_TRUE(start_vips());
  vips_error("test", "%s", "two\nlines");
  EXPECT_EQ(take_vips_message(), "test: two lines ");
  EXPECT_EQ(take_vips_message(), "");
}

TEST(VipsRuntime, TurnsItsErrorsIntoOurs) {
  ASSERT_TRUE(start_vips());
  vips_error("test", "%s", "broken");
  EXPECT_EQ(vips_failed().error().code, ErrorCode::kDecodeFailed);
  vips_error("vips_tracked", "%s", "out of memory --- size == 10MB");
  EXPECT_EQ(vips_failed().error().code, ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace pixmill::image
