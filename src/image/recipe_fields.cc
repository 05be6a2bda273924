#include "image/recipe_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <variant>
#include <vector>

#include "base/text.h"

namespace pixmill::image {

namespace {

// ---- Values

template <class Number>
bool read_whole(std::string_view value, std::int64_t min, std::int64_t max, Number& into) {
  const auto number = parse_integer(value);
  if (!number || *number < min || *number > max) return false;
  into = static_cast<Number>(*number);
  return true;
}

template <class Number>
bool read_whole(std::string_view value, std::int64_t min, std::int64_t max, std::optional<Number>& into) {
  Number number{};
  if (!read_whole(value, min, max, number)) return false;
  into = number;
  return true;
}

bool read_decimal(std::string_view value, double min, double max, double& into) {
  const auto number = parse_decimal(value);
  if (!number || !(*number >= min && *number <= max)) return false;
  into = *number;
  return true;
}

bool read_flag(std::string_view value, bool& into) {
  if (value != "true" && value != "false") return false;
  into = value == "true";
  return true;
}

bool read_flag(std::string_view value, std::optional<bool>& into) {
  bool flag = false;
  if (!read_flag(value, flag)) return false;
  into = flag;
  return true;
}

std::string flag_text(bool flag) { return flag ? "true" : ""; }

std::string flag_text(std::optional<bool> flag) { return flag ? fmt::to_string(*flag) : ""; }

template <class Number>
std::string number_text(const std::optional<Number>& number) {
  return number ? fmt::to_string(*number) : "";
}

std::string decimal_text(double number, double default_value) {
  return number == default_value ? "" : fmt::format("{}", number);
}

// ---- Names of enumerators

template <class Value>
struct Named {
  std::string_view name;
  Value value;
};

template <class Value, std::size_t count>
bool read_name(std::string_view name, const std::array<Named<Value>, count>& names, Value& into) {
  const auto found = std::find_if(names.begin(), names.end(), [&](const auto& entry) { return entry.name == name; });
  if (found == names.end()) return false;
  into = found->value;
  return true;
}

template <class Value, std::size_t count>
std::string_view name_of(Value value, const std::array<Named<Value>, count>& names) {
  return std::find_if(names.begin(), names.end(), [&](const auto& entry) { return entry.value == value; })->name;
}

constexpr std::array kFits = {Named<Fit>{"inside", Fit::kInside}, Named<Fit>{"outside", Fit::kOutside},
                              Named<Fit>{"cover", Fit::kCover}, Named<Fit>{"contain", Fit::kContain},
                              Named<Fit>{"fill", Fit::kFill}};
constexpr std::array kGravities = {
    Named<Gravity>{"centre", Gravity::kCentre},   Named<Gravity>{"center", Gravity::kCentre},
    Named<Gravity>{"north", Gravity::kNorth},     Named<Gravity>{"northeast", Gravity::kNorthEast},
    Named<Gravity>{"east", Gravity::kEast},       Named<Gravity>{"southeast", Gravity::kSouthEast},
    Named<Gravity>{"south", Gravity::kSouth},     Named<Gravity>{"southwest", Gravity::kSouthWest},
    Named<Gravity>{"west", Gravity::kWest},       Named<Gravity>{"northwest", Gravity::kNorthWest},
    Named<Gravity>{"entropy", Gravity::kEntropy}, Named<Gravity>{"attention", Gravity::kAttention}};
constexpr std::array kMetadata = {Named<Metadata>{"strip", Metadata::kStrip},
                                  Named<Metadata>{"copyright", Metadata::kCopyright},
                                  Named<Metadata>{"keep", Metadata::kKeep}};
constexpr std::array kTables = {Named<JpegTables>{"balanced", JpegTables::kBalanced},
                                Named<JpegTables>{"standard", JpegTables::kStandard}};

constexpr std::array kChroma = {Named<Chroma>{"auto", Chroma::kAuto}, Named<Chroma>{"420", Chroma::kHalved},
                                Named<Chroma>{"444", Chroma::kFull}};

// ---- Fields with a form of their own

std::optional<std::uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

// #rgb or #rrggbb.
bool set_background(Output& output, std::string_view text) {
  if ((text.size() != 4 && text.size() != 7) || text[0] != '#') return false;
  std::array<std::uint8_t, 6> digits{};
  const bool is_short = text.size() == 4;
  for (std::size_t i = 1; i < text.size(); ++i) {
    const auto digit = hex_digit(text[i]);
    if (!digit) return false;
    if (is_short) {
      digits[2 * (i - 1)] = digits[2 * (i - 1) + 1] = *digit;
    } else {
      digits[i - 1] = *digit;
    }
  }
  const auto channel = [&](std::size_t at) { return static_cast<std::uint8_t>(digits[at] << 4 | digits[at + 1]); };
  output.background = {.red = channel(0), .green = channel(2), .blue = channel(4)};
  return true;
}

std::string background_text(const Output& output) {
  const Colour& colour = output.background;
  if (colour == Colour{}) return "";
  return fmt::format("#{:02x}{:02x}{:02x}", colour.red, colour.green, colour.blue);
}

bool set_format(Output& output, std::string_view value) {
  output.format = std::nullopt;
  if (value == "keep") return true;
  const auto format = parse_format(value);
  if (!format || *format == Format::kHeif) return false;
  output.format = format;
  return true;
}

std::string format_text(const Output& output) { return output.format ? std::string(format_name(*output.format)) : ""; }

bool set_quality(Output& output, std::string_view value) {
  EncoderQuality quality;
  if (!read_whole(value, 1, 100, quality.value)) return false;
  output.quality = quality;
  return true;
}

std::string quality_text(const Output& output) {
  if (!output.quality) return "";
  return std::visit([](const EncoderQuality& quality) { return fmt::to_string(quality.value); }, *output.quality);
}

// "400x300+10+20"
bool set_crop(Output& output, std::string_view value) {
  const std::size_t cross = value.find('x');
  const auto offsets = split(value, '+');
  if (offsets.size() != 3 || cross == std::string_view::npos || cross > offsets[0].size()) return false;
  constexpr std::int64_t kSideMax = 65'535;
  Crop crop;
  const bool good = read_whole(value.substr(0, cross), 1, kSideMax, crop.width_px) &&
                    read_whole(offsets[0].substr(cross + 1), 1, kSideMax, crop.height_px) &&
                    read_whole(offsets[1], 0, kSideMax, crop.left_px) &&
                    read_whole(offsets[2], 0, kSideMax, crop.top_px);
  if (good) output.crop = crop;
  return good;
}

std::string crop_text(const Output& output) {
  if (!output.crop) return "";
  const Crop& crop = *output.crop;
  return fmt::format("{}x{}+{}+{}", crop.width_px, crop.height_px, crop.left_px, crop.top_px);
}

bool set_trim(Output& output, std::string_view value) {
  bool wanted = false;
  if (!read_flag(value, wanted)) return read_whole(value, 1, 255, output.trim);
  output.trim = wanted ? std::optional(kDefaultTrimThreshold) : std::nullopt;
  return true;
}

bool set_rotate(Output& output, std::string_view value) {
  int degrees = 0;
  if (!read_whole(value, 0, 270, degrees) || degrees % 90 != 0) return false;
  output.rotate = degrees;
  return true;
}

// "20", or "20,0,20,0": top, right, bottom, left.
bool set_pad(Output& output, std::string_view value) {
  constexpr std::int64_t kPadMax = 10'000;
  const auto sides = split(value, ',');
  Padding pad;
  if (sides.size() == 1) {
    if (!read_whole(value, 0, kPadMax, pad.top_px)) return false;
    pad.right_px = pad.bottom_px = pad.left_px = pad.top_px;
  } else if (sides.size() != 4 || !read_whole(sides[0], 0, kPadMax, pad.top_px) ||
             !read_whole(sides[1], 0, kPadMax, pad.right_px) || !read_whole(sides[2], 0, kPadMax, pad.bottom_px) ||
             !read_whole(sides[3], 0, kPadMax, pad.left_px)) {
    return false;
  }
  output.pad = pad;
  return true;
}

std::string pad_text(const Output& output) {
  const Padding& pad = output.pad;
  if (pad == Padding{}) return "";
  const bool equal = pad.top_px == pad.right_px && pad.top_px == pad.bottom_px && pad.top_px == pad.left_px;
  if (equal) return fmt::to_string(pad.top_px);
  return fmt::format("{},{},{},{}", pad.top_px, pad.right_px, pad.bottom_px, pad.left_px);
}

// "800x600", "800x" or "x600".
bool set_box(Resize& resize, std::string_view box) {
  const std::size_t cross = box.find('x');
  if (cross == std::string_view::npos || box.size() == 1) return false;
  if (cross > 0 && !set_width(resize, box.substr(0, cross))) return false;
  return cross + 1 == box.size() || set_height(resize, box.substr(cross + 1));
}

bool set_resize(Output& output, std::string_view value) {
  const auto parts = split(value, ':');
  Resize resize;
  if (!set_box(resize, parts.front())) return false;
  bool fit_given = false;
  bool gravity_given = false;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (!fit_given && set_fit(resize, parts[i])) {
      fit_given = true;
    } else if (!gravity_given && set_gravity(resize, parts[i])) {
      gravity_given = true;
    } else if (parts[i] == "enlarge" && resize.enlarge == Enlarge::kNever) {
      resize.enlarge = Enlarge::kAllowed;
    } else {
      return false;
    }
  }
  output.resize = resize;
  return true;
}

std::string resize_text(const Output& output) {
  if (!output.resize) return "";
  const Resize& resize = *output.resize;
  std::string text;
  if (resize.width_px) text += fmt::to_string(*resize.width_px);
  text += 'x';
  if (resize.height_px) text += fmt::to_string(*resize.height_px);
  if (resize.fit != Fit::kInside) text += fmt::format(":{}", name_of(resize.fit, kFits));
  if (resize.gravity != Gravity::kCentre) text += fmt::format(":{}", name_of(resize.gravity, kGravities));
  if (resize.enlarge == Enlarge::kAllowed) text += ":enlarge";
  return text;
}

// "upload", "upload:" with a digest, or an address; whether its host may be asked is the fetcher's to say.
bool is_watermark_image(std::string_view text) {
  constexpr std::size_t kAddressMax = 2048;
  if (text == kUploadedWatermark) return true;
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.size() > kAddressMax || !is_valid_utf8(text)) return false;
  const std::string_view rest = text.substr(colon + 1);
  if (text.substr(0, colon) == kUploadedWatermark) {
    constexpr std::size_t kSha256Digits = 64;
    return rest.size() == kSha256Digits && rest.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  }
  const std::string scheme = to_lower(text.substr(0, colon));
  const bool printable = std::none_of(rest.begin(), rest.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= 0x20 || byte == 0x7F;
  });
  return (scheme == "http" || scheme == "https") && rest.starts_with("//") && rest.size() > 2 && printable;
}

// Whether `part` is one of a watermark's options; those that stand before its image.
enum class Part : std::uint8_t { kTaken, kRefused, kOther };
Part take_option(Watermark& watermark, std::string_view part, std::vector<std::string_view>& seen) {
  const std::string_view name = part.substr(0, part.find('='));
  const std::string_view value = name.size() < part.size() ? part.substr(name.size() + 1) : std::string_view();
  std::string_view option = name;
  bool good = false;
  if (name == "opacity") {
    good = set_watermark_opacity(watermark, value);
  } else if (name == "scale") {
    good = set_watermark_scale(watermark, value);
  } else if (name == "margin") {
    good = set_watermark_margin(watermark, value);
  } else if (part == "tile") {
    good = watermark.tile = true;
  } else if (Gravity any{}; read_name(part, kGravities, any)) {
    option = "gravity";
    good = set_watermark_gravity(watermark, part);
  } else {
    return Part::kOther;
  }
  const bool twice = std::find(seen.begin(), seen.end(), option) != seen.end();
  seen.push_back(option);
  return good && !twice ? Part::kTaken : Part::kRefused;
}

// "southeast:opacity=0.5:scale=0.2:margin=16:tile:https://example.com/logo.png". The image comes last, so that whatever
// stands in its address is the address.
bool set_watermark(Output& output, std::string_view value) {
  output.watermark.reset();
  if (value == "none") return true;
  Watermark watermark;
  std::vector<std::string_view> seen;
  for (std::size_t colon = value.find(':'); colon != std::string_view::npos; colon = value.find(':')) {
    const Part part = take_option(watermark, value.substr(0, colon), seen);
    if (part == Part::kRefused) return false;
    if (part == Part::kOther) break;
    value.remove_prefix(colon + 1);
  }
  if (!set_watermark_image(watermark, value)) return false;
  output.watermark = std::move(watermark);
  return true;
}

std::string watermark_text(const Output& output) {
  if (!output.watermark) return "";
  const Watermark& watermark = *output.watermark;
  std::string text;
  if (watermark.gravity != Gravity::kCentre) text += fmt::format("{}:", name_of(watermark.gravity, kGravities));
  if (watermark.opacity != 1) text += fmt::format("opacity={}:", watermark.opacity);
  if (watermark.scale) text += fmt::format("scale={}:", *watermark.scale);
  if (watermark.margin_px != 0) text += fmt::format("margin={}:", watermark.margin_px);
  if (watermark.tile) text += "tile:";
  return text + watermark.image;
}

bool set_icc(Output& output, std::string_view value) {
  if (value != "srgb" && value != "keep") return false;
  output.keep_icc = value == "keep";
  return true;
}

constexpr std::string_view kFlagAllowed = "true or false";
constexpr std::string_view kFactorAllowed = "a number from 0 to 10; 1 changes nothing";
constexpr double kFactorMax = 10;
constexpr double kShareMin = 0.01;

// clang-format off: one field a line reads as the table it is.
constexpr std::array kFields = {
    Field{"format", JsonKind::kText, "keep, jpeg, png, webp, avif, gif or tiff", set_format, format_text},
    Field{"quality", JsonKind::kNumber, "a whole number from 1 to 100", set_quality, quality_text},
    Field{"resize", JsonKind::kObject,
          "WIDTHxHEIGHT, WIDTHx or xHEIGHT in pixels, then :inside, :outside, :cover, :contain or :fill, a gravity "
          "such as :north or "
          ":attention, and :enlarge if wanted",
          set_resize, resize_text},
    Field{"background", JsonKind::kText, "a colour such as #ffffff or #fff", set_background, background_text},
    Field{"metadata", JsonKind::kText, "strip, copyright or keep",
          [](Output& o, std::string_view v) { return read_name(v, kMetadata, o.metadata); },
          [](const Output& o) {
            return o.metadata == Metadata::kStrip ? "" : std::string(name_of(o.metadata, kMetadata));
          }},
    Field{"keep_smaller", JsonKind::kFlag, kFlagAllowed,
          [](Output& o, std::string_view v) { return read_flag(v, o.keep_smaller); },
          [](const Output& o) { return flag_text(o.keep_smaller); }},
    Field{"progressive", JsonKind::kFlag, kFlagAllowed,
          [](Output& o, std::string_view v) { return read_flag(v, o.progressive); },
          [](const Output& o) { return flag_text(o.progressive); }},
    Field{"effort", JsonKind::kNumber, "a whole number from 1 to 9",
          [](Output& o, std::string_view v) { return read_whole(v, 1, 9, o.effort); },
          [](const Output& o) { return number_text(o.effort); }},
    Field{"tables", JsonKind::kText, "balanced or standard",
          [](Output& o, std::string_view v) { return read_name(v, kTables, o.tables); },
          [](const Output& o) { return o.tables == JpegTables::kBalanced ? "" : std::string("standard"); }},
    Field{"chroma", JsonKind::kTextOrNumber, "auto, 420 or 444",
          [](Output& o, std::string_view v) { return read_name(v, kChroma, o.chroma); },
          [](const Output& o) { return o.chroma == Chroma::kAuto ? "" : std::string(name_of(o.chroma, kChroma)); }},
    Field{"lossless", JsonKind::kFlag, kFlagAllowed,
          [](Output& o, std::string_view v) { return read_flag(v, o.lossless); },
          [](const Output& o) { return flag_text(o.lossless); }},
    Field{"colours", JsonKind::kNumber, "a whole number from 2 to 256",
          [](Output& o, std::string_view v) { return read_whole(v, 2, 256, o.colours); },
          [](const Output& o) { return number_text(o.colours); }},
    Field{"max_bytes", JsonKind::kNumber, "a number of bytes from 1000 to 1000000000",
          [](Output& o, std::string_view v) { return read_whole(v, 1000, 1'000'000'000, o.max_bytes); },
          [](const Output& o) { return number_text(o.max_bytes); }},
    Field{"icc", JsonKind::kText, "srgb or keep", set_icc,
          [](const Output& o) { return std::string(o.keep_icc ? "keep" : ""); }},
    Field{"crop", JsonKind::kText, "WIDTHxHEIGHT+LEFT+TOP in pixels", set_crop, crop_text},
    Field{"trim", JsonKind::kFlagOrNumber, "true, false or a threshold from 1 to 255", set_trim,
          [](const Output& o) { return number_text(o.trim); }},
    Field{"rotate", JsonKind::kNumber, "0, 90, 180 or 270", set_rotate,
          [](const Output& o) { return o.rotate == 0 ? "" : fmt::to_string(o.rotate); }},
    Field{"flip", JsonKind::kFlag, kFlagAllowed, [](Output& o, std::string_view v) { return read_flag(v, o.flip); },
          [](const Output& o) { return flag_text(o.flip); }},
    Field{"flop", JsonKind::kFlag, kFlagAllowed, [](Output& o, std::string_view v) { return read_flag(v, o.flop); },
          [](const Output& o) { return flag_text(o.flop); }},
    Field{"dpr", JsonKind::kNumber, "a number from 1 to 4",
          [](Output& o, std::string_view v) { return read_decimal(v, 1, 4, o.pixel_ratio); },
          [](const Output& o) { return decimal_text(o.pixel_ratio, 1); }},
    Field{"pad", JsonKind::kTextOrNumber, "a number of pixels up to 10000, or four of them: TOP,RIGHT,BOTTOM,LEFT",
          set_pad, pad_text},
    Field{"grayscale", JsonKind::kFlag, kFlagAllowed,
          [](Output& o, std::string_view v) { return read_flag(v, o.grayscale); },
          [](const Output& o) { return flag_text(o.grayscale); }},
    Field{"brightness", JsonKind::kNumber, kFactorAllowed,
          [](Output& o, std::string_view v) { return read_decimal(v, 0, kFactorMax, o.brightness); },
          [](const Output& o) { return decimal_text(o.brightness, 1); }},
    Field{"saturation", JsonKind::kNumber, kFactorAllowed,
          [](Output& o, std::string_view v) { return read_decimal(v, 0, kFactorMax, o.saturation); },
          [](const Output& o) { return decimal_text(o.saturation, 1); }},
    Field{"blur", JsonKind::kNumber, "a number of pixels from 0.3 to 100",
          [](Output& o, std::string_view v) { return read_decimal(v, 0.3, 100, o.blur_px); },
          [](const Output& o) { return decimal_text(o.blur_px, 0); }},
    Field{"sharpen", JsonKind::kNumber, "a number of pixels from 0.3 to 10",
          [](Output& o, std::string_view v) { return read_decimal(v, 0.3, 10, o.sharpen_px); },
          [](const Output& o) { return decimal_text(o.sharpen_px, 0); }},
    Field{"watermark", JsonKind::kTextOrObject,
          "none, or as wanted a gravity such as southeast, opacity= and scale= (0.01 to 1), margin= (pixels) and tile, "
          "then the image, an http or https address or upload: southeast:opacity=0.5:https://example.com/logo.png",
          set_watermark, watermark_text},
};
// clang-format on

}  // namespace

std::span<const Field> output_fields() { return kFields; }

Result<const Field*> find_field(std::string_view name) {
  const auto found =
      std::find_if(kFields.begin(), kFields.end(), [&](const Field& field) { return field.name == name; });
  if (found != kFields.end()) return &*found;
  std::vector<std::string_view> names;
  names.reserve(kFields.size());
  for (const auto& field : kFields) names.push_back(field.name);
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("recipe field \"{}\" is unknown; the fields are {}", shown(name), fmt::join(names, ", ")));
}

Result<void> set_field(Output& output, const Field& field, std::string_view value) {
  if (field.set(output, value)) return {};
  return refuse_field(field.name, value, field.allowed);
}

std::string shown(std::string_view value) {
  constexpr std::size_t kShownMax = 40;
  std::string text(value.substr(0, kShownMax));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
  if (!is_valid_utf8(text)) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
  }
  if (value.size() > kShownMax) text += "...";
  return text;
}

std::unexpected<Error> refuse_field(std::string_view field, std::string_view value, std::string_view allowed) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("recipe field \"{}\": \"{}\" is not allowed; use {}", field, shown(value), allowed));
}

std::unexpected<Error> refuse_duplicate_field(std::string_view field) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("recipe field \"{}\" is given twice; use it once", shown(field)));
}

Result<void> add_output(Recipe& recipe, const Output& common, std::string_view name) {
  constexpr std::size_t kNameMax = 32;
  const bool good = !name.empty() && name.size() <= kNameMax &&
                    name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string_view::npos;
  if (!good) return refuse_field("outputs", name, "names of 1 to 32 lower-case letters, digits, - and _");
  for (const auto& output : recipe.outputs) {
    if (output.name == name) return refuse_field("outputs", name, "each name once");
  }
  if (recipe.outputs.size() == kOutputsMax) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("a recipe has at most {} outputs", kOutputsMax));
  }
  recipe.outputs.push_back(common);
  recipe.outputs.back().name = name;
  return {};
}

bool set_width(Resize& resize, std::string_view value) { return read_whole(value, 1, 65'535, resize.width_px); }
bool set_height(Resize& resize, std::string_view value) { return read_whole(value, 1, 65'535, resize.height_px); }
bool set_fit(Resize& resize, std::string_view value) { return read_name(value, kFits, resize.fit); }
bool set_gravity(Resize& resize, std::string_view value) { return read_name(value, kGravities, resize.gravity); }

bool set_watermark_image(Watermark& watermark, std::string_view value) {
  if (!is_watermark_image(value)) return false;
  watermark.image = value;
  return true;
}

bool set_watermark_gravity(Watermark& watermark, std::string_view value) {
  Gravity gravity{};
  if (!read_name(value, kGravities, gravity)) return false;
  if (gravity == Gravity::kEntropy || gravity == Gravity::kAttention) return false;
  watermark.gravity = gravity;
  return true;
}

bool set_watermark_opacity(Watermark& watermark, std::string_view value) {
  return read_decimal(value, kShareMin, 1, watermark.opacity);
}

bool set_watermark_scale(Watermark& watermark, std::string_view value) {
  double scale = 0;
  if (!read_decimal(value, kShareMin, 1, scale)) return false;
  watermark.scale = scale;
  return true;
}

bool set_watermark_margin(Watermark& watermark, std::string_view value) {
  return read_whole(value, 0, 10'000, watermark.margin_px);
}

}  // namespace pixmill::image
