#include "app/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixmill::app {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ProgressView sample() {
  ProgressView view;
  view.job_name = "products";
  view.total = 998'871;
  view.done = 620'144;
  view.failed = 312;
  view.bytes_in = 312'400'000'000;
  view.bytes_out = 115'300'000'000;
  view.images_per_second = 312;
  view.eta_seconds = 1'214;
  view.failures = {{.code = "http_404", .count = 201, .example = {}},
                   {.code = "timeout", .count = 88, .example = {}},
                   {.code = "truncated", .count = 20, .example = {}},
                   {.code = "dns", .count = 3, .example = {}}};
  return view;
}

TEST(Progress, BarSaysWhatMatters) {
  const auto text = render_bar(sample(), 200, false);
  EXPECT_THAT(text, HasSubstr(" 62 %"));
  EXPECT_THAT(text, HasSubstr("620,144 / 998,871"));
  EXPECT_THAT(text, HasSubstr("312 img/s   ETA 20:14"));
  EXPECT_THAT(text, HasSubstr("saved 63.1 %  312.4 GB → 115.3 GB"));
  EXPECT_THAT(text, HasSubstr("failed 312 (http_404 201, timeout 88, truncated 20, +1 more)"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(render_bar(sample(), 200, true), HasSubstr("\x1b["));
}

TEST(Progress, BarNeverBreaksTheLine) {
  for (std::size_t columns = 1; columns < 120; ++columns) {
    const auto text = render_bar(sample(), columns, false);
    std::size_t width = 0;
    for (const char c : text) {
      if (c == '\n') width = 0;
      if (c != '\n' && (static_cast<unsigned char>(c) & 0xc0) != 0x80) ++width;
      ASSERT_LE(width, columns);
    }
  }
}

TEST(Progress, EmptyJobDividesByNothing) {
  const ProgressView view;
  EXPECT_THAT(render_bar(view, 80, false), HasSubstr("0 % "));
  EXPECT_THAT(render_plain(view), HasSubstr("0 %  0 / 0"));
}

TEST(Progress, HostLimitIsSaid) {
  auto view = sample();
  view.limited_by = "http://cdn.example (16 at once, 240 waiting)";
  EXPECT_THAT(render_plain(view), HasSubstr("held back by the limit of http://cdn.example"));
  EXPECT_THAT(render_json(view), HasSubstr("\"limited_by\":\"http://cdn.example (16 at once, 240 waiting)\""));
}

TEST(Progress, UnchangedPicturesAreCounted) {
  auto view = sample();
  EXPECT_THAT(render_plain(view), Not(HasSubstr("unchanged")));
  view.unchanged = 12'345;
  EXPECT_THAT(render_plain(view), HasSubstr("unchanged 12,345"));
  EXPECT_THAT(render_json(view), HasSubstr("\"unchanged\":12345"));
  jobs::Job job;
  job.succeeded = 1'000;
  job.changed = 12;
  job.unchanged = 985;
  job.gone = 4;
  EXPECT_EQ(since_text(job), "3 new, 12 changed, 985 unchanged, 4 gone");
}

TEST(Progress, TroubleIsSaid) {
  auto view = sample();
  view.trouble = Error{.code = ErrorCode::kDiskFull, .message = "only 3 kB are free", .detail = {}};
  EXPECT_THAT(render_plain(view), HasSubstr("waiting: disk_full (only 3 kB are free)"));
  EXPECT_THAT(render_bar(view, 200, false), HasSubstr("waiting: disk_full"));
  EXPECT_THAT(render_json(view), HasSubstr(R"("trouble":{"code":"disk_full","message":"only 3 kB are free"})"));
  EXPECT_THAT(render_json(sample()), HasSubstr(R"("trouble":null)"));
}

TEST(Progress, GrowthIsNotCalledSaving) { EXPECT_EQ(savings_text(100, 150), "grew 50.0 %  100 B → 150 B"); }

TEST(RateMeter, MeasuresTheLastSeconds) {
  RateMeter meter;
  const RateMeter::Instant start{};
  EXPECT_EQ(meter.per_second(), 0);
  EXPECT_FALSE(meter.eta_seconds(100).has_value());
  for (int second = 0; second <= 60; ++second) {
    // 10 a second for the first half, then 40.
    const std::uint64_t done = second <= 30 ? 10ULL * second : 300 + 40ULL * (second - 30);
    meter.add(start + std::chrono::seconds(second), done);
  }
  EXPECT_NEAR(meter.per_second(), 40, 0.5);
  EXPECT_EQ(meter.eta_seconds(400), 10);
}

TEST(RateMeter, ResumedJobDoesNotCountWhatWasDoneBefore) {
  RateMeter meter;
  meter.add(RateMeter::Instant{}, 1'000'000);
  EXPECT_EQ(meter.per_second(), 0);
}

TEST(ProgressMode, KnowsItsNames) {
  EXPECT_EQ(parse_progress_mode("json"), ProgressMode::kJson);
  EXPECT_FALSE(parse_progress_mode("fancy").has_value());
}

}  // namespace
}  // namespace pixmill::app
