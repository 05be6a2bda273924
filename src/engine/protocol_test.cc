#include "engine/protocol.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace pixmill::engine {
namespace {

constexpr std::uint64_t kAreaBytes = 1'000'000;

RenderRequest some_request() {
  return {.recipe = "format=jpeg quality=50",
          .limits = {.pixels_max = 123'456'789'012, .avif_pixels_max = 7},
          .source_bytes = 330'000,
          .marks = {std::string(64, 'a'), std::string(64, '0')},
          .measure = image::Measure::kYes};
}

MarkRequest some_mark() {
  return {.sha256 = std::string(64, 'b'), .limits = {.pixels_max = 5, .avif_pixels_max = 6}, .bytes = 70'000};
}

RenderedAnswer some_rendered() {
  return {.source = {.format = image::Format::kGif, .width_px = 640, .height_px = 480, .frames = 12},
          .renditions = {{.format = image::Format::kWebp,
                          .width_px = 320,
                          .height_px = 240,
                          .quality = 80,
                          .source_kept = true,
                          .first_frame = true,
                          .fitted = true,
                          .bytes = 400'000,
                          .scored = image::Scored::kYes,
                          .score = -12.25},
                         {.format = image::Format::kPng,
                          .width_px = 1,
                          .height_px = 2,
                          .bytes = 600'000,
                          .scored = image::Scored::kTooSmall}},
          .times = image::StageTimes{.decode = std::chrono::microseconds(1),
                                     .transform = std::chrono::microseconds(0),
                                     .encode = std::chrono::microseconds(20'000'000)}};
}

std::vector<Answer> all_answers() {
  return {
      ReadyAnswer{.seccomp = true, .landlock_abi = 7},
      some_rendered(),
      FailedAnswer{Error{.code = ErrorCode::kTruncated, .message = "it ends", .detail = "libpng says so"}},
      ProbedAnswer{.attempts = {{.thread = "main", .name = "open", .errno_value = 1}}, .unexpected_loaders = {"Svg"}},
      MarksWantedAnswer{},
      MarkKeptAnswer{}};
}

TEST(Protocol, RequestsArriveAsTheyWereSent) {
  const auto request = decode_request(encode(Request(some_request())), kAreaBytes);
  ASSERT_TRUE(request);
  const auto& render = std::get<RenderRequest>(*request);
  EXPECT_EQ(render.recipe, "format=jpeg quality=50");
  EXPECT_EQ(render.limits.pixels_max, 123'456'789'012U);
  EXPECT_EQ(render.limits.avif_pixels_max, 7U);
  EXPECT_EQ(render.source_bytes, 330'000U);
  EXPECT_EQ(render.marks, some_request().marks);
  EXPECT_EQ(render.measure, image::Measure::kYes);
  const auto mark_request = decode_request(encode(Request(some_mark())), kAreaBytes);
  ASSERT_TRUE(mark_request);
  const auto& mark = std::get<MarkRequest>(*mark_request);
  EXPECT_EQ(mark.sha256, std::string(64, 'b'));
  EXPECT_EQ(mark.limits.pixels_max, 5U);
  EXPECT_EQ(mark.limits.avif_pixels_max, 6U);
  EXPECT_EQ(mark.bytes, 70'000U);
  const auto probe = decode_request(encode(Request(ProbeRequest{})), kAreaBytes);
  EXPECT_TRUE(probe && std::holds_alternative<ProbeRequest>(*probe));
}

TEST(Protocol, AnswersArriveAsTheyWereSent) {
  for (const auto& answer : all_answers()) {
    const std::string packet = encode(answer);
    const auto decoded = decode_answer(packet, kAreaBytes);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->index(), answer.index());
    EXPECT_EQ(encode(*decoded), packet);
  }
  const auto decoded = decode_answer(encode(Answer(some_rendered())), kAreaBytes);
  const auto& rendered = std::get<RenderedAnswer>(*decoded);
  EXPECT_EQ(rendered.source.frames, 12U);
  ASSERT_EQ(rendered.renditions.size(), 2U);
  EXPECT_EQ(rendered.renditions[0].bytes, 400'000U);
  EXPECT_TRUE(rendered.renditions[0].first_frame);
  EXPECT_TRUE(rendered.renditions[0].fitted);
  EXPECT_EQ(rendered.renditions[1].format, image::Format::kPng);
  EXPECT_EQ(rendered.renditions[0].score, -12.25);
  EXPECT_EQ(rendered.renditions[1].scored, image::Scored::kTooSmall);
  EXPECT_EQ(rendered.times, some_rendered().times);
}

TEST(Protocol, CarriesTheLongestRecipe) {
  RenderRequest request = some_request();
  request.recipe = std::string(image::kRecipeBytesMax, 'x');
  const auto decoded = decode_request(encode(Request(request)), kAreaBytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::get<RenderRequest>(*decoded).recipe, request.recipe);
}

TEST(Protocol, RefusesMarksThatAreNone) {
  const auto refused = [](auto request, auto&& change) {
    change(request);
    return !decode_request(encode(Request(request)), kAreaBytes);
  };
  EXPECT_FALSE(refused(some_request(), [](RenderRequest&) {}));
  EXPECT_TRUE(refused(some_request(), [](RenderRequest& r) { r.marks[0] = std::string(63, 'a'); }));
  EXPECT_TRUE(refused(some_request(), [](RenderRequest& r) { r.marks[0] = std::string(64, 'A'); }));
  EXPECT_TRUE(refused(some_request(), [](RenderRequest& r) { r.marks.resize(kMarksMax + 1, r.marks[0]); }));
  EXPECT_FALSE(refused(some_mark(), [](MarkRequest&) {}));
  EXPECT_TRUE(refused(some_mark(), [](MarkRequest& m) { m.sha256 = std::string(64, 'g'); }));
  EXPECT_TRUE(refused(some_mark(), [](MarkRequest& m) { m.bytes = kAreaBytes + 1; }));
  EXPECT_TRUE(refused(some_mark(), [](MarkRequest& m) { m.bytes = 0; }));
}

TEST(Protocol, RefusesScoresAndTimesThatMakeNoSense) {
  const auto refused = [](auto&& change) {
    RenderedAnswer answer = some_rendered();
    change(answer);
    return !decode_answer(encode(Answer(answer)), kAreaBytes);
  };
  EXPECT_FALSE(refused([](RenderedAnswer&) {}));
  EXPECT_TRUE(refused([](RenderedAnswer& a) { a.renditions[0].score = std::numeric_limits<double>::quiet_NaN(); }));
  EXPECT_TRUE(refused([](RenderedAnswer& a) { a.renditions[0].score = std::numeric_limits<double>::infinity(); }));
  EXPECT_TRUE(refused([](RenderedAnswer& a) { a.renditions[1].scored = static_cast<image::Scored>(6); }));
  EXPECT_TRUE(refused([](RenderedAnswer& a) { a.times->decode = std::chrono::hours(25); }));
}

TEST(Protocol, RefusesWhatDoesNotFitIntoTheAreas) {
  EXPECT_TRUE(decode_request(encode(Request(some_request())), 330'000));
  EXPECT_FALSE(decode_request(encode(Request(some_request())), 329'999));
  EXPECT_TRUE(decode_answer(encode(Answer(some_rendered())), 1'000'000));
  EXPECT_FALSE(decode_answer(encode(Answer(some_rendered())), 999'999));
  RenderedAnswer overflowing = some_rendered();
  overflowing.renditions[1].bytes = ~std::uint64_t{0} - 399'999;  // the sum wraps to zero
  EXPECT_FALSE(decode_answer(encode(Answer(overflowing)), kAreaBytes));
}

TEST(Protocol, RefusesNoneAndTooManyRenditions) {
  RenderedAnswer none = some_rendered();
  none.renditions.clear();
  EXPECT_FALSE(decode_answer(encode(Answer(none)), kAreaBytes));
  RenderedAnswer many;
  many.renditions.resize(kRenditionsMax + 1);
  EXPECT_FALSE(decode_answer(encode(Answer(many)), kAreaBytes));
}

TEST(Protocol, RefusesErrorsThatAreNotAnEnginesToReport) {
  EXPECT_FALSE(decode_answer(
      encode(Answer(FailedAnswer{Error{.code = ErrorCode::kDiskFull, .message = {}, .detail = {}}})), kAreaBytes));
  EXPECT_FALSE(decode_answer(
      encode(Answer(FailedAnswer{Error{.code = static_cast<ErrorCode>(200), .message = {}, .detail = {}}})),
      kAreaBytes));
}

TEST(Protocol, MakesMessagesFitToBeShown) {
  Error error{
      .code = ErrorCode::kDecodeFailed, .message = "a\x01\xFF" + std::string(10'000, 'b'), .detail = "\n\t\x7F"};
  const auto decoded = decode_answer(encode(Answer(FailedAnswer{error})), kAreaBytes);
  ASSERT_TRUE(decoded);
  const auto& failed = std::get<FailedAnswer>(*decoded);
  EXPECT_EQ(failed.error.message.substr(0, 4), "a??b");
  EXPECT_EQ(failed.error.detail, "???");
  EXPECT_LT(failed.error.message.size(), 1000U);
}

TEST(Protocol, RefusesEveryPartOfAPacketAndEveryLongerOne) {
  std::vector<std::string> packets = {encode(Request(some_request())), encode(Request(some_mark())),
                                      encode(Request(ProbeRequest{}))};
  for (const auto& answer : all_answers()) packets.push_back(encode(answer));
  for (const auto& packet : packets) {
    for (std::size_t size = 0; size < packet.size(); ++size) {
      const std::string part(packet.data(), size);
      EXPECT_FALSE(decode_request(part, kAreaBytes));
      EXPECT_FALSE(decode_answer(part, kAreaBytes));
    }
    EXPECT_FALSE(decode_request(packet + '\0', kAreaBytes));
    EXPECT_FALSE(decode_answer(packet + '\0', kAreaBytes));
  }
}

TEST(Protocol, SurvivesAnyDamage) {
  std::mt19937 random(5);
  for (const auto& answer : all_answers()) {
    const std::string packet = encode(answer);
    for (int round = 0; round < 5'000; ++round) {
      std::string damaged = packet;
      for (int i = 0; i < 3; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
      const auto decoded = decode_answer(damaged, kAreaBytes);
      if (!decoded || !std::holds_alternative<RenderedAnswer>(*decoded)) continue;
      std::uint64_t sum = 0;
      for (const auto& head : std::get<RenderedAnswer>(*decoded).renditions) sum += head.bytes;
      ASSERT_LE(sum, kAreaBytes);
    }
  }
}

}  // namespace
}  // namespace pixmill::engine
