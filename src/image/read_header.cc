// Sizes and frame counts from the headers of all readable formats, without decoding.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "image/byte_reader.h"
#include "image/format.h"
#include "image/jpeg_segments.h"
#include "image/tiff_directory.h"

namespace pixmill::image {

namespace {

std::unexpected<Error> ends_early(Format format) {
  return fail(ErrorCode::kTruncated, fmt::format("the {} file ends inside its header", format_name(format)));
}

std::unexpected<Error> broken(Format format, std::string_view why) {
  return fail(ErrorCode::kDecodeFailed, fmt::format("the {} file is damaged: {}", format_name(format), why));
}

Result<Header> checked(Header header) {
  if (header.width_px == 0 || header.height_px == 0) return broken(header.format, "it claims to have no pixels");
  return header;
}

Result<Header> read_jpeg(std::string_view bytes) {
  JpegSegments segments(bytes);
  while (const auto segment = segments.next()) {
    if (segment->marker == kMarkerSos || segment->marker == kMarkerEoi) {
      return broken(Format::kJpeg, "its frame header is missing");
    }
    if (!is_start_of_frame(segment->marker)) continue;
    ByteReader reader(segment->payload);
    reader.skip(1);  // bits per sample
    Header header{.format = Format::kJpeg};
    header.height_px = reader.u16be();
    header.width_px = reader.u16be();
    if (reader.ended()) return broken(Format::kJpeg, "its frame header is too short");
    return checked(header);
  }
  return ends_early(Format::kJpeg);
}

// PNG, third edition: IHDR comes first; acTL, when there, comes before the first IDAT.
Result<Header> read_png(std::string_view bytes) {
  constexpr std::uint32_t kSideMax = 0x7FFF'FFFF;
  ByteReader reader(bytes, 8);
  const std::uint32_t ihdr_size = reader.u32be();
  const std::string_view ihdr = reader.take(4);
  Header header{.format = Format::kPng};
  header.width_px = reader.u32be();
  header.height_px = reader.u32be();
  reader.skip(5 + 4);  // depth, colour type, methods; checksum
  if (reader.ended()) return ends_early(Format::kPng);
  if (ihdr != "IHDR" || ihdr_size != 13) return broken(Format::kPng, "its first chunk is not IHDR");
  if (header.width_px > kSideMax || header.height_px > kSideMax) return broken(Format::kPng, "its size is impossible");
  while (!reader.ended()) {
    const std::uint32_t size = reader.u32be();
    const std::string_view type = reader.take(4);
    if (type == "acTL") {
      header.frames = std::max<std::uint32_t>(1, reader.u32be());
      break;
    }
    if (type == "IDAT" || type == "IEND") break;
    reader.skip(std::size_t{size} + 4);
  }
  return checked(header);
}

// RFC 9649.
std::uint32_t count_webp_frames(std::string_view bytes) {
  std::uint32_t frames = 0;
  ByteReader reader(bytes, 12);
  while (!reader.ended() && reader.left() >= 8) {
    const std::string_view type = reader.take(4);
    const std::size_t size = reader.u32le();
    if (type == "ANMF") ++frames;
    reader.skip(size + (size & 1));
  }
  return std::max<std::uint32_t>(1, frames);
}

Result<Header> read_webp(std::string_view bytes) {
  Header header{.format = Format::kWebp};
  ByteReader reader(bytes, 12);
  const std::string_view type = reader.take(4);
  reader.skip(4);
  if (type == "VP8X") {
    const std::uint8_t flags = reader.u8();
    reader.skip(3);
    header.width_px = reader.u24le() + 1;
    header.height_px = reader.u24le() + 1;
    constexpr std::uint8_t kAnimated = 0x02;
    if ((flags & kAnimated) != 0) header.frames = count_webp_frames(bytes);
  } else if (type == "VP8L") {
    const std::uint8_t signature = reader.u8();
    const std::uint32_t bits = reader.u32le();
    if (!reader.ended() && signature != 0x2F) return broken(Format::kWebp, "its VP8L signature is wrong");
    header.width_px = (bits & 0x3FFF) + 1;
    header.height_px = (bits >> 14 & 0x3FFF) + 1;
  } else if (type == "VP8 ") {
    const std::uint32_t tag = reader.u24le();
    const std::uint32_t start_code = reader.u24le();
    header.width_px = reader.u16le() & 0x3FFFU;
    header.height_px = reader.u16le() & 0x3FFFU;
    if (!reader.ended() && ((tag & 1) != 0 || start_code != 0x2A019D)) {
      return broken(Format::kWebp, "its first frame is no key frame");
    }
  } else if (type.size() == 4) {
    return broken(Format::kWebp, "its first chunk is unknown");
  }
  if (reader.ended()) return ends_early(Format::kWebp);
  return checked(header);
}

// Data sub-blocks end with an empty one.
void skip_gif_blocks(ByteReader& reader) {
  while (const std::uint8_t size = reader.u8()) reader.skip(size);
}

std::size_t gif_table_bytes(std::uint8_t flags) {
  return (flags & 0x80) == 0 ? 0 : std::size_t{3} << ((flags & 0x07) + 1);
}

// GIF89a specification. A screen without a size takes that of the first frame, as browsers do.
Result<Header> read_gif(std::string_view bytes) {
  Header header{.format = Format::kGif, .frames = 0};
  ByteReader reader(bytes, 6);
  header.width_px = reader.u16le();
  header.height_px = reader.u16le();
  const std::uint8_t screen_flags = reader.u8();
  reader.skip(2 + gif_table_bytes(screen_flags));
  while (!reader.ended()) {
    const std::uint8_t kind = reader.u8();
    if (kind == 0x21) {
      reader.skip(1);
      skip_gif_blocks(reader);
    } else if (kind == 0x2C) {
      const std::uint32_t left = reader.u16le();
      const std::uint32_t top = reader.u16le();
      const std::uint32_t width = reader.u16le();
      const std::uint32_t height = reader.u16le();
      const std::uint8_t flags = reader.u8();
      if (reader.ended()) break;
      if (header.frames == 0 && (header.width_px == 0 || header.height_px == 0)) {
        header.width_px = left + width;
        header.height_px = top + height;
      }
      ++header.frames;
      reader.skip(gif_table_bytes(flags) + 1);  // and the LZW code size
      skip_gif_blocks(reader);
    } else {
      break;  // the trailer, or rubbish after the last frame, which decoders ignore
    }
  }
  if (header.frames == 0) {
    return reader.ended() ? ends_early(Format::kGif) : broken(Format::kGif, "it has no frame");
  }
  return checked(header);
}

Result<Header> read_tiff(std::string_view bytes) {
  const auto directory = read_first_directory(bytes);
  if (!directory) return ends_early(Format::kTiff);
  const auto width = directory_value(bytes, *directory, kTagImageWidth);
  const auto height = directory_value(bytes, *directory, kTagImageLength);
  if (!width || !height) return broken(Format::kTiff, "its size is missing");
  constexpr std::uint64_t kSideMax = 0xFFFF'FFFF;
  if (*width > kSideMax || *height > kSideMax) return broken(Format::kTiff, "its size is impossible");
  return checked(Header{.format = Format::kTiff,
                        .width_px = static_cast<std::uint32_t>(*width),
                        .height_px = static_cast<std::uint32_t>(*height)});
}

struct Box {
  std::string_view type;
  std::string_view payload;
};

// ISO/IEC 14496-12 boxes, one after another, up to the first that reaches past the end.
std::vector<Box> read_boxes(std::string_view bytes) {
  constexpr std::size_t kBoxesMax = 10'000;
  std::vector<Box> boxes;
  ByteReader reader(bytes);
  while (reader.left() >= 8 && boxes.size() < kBoxesMax) {
    std::uint64_t size = reader.u32be();
    const std::string_view type = reader.take(4);
    std::uint64_t head = 8;
    if (size == 1) {
      size = reader.u64be();
      head = 16;
    }
    if (size == 0) size = head + reader.left();
    if (size < head || size - head > reader.left() || reader.ended()) break;
    boxes.push_back(Box{type, reader.take(static_cast<std::size_t>(size - head))});
  }
  return boxes;
}

std::optional<std::string_view> find_box(const std::vector<Box>& boxes, std::string_view type) {
  const auto found = std::find_if(boxes.begin(), boxes.end(), [&](const Box& box) { return box.type == type; });
  return found == boxes.end() ? std::nullopt : std::optional(found->payload);
}

std::uint32_t primary_item(std::string_view pitm) {
  ByteReader reader(pitm);
  const std::uint8_t version = reader.u8();
  reader.skip(3);
  return version == 0 ? reader.u16be() : reader.u32be();
}

// The numbers, from 1, of the item's properties (ipma box).
std::vector<std::size_t> properties_of(std::uint32_t item, std::string_view ipma) {
  ByteReader reader(ipma);
  const std::uint8_t version = reader.u8();
  reader.skip(2);
  const bool wide = (reader.u8() & 1) != 0;
  const std::uint32_t items = reader.u32be();
  for (std::uint32_t i = 0; i < items && !reader.ended(); ++i) {
    const std::uint32_t id = version == 0 ? reader.u16be() : reader.u32be();
    std::vector<std::size_t> indices;
    for (int left = reader.u8(); left > 0 && !reader.ended(); --left) {
      indices.push_back(wide ? reader.u16be() & 0x7FFFU : reader.u8() & 0x7FU);
    }
    if (id == item) return indices;
  }
  return {};
}

// ISO/IEC 23008-12: the primary item's ispe property; without a readable association, the largest one of the file.
Result<Header> read_heif(std::string_view bytes, Format format) {
  const auto meta = find_box(read_boxes(bytes), "meta");
  if (!meta) return ends_early(format);
  const auto parts = read_boxes(meta->substr(std::min<std::size_t>(4, meta->size())));  // after version and flags
  const auto iprp = read_boxes(find_box(parts, "iprp").value_or(std::string_view()));
  const auto properties = read_boxes(find_box(iprp, "ipco").value_or(std::string_view()));
  const auto associated = properties_of(primary_item(find_box(parts, "pitm").value_or(std::string_view())),
                                        find_box(iprp, "ipma").value_or(std::string_view()));
  Header largest{.format = format};
  Header primary{.format = format};
  for (std::size_t i = 0; i < properties.size(); ++i) {
    if (properties[i].type != "ispe") continue;
    ByteReader reader(properties[i].payload, 4);
    Header one{.format = format};
    one.width_px = reader.u32be();
    one.height_px = reader.u32be();
    const auto area = [](const Header& of) { return std::uint64_t{of.width_px} * of.height_px; };
    if (area(one) > area(largest)) largest = one;
    if (std::find(associated.begin(), associated.end(), i + 1) != associated.end()) primary = one;
  }
  if (primary.width_px != 0 && primary.height_px != 0) return primary;
  if (largest.width_px == 0) return broken(format, "its size is missing");
  return largest;
}

}  // namespace

Result<Header> read_header(std::string_view bytes) {
  PIXMILL_TRY(const Format format, sniff(bytes));
  switch (format) {
    case Format::kJpeg:
      return read_jpeg(bytes);
    case Format::kPng:
      return read_png(bytes);
    case Format::kWebp:
      return read_webp(bytes);
    case Format::kGif:
      return read_gif(bytes);
    case Format::kTiff:
      return read_tiff(bytes);
    case Format::kAvif:
    case Format::kHeif:
      return read_heif(bytes, format);
  }
  return fail(ErrorCode::kInternal, "unknown format");
}

}  // namespace pixmill::image
