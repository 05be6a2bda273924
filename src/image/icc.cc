#include "image/icc.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>

#include "image/byte_reader.h"

namespace pixmill::image {

namespace {

constexpr std::size_t kHeaderBytes = 128;
constexpr std::uint32_t kTagsMax = 100;

double fixed(std::uint32_t bits) { return static_cast<std::int32_t>(bits) / 65'536.0; }  // s15Fixed16Number

// The bytes of a tag's element, as far as they are there.
std::string_view tag_of(std::string_view profile, std::string_view wanted) {
  ByteReader reader(profile, kHeaderBytes);
  const std::uint32_t tags = std::min(reader.u32be(), kTagsMax);
  for (std::uint32_t i = 0; i < tags && !reader.ended(); ++i) {
    const std::string_view signature = reader.take(4);
    const std::size_t offset = reader.u32be();
    const std::size_t size = reader.u32be();
    if (signature == wanted && !reader.ended() && offset < profile.size()) return profile.substr(offset, size);
  }
  return {};
}

// A primary, in XYZ under D50.
bool is_near(std::string_view element, const std::array<double, 3>& primary) {
  constexpr double kTolerance = 0.006;  // what sites' tiny profiles round away
  ByteReader reader(element);
  if (reader.take(4) != "XYZ ") return false;
  reader.skip(4);
  const bool near =
      std::ranges::all_of(primary, [&](double value) { return std::abs(fixed(reader.u32be()) - value) < kTolerance; });
  return near && !reader.ended();
}

// ICC.1:2022, 10.18: the function types that a curve of colours can have.
std::optional<double> parametric(ByteReader reader, double x) {
  const std::uint16_t type = reader.u16be();
  reader.skip(2);
  constexpr std::array kParameters = {1, 3, 4, 5, 7};
  if (type >= kParameters.size()) return std::nullopt;
  std::array<double, 7> p{};
  for (int i = 0; i < kParameters[type]; ++i) p[static_cast<std::size_t>(i)] = fixed(reader.u32be());
  if (reader.ended()) return std::nullopt;
  const auto [g, a, b, c, d, e, f] = p;
  if (type == 0) return std::pow(x, g);
  if (type <= 2) return a * x + b >= 0 ? std::pow(a * x + b, g) + (type == 2 ? c : 0) : (type == 2 ? c : 0);
  return x >= d ? std::pow(a * x + b, g) + e : c * x + f;
}

// 10.6: nothing, a gamma, or a table.
std::optional<double> table(ByteReader reader, double x) {
  const std::uint32_t count = reader.u32be();
  if (count == 0) return x;
  if (count == 1) return std::pow(x, reader.u16be() / 256.0);
  const double at = x * (count - 1);
  const auto low = static_cast<std::size_t>(at);
  if (reader.left() / 2 < count) return std::nullopt;
  reader.skip(low * 2);
  const double first = reader.u16be() / 65'535.0;
  const double second = reader.left() >= 2 && low + 1 < count ? reader.u16be() / 65'535.0 : first;
  return first + (second - first) * (at - static_cast<double>(low));
}

// The light that a curve gives for `x`, both 0 to 1.
std::optional<double> light(std::string_view curve, double x) {
  ByteReader reader(curve);
  const std::string_view type = reader.take(4);
  reader.skip(4);
  if (reader.ended()) return std::nullopt;
  if (type == "para") return parametric(reader, x);
  if (type == "curv") return table(reader, x);
  return std::nullopt;
}

// IEC 61966-2-1, coded.
double srgb_code(double light) { return light <= 0.0031308 ? light * 12.92 : 1.055 * std::pow(light, 1 / 2.4) - 0.055; }

bool is_srgb_curve(std::string_view curve) {
  constexpr double kTolerance = 0.02;  // five steps of 8 bits
  return std::ranges::all_of(std::array{0.1, 0.25, 0.5, 0.75, 1.0}, [&](double x) {
    const auto y = light(curve, x);
    return y && *y >= 0 && std::abs(srgb_code(*y) - x) < kTolerance;
  });
}

}  // namespace

bool is_srgb_profile(std::string_view profile) {
  if (profile.size() < kHeaderBytes || profile.substr(16, 4) != "RGB ") return false;
  return is_near(tag_of(profile, "rXYZ"), {0.4361, 0.2225, 0.0139}) &&
         is_near(tag_of(profile, "gXYZ"), {0.3851, 0.7169, 0.0971}) &&
         is_near(tag_of(profile, "bXYZ"), {0.1431, 0.0606, 0.7141}) && is_srgb_curve(tag_of(profile, "rTRC")) &&
         is_srgb_curve(tag_of(profile, "gTRC")) && is_srgb_curve(tag_of(profile, "bTRC"));
}

}  // namespace pixmill::image
