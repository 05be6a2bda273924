#include "image/jpeg/write_segments.h"

#include <algorithm>

namespace pixmill::image::jpeg {

using namespace std::string_view_literals;

namespace {

constexpr std::uint8_t kSof0 = 0xC0;  // baseline
constexpr std::uint8_t kSof1 = 0xC1;  // the same with steps above 255
constexpr std::uint8_t kSof2 = 0xC2;  // progressive
constexpr std::uint8_t kDht = 0xC4;
constexpr std::uint8_t kEoi = 0xD9;
constexpr std::uint8_t kSos = 0xDA;
constexpr std::uint8_t kDqt = 0xDB;
constexpr std::uint8_t kApp0 = 0xE0;
constexpr std::uint8_t kApp1 = 0xE1;
constexpr std::uint8_t kApp2 = 0xE2;
constexpr std::size_t kPayloadMax = 65'533;
constexpr unsigned kByteMax = 255;

void put_u8(std::string& out, unsigned value) { out.push_back(static_cast<char>(value)); }
void put_u16(std::string& out, unsigned value) {
  put_u8(out, value >> 8 & kByteMax);
  put_u8(out, value & kByteMax);
}

void put_segment(std::string& out, std::uint8_t marker, std::string_view payload) {
  put_u8(out, 0xFF);
  put_u8(out, marker);
  put_u16(out, static_cast<unsigned>(payload.size() + 2));
  out += payload;
}

void put_jfif(std::string& out, const Density& density) {
  std::string payload("JFIF\0\1\1"sv);
  put_u8(payload, density.unit);
  put_u16(payload, density.x);
  put_u16(payload, density.y);
  put_u16(payload, 0);  // no thumbnail
  put_segment(out, kApp0, payload);
}

void put_app1(std::string& out, std::string_view name, std::string_view content) {
  if (content.empty() || name.size() + content.size() > kPayloadMax) return;
  put_segment(out, kApp1, std::string(name).append(content));
}

// In as many pieces as it takes, numbered from 1 (ICC.1:2022 annex B.4).
void put_icc(std::string& out, std::string_view profile) {
  constexpr std::string_view kName = "ICC_PROFILE\0"sv;
  constexpr std::size_t kPieceMax = kPayloadMax - kName.size() - 2;
  const std::size_t count = (profile.size() + kPieceMax - 1) / kPieceMax;
  if (count > kByteMax) return;
  for (unsigned i = 0; i < count; ++i) {
    std::string payload(kName);
    put_u8(payload, i + 1);
    put_u8(payload, static_cast<unsigned>(count));
    put_segment(out, kApp2, payload.append(profile.substr(i * kPieceMax, kPieceMax)));
  }
}

// The first component with the same table, whose number the table gets.
unsigned table_number(const CodedPicture& picture, unsigned component) {
  const auto& tables = picture.quant_tables;
  return static_cast<unsigned>(std::find(tables.begin(), tables.end(), tables[component]) - tables.begin());
}

bool is_wide(const QuantTable& table) {
  return std::any_of(table.begin(), table.end(), [](unsigned step) { return step > kByteMax; });
}

// Returns whether a step is above 255, which baseline does not have and libjpeg allows in its extension.
bool put_quant_tables(std::string& out, const CodedPicture& picture) {
  bool any_wide = false;
  for (unsigned i = 0; i < picture.frame.component_count; ++i) {
    if (table_number(picture, i) != i) continue;
    const QuantTable& table = picture.quant_tables[i];
    const bool wide = is_wide(table);
    any_wide = any_wide || wide;
    std::string payload;
    put_u8(payload, (wide ? 0x10U : 0U) | i);
    for (const unsigned step : table) {
      if (wide) put_u8(payload, step >> 8);
      put_u8(payload, step & kByteMax);
    }
    put_segment(out, kDqt, payload);
  }
  return any_wide;
}

void put_frame(std::string& out, const CodedPicture& picture, std::uint8_t marker) {
  std::string payload;
  put_u8(payload, 8);
  put_u16(payload, picture.frame.height_px);
  put_u16(payload, picture.frame.width_px);
  put_u8(payload, picture.frame.component_count);
  for (unsigned i = 0; i < picture.frame.component_count; ++i) {
    const Component& component = picture.frame.component_array[i];
    put_u8(payload, i + 1);
    put_u8(payload, component.h << 4 | component.v);
    put_u8(payload, table_number(picture, i));
  }
  put_segment(out, marker, payload);
}

void put_huffman_code(std::string& out, const HuffmanCode& code, unsigned number) {
  std::string payload;
  const bool is_dc = number == kDcLuma || number == kDcChroma;
  put_u8(payload, (is_dc ? 0U : 0x10U) | (number == kDcChroma || number == kAcChroma ? 1U : 0U));
  for (unsigned length = 1; length <= kCodeLengthMax; ++length) put_u8(payload, code.count[length]);
  for (unsigned i = 0; i < code.size(); ++i) put_u8(payload, code.symbols[i]);
  put_segment(out, kDht, payload);
}

void put_band(std::string& out, Band band) {
  put_u8(out, band.first);
  put_u8(out, band.last);
  put_u8(out, 0);  // all bits of the values at once
}

}  // namespace

void put_head(std::string& out, const CodedPicture& picture, const FileHead& head, Process process) {
  out += "\xFF\xD8"sv;
  put_jfif(out, head.density);
  put_app1(out, "Exif\0\0"sv, head.exif);
  put_app1(out, "http://ns.adobe.com/xap/1.0/\0"sv, head.xmp);
  put_icc(out, head.icc);
  const bool wide = put_quant_tables(out, picture);
  put_frame(out, picture, process == Process::kProgressive ? kSof2 : wide ? kSof1 : kSof0);
}

std::array<HuffmanCode, kCodeCount> put_codes(std::string& out, const Frequencies& frequencies) {
  std::array<HuffmanCode, kCodeCount> codes;
  for (unsigned number = 0; number < kCodeCount; ++number) {
    codes[number] = optimal_code(frequencies[number]);
    if (codes[number].size() > 0) put_huffman_code(out, codes[number], number);
  }
  return codes;
}

void put_interleaved_scan(std::string& out, const CodedPicture& picture, Band band) {
  std::string payload;
  put_u8(payload, picture.frame.component_count);
  for (unsigned i = 0; i < picture.frame.component_count; ++i) {
    put_u8(payload, i + 1);
    const unsigned ac_code = band.last > 0 ? 0x01U : 0U;
    put_u8(payload, i == 0 ? 0U : 0x10U | ac_code);
  }
  put_band(payload, band);
  put_segment(out, kSos, payload);
}

void put_component_scan(std::string& out, unsigned component, Band band) {
  std::string payload;
  put_u8(payload, 1);
  put_u8(payload, component + 1);
  put_u8(payload, component == 0 ? 0U : 1U);
  put_band(payload, band);
  put_segment(out, kSos, payload);
}

void put_end(std::string& out) {
  put_u8(out, 0xFF);
  put_u8(out, kEoi);
}

}  // namespace pixmill::image::jpeg
