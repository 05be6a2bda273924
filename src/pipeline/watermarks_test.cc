#include "pipeline/watermarks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <exception>

#include "base/crypto.h"
#include "image/tiny_pictures.h"
#include "tests/support/pipeline_fakes.h"
#include "tests/support/run_task.h"

namespace pixmill::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kLogo = "http://h.example/logo.png";

image::Recipe recipe_with(const std::string& image) { return *image::parse_recipe("watermark=" + image); }

class WatermarksTest : public ::testing::Test {
 protected:
  WatermarksTest() : budget_(io_.get_executor(), 64u << 20) { start({}); }

  void start(WatermarkOptions options) {
    watermarks_ = std::make_unique<Watermarks>(
        io_.get_executor(), WatermarkParts{.fetcher = fetcher_, .uploads = uploads_, .budget = budget_}, options);
  }
  Result<engine::MarkFiles> files(const std::string& image = std::string(kLogo), const std::string& job = "1") {
    const image::Recipe recipe = recipe_with(image);
    return testing::run_task(io_, watermarks_->files_for(recipe, job, headers_, engine::MarkFiles()));
  }
  Error error_of(const std::string& image = std::string(kLogo)) {
    const auto result = files(image);
    EXPECT_FALSE(result);
    return result ? Error{} : result.error();
  }

  // Asks without waiting for the answer.
  void ask(int& answered) {
    auto question = [](Watermarks& watermarks, const std::vector<fetch::HostHeader>& headers,
                       int& count) -> Task<void> {
      const image::Recipe recipe = recipe_with(std::string(kLogo));
      const auto result = co_await watermarks.files_for(recipe, "1", headers, engine::MarkFiles());
      if (result) ++count;
    };
    asio::co_spawn(io_, question(*watermarks_, headers_, answered), [](const std::exception_ptr&) {});
  }

  asio::io_context io_;
  testing::FakeFetcher fetcher_;
  testing::MemoryBlobs uploads_;
  ByteBudget budget_;
  std::vector<fetch::HostHeader> headers_;
  std::unique_ptr<Watermarks> watermarks_;
};

TEST_F(WatermarksTest, AreFetchedOncePerJob) {
  for (int i = 0; i < 3; ++i) {
    const auto result = files();
    ASSERT_TRUE(result);
    const auto& file = *result->at(std::string(kLogo));
    EXPECT_EQ(file.bytes, "bytes of " + std::string(kLogo));
    EXPECT_EQ(file.sha256, to_hex(sha256(file.bytes)));
  }
  EXPECT_EQ(fetcher_.asked.size(), 1u);
  ASSERT_TRUE(files(std::string(kLogo), "2"));
  EXPECT_EQ(fetcher_.asked.size(), 2u) << "another job may have other headers";
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
}

TEST_F(WatermarksTest, ManyWhoAskAtOnceCauseOneRequest) {
  fetcher_.takes = milliseconds(20);
  int answered = 0;
  for (int i = 0; i < 32; ++i) ask(answered);
  io_.run();
  EXPECT_EQ(answered, 32);
  EXPECT_EQ(fetcher_.asked.size(), 1u);
}

TEST_F(WatermarksTest, TheNextOneTakesOverWhenTheFirstIsGone) {
  // As a coroutine ends whose item is cancelled in the middle of a fetch.
  fetcher_.takes = milliseconds(20);
  fetcher_.answer = [this](const std::string& url) -> Result<fetch::Fetched> {
    if (fetcher_.asked.size() == 1) throw boost::system::system_error(asio::error::operation_aborted);
    return fetch::Fetched{.bytes = "bytes", .final_url = url};
  };
  int answered = 0;
  for (int i = 0; i < 6; ++i) ask(answered);
  io_.run();
  EXPECT_EQ(answered, 5);
  EXPECT_EQ(fetcher_.asked.size(), 2u);
  EXPECT_EQ(budget_.bytes_in_use(), 0u);
}

TEST_F(WatermarksTest, AFailureAnswersOthersForAWhile) {
  fetcher_.answer = [](const auto&) { return fail(ErrorCode::kHttpPermanent, "404"); };
  for (int i = 0; i < 3; ++i) {
    const Error error = error_of();
    EXPECT_EQ(error.code, ErrorCode::kHttpPermanent);
    EXPECT_THAT(error.message, HasSubstr("the watermark http://h.example/logo.png cannot be had: 404"));
  }
  EXPECT_EQ(fetcher_.asked.size(), 1u);
  start({.permanent_error_for = milliseconds(0), .transient_error_for = milliseconds(0)});
  error_of();
  error_of();
  EXPECT_EQ(fetcher_.asked.size(), 3u);
  fetcher_.answer = testing::FakeFetcher().answer;
  EXPECT_TRUE(files());
}

TEST_F(WatermarksTest, WhatIsThisProcessesTroubleIsNotRemembered) {
  fetcher_.answer = [](const auto&) { return fail(ErrorCode::kUnavailable, "no turn"); };
  EXPECT_EQ(error_of().code, ErrorCode::kUnavailable);
  EXPECT_EQ(error_of().code, ErrorCode::kUnavailable);
  EXPECT_EQ(fetcher_.asked.size(), 2u);
}

TEST_F(WatermarksTest, MessagesDoNotShowTheQuery) {
  fetcher_.answer = [](const auto&) { return fail(ErrorCode::kDns, "no such name"); };
  EXPECT_EQ(error_of("https://h/l.png?token=secret").message.find("secret"), std::string::npos);
}

TEST_F(WatermarksTest, ThoseUsedLongestAgoMakeRoom) {
  start({.bytes_max = 70});  // two of them
  ASSERT_TRUE(files("http://h.example/aaaa.png"));
  ASSERT_TRUE(files("http://h.example/bbbb.png"));
  ASSERT_TRUE(files("http://h.example/aaaa.png"));
  ASSERT_TRUE(files("http://h.example/cccc.png"));
  ASSERT_TRUE(files("http://h.example/aaaa.png"));
  ASSERT_TRUE(files("http://h.example/bbbb.png"));
  EXPECT_THAT(fetcher_.asked, ElementsAre(HasSubstr("aaaa"), HasSubstr("bbbb"), HasSubstr("cccc"), HasSubstr("bbbb")));
}

TEST_F(WatermarksTest, RefuseFilesThatAreTooLarge) {
  fetcher_.answer = [](const auto&) {
    return Result<fetch::Fetched>(fetch::Fetched{.bytes = std::string(kMarkFileBytesMax + 1, 'x'), .final_url = {}});
  };
  EXPECT_EQ(error_of().code, ErrorCode::kTooLarge);
  EXPECT_EQ(check_mark_file(std::string(kMarkFileBytesMax + 1, 'x')).error().code, ErrorCode::kTooLarge);
}

TEST_F(WatermarksTest, UploadsAreKeptByTheirContent) {
  const std::string picture(image::tiny_pictures().front().bytes);
  const auto digest = testing::run_task(io_, watermarks_->keep(picture));
  ASSERT_TRUE(digest) << digest.error().message;
  EXPECT_EQ(*digest, to_hex(sha256(picture)));
  EXPECT_EQ(uploads_.blobs.size(), 1u);
  EXPECT_EQ(testing::run_task(io_, watermarks_->keep(picture)), *digest);
  const auto result = files("upload:" + *digest);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->at("upload:" + *digest)->bytes, picture);
  EXPECT_TRUE(fetcher_.asked.empty());
  EXPECT_TRUE(testing::run_task(io_, watermarks_->check_kept(recipe_with("upload:" + *digest))));
}

TEST_F(WatermarksTest, RefuseUploadsThatAreNoPicturesOrNotThere) {
  const auto page = testing::run_task(io_, watermarks_->keep("<html></html>"));
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code, ErrorCode::kNotAnImage);
  uploads_.put_error = Error{.code = ErrorCode::kDiskFull, .message = "full", .detail = {}};
  const auto full = testing::run_task(io_, watermarks_->keep(std::string(image::tiny_pictures().front().bytes)));
  EXPECT_EQ(full.error().code, ErrorCode::kDiskFull);
  const std::string digest(64, 'a');
  const auto missing = testing::run_task(io_, watermarks_->check_kept(recipe_with("upload:" + digest)));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(error_of("upload:" + digest).code, ErrorCode::kNotFound);
  EXPECT_EQ(error_of("upload").code, ErrorCode::kInvalidArgument);
  const std::string other(64, 'b');
  uploads_.blobs[other] = "something else";
  EXPECT_EQ(error_of("upload:" + other).code, ErrorCode::kStoreFailed);
}

TEST(CheckWatermarks, SaysWhatIsWrongBeforeAJobStarts) {
  const auto policy = fetch::AddressPolicy::create({}, {});
  ASSERT_TRUE(policy);
  const auto why = [&](const std::string& image, bool file_given = false) {
    const auto result = check_watermarks(recipe_with(image), file_given, &*policy);
    return result ? std::string() : result.error().message;
  };
  EXPECT_EQ(why(std::string(kLogo)), "");
  EXPECT_EQ(why("upload", true), "");
  EXPECT_EQ(why("upload:" + std::string(64, 'a')), "");
  EXPECT_THAT(why("upload"), HasSubstr("no file came"));
  EXPECT_THAT(why(std::string(kLogo), true), HasSubstr("watermark=upload"));
  EXPECT_THAT(why("http://user:pw@h/l.png"), HasSubstr("watermark"));
  EXPECT_THAT(why("http://127.0.0.1/l.png"), HasSubstr("watermark"));
  EXPECT_TRUE(check_watermarks(recipe_with("http://127.0.0.1/l.png"), false, nullptr));
  EXPECT_TRUE(check_watermarks(image::Recipe(), false, &*policy));
}

TEST(NameUpload, PutsTheDigestIntoEveryOutput) {
  image::Recipe recipe = *image::parse_recipe("watermark=tile:upload a: b: watermark=none c: watermark=https://h/");
  EXPECT_TRUE(has_watermark(recipe));
  EXPECT_TRUE(wants_upload(recipe));
  name_upload(recipe, std::string(64, 'c'));
  EXPECT_FALSE(wants_upload(recipe));
  EXPECT_EQ(recipe.outputs[0].watermark->image, "upload:" + std::string(64, 'c'));
  EXPECT_EQ(recipe.outputs[2].watermark->image, "https://h/");
  EXPECT_FALSE(has_watermark(image::Recipe()));
}

}  // namespace
}  // namespace pixmill::pipeline
