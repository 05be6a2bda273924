#include "image/recipe_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"

namespace pixmill::image {

namespace {

constexpr std::int64_t kSideMaxPx = 65'535;

struct FitName {
  std::string_view name;
  Fit fit;
};
constexpr std::array kFits = {FitName{"inside", Fit::kInside}, FitName{"cover", Fit::kCover},
                              FitName{"contain", Fit::kContain}, FitName{"fill", Fit::kFill}};

std::optional<std::uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

// #rgb or #rrggbb.
std::optional<Colour> parse_colour(std::string_view text) {
  if ((text.size() != 4 && text.size() != 7) || text[0] != '#') return std::nullopt;
  std::array<std::uint8_t, 6> digits{};
  const bool is_short = text.size() == 4;
  for (std::size_t i = 1; i < text.size(); ++i) {
    const auto digit = hex_digit(text[i]);
    if (!digit) return std::nullopt;
    if (is_short) {
      digits[2 * (i - 1)] = digits[2 * (i - 1) + 1] = *digit;
    } else {
      digits[i - 1] = *digit;
    }
  }
  const auto channel = [&](std::size_t at) { return static_cast<std::uint8_t>(digits[at] << 4 | digits[at + 1]); };
  return Colour{.red = channel(0), .green = channel(2), .blue = channel(4)};
}

Result<bool> read_flag(std::string_view field, std::string_view value) {
  if (value != "true" && value != "false") return refuse_field(field, value, "true or false");
  return value == "true";
}

}  // namespace

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

std::unexpected<Error> refuse_unknown_field(std::string_view field) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("recipe field \"{}\" is unknown; the fields are format, quality, resize, background, "
                          "metadata, keep_smaller, progressive, effort and tables",
                          shown(field)));
}

std::unexpected<Error> refuse_duplicate_field(std::string_view field) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("recipe field \"{}\" is given twice; use it once", shown(field)));
}

Result<void> set_format(Recipe& recipe, std::string_view value) {
  if (value == "keep") {
    recipe.format = std::nullopt;
    return {};
  }
  const auto format = parse_format(value);
  if (!format || (*format != Format::kJpeg && *format != Format::kPng && *format != Format::kWebp)) {
    return refuse_field("format", value, "keep, jpeg, png or webp");
  }
  recipe.format = format;
  return {};
}

Result<void> set_quality(Recipe& recipe, std::string_view value) {
  const auto quality = parse_integer(value);
  if (!quality || *quality < 1 || *quality > 100) {
    return refuse_field("quality", value, "a whole number from 1 to 100");
  }
  recipe.quality = static_cast<int>(*quality);
  return {};
}

Result<void> set_background(Recipe& recipe, std::string_view value) {
  const auto colour = parse_colour(value);
  if (!colour) return refuse_field("background", value, "a colour such as #ffffff or #fff");
  recipe.background = *colour;
  return {};
}

Result<void> set_metadata(Recipe& recipe, std::string_view value) {
  if (value != "strip" && value != "keep") return refuse_field("metadata", value, "strip or keep");
  recipe.metadata = value == "keep" ? Metadata::kKeep : Metadata::kStrip;
  return {};
}

Result<void> set_keep_smaller(Recipe& recipe, std::string_view value) {
  PIXMILL_TRY(recipe.keep_smaller, read_flag("keep_smaller", value));
  return {};
}

Result<void> set_progressive(Recipe& recipe, std::string_view value) {
  PIXMILL_TRY(recipe.progressive, read_flag("progressive", value));
  return {};
}

Result<void> set_effort(Recipe& recipe, std::string_view value) {
  const auto effort = parse_integer(value);
  if (!effort || *effort < 1 || *effort > 9) return refuse_field("effort", value, kEffortAllowed);
  recipe.effort = static_cast<int>(*effort);
  return {};
}

Result<void> set_tables(Recipe& recipe, std::string_view value) {
  if (value != "balanced" && value != "standard") return refuse_field("tables", value, kTablesAllowed);
  recipe.tables = value == "standard" ? JpegTables::kStandard : JpegTables::kBalanced;
  return {};
}

Result<std::uint32_t> read_side(std::string_view field, std::string_view value) {
  const auto side = parse_integer(value);
  if (!side || *side < 1 || *side > kSideMaxPx) {
    return refuse_field(field, value, "a number of pixels from 1 to 65535");
  }
  return static_cast<std::uint32_t>(*side);
}

std::optional<Fit> read_fit(std::string_view value) {
  for (const auto& entry : kFits) {
    if (entry.name == value) return entry.fit;
  }
  return std::nullopt;
}

}  // namespace pixmill::image
