#include "pipeline/watermarks.h"

#include <fmt/format.h>
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
  WatermarksTest() {
    fetcher_.answer = testing::picture_at;
    start({});
  }

  void start(WatermarkOptions options) {
    watermarks_ = std::make_unique<Watermarks>(io_.get_executor(),
                                               WatermarkParts{.fetcher = fetcher_, .uploads = uploads_}, options);
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

  Result<std::string> keep(const std::string& bytes) {
    PIXMILL_TRY(auto file, mark_file(bytes));
    const std::string digest = file->sha256;
    PIXMILL_RETURN_IF_ERROR(testing::run_task(io_, watermarks_->keep(std::move(file))));
    return digest;
  }
  static std::string bytes_of(const std::string& url) { return testing::picture_at(url)->bytes; }

  // Asks without waiting for the answer.
  void ask(int& answered, std::string image = std::string(kLogo)) {
    auto question = [](Watermarks& watermarks, const std::vector<fetch::HostHeader>& headers, std::string what,
                       int& count) -> Task<void> {
      const image::Recipe recipe = recipe_with(what);
      const auto result = co_await watermarks.files_for(recipe, "1", headers, engine::MarkFiles());
      if (result) ++count;
    };
    asio::co_spawn(io_, question(*watermarks_, headers_, std::move(image), answered), [](const std::exception_ptr&) {});
  }

  asio::io_context io_;
  testing::FakeFetcher fetcher_;
  testing::MemoryBlobs uploads_;
  std::vector<fetch::HostHeader> headers_;
  std::unique_ptr<Watermarks> watermarks_;
};

TEST_F(WatermarksTest, AreFetchedOncePerJob) {
  for (int i = 0; i < 3; ++i) {
    const auto result = files();
    ASSERT_TRUE(result);
    const auto& file = *result->at(std::string(kLogo));
    EXPECT_EQ(file.bytes, bytes_of(std::string(kLogo)));
    EXPECT_EQ(file.sha256, to_hex(sha256(file.bytes)));
  }
  EXPECT_EQ(fetcher_.asked.size(), 1u);
  ASSERT_TRUE(files(std::string(kLogo), "2"));
  EXPECT_EQ(fetcher_.asked.size(), 2u) << "another job may have other headers";
  EXPECT_EQ(watermarks_->bytes_in_use(), 2 * bytes_of(std::string(kLogo)).size());
}

TEST_F(WatermarksTest, ManyWhoAskAtOnceCauseOneRequest) {
  fetcher_.takes = milliseconds(20);
  int answered = 0;
  for (int i = 0; i < 32; ++i) ask(answered);
  EXPECT_LT(io_.run(), 1'000u) << "they sleep until it is there";
  EXPECT_EQ(answered, 32);
  EXPECT_EQ(fetcher_.asked.size(), 1u);
}

TEST_F(WatermarksTest, TheNextOneTakesOverWhenTheFirstIsGone) {
  // As a coroutine ends whose item is cancelled in the middle of a fetch.
  fetcher_.takes = milliseconds(20);
  fetcher_.answer = [this](const std::string& url) -> Result<fetch::Fetched> {
    if (fetcher_.asked.size() == 1) throw boost::system::system_error(asio::error::operation_aborted);
    return testing::picture_at(url);
  };
  int answered = 0;
  for (int i = 0; i < 6; ++i) ask(answered);
  io_.run();
  EXPECT_EQ(answered, 5);
  EXPECT_EQ(fetcher_.asked.size(), 2u);
  EXPECT_EQ(watermarks_->bytes_in_use(), bytes_of(std::string(kLogo)).size());
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
  fetcher_.answer = testing::picture_at;
  EXPECT_TRUE(files());
}

TEST_F(WatermarksTest, AFailureThatMayPassCostsOthersNoAttempt) {
  start({.transient_error_for = std::chrono::minutes(1)});
  fetcher_.answer = [](const auto&) { return fail(ErrorCode::kTimeout, "too slow"); };
  EXPECT_EQ(error_of().code, ErrorCode::kTimeout) << "of who asked for it";
  for (int i = 0; i < 3; ++i) {
    const Error error = error_of();
    EXPECT_EQ(error.code, ErrorCode::kUnavailable);
    EXPECT_THAT(error.message, HasSubstr("too slow"));
    ASSERT_TRUE(error.retry_after);
    EXPECT_LE(*error.retry_after, std::chrono::minutes(1));
    EXPECT_GT(*error.retry_after, std::chrono::seconds(30));
  }
  EXPECT_EQ(fetcher_.asked.size(), 1u);
}

TEST_F(WatermarksTest, AFailureThatDoesNotPassFailsOthersInTheEnd) {
  start({.transient_error_for = milliseconds(0), .transient_errors_max = 3});
  fetcher_.answer = [](const auto&) { return fail(ErrorCode::kTimeout, "too slow"); };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(error_of().code, ErrorCode::kTimeout);
  EXPECT_EQ(fetcher_.asked.size(), 3u) << "the last one counts as long as a lasting failure";
  start({.transient_error_for = milliseconds(0), .transient_errors_max = 3});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(error_of().code, ErrorCode::kTimeout);
  fetcher_.answer = testing::picture_at;
  EXPECT_TRUE(files());
}

TEST_F(WatermarksTest, OnlyAFewWaitForAFileThatDoesNotCome) {
  start({.patience = milliseconds(0), .waiters_max = 8});
  fetcher_.on_get = [this](const std::string& url) {
    fetcher_.takes = url == kLogo ? milliseconds(300) : milliseconds(0);
  };
  int answered = 0;
  for (int i = 0; i < 40; ++i) ask(answered);
  io_.poll();
  EXPECT_EQ(error_of().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(error_of().retry_after);
  EXPECT_TRUE(files("http://h.example/other.png")) << "nobody waits for the first";
  EXPECT_EQ(answered, 0);
  io_.restart();
  io_.run();
  EXPECT_EQ(answered, 9);
  EXPECT_TRUE(files());
}

TEST_F(WatermarksTest, TheOthersLeaveAfterAMoment) {
  start({.patience = milliseconds(30), .waiters_max = 8});
  fetcher_.takes = milliseconds(300);
  int answered = 0;
  for (int i = 0; i < 40; ++i) ask(answered);
  io_.run();
  EXPECT_EQ(answered, 9);
  EXPECT_EQ(fetcher_.asked.size(), 1u);
}

TEST_F(WatermarksTest, EverybodyWaitsForAMoment) {
  start({.patience = std::chrono::minutes(1), .waiters_max = 8});
  fetcher_.takes = milliseconds(20);
  int answered = 0;
  for (int i = 0; i < 40; ++i) ask(answered);
  io_.run();
  EXPECT_EQ(answered, 40);
}

TEST_F(WatermarksTest, OnlyAFewWaitForRoom) {
  start({.bytes_max = 2 * kMarkFileBytesMax, .item_bytes_max = kMarkFileBytesMax, .room_waiters_max = 1});
  fetcher_.takes = milliseconds(20);
  int answered = 0;
  // Two are fetched, one waits.
  for (const char name : {'a', 'b', 'c'}) ask(answered, fmt::format("http://h.example/{}.png", name));
  io_.poll();
  EXPECT_EQ(error_of("http://h.example/d.png").code, ErrorCode::kUnavailable);
  io_.restart();
  io_.run();
  EXPECT_EQ(answered, 3);
  EXPECT_TRUE(files("http://h.example/d.png"));
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
  const std::uint64_t size = bytes_of("http://h.example/aaaa.png").size();
  start({.bytes_max = kMarkFileBytesMax + 2 * size - 1});  // two of them, and as much as one may have
  ASSERT_TRUE(files("http://h.example/aaaa.png"));
  ASSERT_TRUE(files("http://h.example/bbbb.png"));
  ASSERT_TRUE(files("http://h.example/aaaa.png"));
  ASSERT_TRUE(files("http://h.example/cccc.png"));
  ASSERT_TRUE(files("http://h.example/aaaa.png"));
  ASSERT_TRUE(files("http://h.example/bbbb.png"));
  EXPECT_THAT(fetcher_.asked, ElementsAre(HasSubstr("aaaa"), HasSubstr("bbbb"), HasSubstr("cccc"), HasSubstr("bbbb")));
}

TEST_F(WatermarksTest, OnlyALimitedNumberOfAddressesIsRemembered) {
  start({.files_max = 2});
  const auto used = files("http://h.example/a.png");
  ASSERT_TRUE(used);
  for (const char name : {'b', 'c', 'd'}) ASSERT_TRUE(files(fmt::format("http://h.example/{}.png", name)));
  ASSERT_TRUE(files("http://h.example/a.png"));
  EXPECT_EQ(fetcher_.asked.size(), 4u) << "what is in use is not forgotten";
  ASSERT_TRUE(files("http://h.example/b.png"));
  EXPECT_EQ(fetcher_.asked.size(), 5u);
}

TEST_F(WatermarksTest, RefuseFilesThatAreTooLarge) {
  fetcher_.answer = [](const auto&) {
    return Result<fetch::Fetched>(fetch::Fetched{.bytes = std::string(kMarkFileBytesMax + 1, 'x'), .final_url = {}});
  };
  EXPECT_EQ(error_of().code, ErrorCode::kTooLarge);
  EXPECT_EQ(check_mark_file(std::string(kMarkFileBytesMax + 1, 'x')).error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(watermarks_->bytes_in_use(), 0u);
}

TEST_F(WatermarksTest, RefuseMoreThanAPictureMayHaveTogether) {
  const std::uint64_t size = bytes_of("http://h.example/a.png").size();
  start({.item_bytes_max = 2 * size});
  const auto recipe = [](std::string_view names) {
    std::string text;
    for (const char name : names) text += fmt::format("{0}: watermark=http://h.example/{0}.png ", name);
    return *image::parse_recipe(text);
  };
  const auto ask_for = [&](std::string_view names) {
    return testing::run_task(io_, watermarks_->files_for(recipe(names), "1", headers_, engine::MarkFiles()));
  };
  EXPECT_TRUE(ask_for("ab"));
  for (int i = 0; i < 2; ++i) {
    const auto refused = ask_for("abcde");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  }
  EXPECT_EQ(fetcher_.asked.size(), 3u) << "that c is too much is known before d";
  EXPECT_EQ(watermarks_->bytes_in_use(), 3 * size) << "what was set aside for more is given back";
}

TEST_F(WatermarksTest, WhatNobodyCanUseIsNotFetchedForEveryPicture) {
  fetcher_.answer = [](const std::string& url) -> Result<fetch::Fetched> {
    return fetch::Fetched{.bytes = "<html></html>", .final_url = url};
  };
  for (int i = 0; i < 3; ++i) {
    const Error error = error_of();
    EXPECT_EQ(error.code, ErrorCode::kNotAnImage);
    EXPECT_THAT(error.message, HasSubstr("the watermark http://h.example/logo.png cannot be used: not a picture"));
  }
  EXPECT_EQ(fetcher_.asked.size(), 1u);
}

TEST_F(WatermarksTest, AHeaderThatIsCutIsFetchedOnceMore) {
  start({.permanent_error_for = std::chrono::seconds(30), .transient_error_for = milliseconds(0)});
  fetcher_.answer = [](const std::string& url) -> Result<fetch::Fetched> {
    return fetch::Fetched{.bytes = std::string("\x89PNG\r\n\x1A\n"), .final_url = url};
  };
  EXPECT_EQ(error_of().code, ErrorCode::kTruncated);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(error_of().code, ErrorCode::kDecodeFailed) << "it is like that";
  EXPECT_EQ(fetcher_.asked.size(), 2u);
}

TEST_F(WatermarksTest, AFileThatEnginesRefuseIsFetchedOnceMore) {
  const std::string image(kLogo);
  const auto first = files();
  ASSERT_TRUE(first);
  const std::string digest = first->at(image)->sha256;
  EXPECT_TRUE(watermarks_->fetch_again(image, "1", digest));
  EXPECT_TRUE(watermarks_->fetch_again(image, "1", digest)) << "of another picture that had the same";
  ASSERT_TRUE(files());
  EXPECT_EQ(fetcher_.asked.size(), 2u);
  EXPECT_FALSE(watermarks_->fetch_again(image, "1", digest)) << "it came like that twice";
  ASSERT_TRUE(files());
  EXPECT_EQ(fetcher_.asked.size(), 2u);

  fetcher_.answer = [](const std::string& url) { return testing::picture_at(url + "?mended"); };
  start({});
  ASSERT_TRUE(files());
  EXPECT_FALSE(watermarks_->fetch_again("upload:" + digest, "1", digest));
}

TEST_F(WatermarksTest, UploadsAreKeptByTheirContent) {
  const std::string picture(image::tiny_pictures().front().bytes);
  const auto digest = keep(picture);
  ASSERT_TRUE(digest) << digest.error().message;
  EXPECT_EQ(*digest, to_hex(sha256(picture)));
  EXPECT_EQ(uploads_.blobs.size(), 1u);
  EXPECT_EQ(keep(picture), *digest);
  const auto result = files("upload:" + *digest);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->at("upload:" + *digest)->bytes, picture);
  EXPECT_TRUE(fetcher_.asked.empty());
  EXPECT_TRUE(testing::run_task(io_, watermarks_->check_kept(recipe_with("upload:" + *digest))));
}

TEST_F(WatermarksTest, AnUploadEndsThatItWasNotThere) {
  const std::string picture(image::tiny_pictures().front().bytes);
  const std::string image = "upload:" + to_hex(sha256(picture));
  EXPECT_EQ(error_of(image).code, ErrorCode::kNotFound);
  ASSERT_TRUE(keep(picture));
  EXPECT_TRUE(files(image));
}

TEST_F(WatermarksTest, AnUploadMendsAStoredFileThatIsDamaged) {
  const std::string picture(image::tiny_pictures().front().bytes);
  const auto digest = keep(picture);
  ASSERT_TRUE(digest);
  uploads_.blobs[*digest].back() ^= 1;
  EXPECT_EQ(error_of("upload:" + *digest).code, ErrorCode::kStoreFailed);
  ASSERT_TRUE(keep(picture));
  EXPECT_TRUE(files("upload:" + *digest));
}

TEST_F(WatermarksTest, RefuseUploadsThatAreNoPicturesOrNotThere) {
  const auto page = keep("<html></html>");
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code, ErrorCode::kNotAnImage);
  uploads_.put_error = Error{.code = ErrorCode::kDiskFull, .message = "full", .detail = {}};
  const auto full = keep(std::string(image::tiny_pictures().front().bytes));
  EXPECT_EQ(full.error().code, ErrorCode::kDiskFull);
  const std::string digest(64, 'a');
  const auto missing = testing::run_task(io_, watermarks_->check_kept(recipe_with("upload:" + digest)));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(error_of("upload:" + digest).code, ErrorCode::kNotFound);
  EXPECT_EQ(error_of("upload").code, ErrorCode::kInvalidArgument);
  const std::string other(64, 'b');
  uploads_.blobs[other] = std::string(image::tiny_pictures().front().bytes);
  EXPECT_EQ(error_of("upload:" + other).code, ErrorCode::kStoreFailed);
}

TEST_F(WatermarksTest, NobodyWaitsForRoomOnceStopped) {
  watermarks_->stop();
  EXPECT_EQ(error_of().code, ErrorCode::kCancelled);
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
