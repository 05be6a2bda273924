#include "image/truncation.h"

#include "image/byte_reader.h"
#include "image/jpeg_segments.h"
#include "image/tiff_directory.h"

namespace pixmill::image {

namespace {

bool is_jpeg_cut_off(std::string_view bytes) {
  JpegSegments segments(bytes);
  while (segments.next()) {
  }
  return segments.ended_early();
}

bool is_png_cut_off(std::string_view bytes) {
  ByteReader reader(bytes, 8);
  while (!reader.ended()) {
    const std::size_t size = reader.u32be();
    const std::string_view type = reader.take(4);
    reader.skip(size + 4);
    if (type == "IEND") return reader.ended();
  }
  return true;
}

bool is_webp_cut_off(std::string_view bytes) {
  ByteReader reader(bytes, 4);
  const std::size_t size = reader.u32le();
  return reader.ended() || size > bytes.size() - 8;
}

// Asked after a decoder failed, so a whole file that merely lacks its trailer does not get here.
bool is_gif_cut_off(std::string_view bytes) { return bytes.back() != 0x3B; }

bool is_tiff_cut_off(std::string_view bytes) {
  constexpr std::uint64_t kPiecesMax = 100'000;
  const auto directory = read_first_directory(bytes);
  if (!directory) return true;
  const auto reaches_past_end = [&](std::uint16_t offsets, std::uint16_t counts) {
    for (std::uint64_t i = 0; i < kPiecesMax; ++i) {
      const auto offset = directory_value(bytes, *directory, offsets, i);
      const auto count = directory_value(bytes, *directory, counts, i);
      if (!offset || !count) return false;
      if (*offset > bytes.size() || *count > bytes.size() - *offset) return true;
    }
    return false;
  };
  return reaches_past_end(kTagStripOffsets, kTagStripByteCounts) ||
         reaches_past_end(kTagTileOffsets, kTagTileByteCounts);
}

bool is_heif_cut_off(std::string_view bytes) {
  ByteReader reader(bytes);
  while (reader.left() > 0) {
    std::uint64_t size = reader.u32be();
    reader.skip(4);
    std::uint64_t head = 8;
    if (size == 1) {
      size = reader.u64be();
      head = 16;
    }
    if (reader.ended()) return true;
    if (size == 0) return false;  // to the end of the file, wherever that is
    if (size < head) return false;
    reader.skip(static_cast<std::size_t>(size - head));
  }
  return reader.ended();
}

}  // namespace

bool is_cut_off(std::string_view bytes, Format format) {
  if (bytes.empty()) return true;
  switch (format) {
    case Format::kJpeg:
      return is_jpeg_cut_off(bytes);
    case Format::kPng:
      return is_png_cut_off(bytes);
    case Format::kWebp:
      return is_webp_cut_off(bytes);
    case Format::kGif:
      return is_gif_cut_off(bytes);
    case Format::kTiff:
      return is_tiff_cut_off(bytes);
    case Format::kAvif:
    case Format::kHeif:
      return is_heif_cut_off(bytes);
  }
  return false;
}

}  // namespace pixmill::image
