#include "image/tiff_directory.h"

#include <algorithm>
#include <utility>

#include "image/byte_reader.h"

namespace pixmill::image {

using namespace std::string_view_literals;

namespace {

constexpr std::uint64_t kEntriesMax = 4096;

struct Order {
  bool little = true;
  std::uint16_t u16(ByteReader& reader) const { return little ? reader.u16le() : reader.u16be(); }
  std::uint32_t u32(ByteReader& reader) const { return little ? reader.u32le() : reader.u32be(); }
  std::uint64_t u64(ByteReader& reader) const { return little ? reader.u64le() : reader.u64be(); }
};

// In bytes; 0 for the types that are no whole number. The signed ones are read as if they were not: a negative size or
// orientation is then far too large, which is as wrong.
std::size_t size_of_type(std::uint16_t type) {
  switch (type) {
    case 1:  // BYTE
    case 6:  // SBYTE
      return 1;
    case 3:  // SHORT
    case 8:  // SSHORT
      return 2;
    case 4:   // LONG
    case 9:   // SLONG
    case 13:  // IFD
      return 4;
    case 16:  // LONG8
    case 17:  // SLONG8
    case 18:  // IFD8
      return 8;
    default:
      return 0;
  }
}

TiffEntry read_entry(ByteReader& reader, const Order& order, bool big) {
  TiffEntry entry;
  entry.tag = order.u16(reader);
  entry.type = order.u16(reader);
  entry.count = big ? order.u64(reader) : order.u32(reader);
  const std::size_t inline_bytes = big ? 8 : 4;
  const std::size_t value_bytes = size_of_type(entry.type);
  const bool fits = value_bytes != 0 && entry.count <= inline_bytes / value_bytes;
  const std::size_t field_at = reader.at();
  const std::uint64_t pointer = big ? order.u64(reader) : order.u32(reader);
  entry.values_at = fits ? field_at : static_cast<std::size_t>(pointer);
  return entry;
}

void append_le16(std::string& text, std::uint16_t value) {
  text += static_cast<char>(value & 0xFF);
  text += static_cast<char>(value >> 8);
}

void append_le32(std::string& text, std::uint32_t value) {
  append_le16(text, static_cast<std::uint16_t>(value & 0xFFFF));
  append_le16(text, static_cast<std::uint16_t>(value >> 16));
}

}  // namespace

std::optional<TiffDirectory> read_first_directory(std::string_view bytes) {
  TiffDirectory directory;
  if (bytes.starts_with("MM")) {
    directory.little_endian = false;
  } else if (!bytes.starts_with("II")) {
    return std::nullopt;
  }
  const Order order{directory.little_endian};
  ByteReader reader(bytes, 2);
  const std::uint16_t version = order.u16(reader);
  const bool big = version == 43;
  if (version != 42 && !big) return std::nullopt;
  if (big) reader.skip(4);  // offset size and a constant
  const std::uint64_t at = big ? order.u64(reader) : order.u32(reader);
  if (reader.ended() || at >= bytes.size()) return std::nullopt;

  ByteReader entries(bytes, static_cast<std::size_t>(at));
  const std::uint64_t count = big ? order.u64(entries) : order.u16(entries);
  if (count > kEntriesMax) return std::nullopt;
  for (std::uint64_t i = 0; i < count; ++i) {
    directory.entries.push_back(read_entry(entries, order, big));
    if (entries.ended()) return std::nullopt;
  }
  return directory;
}

std::optional<std::uint64_t> directory_value(std::string_view bytes, const TiffDirectory& directory, std::uint16_t tag,
                                             std::uint64_t index) {
  const Order order{directory.little_endian};
  for (const auto& entry : directory.entries) {
    if (entry.tag != tag) continue;
    const std::size_t size = size_of_type(entry.type);
    if (size == 0 || index >= entry.count || entry.values_at >= bytes.size()) return std::nullopt;
    if (index > (bytes.size() - entry.values_at) / size) return std::nullopt;
    ByteReader reader(bytes, entry.values_at + static_cast<std::size_t>(index) * size);
    std::uint64_t value = 0;
    if (size == 1) value = reader.u8();
    if (size == 2) value = order.u16(reader);
    if (size == 4) value = order.u32(reader);
    if (size == 8) value = order.u64(reader);
    if (reader.ended()) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

int exif_orientation(std::string_view exif) {
  const auto directory = read_first_directory(exif);
  if (!directory) return 1;
  const auto value = directory_value(exif, *directory, kTagOrientation).value_or(1);
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

std::string exif_copyright(std::string_view exif) {
  constexpr std::uint16_t kTypeAscii = 2;
  constexpr std::size_t kTextMax = 10'000;
  const auto directory = read_first_directory(exif);
  if (!directory) return {};
  std::vector<std::pair<std::uint16_t, std::string>> kept;  // by rising tag, as the structure wants it
  for (const std::uint16_t tag : {kTagArtist, kTagCopyright}) {
    for (const auto& entry : directory->entries) {
      const bool fits = entry.values_at < exif.size() && entry.count <= exif.size() - entry.values_at;
      if (entry.tag != tag || entry.type != kTypeAscii || !fits || entry.count == 0 || entry.count > kTextMax) continue;
      std::string text(exif.substr(entry.values_at, static_cast<std::size_t>(entry.count)));
      text.resize(std::max<std::size_t>(text.size(), 5));  // shorter ones would lie in the entry itself
      kept.emplace_back(tag, std::move(text));
      break;
    }
  }
  if (kept.empty()) return {};
  std::string block("II\x2A\0\x08\0\0\0", 8);
  append_le16(block, static_cast<std::uint16_t>(kept.size()));
  std::size_t values_at = 8 + 2 + 12 * kept.size() + 4;
  for (const auto& [tag, text] : kept) {
    append_le16(block, tag);
    append_le16(block, kTypeAscii);
    append_le32(block, static_cast<std::uint32_t>(text.size()));
    append_le32(block, static_cast<std::uint32_t>(values_at));
    values_at += text.size();
  }
  append_le32(block, 0);  // no further directory
  for (const auto& [tag, text] : kept) block += text;
  return block;
}

std::string exif_made_upright(std::string_view exif) {
  std::string upright(exif);
  const auto directory = read_first_directory(exif);
  if (!directory) return upright;
  for (const auto& entry : directory->entries) {
    const std::size_t size = size_of_type(entry.type);
    if (entry.tag != kTagOrientation || size == 0 || entry.values_at > exif.size() ||
        size > exif.size() - entry.values_at) {
      continue;
    }
    for (std::size_t i = 0; i < size; ++i) upright[entry.values_at + i] = 0;
    upright[entry.values_at + (directory->little_endian ? 0 : size - 1)] = 1;
  }
  return upright;
}

}  // namespace pixmill::image
