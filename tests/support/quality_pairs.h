// Pairs of pictures for the quality metrics, and what the reference implementation of SSIMULACRA2 says of each. The
// pictures are made by integer arithmetic from a seed, so they are the same everywhere; `ninja quality_pairs` builds a
// program that writes them as PNG files, so that anybody can ask the reference again.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "image/quality_metric.h"

namespace pixmill::testing {

struct RgbPicture {
  std::uint32_t width_px = 0;
  std::uint32_t height_px = 0;
  std::vector<std::uint8_t> bytes;  // rows × columns × 3

  [[nodiscard]] image::RgbView view() const {
    return {.bytes = bytes, .width_px = width_px, .height_px = height_px, .stride_bytes = std::size_t{3} * width_px};
  }
};

enum class Scene : std::uint8_t {
  kPhoto,     // noise of many sizes, as in landscapes, with discs in front
  kGradient,  // a sky: hardly anything but slow changes
  kEdges,     // stripes, checks and discs of strong colours
  kText,      // thin dark strokes on white
};

enum class Distortion : std::uint8_t {
  kNone,
  kJpeg,            // `amount`: quality; chroma halved in both directions
  kJpegFullChroma,  // the same without halving
  kBlur,            // passes of a 3 × 3 binomial filter
  kNoise,           // the largest change of a value
  kColourShift,     // added to red, taken from blue
  kBanding,         // levels of a channel
  kSharpen,         // passes of an unsharp mask
  kShift,           // columns to the right
  kContrast,        // per cent, around the middle
  kInvert,
  kOnePixel,  // the change of one pixel in the middle
};

struct QualityPair {
  std::string_view name;  // fit for a file's name
  Scene scene = Scene::kPhoto;
  std::uint32_t width_px = 0;
  std::uint32_t height_px = 0;
  Distortion distortion = Distortion::kNone;
  int amount = 0;
  double reference = 0;  // SSIMULACRA2 2.1 as the reference prints it
};

[[nodiscard]] std::span<const QualityPair> quality_pairs();

[[nodiscard]] RgbPicture make_original(const QualityPair& pair);
[[nodiscard]] RgbPicture make_distorted(const QualityPair& pair);

}  // namespace pixmill::testing
