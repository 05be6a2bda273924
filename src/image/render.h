// One picture through one recipe, in the calling process: the visible order of operations. Only engine processes and
// tests call it; everything else goes through engine::Pool.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "image/format.h"
#include "image/recipe.h"

namespace pixmill::image {

struct Limits {
  std::uint64_t pixels_max = 100'000'000;      // width × height × frames of the source
  std::uint32_t frames_max = 1'000;            // of an animation that stays one
  std::uint64_t avif_pixels_max = 40'000'000;  // HEIF too: their decoders need far more memory per pixel
};

// Whether an output was compared with the pixels it was made of.
enum class Scored : std::uint8_t {
  kNotAsked,
  kYes,
  kAnimated,  // frames are not judged
  kTooSmall,  // a side below 8 pixels
  kTooLarge,  // kScoredPixelsMax
  kFailed,    // the comparison did not succeed; the output is good all the same
};

struct Rendition {
  std::string name = {};  // of the recipe's output; empty for its only one
  Format format = Format::kJpeg;
  std::uint32_t width_px = 0;
  std::uint32_t height_px = 0;
  int quality = 0;           // what was used; 0 for lossless formats
  bool source_kept = false;  // keep_smaller: these are the source's bytes, metadata removed if the recipe strips it
  bool first_frame = false;  // the source was animated, the output is not
  bool fitted = false;       // quality or size went down to fit max_bytes
  std::string bytes;
  Scored scored = Scored::kNotAsked;
  double score = 0;  // kYes: SSIMULACRA2 against the pixels before they were encoded; at most 100
};

// Where the time went, over all outputs together. What needs no pixels, from JPEG to JPEG, is encoding.
struct StageTimes {
  std::chrono::microseconds decode{0};     // colours and orientation included
  std::chrono::microseconds transform{0};  // everything that the recipe does to pixels
  std::chrono::microseconds encode{0};
  bool operator==(const StageTimes&) const = default;
};

struct Rendered {
  Header source;
  std::vector<Rendition> renditions;     // as the recipe's outputs
  std::optional<StageTimes> times = {};  // when they were asked for, and the picture is below kScoredPixelsMax
};

class Mark;  // image/watermark.h
// Decoded watermarks, by what the recipe calls their image.
using Marks = std::map<std::string, Mark*, std::less<>>;

// kYes: pixels are computed stage by stage, where they would flow from the first to the last, so that each can be
// timed, and outputs are scored. The outputs are the same.
enum class Measure : std::uint8_t { kNo, kYes };

// Checks size and format from the header before decoding; every rendition's header has been read back.
// Errors: kNotAnImage, kUnsupportedFormat, kTooLarge, kTruncated, kDecodeFailed; kInvalidArgument when a crop lies
// outside of the picture, or a watermark of the recipe is not among the marks.
[[nodiscard]] Result<Rendered> render(std::string_view source, const Recipe& recipe, const Limits& limits,
                                      const Marks& marks = {}, Measure measure = Measure::kNo);

}  // namespace pixmill::image
