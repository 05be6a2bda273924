#include "api/preview.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "image/render.h"
#include "image/tiny_pictures.h"
#include "tests/support/api_server.h"

namespace pixmill::api {
namespace {

using testing::ApiServer;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using testing::RawHttpClient;
using testing::RawResponse;

struct Asked {
  std::string source;
  std::string recipe;
};

// Engines that make a "picture" of what they were given.
void pretend(ApiServer& server, std::vector<Asked>& asked, image::Rendition made = {}) {
  made.format = image::Format::kWebp;
  made.width_px = 40;
  made.height_px = 30;
  made.quality = 70;
  made.bytes = "smaller";
  server.engines.answer = [&asked, made](std::string_view source,
                                         const image::Recipe& recipe) -> Result<image::Rendered> {
    asked.push_back({.source = std::string(source), .recipe = image::canonical_text(recipe)});
    const image::Header header{.format = image::Format::kPng, .width_px = 400, .height_px = 300, .frames = 2};
    return image::Rendered{.source = header, .renditions = {made}};
  };
}

void expect_problem(const RawResponse& response, int status, std::string_view text) {
  EXPECT_EQ(response.status, status) << response.body;
  EXPECT_EQ(response.header("content-type"), "application/problem+json");
  EXPECT_THAT(response.body, HasSubstr(std::string(text)));
}

TEST(PreviewApi, GivesBackThePictureOfABody) {
  ApiServer server;
  std::vector<Asked> asked;
  pretend(server, asked);
  const auto response = server.post("/v1/preview?recipe=format%3Dwebp+quality%3D70", "", "the picture");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.body, "smaller");
  EXPECT_EQ(response.header("content-type"), "image/webp");
  EXPECT_EQ(response.header("cache-control"), "no-store");
  EXPECT_EQ(response.header("content-security-policy"), "sandbox");
  EXPECT_EQ(response.header("pixmill-source"), "format=png width=400 height=300 frames=2 bytes=11");
  EXPECT_EQ(response.header("pixmill-output"), "format=webp width=40 height=30 bytes=7 quality=70");
  EXPECT_EQ(response.header("pixmill-note"), "");
  EXPECT_THAT(response.header("server-timing"),
              MatchesRegex("receive;dur=[0-9.]+, render;dur=[0-9.]+, total;dur=[0-9.]+"));
  EXPECT_EQ(response.header("pixmill-score"), "none; reason=failed");
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].source, "the picture");
  EXPECT_EQ(asked[0].recipe, "format=webp quality=70");
}

TEST(PreviewApi, TakesAFormWithItsOwnRecipe) {
  ApiServer server;
  std::vector<Asked> asked;
  image::Rendition made;
  made.source_kept = true;
  made.first_frame = true;
  made.fitted = true;
  pretend(server, asked, made);
  const auto response = server.post_form(
      "/v1/preview",
      {{"file", "from a form", "a.png"}, {"recipe", "small: quality=40 large: quality=90"}, {"output", "large"}});
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.header("pixmill-note"), "source_kept, fitted, first_frame");
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].source, "from a form");
  EXPECT_EQ(asked[0].recipe, "quality=90");
}

TEST(PreviewApi, UsesTheDefaultRecipe) {
  ApiOptions options;
  options.default_recipe = "quality=33";
  ApiServer server(options);
  std::vector<Asked> asked;
  pretend(server, asked);
  EXPECT_EQ(server.post("/v1/preview", "", "x").status, 200);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].recipe, "quality=33");
}

TEST(PreviewApi, NamesWhatIsWrongWithTheRequest) {
  ApiServer server;
  std::vector<Asked> asked;
  pretend(server, asked);
  expect_problem(server.post("/v1/preview", "", ""), 400, "missing_file");
  expect_problem(server.post_form("/v1/preview", {{"recipe", "quality=50"}}), 400, "missing_file");
  expect_problem(server.post("/v1/preview?recipe=shiny%3Dyes", "", "x"), 400, "shiny");
  expect_problem(server.post("/v1/preview?recipe=a:+quality%3D1+b:+quality%3D2", "", "x"), 400, "a, b");
  expect_problem(server.post_form("/v1/preview", {{"file", "x", "a.png"}, {"recipe", std::string(20'000, 'x')}}), 413,
                 "too_large");
  expect_problem(server.post("/v1/preview", "Content-Type: multipart/form-data; boundary=b\r\n", "no form"), 400,
                 "invalid_argument");
  expect_problem(server.post("/v1/preview", "", std::string(kPreviewBytesMax + 1, 'x')), 413, "too_large");
  expect_problem(server.get("/v1/preview"), 405, "method");
  EXPECT_TRUE(asked.empty());
}

TEST(PreviewApi, SaysThatAPictureIsTheClientsToChange) {
  ApiServer server;
  for (const auto code : {ErrorCode::kNotAnImage, ErrorCode::kUnsupportedFormat, ErrorCode::kTruncated,
                          ErrorCode::kDecodeFailed, ErrorCode::kEngineCrash, ErrorCode::kEngineTimeout}) {
    server.engines.answer = [code](std::string_view, const image::Recipe&) { return fail(code, "said so"); };
    expect_problem(server.post("/v1/preview", "", "x"), 422, code_name(code));
  }
  server.engines.answer = nullptr;
  expect_problem(server.post("/v1/preview", "", "x"), 503, "unavailable");
}

TEST(PreviewApi, HoldsOnlySoManyPicturesAtOnce) {
  ApiServer server;
  std::vector<Asked> asked;
  pretend(server, asked);
  const std::string head = "POST /v1/preview HTTP/1.1\r\nHost: pixmill.test\r\nContent-Length: 2\r\n\r\n";
  std::vector<std::unique_ptr<RawHttpClient>> waiting;
  for (std::uint32_t i = 0; i < kPreviewsMax; ++i) {
    waiting.push_back(std::make_unique<RawHttpClient>(server.server->port()));
    waiting.back()->send(head + "x");
  }
  // Both have been taken in once a third is refused; bounded by the test's own timeout.
  RawResponse third = server.post("/v1/preview", "", "x");
  while (third.status == 200) {
    std::this_thread::yield();
    third = server.post("/v1/preview", "", "x");
  }
  expect_problem(third, 503, "unavailable");
  EXPECT_EQ(third.header("retry-after"), "5");
  for (auto& client : waiting) {
    client->send("y");
    EXPECT_EQ(client->read_response().status, 200);
  }
  EXPECT_EQ(server.post("/v1/preview", "", "x").status, 200);
}

TEST(PreviewApi, TellsTheScoreAndTheStages) {
  ApiServer server;
  image::Measure measure = image::Measure::kNo;
  server.engines.on_extras = [&](const engine::RenderExtras& extras) { measure = extras.measure; };
  image::Rendition made{.format = image::Format::kWebp, .width_px = 4, .height_px = 3, .bytes = "x"};
  server.engines.answer = [&made](std::string_view, const image::Recipe&) -> Result<image::Rendered> {
    const image::StageTimes times{.decode = std::chrono::microseconds(1500),
                                  .transform = std::chrono::microseconds(0),
                                  .encode = std::chrono::microseconds(20'000)};
    return image::Rendered{.source = {}, .renditions = {made}, .times = times};
  };
  const auto score = [&](image::Scored scored, double value = 0) {
    made.scored = scored;
    made.score = value;
    const auto response = server.post("/v1/preview", "", "the picture");
    EXPECT_THAT(response.header("server-timing"), HasSubstr("decode;dur=1.5, transform;dur=0.0, encode;dur=20.0,"));
    return response.header("pixmill-score");
  };
  EXPECT_EQ(score(image::Scored::kYes, 71.456), "71.46");
  EXPECT_EQ(measure, image::Measure::kYes);
  EXPECT_EQ(score(image::Scored::kAnimated), "none; reason=animated");
  EXPECT_EQ(score(image::Scored::kTooSmall), "none; reason=too_small");
  EXPECT_EQ(score(image::Scored::kTooLarge), "none; reason=too_large");
  EXPECT_EQ(score(image::Scored::kFailed), "none; reason=failed");
}

TEST(PreviewApi, TakesAWatermarkAsAPartOrByItsAddress) {
  ApiServer server;
  std::vector<Asked> asked;
  pretend(server, asked);
  std::vector<std::string> marks;
  server.engines.on_extras = [&](const engine::RenderExtras& extras) {
    for (const auto& [image, file] : *extras.marks) marks.push_back(image + "=" + file->bytes);
  };
  const std::string logo(image::tiny_pictures().front().bytes);
  const auto form = [&](const std::string& recipe, const std::string& file) {
    std::vector<testing::FormPart> parts = {{"file", "a picture", "a.png"}, {"recipe", recipe}};
    if (!file.empty()) parts.push_back({"watermark", file, "logo.png"});
    return server.post_form("/v1/preview", parts);
  };
  server.fetcher.answer = testing::picture_at;
  const std::string fetched = "http://h.example/l.png=" + testing::picture_at("http://h.example/l.png")->bytes;
  EXPECT_EQ(form("watermark=upload", logo).status, 200);
  EXPECT_EQ(form("watermark=http://h.example/l.png", "").status, 200);
  EXPECT_EQ(form("watermark=http://h.example/l.png", "").status, 200);
  EXPECT_THAT(marks, ::testing::ElementsAre("upload=" + logo, fetched, fetched));
  EXPECT_EQ(server.fetcher.asked.size(), 2U) << "what the address gives now";
  expect_problem(form("watermark=upload", ""), 400, "no file came");
  expect_problem(form("format=png", logo), 400, "watermark=upload");
  expect_problem(form("watermark=upload", "<html></html>"), 422, "The watermark");
  expect_problem(form("watermark=upload", ""), 400, "no file came");
  expect_problem(form("watermark=http://127.0.0.1/l.png", ""), 400, "watermark");
  expect_problem(form("watermark=upload", std::string(pipeline::kMarkFileBytesMax + 1, 'x')), 413, "above");
  const auto beside =
      server.post_form("/v1/preview", {{"file", "a picture", "a.png"},
                                       {"recipe", "watermark=upload"},
                                       {"watermark", logo, "a.png"},
                                       {.name = "watermark", .value = "more", .empty_file_name = true}});
  EXPECT_EQ(beside.status, 200) << beside.body;
  EXPECT_EQ(marks.back(), "upload=" + logo) << "an input that was left empty changes nothing";
  server.fetcher.answer = [](const auto&) { return fail(ErrorCode::kHttpPermanent, "the server says 404"); };
  expect_problem(form("watermark=http://h.example/l.png", ""), 422, "the server says 404");
  server.fetcher.answer = [](const auto&) { return fail(ErrorCode::kUnavailable, "no turn"); };
  expect_problem(form("watermark=http://h.example/l.png", ""), 503, "no turn");
}

}  // namespace
}  // namespace pixmill::api
