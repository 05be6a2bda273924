// What is to be done to an image. Two spellings, JSON and compact ("format=jpeg quality=50 resize=800x600:inside"),
// parse to one Recipe, and a Recipe has one canonical text (compact, fields in a fixed order, defaults left out). Pure;
// fuzzed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "image/format.h"
#include "image/jpeg/jpeg_transcode.h"

namespace pixmill::image {

enum class Fit : std::uint8_t {
  kInside,   // whole picture inside the box, aspect kept
  kOutside,  // box covered, aspect kept, nothing cut off
  kCover,    // box filled, aspect kept, the rest cut off
  kContain,  // whole picture inside the box, box filled up with background
  kFill,     // box filled, aspect not kept
};
// Which part stays when kCover cuts, and where the picture lies in kContain's box.
enum class Gravity : std::uint8_t {
  kCentre,
  kNorth,
  kNorthEast,
  kEast,
  kSouthEast,
  kSouth,
  kSouthWest,
  kWest,
  kNorthWest,
  kEntropy,    // kCover: the part with the most detail
  kAttention,  // kCover: the part that draws the eye: edges, skin, saturated colours
};
enum class Enlarge : std::uint8_t { kNever, kAllowed };
// How finely JPEG and AVIF hold colour. kAuto: at half the resolution both ways below quality 90; JPEG to JPEG at the
// same size as the source has it.
enum class Chroma : std::uint8_t { kAuto, kHalved, kFull };
// kCopyright: only the name of the author and the copyright notice stay. kKeep: EXIF and XMP, place included.
enum class Metadata : std::uint8_t { kStrip, kCopyright, kKeep };

struct Resize {
  std::optional<std::uint32_t> width_px;  // 1 to 65,535; at least one of the two
  std::optional<std::uint32_t> height_px;
  Fit fit = Fit::kInside;
  Gravity gravity = Gravity::kCentre;
  Enlarge enlarge = Enlarge::kNever;
  bool operator==(const Resize&) const = default;
};

struct Crop {
  std::uint32_t left_px = 0, top_px = 0;
  std::uint32_t width_px = 1, height_px = 1;  // cut where they reach over the picture
  bool operator==(const Crop&) const = default;
};

struct Padding {
  std::uint32_t top_px = 0, right_px = 0, bottom_px = 0, left_px = 0;  // 0 to 10,000
  bool operator==(const Padding&) const = default;
};

struct Colour {
  std::uint8_t red = 255, green = 255, blue = 255;
  bool operator==(const Colour&) const = default;
};

// A picture laid over the result, never cut: where it is larger than the result it is made smaller.
struct Watermark {
  // An http or https address; kUploadedWatermark, the file that comes with the recipe; or that and ":" and the SHA-256
  // in 64 hexadecimal digits, a file that is stored already.
  std::string image;
  Gravity gravity = Gravity::kCentre;  // not kEntropy, not kAttention
  double opacity = 1;                  // 0.01 to 1, on top of its own alpha
  std::optional<double> scale = {};    // 0.01 to 1: its width as a share of the result's; nullopt: its own pixels
  std::uint32_t margin_px = 0;         // 0 to 10,000: from the edges, and between tiles
  bool tile = false;                   // all over the picture
  bool operator==(const Watermark&) const = default;
};

inline constexpr std::string_view kUploadedWatermark = "upload";

inline constexpr int kDefaultTrimThreshold = 10;

// A number on the scale of the output's encoder: 1 to 100, for JPEG libjpeg's.
struct EncoderQuality {
  int value = 80;
  bool operator==(const EncoderQuality&) const = default;
};
// How good an output is to be, in one of the forms that the field `quality` has. A target for how good it looks would
// be another form beside this one; whoever visits the forms is then told by the compiler.
using Quality = std::variant<EncoderQuality>;

// One file to be made of a picture. The fields that change pixels stand in the order in which they are applied.
struct Output {
  std::string name;  // [a-z0-9_-], 1 to 32; empty for a recipe's only output

  std::optional<Crop> crop;
  std::optional<int> trim;  // 1 to 255: borders of one colour go, which this much may differ from their corner
  int rotate = 0;           // 0, 90, 180 or 270 degrees, clockwise
  bool flip = false;        // upside down
  bool flop = false;        // left to right
  std::optional<Resize> resize;
  double pixel_ratio = 1;  // 1 to 4: the resize box is this many times as large
  Padding pad;
  bool grayscale = false;
  double brightness = 1;  // 0 to 10, a factor
  double saturation = 1;  // 0 to 10, a factor
  double blur_px = 0;     // 0.3 to 100, the standard deviation; 0: none
  double sharpen_px = 0;  // 0.3 to 10, likewise
  std::optional<Watermark> watermark;
  Colour background;  // behind alpha when the output has none, around kContain, in the padding

  // nullopt: keep the source's (formats that cannot be written become JPEG, or PNG with alpha).
  std::optional<Format> format;
  std::optional<Quality> quality;  // nullopt: the format's default
  bool lossless = false;           // WebP and AVIF
  std::optional<int> effort;       // 1 to 9: CPU for fewer bytes; nullopt: what suits bulk work
  // JPEG and PNG; nullopt: JPEG is, PNG is not.
  std::optional<bool> progressive;
  JpegTables tables = JpegTables::kBalanced;
  Chroma chroma = Chroma::kAuto;
  std::optional<int> colours;              // 2 to 256: PNG with a palette
  std::optional<std::uint64_t> max_bytes;  // 1,000 or more: quality, then size, go down until the file fits
  Metadata metadata = Metadata::kStrip;
  bool keep_icc = false;  // the picture stays in the colours of its profile, which goes with it
  // The source's bytes are kept when the output would not be smaller and format, size and orientation stay.
  // nullopt: on when the recipe keeps format and size.
  std::optional<bool> keep_smaller;

  bool operator==(const Output&) const = default;
};

struct Recipe {
  std::vector<Output> outputs = std::vector<Output>(1);  // 1 to kOutputsMax; where there are several, each has its name
  bool operator==(const Recipe&) const = default;
};

inline constexpr std::size_t kOutputsMax = 16;
inline constexpr std::size_t kRecipeBytesMax = 8192;  // of a text, and of the canonical text that it becomes

// Either spelling: a text that begins with '{' is JSON. "compress" and other built-in names stand for their recipes.
// At most `bytes_max`, also once it is written out in full. Errors: kInvalidArgument; the message names the field, the
// value and what is allowed.
[[nodiscard]] Result<Recipe> parse_recipe(std::string_view text, std::size_t bytes_max = kRecipeBytesMax);

[[nodiscard]] std::string canonical_text(const Recipe& recipe);

struct BuiltInRecipe {
  std::string_view name;
  std::string_view text;     // compact
  std::string_view summary;  // one line for people
};

[[nodiscard]] std::span<const BuiltInRecipe> built_in_recipes();

inline constexpr std::string_view kDefaultRecipe = "compress";  // the original platform's: format=jpeg quality=50

}  // namespace pixmill::image
