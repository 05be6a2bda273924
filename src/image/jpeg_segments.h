// A JPEG file's marker segments (ITU T.81 annex B), found without decoding, and the metadata in them: EXIF, XMP, ICC,
// Adobe. Pure; the input is untrusted and may end anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pixmill::image {

struct JpegSegment {
  std::uint8_t marker = 0;   // the byte after 0xFF
  std::string_view whole;    // marker, length and payload
  std::string_view payload;  // without marker and length
  std::string_view entropy;  // coded data that follows, after SOS alone
};

inline constexpr std::uint8_t kMarkerSoi = 0xD8;
inline constexpr std::uint8_t kMarkerEoi = 0xD9;
inline constexpr std::uint8_t kMarkerSos = 0xDA;
inline constexpr std::uint8_t kMarkerApp0 = 0xE0;
inline constexpr std::uint8_t kMarkerApp1 = 0xE1;
inline constexpr std::uint8_t kMarkerApp2 = 0xE2;
inline constexpr std::uint8_t kMarkerApp14 = 0xEE;

// Walks the segments from SOI to EOI. Bytes between segments that are no marker are skipped, as libjpeg does.
class JpegSegments {
 public:
  explicit JpegSegments(std::string_view bytes) : bytes_(bytes) {}
  // nullopt at the end; EOI is the last segment of a whole file.
  [[nodiscard]] std::optional<JpegSegment> next();
  // After next() gave nullopt: the bytes ended before EOI.
  [[nodiscard]] bool ended_early() const { return ended_early_; }
  // Where the next segment is looked for.
  [[nodiscard]] std::size_t at() const { return at_; }

 private:
  [[nodiscard]] std::optional<JpegSegment> stop_early();
  std::string_view bytes_;
  std::size_t at_ = 0;
  bool ended_early_ = false;
  bool done_ = false;
};

// True for SOF0 to SOF15, which carry the picture's size.
[[nodiscard]] bool is_start_of_frame(std::uint8_t marker);

// True when colour has more samples than half of luma's in some direction. False for grey, print colours, and what
// cannot be read.
[[nodiscard]] bool has_fine_chroma(std::string_view bytes);

// What stands before the first scan.
struct JpegMetadata {
  std::string_view exif;  // a TIFF structure, without the "Exif\0\0" before it
  std::string_view xmp;   // a packet, without its namespace
  int components = 0;     // of the picture: 1 grey, 3 colour, 4 print
  std::string icc;        // put together from its APP2 pieces; empty when absent or incomplete
};

[[nodiscard]] JpegMetadata read_jpeg_metadata(std::string_view bytes);

}  // namespace pixmill::image
