#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace pixmill {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail(ErrorCode::kInvalidArgument, "odd");
  return value / 2;
}

Result<int> quarter(int value) {
  PIXMILL_TRY(const int first, half(value));
  PIXMILL_TRY(const int second, half(first));
  return second;
}

TEST(Error, TryReturnsTheFirstError) {
  EXPECT_EQ(quarter(8).value(), 2);
  ASSERT_FALSE(quarter(6).has_value());
  EXPECT_EQ(quarter(6).error().code, ErrorCode::kInvalidArgument);
}

TEST(Error, TextCarriesTheHttpStatus) {
  EXPECT_EQ(code_text({.code = ErrorCode::kHttpPermanent, .message = {}, .detail = {}, .http_status = 404}),
            "http_404");
  EXPECT_EQ(code_text({.code = ErrorCode::kTooLarge, .message = {}, .detail = {}}), "too_large");
}

TEST(Error, EveryCodeHasItsOwnName) {
  std::vector<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::kStoreFailed); ++code) {
    const auto name = code_name(static_cast<ErrorCode>(code));
    EXPECT_FALSE(name.empty());
    if (name != "http" && name != "internal") {
      EXPECT_EQ(std::count(names.begin(), names.end(), name), 0) << name;
    }
    names.push_back(name);
  }
}

TEST(Error, PermanentKindsAreNotRetried) {
  for (const auto code : {ErrorCode::kHttpPermanent, ErrorCode::kNotAnImage, ErrorCode::kTooLarge,
                          ErrorCode::kBlockedAddress, ErrorCode::kDnsNotFound, ErrorCode::kInvalidUrl}) {
    EXPECT_FALSE(is_transient(code)) << code_name(code);
  }
  for (const auto code : {ErrorCode::kHttpTransient, ErrorCode::kTimeout, ErrorCode::kConnect, ErrorCode::kDns,
                          ErrorCode::kEngineCrash, ErrorCode::kDiskFull}) {
    EXPECT_TRUE(is_transient(code)) << code_name(code);
  }
}

TEST(Error, AdviceKnowsEveryFetchCode) {
  for (const auto text : {"http_404", "http_503", "http_418", "timeout", "dns", "blocked_address", "engine_crash"}) {
    EXPECT_FALSE(advice(text).empty()) << text;
  }
  EXPECT_TRUE(advice("no_such_code").empty());
}

TEST(Error, ErrnoOfAFullDiskIsDiskFull) {
  EXPECT_EQ(errno_error(ENOSPC, "writing").code, ErrorCode::kDiskFull);
  EXPECT_EQ(errno_error(ENOENT, "reading").code, ErrorCode::kNotFound);
  EXPECT_EQ(errno_error(EACCES, "reading").code, ErrorCode::kIo);
}

}  // namespace
}  // namespace pixmill
