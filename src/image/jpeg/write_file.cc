#include "image/jpeg/write_file.h"

#include <algorithm>
#include <initializer_list>

#include "image/jpeg/append_tokens.h"
#include "image/jpeg/token.h"

namespace pixmill::image::jpeg {

using namespace std::string_view_literals;

namespace {

constexpr std::uint8_t kSof0 = 0xC0;
constexpr std::uint8_t kSof1 = 0xC1;
constexpr std::uint8_t kDht = 0xC4;
constexpr std::uint8_t kEoi = 0xD9;
constexpr std::uint8_t kSos = 0xDA;
constexpr std::uint8_t kDqt = 0xDB;
constexpr std::uint8_t kApp0 = 0xE0;
constexpr unsigned kByteMax = 255;

void put_u8(std::string& out, unsigned value) { out.push_back(static_cast<char>(value)); }
void put_u16(std::string& out, unsigned value) {
  put_u8(out, value >> 8 & 0xFFU);
  put_u8(out, value & 0xFFU);
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

// The first component with the same table, whose number the table gets.
unsigned table_number(const CodedPicture& picture, unsigned component) {
  const auto& tables = picture.quant_tables;
  return static_cast<unsigned>(std::find(tables.begin(), tables.end(), tables[component]) - tables.begin());
}

bool is_wide(const QuantTable& table) {
  return std::any_of(table.begin(), table.end(), [](unsigned step) { return step > kByteMax; });
}

void put_quant_tables(std::string& out, const CodedPicture& picture) {
  for (unsigned i = 0; i < picture.frame.component_count; ++i) {
    if (table_number(picture, i) != i) continue;
    const QuantTable& table = picture.quant_tables[i];
    const bool wide = is_wide(table);
    std::string payload;
    put_u8(payload, (wide ? 0x10U : 0U) | i);
    for (const unsigned step : table) {
      if (wide) put_u8(payload, step >> 8);
      put_u8(payload, step & 0xFFU);
    }
    put_segment(out, kDqt, payload);
  }
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

// Makes a code for every set of symbols that is used, and writes it.
std::array<HuffmanCode, kCodeCount> put_codes(std::string& out, const Frequencies& frequencies) {
  std::array<HuffmanCode, kCodeCount> codes;
  for (unsigned number = 0; number < kCodeCount; ++number) {
    codes[number] = optimal_code(frequencies[number]);
    if (codes[number].size() > 0) put_huffman_code(out, codes[number], number);
  }
  return codes;
}

void put_interleaved_scan(std::string& out, const CodedPicture& picture, unsigned last_position) {
  std::string payload;
  put_u8(payload, picture.frame.component_count);
  for (unsigned i = 0; i < picture.frame.component_count; ++i) {
    put_u8(payload, i + 1);
    put_u8(payload, i == 0 ? 0U : 0x11U);
  }
  put_u8(payload, 0);
  put_u8(payload, last_position);
  put_u8(payload, 0);
  put_segment(out, kSos, payload);
}

// Calls `visit(component, block)` for every block of MCU row `y` in the order of an interleaved scan.
template <class Visit>
void visit_mcu_row(const CodedPicture& picture, std::uint32_t y, const Visit& visit) {
  for (std::uint32_t x = 0; x < picture.frame.mcus_wide; ++x) {
    for (unsigned i = 0; i < picture.frame.component_count; ++i) {
      const Component& component = picture.frame.component_array[i];
      for (std::uint32_t dy = 0; dy < component.v; ++dy) {
        for (std::uint32_t dx = 0; dx < component.h; ++dx) {
          visit(i, picture.views[i].at(x * component.h + dx, y * component.v + dy));
        }
      }
    }
  }
}

// A baseline scan's tokens when the store has them in another order.
Tokens reordered_tokens(const CodedPicture& picture) {
  std::size_t blocks_per_mcu = 0;
  for (const Component& component : picture.frame.components()) blocks_per_mcu += component.h * component.v;
  Tokens tokens(picture.store->tokens.size());
  std::array<int, kComponentsMax> mean{};
  for (std::uint32_t y = 0; y < picture.frame.mcus_high; ++y) {
    Token* out = tokens.tail(picture.frame.mcus_wide * blocks_per_mcu * kBlockTokensMax);
    visit_mcu_row(picture, y, [&](unsigned component, std::size_t block) {
      const int next = picture.mean_of(component, block);
      *out++ = mean_token(component == 0 ? kDcLuma : kDcChroma, next - mean[component]);
      mean[component] = next;
      const Token* from = picture.coefficients_of(component, block);
      do {
        *out++ = *from;
      } while (!ends_block(*from++));
    });
    tokens.commit(out);
  }
  return tokens;
}

void put_baseline_scan(std::string& out, const CodedPicture& picture, std::span<const Token> tokens) {
  Frequencies frequencies = count_symbols(tokens);
  frequencies[kAcLuma][kNothingSymbol] = frequencies[kAcChroma][kNothingSymbol] = 0;
  const auto codes = put_codes(out, frequencies);
  put_interleaved_scan(out, picture, kBlockSize - 1);
  TokenCodes(codes, BlockEnds::kSingle).append(tokens, out);
}

}  // namespace

std::string write_baseline(const CodedPicture& picture, const FileHead& head) {
  std::string out;
  out.reserve(1024 + picture.store->tokens.size());
  out += "\xFF\xD8"sv;
  put_jfif(out, head.density);
  put_quant_tables(out, picture);
  const auto components = picture.frame.components();
  const bool wide = std::any_of(components.begin(), components.end(), [&](const Component& component) {
    return is_wide(picture.quant_tables[static_cast<std::size_t>(&component - components.data())]);
  });
  put_frame(out, picture, wide ? kSof1 : kSof0);
  if (picture.in_order) {
    put_baseline_scan(out, picture, picture.store->tokens.elements().subspan(kCodeCount));
  } else {
    put_baseline_scan(out, picture, reordered_tokens(picture).elements());
  }
  put_u8(out, 0xFF);
  put_u8(out, kEoi);
  return out;
}

}  // namespace pixmill::image::jpeg
