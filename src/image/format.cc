#include "image/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.h"

namespace pixmill::image {

using namespace std::string_view_literals;

namespace {

struct FormatNames {
  Format format;
  std::string_view name;
  std::string_view extension;
  std::string_view media_type;
};

constexpr std::array kFormats = {
    FormatNames{Format::kJpeg, "jpeg", "jpg", "image/jpeg"},  FormatNames{Format::kPng, "png", "png", "image/png"},
    FormatNames{Format::kWebp, "webp", "webp", "image/webp"}, FormatNames{Format::kGif, "gif", "gif", "image/gif"},
    FormatNames{Format::kTiff, "tiff", "tif", "image/tiff"},  FormatNames{Format::kAvif, "avif", "avif", "image/avif"},
    FormatNames{Format::kHeif, "heif", "heic", "image/heif"},
};

const FormatNames& names_of(Format format) {
  for (const auto& entry : kFormats) {
    if (entry.format == format) return entry;
  }
  return kFormats.front();
}

struct Signature {
  std::size_t offset;
  std::string_view magic;
  std::string_view name;
};

// Picture formats that are recognised in order to be refused by name. Their decoders are large, rarely used, or both,
// and libvips itself calls most of them untrusted.
constexpr std::array kRefusedPictures = {
    Signature{0, "%PDF-"sv, "PDF"},
    Signature{0, "%!PS"sv, "PostScript"},
    Signature{0, "\xC5\xD0\xD3\xC6"sv, "PostScript"},
    Signature{0, "8BPS"sv, "Photoshop (PSD)"},
    Signature{0, "\0\0\1\0"sv, "ICO"},
    Signature{0, "\0\0\2\0"sv, "CUR"},
    Signature{0, "icns"sv, "ICNS"},
    Signature{0, "\xFF\x0A"sv, "JPEG XL"},
    Signature{0, "\0\0\0\x0CJXL \r\n\x87\n"sv, "JPEG XL"},
    Signature{0, "\0\0\0\x0CjP  \r\n\x87\n"sv, "JPEG 2000"},
    Signature{0, "\xFF\x4F\xFF\x51"sv, "JPEG 2000"},
    Signature{0, "MATLAB "sv, "MATLAB"},
    Signature{0, "\x89HDF\r\n\x1A\n"sv, "HDF5"},
    Signature{0, "\x76\x2F\x31\x01"sv, "OpenEXR"},
    Signature{0, "#?RADIANCE"sv, "Radiance HDR"},
    Signature{0, "#?RGBE"sv, "Radiance HDR"},
    Signature{0, "SIMPLE  ="sv, "FITS"},
    Signature{0, "DDS "sv, "DDS"},
    Signature{0, "qoif"sv, "QOI"},
    Signature{0, "FLIF"sv, "FLIF"},
    Signature{0, "BPG\xFB"sv, "BPG"},
    Signature{0, "gimp xcf"sv, "GIMP (XCF)"},
    Signature{0, "farbfeld"sv, "farbfeld"},
    Signature{0, "\xD7\xCD\xC6\x9A"sv, "WMF"},
    Signature{40, " EMF"sv, "EMF"},
    Signature{0, "\x8BJNG\r\n\x1A\n"sv, "JNG"},
    Signature{0, "\x8AMNG\r\n\x1A\n"sv, "MNG"},
    Signature{0, "\xB6\xA6\xF2\x08"sv, "VIPS"},
    Signature{0, "\x08\xF2\xA6\xB6"sv, "VIPS"},
    Signature{0, "/* XPM */"sv, "XPM"},
    Signature{0, "AT&TFORM"sv, "DjVu"},
    Signature{0, "FUJIFILMCCD-RAW"sv, "Fujifilm raw"},
    Signature{0, "IIRO"sv, "Olympus raw"},
    Signature{0, "IIU\0"sv, "Panasonic raw"},
    Signature{8, "CR\2\0"sv, "Canon raw"},
    Signature{4, "ftypcrx "sv, "Canon raw"},
    Signature{0, "PF\n"sv, "PFM"},
    Signature{0, "Pf\n"sv, "PFM"},
};

// What people most often get instead of a picture.
constexpr std::array kOtherFiles = {
    Signature{0, "PK\3\4"sv, "a ZIP archive"},
    Signature{0, "\x1F\x8B"sv, "a gzip file"},
    Signature{0, "7z\xBC\xAF\x27\x1C"sv, "a 7-Zip archive"},
    Signature{0, "Rar!\x1A\x07"sv, "a RAR archive"},
    Signature{0, "\x28\xB5\x2F\xFD"sv, "a Zstandard file"},
    Signature{0, "BZh"sv, "a bzip2 file"},
    Signature{0,
              "\xFD"
              "7zXZ"sv,
              "an xz file"},
    Signature{0, "\x1A\x45\xDF\xA3"sv, "a WebM or Matroska video"},
    Signature{4, "ftyp"sv, "an MP4 video"},
    Signature{0, "OggS"sv, "an Ogg file"},
    Signature{0, "ID3"sv, "an MP3 file"},
    Signature{0, "fLaC"sv, "a FLAC file"},
    Signature{0, "RIFF"sv, "a sound or video file"},
    Signature{0,
              "\x7F"
              "ELF"sv,
              "a program"},
    Signature{0, "MZ"sv, "a program"},
    Signature{0, "\xD0\xCF\x11\xE0"sv, "an Office document"},
    Signature{0, "wOFF"sv, "a font"},
    Signature{0, "wOF2"sv, "a font"},
};

bool has_at(std::string_view bytes, std::size_t offset, std::string_view magic) {
  return bytes.size() >= offset + magic.size() && bytes.substr(offset, magic.size()) == magic;
}

template <std::size_t Count>
std::optional<std::string_view> find_signature(std::string_view bytes, const std::array<Signature, Count>& table) {
  for (const auto& entry : table) {
    if (has_at(bytes, entry.offset, entry.magic)) return entry.name;
  }
  return std::nullopt;
}

// ISO/IEC 23008-12 and the AV1 image file format: the brands of the ftyp box, the major one first.
std::optional<Format> sniff_iso_media(std::string_view bytes) {
  if (!has_at(bytes, 4, "ftyp")) return std::nullopt;
  const auto size = static_cast<std::size_t>(static_cast<std::uint8_t>(bytes[2])) << 8 |
                    static_cast<std::size_t>(static_cast<std::uint8_t>(bytes[3]));
  const std::size_t end = std::min({bytes.size(), size, std::size_t{256}});
  bool heif = false;
  for (std::size_t at = 8; at + 4 <= end; at += 4) {
    if (at == 12) continue;  // the minor version
    const std::string_view brand = bytes.substr(at, 4);
    if (brand == "avif" || brand == "avis") return Format::kAvif;
    constexpr std::array kHeifBrands = {"heic"sv, "heix"sv, "heim"sv, "heis"sv, "hevc"sv,
                                        "hevx"sv, "hevm"sv, "hevs"sv, "mif1"sv, "msf1"sv};
    heif = heif || std::find(kHeifBrands.begin(), kHeifBrands.end(), brand) != kHeifBrands.end();
  }
  return heif ? std::optional(Format::kHeif) : std::nullopt;
}

std::optional<Format> sniff_readable(std::string_view bytes) {
  if (has_at(bytes, 0, "\xFF\xD8\xFF")) return Format::kJpeg;
  if (has_at(bytes, 0, "\x89PNG\r\n\x1A\n")) return Format::kPng;
  if (has_at(bytes, 0, "GIF87a") || has_at(bytes, 0, "GIF89a")) return Format::kGif;
  if (has_at(bytes, 0, "RIFF") && has_at(bytes, 8, "WEBP")) return Format::kWebp;
  const bool tiff = has_at(bytes, 0, "II*\0"sv) || has_at(bytes, 0, "MM\0*"sv) || has_at(bytes, 0, "II+\0"sv) ||
                    has_at(bytes, 0, "MM\0+"sv);
  if (tiff && !has_at(bytes, 8, "CR\2\0"sv)) return Format::kTiff;
  return sniff_iso_media(bytes);
}

bool is_bmp(std::string_view bytes) {
  // "BM" alone begins too many texts; the two reserved words after the file size are zero.
  return has_at(bytes, 0, "BM") && has_at(bytes, 6, "\0\0\0\0"sv);
}

bool is_portable_map(std::string_view bytes) {
  return bytes.size() >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7' &&
         (std::isspace(static_cast<unsigned char>(bytes[2])) != 0 || bytes[2] == '#');
}

bool is_text(std::string_view head) {
  return std::none_of(head.begin(), head.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r' && byte != '\f' && byte != 0x1B;
  });
}

// `head` is lower case, without byte order mark and leading space.
std::unexpected<Error> refuse_text(std::string_view head) {
  constexpr std::array kHtml = {"<!doctype html"sv, "<html"sv, "<head"sv, "<body"sv, "<script"sv,
                                "<title"sv,         "<meta"sv, "<div"sv,  "<p>"sv,   "<center"sv};
  const auto not_a_picture = [](std::string_view what) {
    return fail(ErrorCode::kNotAnImage, fmt::format("not a picture: it looks like {}", what));
  };
  const auto refused = [](std::string_view what) {
    return fail(ErrorCode::kUnsupportedFormat, fmt::format("{} files are not supported", what));
  };
  for (const auto start : kHtml) {
    if (head.starts_with(start)) return not_a_picture("an HTML page");
  }
  if (head.starts_with('<')) {
    if (head.find("<svg") != std::string_view::npos) return refused("SVG");
    if (head.find("<msl") != std::string_view::npos) return refused("ImageMagick script (MSL)");
    if (head.find("<html") != std::string_view::npos) return not_a_picture("an HTML page");
    return not_a_picture("an XML document");
  }
  if (head.starts_with('{') || head.starts_with('[')) return not_a_picture("JSON");
  return not_a_picture("plain text");
}

}  // namespace

std::string_view format_name(Format format) { return names_of(format).name; }
std::string_view extension(Format format) { return names_of(format).extension; }
std::string_view media_type(Format format) { return names_of(format).media_type; }

std::optional<Format> parse_format(std::string_view name) {
  const std::string lower = to_lower(name);
  for (const auto& entry : kFormats) {
    if (lower == entry.name || lower == entry.extension) return entry.format;
  }
  return std::nullopt;
}

Result<Format> sniff(std::string_view bytes) {
  if (bytes.empty()) return fail(ErrorCode::kNotAnImage, "not a picture: the file is empty");
  if (const auto format = sniff_readable(bytes)) return *format;

  std::optional<std::string_view> refused = find_signature(bytes, kRefusedPictures);
  if (is_bmp(bytes)) refused = "BMP";
  if (is_portable_map(bytes)) refused = "PPM";
  if (refused) return fail(ErrorCode::kUnsupportedFormat, fmt::format("{} files are not supported", *refused));

  if (const auto other = find_signature(bytes, kOtherFiles)) {
    return fail(ErrorCode::kNotAnImage, fmt::format("not a picture: it looks like {}", *other));
  }
  std::string_view head = bytes.substr(0, 1024);
  if (head.starts_with("\xEF\xBB\xBF")) head.remove_prefix(3);
  head = trim(head);
  if (head.empty()) return fail(ErrorCode::kNotAnImage, "not a picture: the file holds only white space");
  if (head.find("%PDF-") != std::string_view::npos) {
    return fail(ErrorCode::kUnsupportedFormat, "PDF files are not supported");
  }
  if (is_text(head)) return refuse_text(to_lower(head));
  return fail(ErrorCode::kNotAnImage, "not a picture: its content is of no known kind");
}

}  // namespace pixmill::image
