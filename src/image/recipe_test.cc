#include "image/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace pixmill::image {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Recipe parsed(std::string_view text) {
  const auto recipe = parse_recipe(text);
  EXPECT_TRUE(recipe) << text << ": " << recipe.error().message;
  return recipe.value_or(Recipe{});
}

// The only output of a recipe.
Output only_output(std::string_view text) {
  const Recipe recipe = parsed(text);
  EXPECT_EQ(recipe.outputs.size(), 1U);
  return recipe.outputs.front();
}

std::string error_of(std::string_view text) {
  const auto recipe = parse_recipe(text);
  EXPECT_FALSE(recipe) << text;
  if (recipe) return "";
  EXPECT_EQ(recipe.error().code, ErrorCode::kInvalidArgument);
  return recipe.error().message;
}

TEST(Recipe, BothSpellingsGiveTheSame) {
  const Output compact = only_output(
      "format=webp quality=80 resize=800x600:cover:enlarge background=#102030 metadata=keep keep_smaller=false "
      "progressive=false effort=7 tables=standard chroma=444");
  const Output json = only_output(
      R"({"format":"webp","quality":80,"resize":{"width":800,"height":600,"fit":"cover","enlarge":true},
          "background":"#102030","metadata":"keep","keep_smaller":false,
          "progressive":false,"effort":7,"tables":"standard","chroma":444})");
  EXPECT_EQ(compact, json);
  EXPECT_EQ(compact.format, Format::kWebp);
  EXPECT_EQ(compact.quality, Quality(EncoderQuality{80}));
  EXPECT_EQ(compact.resize->width_px, 800U);
  EXPECT_EQ(compact.resize->fit, Fit::kCover);
  EXPECT_EQ(compact.resize->enlarge, Enlarge::kAllowed);
  EXPECT_EQ(compact.background, (Colour{0x10, 0x20, 0x30}));
  EXPECT_EQ(compact.metadata, Metadata::kKeep);
  EXPECT_EQ(compact.keep_smaller, false);
  EXPECT_EQ(compact.progressive, false);
  EXPECT_EQ(compact.effort, 7);
  EXPECT_EQ(compact.tables, JpegTables::kStandard);
  EXPECT_EQ(compact.chroma, Chroma::kFull);
}

TEST(Recipe, BuiltInNamesStandForTheirText) {
  EXPECT_EQ(canonical_text(parsed(kDefaultRecipe)), "format=jpeg quality=50");
  for (const auto& built_in : built_in_recipes()) EXPECT_EQ(parsed(built_in.name), parsed(built_in.text));
}

TEST(Recipe, LeavesOutDefaultsInItsCanonicalText) {
  EXPECT_EQ(canonical_text(Recipe{}), "format=keep");
  EXPECT_EQ(canonical_text(parsed("{}")), "format=keep");
  EXPECT_EQ(canonical_text(parsed(" metadata=strip\tresize=x600:inside\nformat=JPG background=#FFF ")),
            "format=jpeg resize=x600");
  EXPECT_EQ(canonical_text(parsed("resize=800x:enlarge:fill quality=1")), "quality=1 resize=800x:fill:enlarge");
}

// Any output that a recipe can say.
class RandomOutput {
 public:
  explicit RandomOutput(std::uint32_t seed) : random_(seed) {}

  Output make() {
    Output output;
    make_pixels(output);
    make_file(output);
    return output;
  }

  std::uint32_t upto(std::uint32_t max) { return std::uniform_int_distribution<std::uint32_t>(0, max)(random_); }

 private:
  bool coin() { return upto(1) == 1; }
  double decimal(std::uint32_t min_hundredths, std::uint32_t max_hundredths) {
    return (min_hundredths + upto(max_hundredths - min_hundredths)) / 100.0;
  }

  Resize make_resize() {
    Resize resize;
    resize.fit = static_cast<Fit>(upto(4));
    resize.gravity = static_cast<Gravity>(upto(10));
    resize.enlarge = static_cast<Enlarge>(upto(1));
    const std::uint32_t sides = 1 + upto(2);
    if ((sides & 1) != 0) resize.width_px = 1 + upto(65'534);
    if ((sides & 2) != 0) resize.height_px = 1 + upto(65'534);
    return resize;
  }

  void make_pixels(Output& output) {
    if (coin()) output.crop = Crop{upto(65'535), upto(65'535), 1 + upto(65'534), 1 + upto(65'534)};
    if (coin()) output.trim = static_cast<int>(1 + upto(254));
    output.rotate = static_cast<int>(90 * upto(3));
    output.flip = coin();
    output.flop = coin();
    if (coin()) output.resize = make_resize();
    if (coin()) output.pixel_ratio = decimal(100, 400);
    if (coin()) output.pad = {upto(10'000), upto(10'000), upto(10'000), upto(10'000)};
    if (coin()) output.pad = {7, 7, 7, 7};
    output.grayscale = coin();
    if (coin()) output.brightness = decimal(0, 1000);
    if (coin()) output.saturation = decimal(0, 1000);
    if (coin()) output.blur_px = decimal(30, 10'000);
    if (coin()) output.sharpen_px = decimal(30, 1000);
    const auto channel = [&] { return static_cast<std::uint8_t>(upto(255)); };
    if (coin()) output.background = {.red = channel(), .green = channel(), .blue = channel()};
  }

  void make_file(Output& output) {
    if (coin()) output.format = static_cast<Format>(upto(5));
    if (coin()) output.quality = EncoderQuality{static_cast<int>(1 + upto(99))};
    output.lossless = coin();
    if (coin()) output.effort = static_cast<int>(1 + upto(8));
    if (coin()) output.progressive = coin();
    output.tables = static_cast<JpegTables>(upto(1));
    output.chroma = static_cast<Chroma>(upto(2));
    if (coin()) output.colours = static_cast<int>(2 + upto(254));
    if (coin()) output.max_bytes = 1000 + upto(999'999'000);
    output.metadata = static_cast<Metadata>(upto(2));
    output.keep_icc = coin();
    if (coin()) output.keep_smaller = coin();
  }

  std::mt19937 random_;
};

TEST(Recipe, CanonicalTextParsesBackToTheSameRecipe) {
  RandomOutput random(3);
  for (int i = 0; i < 5'000; ++i) {
    Recipe recipe{.outputs = {}};
    const std::uint32_t count = 1 + random.upto(kOutputsMax - 1);
    for (std::uint32_t n = 0; n < count; ++n) {
      recipe.outputs.push_back(random.make());
      if (count > 1) recipe.outputs.back().name = std::string(31, 'n') + static_cast<char>('a' + n);
    }
    const std::string text = canonical_text(recipe);
    ASSERT_EQ(parsed(text), recipe) << text;
    ASSERT_EQ(canonical_text(parsed(text)), text);
  }
}

TEST(Recipe, WordsBeforeTheFirstOutputAreCommonToAll) {
  const Recipe recipe =
      parsed("quality=70 metadata=keep large: resize=1600x thumb: resize=256x256:cover:attention quality=60");
  ASSERT_EQ(recipe.outputs.size(), 2U);
  EXPECT_EQ(recipe.outputs[0].name, "large");
  EXPECT_EQ(recipe.outputs[0].quality, Quality(EncoderQuality{70}));
  EXPECT_EQ(recipe.outputs[1].name, "thumb");
  EXPECT_EQ(recipe.outputs[1].quality, Quality(EncoderQuality{60}));
  EXPECT_EQ(recipe.outputs[1].metadata, Metadata::kKeep);
  EXPECT_EQ(recipe.outputs[1].resize->gravity, Gravity::kAttention);
  EXPECT_EQ(
      canonical_text(recipe),
      "large: quality=70 resize=1600x metadata=keep thumb: quality=60 resize=256x256:cover:attention metadata=keep");
  EXPECT_EQ(recipe, parsed(R"({"quality":70,"metadata":"keep","outputs":[{"name":"large","resize":{"width":1600}},
      {"resize":{"width":256,"height":256,"fit":"cover","gravity":"attention"},"quality":60,"name":"thumb"}]})"));
}

TEST(Recipe, RefusesOutputsThatCannotBe) {
  EXPECT_THAT(error_of("a: quality=5 a: quality=6"), AllOf(HasSubstr("outputs"), HasSubstr("once")));
  EXPECT_THAT(error_of("Large: quality=5"), HasSubstr("lower-case"));
  EXPECT_THAT(error_of(": quality=5"), HasSubstr("lower-case"));
  EXPECT_THAT(error_of(std::string(33, 'a') + ":"), HasSubstr("1 to 32"));
  EXPECT_THAT(error_of("a/b: quality=5"), HasSubstr("lower-case"));
  std::string many;
  for (std::size_t i = 0; i <= kOutputsMax; ++i) many += "n" + std::to_string(i) + ": quality=5 ";
  EXPECT_THAT(error_of(many), HasSubstr("at most 16 outputs"));
  EXPECT_THAT(error_of(R"({"outputs":[]})"), HasSubstr("each with a name"));
  EXPECT_THAT(error_of(R"({"outputs":{"name":"a"}})"), HasSubstr("each with a name"));
  EXPECT_THAT(error_of(R"({"outputs":[{"quality":5}]})"), HasSubstr("each with a name"));
  EXPECT_THAT(error_of(R"({"outputs":[{"name":5}]})"), HasSubstr("each with a name"));
  EXPECT_THAT(error_of(R"({"outputs":[{"name":"a","outputs":[]}]})"), HasSubstr("unknown"));
}

TEST(Recipe, RefusesValuesOutOfRange) {
  for (const std::string text : {"crop=10x10",     "crop=0x5+1+1",   "crop=5x5+-1+1",  "crop=x5+1+1",
                                 "trim=0",         "trim=256",       "trim=yes",       "rotate=45",
                                 "rotate=360",     "flip=1",         "dpr=0.5",        "dpr=5",
                                 "pad=-1",         "pad=1,2",        "pad=1,2,3,x",    "pad=10001",
                                 "brightness=-1",  "brightness=nan", "brightness=inf", "saturation=11",
                                 "blur=0.1",       "blur=101",       "sharpen=11",     "colours=1",
                                 "colours=257",    "max_bytes=999",  "max_bytes=1e9",  "icc=drop",
                                 "lossless=maybe", "metadata=all",   "grayscale=grey", "resize=5x5:cover:north:south",
                                 "resize=5x5:up"}) {
    EXPECT_THAT(error_of(text), AllOf(HasSubstr("is not allowed; use"), HasSubstr(text.substr(0, text.find('=')))))
        << text;
  }
}

TEST(Recipe, ErrorsNameFieldValueAndWhatIsAllowed) {
  EXPECT_THAT(error_of("quality=0"), AllOf(HasSubstr("quality"), HasSubstr("\"0\""), HasSubstr("1 to 100")));
  EXPECT_THAT(error_of("quality=101"), HasSubstr("1 to 100"));
  EXPECT_THAT(error_of("quality=8.5"), HasSubstr("whole number"));
  EXPECT_THAT(error_of("format=heif"),
              AllOf(HasSubstr("\"heif\""), HasSubstr("keep, jpeg, png, webp, avif, gif or tiff")));
  EXPECT_THAT(error_of("background=red"), HasSubstr("#ffffff"));
  EXPECT_THAT(error_of("background=#12345g"), HasSubstr("#12345g"));
  EXPECT_THAT(error_of("metadata=some"), HasSubstr("strip, copyright or keep"));
  EXPECT_THAT(error_of("keep_smaller=1"), HasSubstr("true or false"));
  EXPECT_THAT(error_of("progressive=yes"), AllOf(HasSubstr("progressive"), HasSubstr("true or false")));
  EXPECT_THAT(error_of("effort=0"), AllOf(HasSubstr("effort"), HasSubstr("1 to 9")));
  EXPECT_THAT(error_of("effort=10"), HasSubstr("1 to 9"));
  EXPECT_THAT(error_of("tables=mine"), HasSubstr("balanced or standard"));
  EXPECT_THAT(error_of("chroma=422"), HasSubstr("auto, 420 or 444"));
  EXPECT_THAT(error_of("qualty=5"), AllOf(HasSubstr("qualty"), HasSubstr("unknown"), HasSubstr("keep_smaller")));
  EXPECT_THAT(error_of("quality=5 quality=6"), HasSubstr("twice"));
  EXPECT_THAT(error_of("fast"), AllOf(HasSubstr("\"fast\""), HasSubstr("compress")));
  EXPECT_THAT(error_of("compress quality=5"), HasSubstr("compress"));
}

TEST(Recipe, RefusesMalformedSizes) {
  for (const std::string text : {"x", "800", "0x5", "5x0", "65536x1", "-5x5", "5x5:middle", "5x5:cover:cover",
                                 "5x5:cover:fill", "5x5:enlarge:enlarge", "5x5:", "5x5x5", ""}) {
    EXPECT_THAT(error_of("resize=" + text), HasSubstr("resize")) << text;
  }
}

TEST(Recipe, RefusesJsonOfWrongTypesAndShapes) {
  EXPECT_THAT(error_of("{"), HasSubstr("JSON"));
  EXPECT_THAT(error_of(R"({"quality":"80"})"), AllOf(HasSubstr("quality"), HasSubstr("whole number")));
  EXPECT_THAT(error_of(R"({"quality":80.5})"), HasSubstr("whole number"));
  EXPECT_THAT(error_of(R"({"quality":99999999999999999999})"), HasSubstr("whole number"));
  EXPECT_THAT(error_of(R"({"format":7})"), HasSubstr("format"));
  EXPECT_THAT(error_of(R"({"background":null})"), HasSubstr("background"));
  EXPECT_THAT(error_of(R"({"metadata":true})"), HasSubstr("metadata"));
  EXPECT_THAT(error_of(R"({"keep_smaller":"true"})"), HasSubstr("keep_smaller"));
  EXPECT_THAT(error_of(R"({"progressive":"true"})"), HasSubstr("true or false"));
  EXPECT_THAT(error_of(R"({"effort":"4"})"), HasSubstr("1 to 9"));
  EXPECT_THAT(error_of(R"({"tables":false})"), HasSubstr("balanced or standard"));
  EXPECT_THAT(error_of(R"({"resize":"800x600"})"), HasSubstr("an object"));
  EXPECT_THAT(error_of(R"({"resize":{}})"), HasSubstr("a width, a height or both"));
  EXPECT_THAT(error_of(R"({"resize":{"width":0}})"), HasSubstr("resize.width"));
  EXPECT_THAT(error_of(R"({"resize":{"height":"5"}})"), HasSubstr("resize.height"));
  EXPECT_THAT(error_of(R"({"resize":{"width":5,"fit":"middle"}})"), HasSubstr("resize.fit"));
  EXPECT_THAT(error_of(R"({"resize":{"width":5,"enlarge":1}})"), HasSubstr("resize.enlarge"));
  EXPECT_THAT(error_of(R"({"resize":{"width":5,"depth":1}})"), HasSubstr("resize.depth"));
  EXPECT_THAT(error_of(R"({"colour":"#fff"})"), HasSubstr("unknown"));
  EXPECT_THAT(error_of(R"({"quality":5,"quality":5})"), HasSubstr("twice"));
  EXPECT_THAT(error_of(R"({"resize":{"width":5,"\u0077idth":6}})"), HasSubstr("twice"));
}

TEST(Recipe, WatermarkHasBothSpellingsAndOneText) {
  const std::string text =
      "watermark=southeast:opacity=0.5:scale=0.2:margin=16:tile:https://example.com:8443/a,b:c=d/logo.png?x=1:tile";
  const Output compact = only_output(text);
  ASSERT_TRUE(compact.watermark);
  EXPECT_EQ(*compact.watermark, (Watermark{.image = "https://example.com:8443/a,b:c=d/logo.png?x=1:tile",
                                           .gravity = Gravity::kSouthEast,
                                           .opacity = 0.5,
                                           .scale = 0.2,
                                           .margin_px = 16,
                                           .tile = true}));
  EXPECT_EQ(compact, only_output(R"({"watermark":{"image":"https://example.com:8443/a,b:c=d/logo.png?x=1:tile",
      "gravity":"southeast","opacity":0.5,"scale":0.2,"margin":16,"tile":true}})"));
  EXPECT_EQ(compact, only_output("{\"watermark\":\"" + text.substr(text.find('=') + 1) + "\"}"));
  EXPECT_EQ(canonical_text(parsed(text)), text);
  EXPECT_EQ(canonical_text(parsed("watermark=tile:margin=0:centre:opacity=1:upload")), "watermark=tile:upload");
  const std::string stored = "watermark=upload:" + std::string(64, 'a');
  EXPECT_EQ(canonical_text(parsed(stored)), stored);
  EXPECT_EQ(canonical_text(parsed("watermark=none")), "format=keep");
  EXPECT_EQ(canonical_text(parsed(R"({"watermark":{"image":"HTTP://h/"}})")), "watermark=HTTP://h/");
}

TEST(Recipe, RefusesWatermarksThatAreNone) {
  for (const std::string value : {"",
                                  "logo.png",
                                  "file:///etc/passwd",
                                  "ftp://h/a.png",
                                  "https:",
                                  "https://",
                                  "https:/h/a.png",
                                  "upload:",
                                  "upload:abc",
                                  "southeast",
                                  "southeast:",
                                  "opacity=2:upload",
                                  "opacity=0:upload",
                                  "opacity=:upload",
                                  "scale=1.5:upload",
                                  "margin=-1:upload",
                                  "margin=10001:upload",
                                  "tile:tile:upload",
                                  "north:south:upload",
                                  "opacity=1:opacity=1:upload",
                                  "attention:upload",
                                  "entropy:upload",
                                  "https://h/\x7F",
                                  "https://h/\xFF"}) {
    EXPECT_THAT(error_of("watermark=" + value), AllOf(HasSubstr("\"watermark\""), HasSubstr("an http or https")))
        << value;
  }
  EXPECT_THAT(error_of(R"({"watermark":{"image":"https://h/a b.png"}})"), HasSubstr("watermark.image"));
  EXPECT_THAT(error_of(R"({"watermark":{"opacity":0.5}})"), HasSubstr("watermark.image"));
  EXPECT_THAT(error_of(R"({"watermark":{"image":"upload","gravity":"entropy"}})"), HasSubstr("watermark.gravity"));
  EXPECT_THAT(error_of(R"({"watermark":{"image":"upload","opacity":"0.5"}})"), HasSubstr("0.01 to 1"));
  EXPECT_THAT(error_of(R"({"watermark":{"image":"upload","scale":2}})"), HasSubstr("watermark.scale"));
  EXPECT_THAT(error_of(R"({"watermark":{"image":"upload","margin":1.5}})"), HasSubstr("watermark.margin"));
  EXPECT_THAT(error_of(R"({"watermark":{"image":"upload","tile":1}})"), HasSubstr("true or false"));
  EXPECT_THAT(error_of(R"({"watermark":{"image":"upload","x":1}})"),
              AllOf(HasSubstr("watermark.x"), HasSubstr("image, gravity, opacity")));
  EXPECT_THAT(error_of(R"({"watermark":5})"), HasSubstr("watermark"));
  EXPECT_THAT(error_of("watermark=https://h/" + std::string(2048, 'a')), HasSubstr("an http or https"));
}

TEST(Recipe, RefusesWhatIsTooLongOnceWrittenOut) {
  // Each of the outputs has the address of all.
  std::string text = "watermark=https://h/" + std::string(2000, 'a');
  for (int i = 0; i < 3; ++i) text += " o" + std::to_string(i) + ":";
  EXPECT_TRUE(parse_recipe(text));
  for (int i = 3; i < 6; ++i) text += " o" + std::to_string(i) + ":";
  EXPECT_THAT(error_of(text), HasSubstr("written out"));
}

TEST(Recipe, RefusesWhatIsEmptyOrTooLong) {
  EXPECT_THAT(error_of(""), HasSubstr("empty"));
  EXPECT_THAT(error_of(" \n"), HasSubstr("empty"));
  EXPECT_THAT(error_of(std::string(9000, 'a')), HasSubstr("8192"));
}

TEST(Recipe, ShowsHostileValuesSafely) {
  const std::string message = error_of("format=\x01\xFF" + std::string(200, 'z'));
  EXPECT_LT(message.size(), 150U);
  EXPECT_EQ(message.find('\x01'), std::string::npos);
  EXPECT_EQ(message.find('\xFF'), std::string::npos);
}

}  // namespace
}  // namespace pixmill::image
