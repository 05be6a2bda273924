#include "engine/pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <set>

#include "base/crypto.h"
#include "image/watermark.h"
#include "tests/support/run_task.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_pictures.h"

namespace pixmill::engine {
namespace {

using ::testing::HasSubstr;
using testing::make_picture;
using testing::run_task;

PoolOptions test_options(std::uint32_t engines = 1) {
  PoolOptions options;
  options.executable = PIXMILL_TEST_ENGINE;
  options.engines = engines;
  return options;
}

image::Recipe recipe(std::string_view text = "compress") { return *image::parse_recipe(text); }

using Pending = std::shared_ptr<std::optional<Result<image::Rendered>>>;

// A pool of test engines on a loop of its own.
class TestPool {
 public:
  explicit TestPool(PoolOptions options = test_options()) { start(std::move(options)); }
  void start(PoolOptions options) {
    auto created = run_task(io_, Pool::create(io_.get_executor(), std::move(options), metrics_));
    if (!created) check_failed(__FILE__, __LINE__, created.error().message.c_str());
    pool_ = std::move(*created);
  }
  Result<image::Rendered> render(const std::string& source, std::string_view text = "compress") {
    return run_task(io_, pool_->render(source, recipe(text)));
  }
  Result<image::Rendered> render(const std::string& source, std::string_view text, RenderExtras extras) {
    const image::Recipe parsed = recipe(text);
    return run_task(io_, pool_->render(source, parsed, extras));
  }
  // Starts a render that goes on while others are awaited.
  Pending begin_render(std::string source) {
    auto result = std::make_shared<std::optional<Result<image::Rendered>>>();
    asio::co_spawn(
        io_, render_owned(*pool_, std::move(source)),
        [result](const std::exception_ptr&, Result<image::Rendered> rendered) { *result = std::move(rendered); });
    io_.restart();
    io_.poll();
    return result;
  }
  // Runs the loop until `condition` holds; fails after a minute.
  template <class Condition>
  void run_until(const Condition& condition) {
    const auto wait = [](const Condition& holds) -> Task<bool> {
      const auto deadline = std::chrono::steady_clock::now() + seconds(60);
      while (!holds() && std::chrono::steady_clock::now() < deadline) co_await pause_for(milliseconds(2));
      co_return holds();
    };
    EXPECT_TRUE(run_task(io_, wait(condition)));
  }
  double restarts(const std::string& reason) {
    return metrics_
        .counter("pixmill_engine_restarts_total", "Engines that were replaced, by reason", {{"reason", reason}})
        .value();
  }

  void run_ready() {
    io_.restart();
    io_.poll();
  }
  Pool& operator*() { return *pool_; }
  Pool* operator->() { return pool_.get(); }
  void destroy() { pool_.reset(); }
  asio::io_context& io() { return io_; }
  Metrics& metrics() { return metrics_; }

 private:
  static Task<Result<image::Rendered>> render_owned(Pool& pool, std::string source) {
    co_return co_await pool.render(source, recipe());
  }
  asio::io_context io_;
  Metrics metrics_;
  std::unique_ptr<Pool> pool_;
};

ErrorCode error_code(const Result<image::Rendered>& rendered) {
  EXPECT_FALSE(rendered);
  return rendered ? ErrorCode::kInternal : rendered.error().code;
}

std::shared_ptr<const MarkFile> mark_file(std::string bytes) {
  std::string sha256 = to_hex(pixmill::sha256(bytes));
  return std::make_shared<MarkFile>(MarkFile{.bytes = std::move(bytes), .sha256 = std::move(sha256)});
}

constexpr std::string_view kMarked = "format=png watermark=https://h/a.png";

TEST(Pool, GivesWhatRenderGives) {
  TestPool pool(test_options(2));
  const std::string source = make_picture({.size = {320, 200}, .noise = true, .metadata = true});
  for (const std::string text : {"compress", "format=webp resize=100x100:cover", "format=png", "format=keep"}) {
    const auto here = image::render(source, recipe(text), {});
    const auto there = pool.render(source, text);
    ASSERT_TRUE(here);
    ASSERT_TRUE(there) << there.error().message;
    ASSERT_EQ(there->renditions.size(), 1U);
    EXPECT_EQ(there->renditions[0].bytes, here->renditions[0].bytes) << text;
    EXPECT_EQ(there->renditions[0].width_px, here->renditions[0].width_px);
    EXPECT_EQ(there->renditions[0].quality, here->renditions[0].quality);
    EXPECT_EQ(there->source.width_px, 320U);
  }
}

TEST(Pool, PassesThePicturesErrorsOn) {
  TestPool pool;
  EXPECT_EQ(error_code(pool.render("")), ErrorCode::kNotAnImage);
  EXPECT_EQ(error_code(pool.render("<html>")), ErrorCode::kNotAnImage);
  EXPECT_EQ(error_code(pool.render("%PDF-1.4")), ErrorCode::kUnsupportedFormat);
  const std::string whole = make_picture({.noise = true});
  EXPECT_EQ(error_code(pool.render(whole.substr(0, whole.size() / 2))), ErrorCode::kTruncated);
  EXPECT_TRUE(pool.render(whole));
  EXPECT_EQ(pool.restarts("crash"), 0);
}

TEST(Pool, RefusesSourcesAndOutputsAboveItsBounds) {
  PoolOptions options = test_options();
  options.source_bytes_max = 50'000;
  options.output_bytes_max = 20'000;
  TestPool pool(options);
  EXPECT_EQ(error_code(pool.render(std::string(50'001, 'x'))), ErrorCode::kTooLarge);
  const std::string source = make_picture({.size = {200, 100}, .noise = true, .quality = 50});
  ASSERT_LT(source.size(), 50'000U);
  const auto too_much = pool.render(source, "format=png");
  EXPECT_EQ(error_code(too_much), ErrorCode::kTooLarge);
  EXPECT_THAT(too_much.error().message, HasSubstr("result"));
  EXPECT_TRUE(pool.render(source, "format=jpeg quality=5"));
}

TEST(Pool, ReportsItsSandbox) {
  TestPool pool;
  EXPECT_TRUE(pool->sandbox().seccomp);
  EXPECT_TRUE(pool->sandbox().untrusted_loaders_blocked);
  EXPECT_EQ(pool->sandbox().landlock, pool->sandbox().landlock_abi > 0);
  EXPECT_EQ(pool->sandbox().problem, "");
  EXPECT_EQ(pool->engines(), 1U);
}

TEST(Pool, DoesNotStartWithoutItsExecutable) {
  PoolOptions options = test_options();
  options.executable = "/nonexistent/pixmill";
  asio::io_context io;
  Metrics metrics;
  const auto created = run_task(io, Pool::create(io.get_executor(), options, metrics));
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, ErrorCode::kInternal);
}

TEST(Pool, DoesNotStartWhenItsEnginesDoNot) {
  PoolOptions options = test_options();
  options.extra_arguments = {"--evil=dead"};
  asio::io_context io;
  Metrics metrics;
  const auto created = run_task(io, Pool::create(io.get_executor(), options, metrics));
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, ErrorCode::kInternal);
  EXPECT_THAT(created.error().message, HasSubstr("cannot go on"));
}

TEST(Pool, ServesThoseWhoWaitInTheirOrder) {
  TestPool pool;
  const std::string source = make_picture({});
  std::vector<int> order;
  const auto one = [](Pool& engines, const std::string& bytes, std::vector<int>& done, int number) -> Task<void> {
    const auto rendered = co_await engines.render(bytes, recipe());
    EXPECT_TRUE(rendered);
    done.push_back(number);
  };
  for (int i = 0; i < 20; ++i) asio::co_spawn(pool.io(), one(*pool, source, order, i), asio::detached);
  pool.run_until([&] { return order.size() == 20; });
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(Pool, RecyclesEnginesAfterTheirShareOfPictures) {
  PoolOptions options = test_options();
  options.pictures_per_engine = 3;
  TestPool pool(options);
  const double before = pool.restarts("recycled");
  const std::string source = make_picture({});
  std::set<int> pids;
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(pool.render(source));
    for (const int pid : pool->pids()) pids.insert(pid);
  }
  EXPECT_GE(pool.restarts("recycled"), before + 4);
  EXPECT_GE(pids.size(), 4U);
  EXPECT_EQ(pool.restarts("crash"), 0);
}

TEST(Pool, EndsRendersUnderWayWhenStopped) {
  TestPool pool;
  const std::string hang = "evil:hang";
  const auto working = pool.begin_render(hang);
  const auto waiting = pool.begin_render(hang);
  const auto pids = pool->pids();
  EXPECT_FALSE(pids.empty());
  pool->stop();
  for (const int pid : pids) {
    EXPECT_EQ(kill(pid, 0), -1);  // killed and reaped
    EXPECT_EQ(errno, ESRCH);
  }
  pool.run_until([&] { return working->has_value() && waiting->has_value(); });
  EXPECT_EQ(error_code(**working), ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(**waiting), ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(pool.render("x")), ErrorCode::kUnavailable);
  EXPECT_TRUE(pool->pids().empty());
}

TEST(Pool, MayBeDestroyedWhileItWorks) {
  TestPool pool;
  const auto working = pool.begin_render("evil:hang");
  pool.destroy();
  pool.run_until([&] { return working->has_value(); });
  EXPECT_EQ(error_code(**working), ErrorCode::kUnavailable);
}

TEST(Pool, TriesLessAndLessOftenWhenEnginesStopStarting) {
  const testing::TempFolder folder;
  const std::string program = folder.path() + "/engine";
  std::filesystem::create_symlink(PIXMILL_TEST_ENGINE, program);
  PoolOptions options = test_options();
  options.executable = program;
  TestPool pool(options);
  pool.run_until([&] { return pool->pids().size() == 2; });  // one still starting would outlive the program's name
  std::filesystem::remove(program);
  const auto working = pool.begin_render("evil:hang");
  for (const int pid : pool->pids()) kill(pid, SIGKILL);
  pool.run_until([&] { return working->has_value() && pool->pids().empty(); });
  EXPECT_EQ(error_code(**working), ErrorCode::kEngineCrash);
  EXPECT_EQ(error_code(pool.render("x")), ErrorCode::kUnavailable);  // after the third failure in a row
  EXPECT_LE(pool.restarts("start"), 10);
  std::filesystem::create_symlink(PIXMILL_TEST_ENGINE, program);
  pool.run_until([&] { return !pool->pids().empty(); });
  EXPECT_TRUE(pool.render(make_picture({})));
}

// P05: a dead engine is replaced.

TEST(P05, AnEngineKilledInTheMiddleOfAPictureIsReplaced) {
  TestPool pool;
  const std::string source = make_picture({});
  for (int round = 1; round <= 5; ++round) {
    pool.run_until([&] { return pool->pids().size() == 2; });  // one to work, one to spare
    const auto working = pool.begin_render("evil:hang");
    const auto waiting = pool.begin_render(source);
    // Which of the two works is not to be seen from outside, so both go, one after the other.
    for (const int pid : pool->pids()) {
      if (working->has_value()) break;
      const double before = pool.restarts("crash");
      kill(pid, SIGKILL);
      pool.run_until([&] { return pool.restarts("crash") > before; });
      EXPECT_EQ(kill(pid, 0), -1) << "not reaped";
      pool.run_ready();
    }
    pool.run_until([&] { return waiting->has_value(); });
    ASSERT_TRUE(working->has_value());
    EXPECT_EQ(error_code(**working), ErrorCode::kEngineCrash);
    EXPECT_THAT((**working).error().message, HasSubstr("signal 9"));
    EXPECT_TRUE((**waiting).has_value());
    EXPECT_GE(pool.restarts("crash"), round);
  }
}

TEST(P05, TheSpareTakesOverAtOnce) {
  TestPool pool;
  pool.run_until([&] { return pool->pids().size() == 2; });
  EXPECT_EQ(error_code(pool.render("evil:crash")), ErrorCode::kEngineCrash);
  // Only one of the two is gone, and the other one serves before a new one can have started.
  const auto rendered = pool.render(make_picture({}));
  EXPECT_TRUE(rendered);
}

// P13: a poison picture fails alone.

TEST(P13, ACrashFailsItsOwnPictureAndNoOther) {
  TestPool pool(test_options(2));
  const std::string source = make_picture({.size = {200, 200}, .noise = true});
  std::vector<Pending> neighbours;
  std::vector<Pending> poisons;
  for (int i = 0; i < 10; ++i) {
    neighbours.push_back(pool.begin_render(source));
    poisons.push_back(pool.begin_render(i % 2 == 0 ? "evil:crash" : "evil:exit"));
    neighbours.push_back(pool.begin_render(source));
  }
  pool.run_until([&] {
    const auto done = [](const auto& one) { return one->has_value(); };
    return std::all_of(neighbours.begin(), neighbours.end(), done) && std::all_of(poisons.begin(), poisons.end(), done);
  });
  for (const auto& neighbour : neighbours) EXPECT_TRUE((**neighbour).has_value());
  for (const auto& poison : poisons) EXPECT_EQ(error_code(**poison), ErrorCode::kEngineCrash);
  EXPECT_THAT((**poisons[0]).error().message, HasSubstr("this picture"));
  EXPECT_THAT((**poisons[0]).error().message, HasSubstr("signal 6"));
  EXPECT_THAT((**poisons[1]).error().message, HasSubstr("exit code 3"));
  EXPECT_EQ(pool.restarts("crash"), 10);
}

TEST(P13, AnEngineThatLiesIsBelievedNothing) {
  TestPool pool;
  for (const std::string deed : {"evil:no-picture", "evil:garbage", "evil:too-much", "evil:other-answer"}) {
    EXPECT_EQ(error_code(pool.render(deed)), ErrorCode::kEngineCrash) << deed;
    EXPECT_TRUE(pool.render(make_picture({}))) << deed;
  }
  EXPECT_EQ(pool.restarts("mismatch") + pool.restarts("crash"), 4);
}

// P30: untrusted loaders are unreachable.

TEST(P30, FilesOfUntrustedFormatsAreRefusedWhateverTheyAreCalled) {
  TestPool pool;
  using namespace std::string_literals;
  const std::string files[] = {"MATLAB 5.0 MAT-file"s,
                               "%PDF-1.4\n"s,
                               "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"s,
                               "<?xml version='1.0'?><msl><image/></msl>"s,
                               "P6\n1 1\n255\n\0\0\0"s,
                               "#?RADIANCE\n"s,
                               "\x76\x2F\x31\x01\2\0\0\0"s,
                               "SIMPLE  =                    T"s,
                               "8BPS\0\1"s};
  for (const auto& file : files) {
    EXPECT_EQ(error_code(pool.render(file)), ErrorCode::kUnsupportedFormat) << file;
    // Hidden behind a picture's first bytes they reach that picture's decoder and no other.
    EXPECT_NE(error_code(pool.render("\x89PNG\r\n\x1A\n" + file)), ErrorCode::kEngineCrash) << file;
    EXPECT_NE(error_code(pool.render("GIF89a" + file)), ErrorCode::kEngineCrash) << file;
    EXPECT_NE(error_code(pool.render("\xFF\xD8\xFF" + file)), ErrorCode::kEngineCrash) << file;
  }
}

// P32: memory is bounded, by the header where it can be.

TEST(P32, PixelFloodsAreTooLargeAndCostNoEngine) {
  TestPool pool;
  using namespace std::string_literals;
  std::string png = make_picture({.format = image::Format::kPng});
  png.replace(16, 8, "\0\0\xEA\x60\0\0\xEA\x60"s);
  std::string gif = make_picture({.format = image::Format::kGif});
  gif.replace(6, 4, "\x60\xEA\x60\xEA"s);
  EXPECT_EQ(error_code(pool.render(png)), ErrorCode::kTooLarge);
  EXPECT_EQ(error_code(pool.render(gif)), ErrorCode::kTooLarge);
  EXPECT_EQ(pool.restarts("crash"), 0);
}

#if !defined(__SANITIZE_ADDRESS__)
TEST(P32, WhatDoesNotFitAsPlanesGoesThroughPixels) {
  PoolOptions options = test_options();
  options.memory_bytes_max = 80ULL << 20;
  TestPool pool(options);
  const std::string source = make_picture({.size = {4000, 3000}, .full_chroma = true});
  // Three bytes a pixel as planes, as much again for those of the result, and its coefficients.
  for (const std::string recipe : {"quality=90 flop=true", "quality=90 resize=3600x", "quality=80 chroma=420"}) {
    EXPECT_TRUE(pool.render(source, recipe)) << recipe;
  }
}

TEST(P32, APictureThatNeedsTooMuchMemoryIsTooLargeAndCostsNoEngine) {
  PoolOptions options = test_options();
  options.memory_bytes_max = 64ULL << 20;
  TestPool pool(options);
  // 60 MB as planes and 120 MB as RGB. With partly filled blocks at its ends it cannot be turned by less.
  const std::string source = make_picture({.size = {8001, 5001}, .orientation = 6});
  EXPECT_EQ(error_code(pool.render(source)), ErrorCode::kTooLarge);
  EXPECT_TRUE(pool.render(make_picture({})));
  EXPECT_EQ(pool.restarts("crash"), 0);
}
#endif

// What the areas shared with engines hold.
std::uint64_t shared_bytes() {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (!std::filesystem::read_symlink(entry.path(), gone).string().starts_with("/memfd:")) continue;
    struct stat status {};
    if (stat(entry.path().c_str(), &status) == 0) bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  return bytes;
}

TEST(P32, WhatAnEngineFillsIsGivenBackWhateverItSays) {
  PoolOptions options = test_options();
  options.output_bytes_max = 40 << 20;
  TestPool pool(options);
  EXPECT_EQ(error_code(pool.render("evil:fill-and-fail")), ErrorCode::kTooLarge);
  EXPECT_EQ(pool.restarts("crash"), 0) << "the same engine goes on";
  EXPECT_LE(shared_bytes(), 10U << 20);
}

// P33: time is bounded.

TEST(P33, APictureThatHangsIsKilledAndTheNextOneServed) {
  PoolOptions options = test_options();
  options.picture_deadline = milliseconds(2000);  // the pictures that do not hang must keep it on a busy machine
  TestPool pool(options);
  EXPECT_EQ(error_code(pool.render("evil:spin")), ErrorCode::kEngineTimeout);
  EXPECT_TRUE(pool.render(make_picture({})));
  EXPECT_EQ(pool.restarts("timeout"), 1);
}

TEST(Pool, ShowsItsMetrics) {
  TestPool pool;
  ASSERT_TRUE(pool.render(make_picture({})));
  const std::string text = pool.metrics().expose();
  EXPECT_THAT(text, HasSubstr("pixmill_engine_restarts_total{reason=\"timeout\"} 0"));
  EXPECT_THAT(text, HasSubstr("pixmill_engine_busy 0"));
  EXPECT_THAT(text, HasSubstr("pixmill_engine_render_seconds_count"));
}

TEST(Pool, LaysWatermarksOverPictures) {
  TestPool pool;
  const std::string source = make_picture({.format = image::Format::kPng, .size = {64, 48}});
  const std::string file = make_picture({.format = image::Format::kPng, .size = {20, 10}, .noise = true});
  auto mark = image::Mark::decode(file, {});
  ASSERT_TRUE(mark);
  const auto here = image::render(source, recipe(kMarked), {}, {{"https://h/a.png", &*mark}});
  const MarkFiles files{{"https://h/a.png", mark_file(file)}};
  // Sent, and then kept by the engine.
  for (int i = 0; i < 3; ++i) {
    const auto there = pool.render(source, kMarked, {.marks = &files});
    ASSERT_TRUE(there) << there.error().message;
    EXPECT_EQ(there->renditions[0].bytes, here->renditions[0].bytes);
    EXPECT_EQ(there->renditions[0].scored, image::Scored::kNotAsked);
    EXPECT_FALSE(there->times);
  }
  EXPECT_EQ(error_code(pool.render(source, kMarked)), ErrorCode::kInvalidArgument);
}

TEST(Pool, SendsAWatermarkAgainThatAnEngineLetGo) {
  TestPool pool;
  const std::string source = make_picture({.format = image::Format::kPng, .size = {64, 48}});
  // Above what an engine keeps.
  const std::string large = make_picture({.format = image::Format::kPng, .size = {2100, 2100}});
  const MarkFiles files{{"https://h/a.png", mark_file(large)}};
  const auto first = pool.render(source, kMarked, {.marks = &files});
  ASSERT_TRUE(first) << first.error().message;
  const auto second = pool.render(source, kMarked, {.marks = &files});
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(first->renditions[0].bytes, second->renditions[0].bytes);
  EXPECT_EQ(pool.restarts("mismatch"), 0);
}

TEST(Pool, FailsThePictureWhoseWatermarkIsNone) {
  TestPool pool;
  const std::string source = make_picture({});
  const MarkFiles page{{"https://h/a.png", mark_file("<html></html>")}};
  for (int i = 0; i < 2; ++i) {
    const auto refused = pool.render(source, kMarked, {.marks = &page});
    EXPECT_EQ(error_code(refused), ErrorCode::kNotAnImage);
    EXPECT_THAT(refused.error().message, HasSubstr("the watermark cannot be used"));
  }
  const MarkFiles empty{{"https://h/a.png", mark_file("")}};
  EXPECT_EQ(error_code(pool.render(source, kMarked, {.marks = &empty})), ErrorCode::kNotAnImage);
  PoolOptions narrow = test_options();
  narrow.mark_bytes_max = 10;
  TestPool other(narrow);
  EXPECT_EQ(error_code(other.render(source, kMarked, {.marks = &page})), ErrorCode::kTooLarge);
}

TEST(Pool, RemembersWhichWatermarksAreNone) {
  TestPool pool;
  const std::string source = make_picture({});
  const auto page = mark_file("<html></html>");
  const MarkFiles files{{"https://h/a.png", page}};
  EXPECT_FALSE(pool->bad_mark(page->sha256));
  for (const std::string_view picture : {"evil:crash", "any"}) {
    const auto refused = pool.render(std::string(picture), kMarked, {.marks = &files});
    EXPECT_EQ(error_code(refused), ErrorCode::kNotAnImage) << "the mark comes before the picture";
  }
  ASSERT_TRUE(pool->bad_mark(page->sha256));
  EXPECT_EQ(pool->bad_mark(page->sha256)->message, "not a picture: it looks like an HTML page");
  EXPECT_EQ(pool.restarts("crash"), 0);
  const auto good = mark_file(make_picture({}));
  const MarkFiles good_files{{"https://h/a.png", good}};
  EXPECT_EQ(error_code(pool.render("no picture", kMarked, {.marks = &good_files})), ErrorCode::kNotAnImage);
  EXPECT_FALSE(pool->bad_mark(good->sha256)) << "the picture's fault is not the mark's";
}

TEST(P13, AWatermarkThatCrashesDoesNotCrashForEveryPicture) {
  TestPool pool(test_options(2));
  const auto evil = mark_file(make_picture({}) + "evil:crash");
  const MarkFiles files{{"https://h/a.png", evil}};
  const std::string source = make_picture({});
  for (int i = 0; i < 100; ++i) {
    const auto failed = pool.render(source, kMarked, {.marks = &files});
    EXPECT_EQ(error_code(failed), i < 1 ? ErrorCode::kEngineCrash : ErrorCode::kDecodeFailed);
    EXPECT_EQ(failed.error().message, i < 1 ? "the watermark cannot be used: the decoder crashed on it"
                                            : "the watermark cannot be used: the decoder crashes on it");
  }
  EXPECT_EQ(pool.restarts("crash"), 2);
  EXPECT_TRUE(pool->bad_mark(evil->sha256));
  EXPECT_TRUE(pool.render(source)) << "the picture alone is good";
}

TEST(P33, AWatermarkThatHangsIsRefusedAfterTheSecondTime) {
  PoolOptions options = test_options();
  options.picture_deadline = milliseconds(300);
  TestPool pool(options);
  const MarkFiles files{{"https://h/a.png", mark_file(make_picture({}) + "evil:hang")}};
  const std::string source = make_picture({});
  EXPECT_EQ(error_code(pool.render(source, kMarked, {.marks = &files})), ErrorCode::kEngineTimeout);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(error_code(pool.render(source, kMarked, {.marks = &files})), ErrorCode::kDecodeFailed);
  }
  EXPECT_EQ(pool.restarts("timeout"), 2);
}

TEST(Pool, DoesNotHoldAWatermarkGuiltyOfWhatSeveralNeedTogether) {
  PoolOptions options = test_options();
  options.limits.pixels_max = 1'000;
  TestPool pool(options);
  const std::string source = make_picture({.size = {20, 20}});
  const auto large = mark_file(make_picture({.size = {64, 48}}));
  const MarkFiles files{{"https://h/a.png", large}, {"https://h/b.png", mark_file(make_picture({.size = {9, 9}}))}};
  constexpr std::string_view kBoth = "a: format=png watermark=https://h/a.png b: format=png watermark=https://h/b.png";
  EXPECT_EQ(error_code(pool.render(source, kBoth, {.marks = &files})), ErrorCode::kTooLarge);
  EXPECT_FALSE(pool->bad_mark(large->sha256));
  EXPECT_EQ(error_code(pool.render(source, kMarked, {.marks = &files})), ErrorCode::kTooLarge);
  EXPECT_TRUE(pool->bad_mark(large->sha256));
}

TEST(Pool, ReplacesAnEngineThatWantsWatermarksForEver) {
  TestPool pool;
  const MarkFiles files{{"https://h/a.png", mark_file(make_picture({}))}};
  EXPECT_EQ(error_code(pool.render("evil:wants-marks", kMarked, {.marks = &files})), ErrorCode::kEngineCrash);
  EXPECT_EQ(error_code(pool.render("evil:wants-marks")), ErrorCode::kEngineCrash);
  EXPECT_EQ(pool.restarts("mismatch"), 2);
  EXPECT_TRUE(pool.render(make_picture({}), kMarked, {.marks = &files}));
}

TEST(Pool, MeasuresOnRequest) {
  TestPool pool;
  const std::string source = make_picture({.size = {320, 200}, .noise = true});
  const auto measured = pool.render(source, "format=webp quality=50", {.measure = image::Measure::kYes});
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_EQ(measured->renditions[0].scored, image::Scored::kYes);
  EXPECT_LT(measured->renditions[0].score, 100);
  ASSERT_TRUE(measured->times);
  EXPECT_GT(measured->times->encode.count(), 0);
  EXPECT_EQ(measured->renditions[0].bytes, pool.render(source, "format=webp quality=50")->renditions[0].bytes);
}

}  // namespace
}  // namespace pixmill::engine
