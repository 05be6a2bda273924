#include "image/strip_metadata.h"

#include <algorithm>
#include <array>

#include "image/byte_reader.h"
#include "image/format.h"
#include "image/jpeg_segments.h"

namespace pixmill::image {

using namespace std::string_view_literals;

namespace {

bool may_stay_in_jpeg(const JpegSegment& segment, ColourProfile profile) {
  constexpr std::uint8_t kApp15 = 0xEF;
  constexpr std::uint8_t kComment = 0xFE;
  if (segment.marker == kMarkerApp0) return segment.payload.starts_with("JFIF\0"sv);  // JFXX holds a thumbnail
  if (segment.marker == kMarkerApp14) return segment.payload.starts_with("Adobe"sv);
  if (segment.marker == kMarkerApp2) {
    return profile == ColourProfile::kKeep && segment.payload.starts_with("ICC_PROFILE\0"sv);
  }
  if (segment.marker >= kMarkerApp0 && segment.marker <= kApp15) return false;
  return segment.marker != kComment;
}

// JFIF may hold a thumbnail of its own after its 14 bytes; the copy has none.
void append_jfif(std::string& stripped, std::string_view payload) {
  constexpr std::size_t kFixedBytes = 14;
  stripped.append("\xFF\xE0\0\x10"sv).append(payload.substr(0, kFixedBytes - 2)).append("\0\0"sv);
}

std::optional<std::string> strip_jpeg(std::string_view bytes, ColourProfile profile) {
  std::string stripped;
  stripped.reserve(bytes.size());
  bool has_scan = false;
  JpegSegments segments(bytes);
  while (const auto segment = segments.next()) {
    if (!may_stay_in_jpeg(*segment, profile)) continue;
    has_scan = has_scan || segment->marker == kMarkerSos;
    if (segment->marker == kMarkerApp0 && segment->payload.size() >= 14) {
      append_jfif(stripped, segment->payload);
    } else {
      stripped.append(segment->whole).append(segment->entropy);
    }
  }
  if (segments.ended_early() || !has_scan) return std::nullopt;
  return stripped;
}

std::optional<std::string> strip_png(std::string_view bytes, ColourProfile profile) {
  constexpr std::array kMayStay = {"IHDR"sv, "PLTE"sv, "IDAT"sv, "IEND"sv, "tRNS"sv, "gAMA"sv,
                                   "cHRM"sv, "sRGB"sv, "sBIT"sv, "bKGD"sv, "pHYs"sv, "cICP"sv,
                                   "mDCV"sv, "cLLI"sv, "acTL"sv, "fcTL"sv, "fdAT"sv};
  std::string stripped(bytes.substr(0, 8));
  stripped.reserve(bytes.size());
  ByteReader reader(bytes, 8);
  while (!reader.ended()) {
    const std::size_t begin = reader.at();
    const std::size_t size = reader.u32be();
    const std::string_view type = reader.take(4);
    reader.skip(size + 4);
    if (reader.ended()) break;
    const bool stays = std::find(kMayStay.begin(), kMayStay.end(), type) != kMayStay.end();
    if (stays || (type == "iCCP" && profile == ColourProfile::kKeep)) {
      stripped.append(bytes.substr(begin, reader.at() - begin));
    }
    if (type == "IEND") return stripped;
  }
  return std::nullopt;
}

void put_u32le(std::string& bytes, std::size_t at, std::size_t value) {
  for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i) & 0xFF);
}

std::optional<std::string> strip_webp(std::string_view bytes, ColourProfile profile) {
  constexpr std::array kMayStay = {"VP8 "sv, "VP8L"sv, "VP8X"sv, "ALPH"sv, "ANIM"sv, "ANMF"sv};
  ByteReader head(bytes, 4);
  const std::size_t riff_bytes = head.u32le();
  if (head.ended() || riff_bytes > bytes.size() - 8) return std::nullopt;
  const std::string_view whole = bytes.substr(0, 8 + riff_bytes);
  std::string stripped(whole.substr(0, 12));
  stripped.reserve(whole.size());
  ByteReader reader(whole, 12);
  while (reader.left() >= 8) {
    const std::size_t begin = reader.at();
    const std::string_view type = reader.take(4);
    const std::size_t size = reader.u32le();
    if (size > reader.left()) return std::nullopt;
    reader.skip(std::min(size + (size & 1), reader.left()));
    const bool stays = std::find(kMayStay.begin(), kMayStay.end(), type) != kMayStay.end();
    if (!stays && (type != "ICCP" || profile == ColourProfile::kDrop)) continue;
    const std::size_t chunk_at = stripped.size();
    stripped.append(whole.substr(begin, reader.at() - begin));
    if ((size & 1) != 0 && (stripped.size() & 1) != 0) stripped.push_back('\0');
    if (type == "VP8X" && size >= 10) {
      constexpr unsigned kExifAndXmp = 0x08 | 0x04;
      constexpr unsigned kIcc = 0x20;
      const unsigned dropped = kExifAndXmp | (profile == ColourProfile::kDrop ? kIcc : 0);
      const auto flags = static_cast<unsigned char>(stripped[chunk_at + 8]);
      stripped[chunk_at + 8] = static_cast<char>(flags & ~dropped);
    }
  }
  put_u32le(stripped, 4, stripped.size() - 8);
  return stripped;
}

std::optional<std::string> strip(std::string_view bytes, Format format, ColourProfile profile) {
  switch (format) {
    case Format::kJpeg:
      return strip_jpeg(bytes, profile);
    case Format::kPng:
      return strip_png(bytes, profile);
    case Format::kWebp:
      return strip_webp(bytes, profile);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<std::string> strip_metadata(std::string_view bytes, Format format, ColourProfile profile) {
  auto stripped = strip(bytes, format, profile);
  if (!stripped) return std::nullopt;
  // A file that is damaged in the right places is not what it was once parts are gone; then it cannot be stripped
  // safely.
  const auto found = sniff(*stripped);
  if (!found || *found != format || strip(*stripped, format, profile) != stripped) return std::nullopt;
  return stripped;
}

}  // namespace pixmill::image
