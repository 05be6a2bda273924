// The directories (IFD) of TIFF files and of EXIF blocks, which share the structure (TIFF 6.0 section 2, BigTIFF).
// Pure; the input is untrusted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pixmill::image {

inline constexpr std::uint16_t kTagImageWidth = 256;
inline constexpr std::uint16_t kTagImageLength = 257;
inline constexpr std::uint16_t kTagStripOffsets = 273;
inline constexpr std::uint16_t kTagOrientation = 274;
inline constexpr std::uint16_t kTagStripByteCounts = 279;
inline constexpr std::uint16_t kTagArtist = 315;
inline constexpr std::uint16_t kTagTileOffsets = 324;
inline constexpr std::uint16_t kTagTileByteCounts = 325;
inline constexpr std::uint16_t kTagCopyright = 33432;

struct TiffEntry {
  std::uint16_t tag = 0;
  std::uint16_t type = 0;
  std::uint64_t count = 0;
  std::size_t values_at = 0;  // where its values lie in the file; may be past its end
};

struct TiffDirectory {
  bool little_endian = true;
  std::vector<TiffEntry> entries;  // at most 4,096
};

// The first directory. nullopt when the bytes are no TIFF structure or end before the directory does.
[[nodiscard]] std::optional<TiffDirectory> read_first_directory(std::string_view bytes);

// The value number `index` of the entry with this tag, if it is there and a whole number.
[[nodiscard]] std::optional<std::uint64_t> directory_value(std::string_view bytes, const TiffDirectory& directory,
                                                           std::uint16_t tag, std::uint64_t index = 0);

// EXIF orientation, 1 to 8; 1 when there is none or it makes no sense.
[[nodiscard]] int exif_orientation(std::string_view exif);

// An EXIF block of nothing but the artist and the copyright notice of this one; empty when it has neither.
[[nodiscard]] std::string exif_copyright(std::string_view exif);

// The same EXIF block with orientation 1, for a picture that has been turned upright.
[[nodiscard]] std::string exif_made_upright(std::string_view exif);

}  // namespace pixmill::image
