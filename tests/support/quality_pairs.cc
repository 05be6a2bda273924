#include "tests/support/quality_pairs.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "image/jpeg/quantisation.h"
#include "image/jpeg/zigzag.h"

namespace pixmill::testing {

namespace {

using Rgb = std::array<int, 3>;

// The scores come from ssimulacra2 2.1 (github.com/cloudinary/ssimulacra2, commit 81feacf), built by its own
// build_ssimulacra with g++ 12, Highway 1.0.3 and lcms2 2.14, given the PNG files that the program quality_pairs
// writes. The processor had AVX-512; without FMA the reference rounds otherwise and gives up to 0.43 less for these.
constexpr auto kPairs = std::to_array<QualityPair>({
    {"photo_jpeg_10", Scene::kPhoto, 256, 192, Distortion::kJpeg, 10, 4.5396},
    {"photo_jpeg_30", Scene::kPhoto, 256, 192, Distortion::kJpeg, 30, 55.8216},
    {"photo_jpeg_50", Scene::kPhoto, 256, 192, Distortion::kJpeg, 50, 67.4023},
    {"photo_jpeg_75", Scene::kPhoto, 256, 192, Distortion::kJpeg, 75, 75.1453},
    {"photo_jpeg_90", Scene::kPhoto, 256, 192, Distortion::kJpeg, 90, 84.6859},
    {"photo_jpeg_95_full_chroma", Scene::kPhoto, 256, 192, Distortion::kJpegFullChroma, 95, 91.9974},
    {"photo_blur_1", Scene::kPhoto, 191, 127, Distortion::kBlur, 1, 78.1151},
    {"photo_blur_4", Scene::kPhoto, 191, 127, Distortion::kBlur, 4, 59.2135},
    {"photo_noise_2", Scene::kPhoto, 160, 120, Distortion::kNoise, 2, 93.5448},
    {"photo_noise_20", Scene::kPhoto, 160, 120, Distortion::kNoise, 20, 47.1029},
    {"photo_colour_shift_12", Scene::kPhoto, 160, 120, Distortion::kColourShift, 12, 77.4018},
    {"photo_banding_16", Scene::kPhoto, 160, 120, Distortion::kBanding, 16, 64.6042},
    {"photo_sharpen_1", Scene::kPhoto, 133, 129, Distortion::kSharpen, 1, 81.7941},
    {"photo_shift_1", Scene::kPhoto, 133, 129, Distortion::kShift, 1, 46.3812},
    {"photo_contrast_70", Scene::kPhoto, 133, 129, Distortion::kContrast, 70, 10.2567},
    {"photo_invert", Scene::kPhoto, 128, 96, Distortion::kInvert, 0, -265.6800},
    {"photo_same", Scene::kPhoto, 129, 97, Distortion::kNone, 0, 100.0000},
    {"photo_one_pixel", Scene::kPhoto, 256, 192, Distortion::kOnePixel, 1, 99.3925},
    {"gradient_jpeg_40", Scene::kGradient, 257, 193, Distortion::kJpeg, 40, 65.2040},
    {"gradient_banding_24", Scene::kGradient, 257, 193, Distortion::kBanding, 24, 30.7435},
    {"gradient_noise_1", Scene::kGradient, 160, 120, Distortion::kNoise, 1, 94.9167},
    {"gradient_one_pixel", Scene::kGradient, 512, 384, Distortion::kOnePixel, 2, 97.5249},
    {"edges_jpeg_50", Scene::kEdges, 150, 101, Distortion::kJpeg, 50, 24.7761},
    {"edges_jpeg_80_full_chroma", Scene::kEdges, 150, 101, Distortion::kJpegFullChroma, 80, 54.7588},
    {"edges_blur_2", Scene::kEdges, 150, 101, Distortion::kBlur, 2, 26.1165},
    {"edges_contrast_95", Scene::kEdges, 99, 131, Distortion::kContrast, 95, 89.9465},
    {"text_jpeg_50", Scene::kText, 203, 88, Distortion::kJpeg, 50, 70.7933},
    {"text_jpeg_90_full_chroma", Scene::kText, 203, 88, Distortion::kJpegFullChroma, 90, 82.3896},
    {"text_blur_1", Scene::kText, 203, 88, Distortion::kBlur, 1, 34.8823},
    {"text_shift_1", Scene::kText, 101, 77, Distortion::kShift, 1, 25.9965},
    {"wide_jpeg_60", Scene::kPhoto, 401, 9, Distortion::kJpeg, 60, 94.4175},
    {"tall_jpeg_60", Scene::kPhoto, 8, 301, Distortion::kJpeg, 60, 94.6397},
    {"tiny_8x8_jpeg_50", Scene::kPhoto, 8, 8, Distortion::kJpeg, 50, 94.6183},
    {"tiny_8x8_same", Scene::kPhoto, 8, 8, Distortion::kNone, 0, 100.0000},
    {"tiny_9x8_noise_8", Scene::kPhoto, 9, 8, Distortion::kNoise, 8, 93.2729},
    {"tiny_15x11_blur_1", Scene::kEdges, 15, 11, Distortion::kBlur, 1, 89.3573},
    {"tiny_16x16_jpeg_70", Scene::kPhoto, 16, 16, Distortion::kJpeg, 70, 94.3222},
    {"tiny_17x31_banding_8", Scene::kPhoto, 17, 31, Distortion::kBanding, 8, 64.0006},
    {"tiny_33x17_jpeg_30", Scene::kEdges, 33, 17, Distortion::kJpeg, 30, 80.1101},
    {"small_63x65_jpeg_50", Scene::kPhoto, 63, 65, Distortion::kJpeg, 50, 67.2099},
    {"small_64x64_text_noise_6", Scene::kText, 64, 64, Distortion::kNoise, 6, 72.1849},
    {"large_jpeg_70", Scene::kPhoto, 640, 480, Distortion::kJpeg, 70, 77.3016},
});

std::uint32_t mix(std::uint32_t value) {
  value ^= value >> 16U;
  value *= 0x7feb352dU;
  value ^= value >> 15U;
  value *= 0x846ca68bU;
  return value ^ (value >> 16U);
}

int byte_at(std::uint32_t x, std::uint32_t y, std::uint32_t seed) {
  return static_cast<int>(mix(x + mix(y + mix(seed))) >> 24U);
}

int mixed(int from, int to, int weight_of_256) { return from + (to - from) * weight_of_256 / 256; }

// Smooth noise from 0 to 255 whose grains are `cell` pixels wide.
int grain(std::uint32_t x, std::uint32_t y, std::uint32_t cell, std::uint32_t seed) {
  const auto eased = [cell](std::uint32_t position) {
    const int t = static_cast<int>(position % cell * 256 / cell);
    return t * t * (768 - 2 * t) / 65'536;
  };
  const std::uint32_t column = x / cell;
  const std::uint32_t row = y / cell;
  const int top = mixed(byte_at(column, row, seed), byte_at(column + 1, row, seed), eased(x));
  const int bottom = mixed(byte_at(column, row + 1, seed), byte_at(column + 1, row + 1, seed), eased(x));
  return mixed(top, bottom, eased(y));
}

bool in_disc(std::uint32_t x, std::uint32_t y, int centre_x, int centre_y, int radius) {
  const int dx = static_cast<int>(x) - centre_x;
  const int dy = static_cast<int>(y) - centre_y;
  return dx * dx + dy * dy < radius * radius;
}

Rgb photo_at(std::uint32_t x, std::uint32_t y) {
  int luma = grain(x, y, 97, 1) * 4 + grain(x, y, 41, 2) * 3 + grain(x, y, 17, 3) * 2 + grain(x, y, 7, 4);
  luma = luma / 10 + (grain(x, y, 3, 5) - 128) / 10 + (byte_at(x, y, 6) - 128) / 40;
  const int warm = (grain(x, y, 61, 7) - 128) / 2;
  const int green = (grain(x, y, 53, 8) - 128) / 4;
  if (in_disc(x, y, 60, 40, 22)) return {luma / 2 + 120, luma / 3 + 30, 40 + green};
  if (in_disc(x, y, 130, 90, 31)) return {30 + warm / 4, luma / 3 + 20, luma / 2 + 90};
  return {luma + warm, luma + green, luma - warm};
}

Rgb gradient_at(std::uint32_t x, std::uint32_t y) {
  const int across = static_cast<int>(x * 100 / 256);
  const int down = static_cast<int>(y * 120 / 192);
  return {90 + across + down / 3, 120 + across / 2 + down / 4, 230 - down};
}

Rgb edges_at(std::uint32_t x, std::uint32_t y) {
  if (in_disc(x, y, 40, 40, 25)) return {230, 20, 30};
  if (in_disc(x, y, 90, 30, 18)) return {20, 40, 220};
  if (y % 64 >= 40) return (x / 5 + y / 5) % 2 == 0 ? Rgb{250, 240, 30} : Rgb{20, 120, 60};
  return (x + y / 2) / 9 % 2 == 0 ? Rgb{240, 240, 240} : Rgb{15, 15, 25};
}

// Cells of 7 × 11 pixels, in each a few strokes; some cells are blank, as between words.
Rgb text_at(std::uint32_t x, std::uint32_t y) {
  const std::uint32_t column = x / 7;
  const std::uint32_t line = y / 11;
  const auto glyph = static_cast<std::uint32_t>(byte_at(column, line, 9));
  const std::uint32_t in_x = x % 7;
  const std::uint32_t in_y = y % 11;
  const bool inside = in_x < 5 && in_y >= 2 && in_y < 9 && glyph % 6 != 0;
  const bool stroke = ((glyph & 1U) != 0 && in_x == 0) || ((glyph & 2U) != 0 && in_x == 4) ||
                      ((glyph & 4U) != 0 && in_y == 2) || ((glyph & 8U) != 0 && in_y == 5) ||
                      ((glyph & 16U) != 0 && in_y == 8) || ((glyph & 32U) != 0 && in_x == in_y / 2);
  return inside && stroke ? Rgb{25, 25, 30} : Rgb{252, 251, 248};
}

std::uint8_t to_byte(int value) { return static_cast<std::uint8_t>(std::clamp(value, 0, 255)); }

// A picture by its pixels: at(x, y) gives an Rgb.
template <class At>
RgbPicture picture_of(std::uint32_t width_px, std::uint32_t height_px, At at) {
  RgbPicture picture{.width_px = width_px, .height_px = height_px, .bytes = {}};
  picture.bytes.reserve(std::size_t{3} * width_px * height_px);
  for (std::uint32_t y = 0; y < height_px; ++y) {
    for (std::uint32_t x = 0; x < width_px; ++x) {
      for (const int value : at(x, y)) picture.bytes.push_back(to_byte(value));
    }
  }
  return picture;
}

// Beyond the edges the nearest pixel is repeated.
Rgb pixel_at(const RgbPicture& picture, int x, int y) {
  const auto column = static_cast<std::size_t>(std::clamp(x, 0, static_cast<int>(picture.width_px) - 1));
  const auto row = static_cast<std::size_t>(std::clamp(y, 0, static_cast<int>(picture.height_px) - 1));
  const std::uint8_t* pixel = picture.bytes.data() + 3 * (row * picture.width_px + column);
  return {pixel[0], pixel[1], pixel[2]};
}

// change(pixel, x, y) gives the new pixel.
template <class Change>
RgbPicture changed(const RgbPicture& picture, Change change) {
  return picture_of(picture.width_px, picture.height_px, [&](std::uint32_t x, std::uint32_t y) {
    return change(pixel_at(picture, static_cast<int>(x), static_cast<int>(y)), static_cast<int>(x),
                  static_cast<int>(y));
  });
}

RgbPicture blurred(const RgbPicture& picture) {
  constexpr std::array<int, 3> kWeights = {1, 2, 1};
  return changed(picture, [&](const Rgb&, int x, int y) {
    Rgb sum = {8, 8, 8};
    for (int dy = -1; dy <= 1; ++dy) {
      for (int dx = -1; dx <= 1; ++dx) {
        const Rgb near = pixel_at(picture, x + dx, y + dy);
        for (std::size_t c = 0; c < 3; ++c) sum[c] += near[c] * kWeights[dx + 1] * kWeights[dy + 1];
      }
    }
    return Rgb{sum[0] / 16, sum[1] / 16, sum[2] / 16};
  });
}

RgbPicture sharpened(const RgbPicture& picture) {
  const RgbPicture soft = blurred(picture);
  return changed(picture, [&](const Rgb& pixel, int x, int y) {
    const Rgb low = pixel_at(soft, x, y);
    return Rgb{2 * pixel[0] - low[0], 2 * pixel[1] - low[1], 2 * pixel[2] - low[2]};
  });
}

// A plane of values around zero.
struct Plane {
  int width = 0;
  int height = 0;
  std::vector<int> values;

  [[nodiscard]] int at(int x, int y) const { return values[std::min(y, height - 1) * width + std::min(x, width - 1)]; }
};

template <class Integer>
Integer rounded_quotient(Integer value, Integer divisor) {
  return (value >= 0 ? value + divisor / 2 : value - divisor / 2) / divisor;
}

// 8192 × cos(π / 16 × angle).
int cosine(int angle) {
  constexpr std::array<int, 9> kCosines = {8192, 8035, 7568, 6811, 5793, 4551, 3135, 1598, 0};
  const int turn = angle % 32;
  const int half = turn <= 16 ? turn : 32 - turn;
  return half <= 8 ? kCosines[half] : -kCosines[16 - half];
}

// 16384 × the weight of frequency u at place x in the orthonormal transform of 8 values.
int transform_weight(int u, int x) { return u == 0 ? 5793 : cosine((2 * x + 1) * u); }

using Block = std::array<std::int64_t, 64>;

// Along rows or columns of a block; `inverse` from frequencies to values. Scaled by 16384.
Block transformed(const Block& block, bool rows, bool inverse) {
  Block out{};
  for (int line = 0; line < 8; ++line) {
    for (int to = 0; to < 8; ++to) {
      std::int64_t sum = 0;
      for (int from = 0; from < 8; ++from) {
        const int weight = inverse ? transform_weight(from, to) : transform_weight(to, from);
        sum += block[rows ? line * 8 + from : from * 8 + line] * weight;
      }
      out[rows ? line * 8 + to : to * 8 + line] = sum;
    }
  }
  return out;
}

void quantise_block(Plane& plane, int left, int top, const image::jpeg::QuantTable& table) {
  constexpr std::int64_t kScale = std::int64_t{1} << 28U;  // of both directions
  Block block{};
  for (int i = 0; i < 64; ++i) block[i] = plane.at(left + i % 8, top + i / 8);
  block = transformed(transformed(block, true, false), false, false);
  for (unsigned i = 0; i < 64; ++i) {
    std::int64_t& frequency = block[image::jpeg::kRowMajor[i]];
    frequency = rounded_quotient(frequency, kScale * table[i]) * table[i];
  }
  block = transformed(transformed(block, true, true), false, true);
  for (int y = top; y < std::min(top + 8, plane.height); ++y) {
    for (int x = left; x < std::min(left + 8, plane.width); ++x) {
      plane.values[y * plane.width + x] = static_cast<int>(rounded_quotient(block[(y - top) * 8 + x - left], kScale));
    }
  }
}

void quantise(Plane& plane, const image::jpeg::QuantTable& table) {
  for (int top = 0; top < plane.height; top += 8) {
    for (int left = 0; left < plane.width; left += 8) quantise_block(plane, left, top, table);
  }
}

Plane halved(const Plane& plane) {
  Plane half{.width = (plane.width + 1) / 2, .height = (plane.height + 1) / 2, .values = {}};
  for (int y = 0; y < half.height; ++y) {
    for (int x = 0; x < half.width; ++x) {
      const int sum = plane.at(2 * x, 2 * y) + plane.at(2 * x + 1, 2 * y) + plane.at(2 * x, 2 * y + 1) +
                      plane.at(2 * x + 1, 2 * y + 1);
      half.values.push_back(rounded_quotient(sum, 4));
    }
  }
  return half;
}

// One of Y - 128, Cb, Cr (JFIF), whose weights are given in thousandths.
Plane plane_of(const RgbPicture& picture, const Rgb& weights, int offset) {
  Plane plane{.width = static_cast<int>(picture.width_px), .height = static_cast<int>(picture.height_px), .values = {}};
  for (std::size_t i = 0; i < picture.bytes.size(); i += 3) {
    const int sum =
        weights[0] * picture.bytes[i] + weights[1] * picture.bytes[i + 1] + weights[2] * picture.bytes[i + 2];
    plane.values.push_back(rounded_quotient(sum, 1000) + offset);
  }
  return plane;
}

// What a JPEG file of this quality keeps, without the file.
RgbPicture through_jpeg(const RgbPicture& picture, int quality, int chroma_step) {
  Plane luma = plane_of(picture, {299, 587, 114}, -128);
  Plane blue = plane_of(picture, {-169, -331, 500}, 0);
  Plane red = plane_of(picture, {500, -419, -81}, 0);
  if (chroma_step == 2) {
    blue = halved(blue);
    red = halved(red);
  }
  quantise(luma, image::jpeg::standard_table(image::jpeg::Channel::kLuma, quality));
  quantise(blue, image::jpeg::standard_table(image::jpeg::Channel::kChroma, quality));
  quantise(red, image::jpeg::standard_table(image::jpeg::Channel::kChroma, quality));
  return changed(picture, [&](const Rgb&, int x, int y) {
    const int level = luma.at(x, y) + 128;
    const int cb = blue.at(x / chroma_step, y / chroma_step);
    const int cr = red.at(x / chroma_step, y / chroma_step);
    return Rgb{level + rounded_quotient(1402 * cr, 1000), level - rounded_quotient(344 * cb + 714 * cr, 1000),
               level + rounded_quotient(1772 * cb, 1000)};
  });
}

RgbPicture noisy(const RgbPicture& picture, int change_max) {
  return changed(picture, [&](const Rgb& pixel, int x, int y) {
    Rgb noise = pixel;
    for (std::size_t c = 0; c < 3; ++c) {
      const int random =
          byte_at(static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(y), static_cast<std::uint32_t>(100 + c));
      noise[c] += random % (2 * change_max + 1) - change_max;
    }
    return noise;
  });
}

RgbPicture banded(const RgbPicture& picture, int levels) {
  return changed(picture, [&](const Rgb& pixel, int, int) {
    const int step = 255 / (levels - 1);
    return Rgb{(pixel[0] + step / 2) / step * step, (pixel[1] + step / 2) / step * step,
               (pixel[2] + step / 2) / step * step};
  });
}

}  // namespace

std::span<const QualityPair> quality_pairs() { return kPairs; }

RgbPicture make_original(const QualityPair& pair) {
  return picture_of(pair.width_px, pair.height_px, [&](std::uint32_t x, std::uint32_t y) {
    switch (pair.scene) {
      case Scene::kPhoto:
        return photo_at(x, y);
      case Scene::kGradient:
        return gradient_at(x, y);
      case Scene::kEdges:
        return edges_at(x, y);
      case Scene::kText:
        return text_at(x, y);
    }
    return Rgb{};
  });
}

RgbPicture make_distorted(const QualityPair& pair) {
  RgbPicture picture = make_original(pair);
  const int amount = pair.amount;
  switch (pair.distortion) {
    case Distortion::kNone:
      return picture;
    case Distortion::kJpeg:
      return through_jpeg(picture, amount, 2);
    case Distortion::kJpegFullChroma:
      return through_jpeg(picture, amount, 1);
    case Distortion::kBlur:
      for (int i = 0; i < amount; ++i) picture = blurred(picture);
      return picture;
    case Distortion::kNoise:
      return noisy(picture, amount);
    case Distortion::kColourShift:
      return changed(picture, [&](const Rgb& p, int, int) { return Rgb{p[0] + amount, p[1], p[2] - amount}; });
    case Distortion::kBanding:
      return banded(picture, amount);
    case Distortion::kSharpen:
      for (int i = 0; i < amount; ++i) picture = sharpened(picture);
      return picture;
    case Distortion::kShift:
      return changed(picture, [&](const Rgb&, int x, int y) { return pixel_at(picture, x - amount, y); });
    case Distortion::kContrast:
      return changed(picture, [&](const Rgb& p, int, int) {
        return Rgb{128 + (p[0] - 128) * amount / 100, 128 + (p[1] - 128) * amount / 100,
                   128 + (p[2] - 128) * amount / 100};
      });
    case Distortion::kInvert:
      return changed(picture, [](const Rgb& p, int, int) { return Rgb{255 - p[0], 255 - p[1], 255 - p[2]}; });
    case Distortion::kOnePixel: {
      std::uint8_t& green =
          picture.bytes[3 * (std::size_t{pair.height_px / 2} * picture.width_px + pair.width_px / 2) + 1];
      green = to_byte(green + amount);
      return picture;
    }
  }
  return picture;
}

}  // namespace pixmill::testing
