#include "image/jpeg_segments.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace pixmill::image {

using namespace std::string_view_literals;

namespace {

constexpr std::string_view kExifPrefix = "Exif\0\0"sv;
constexpr std::string_view kXmpPrefix = "http://ns.adobe.com/xap/1.0/\0"sv;
constexpr std::string_view kIccPrefix = "ICC_PROFILE\0"sv;

std::uint8_t byte_at(std::string_view bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); }

bool stands_alone(std::uint8_t marker) {
  return marker == 0x01 || (marker >= 0xD0 && marker <= kMarkerEoi);  // TEM, RST0 to RST7, SOI, EOI
}

// The end of the entropy-coded data that begins at `at`: the next marker that is neither stuffing nor a restart.
std::size_t find_entropy_end(std::string_view bytes, std::size_t at) {
  while (at + 1 < bytes.size()) {
    const void* found = std::memchr(bytes.data() + at, 0xFF, bytes.size() - 1 - at);
    if (found == nullptr) return bytes.size();
    at = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
    const std::uint8_t next = byte_at(bytes, at + 1);
    if (next != 0x00 && next != 0xFF && (next < 0xD0 || next > 0xD7)) return at;
    at += next == 0xFF ? 1 : 2;
  }
  return bytes.size();
}

}  // namespace

std::optional<JpegSegment> JpegSegments::stop_early() {
  ended_early_ = true;
  done_ = true;
  return std::nullopt;
}

std::optional<JpegSegment> JpegSegments::next() {
  if (done_) return std::nullopt;
  // A marker is 0xFF, any number of fill bytes 0xFF, and a byte that is neither; 0xFF 0x00 is stuffing, not a marker.
  while (true) {
    while (at_ < bytes_.size() && byte_at(bytes_, at_) != 0xFF) ++at_;
    while (at_ + 1 < bytes_.size() && byte_at(bytes_, at_ + 1) == 0xFF) ++at_;
    if (at_ + 1 >= bytes_.size()) return stop_early();
    if (byte_at(bytes_, at_ + 1) != 0x00) break;
    at_ += 2;
  }
  const std::size_t begin = at_;
  JpegSegment segment;
  segment.marker = byte_at(bytes_, begin + 1);
  if (stands_alone(segment.marker)) {
    at_ += 2;
    segment.whole = bytes_.substr(begin, 2);
    done_ = segment.marker == kMarkerEoi;
    return segment;
  }
  if (begin + 4 > bytes_.size()) return stop_early();
  const std::size_t length = static_cast<std::size_t>(byte_at(bytes_, begin + 2)) << 8 | byte_at(bytes_, begin + 3);
  if (length < 2 || begin + 2 + length > bytes_.size()) return stop_early();
  segment.whole = bytes_.substr(begin, 2 + length);
  segment.payload = segment.whole.substr(4);
  at_ = begin + 2 + length;
  if (segment.marker == kMarkerSos) {
    const std::size_t end = find_entropy_end(bytes_, at_);
    segment.entropy = bytes_.substr(at_, end - at_);
    at_ = end;
  }
  return segment;
}

bool is_start_of_frame(std::uint8_t marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;  // DHT, JPG, DAC
}

bool has_fine_chroma(std::string_view bytes) {
  constexpr std::size_t kComponentsAt = 5;
  constexpr std::size_t kFactorsAt = 7;  // of the first component, behind its name
  constexpr std::size_t kComponentBytes = 3;
  constexpr int kColourComponents = 3;
  JpegSegments segments(bytes);
  while (const auto segment = segments.next()) {
    if (segment->marker == kMarkerSos) break;
    if (!is_start_of_frame(segment->marker)) continue;
    const std::string_view payload = segment->payload;
    if (payload.size() < kFactorsAt + 3 * kComponentBytes - 1) break;
    if (byte_at(payload, kComponentsAt) != kColourComponents) break;
    const unsigned luma = byte_at(payload, kFactorsAt);
    const unsigned chroma = byte_at(payload, kFactorsAt + kComponentBytes);
    return 2 * (chroma >> 4) > luma >> 4 || 2 * (chroma & 15U) > (luma & 15U);
  }
  return false;
}

JpegMetadata read_jpeg_metadata(std::string_view bytes) {
  JpegMetadata metadata;
  std::map<int, std::string_view> icc_pieces;  // by their number, from 1
  int icc_count = 0;
  JpegSegments segments(bytes);
  while (const auto segment = segments.next()) {
    if (segment->marker == kMarkerSos) break;
    const std::string_view payload = segment->payload;
    if (is_start_of_frame(segment->marker) && payload.size() > 5) metadata.components = byte_at(payload, 5);
    if (segment->marker == kMarkerApp1 && payload.starts_with(kExifPrefix) && metadata.exif.empty()) {
      metadata.exif = payload.substr(kExifPrefix.size());
    } else if (segment->marker == kMarkerApp1 && payload.starts_with(kXmpPrefix) && metadata.xmp.empty()) {
      metadata.xmp = payload.substr(kXmpPrefix.size());
    } else if (segment->marker == kMarkerApp2 && payload.starts_with(kIccPrefix) &&
               payload.size() > kIccPrefix.size() + 2) {
      icc_count = byte_at(payload, kIccPrefix.size() + 1);
      icc_pieces.emplace(byte_at(payload, kIccPrefix.size()), payload.substr(kIccPrefix.size() + 2));
    }
  }
  if (icc_count > 0 && icc_pieces.size() == static_cast<std::size_t>(icc_count) && icc_pieces.begin()->first == 1 &&
      icc_pieces.rbegin()->first == icc_count) {
    for (const auto& [number, piece] : icc_pieces) metadata.icc.append(piece);
  }
  return metadata;
}

}  // namespace pixmill::image
