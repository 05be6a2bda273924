#include <algorithm>
#include <array>

#include "image/jpeg/append_tokens.h"
#include "image/jpeg/mcu_order.h"
#include "image/jpeg/token.h"
#include "image/jpeg/write_file.h"
#include "image/jpeg/write_segments.h"

namespace pixmill::image::jpeg {

namespace {

// Every scan is there even when all its coefficients are 0: a decoder that misses one smooths the picture instead.
constexpr std::array<Band, 2> kLumaBands = {{{.first = 1, .last = 2}, {.first = 3, .last = kBlockSize - 1}}};
constexpr std::array<Band, 1> kChromaBands = {{{.first = 1, .last = kBlockSize - 1}}};

// The tokens of one component's coefficients in one band (ITU T.81 G.1.2.2). Blocks that have nothing more to say are
// counted, and one symbol stands for up to 32,767 of them.
class BandTokens {
 public:
  BandTokens(unsigned code, Band band) : code_(code), band_(band) {}

  // Returns where writing stopped; at most kBlockTokensMax further.
  Token* add_block(const Token* from, Token* out) {
    while (!ends_block(*from) && position_of(*from) < band_.first) ++from;
    unsigned last = band_.first - 1;
    for (; !ends_block(*from) && position_of(*from) <= band_.last; ++from) {
      out = end_blocks(out);
      // The first coefficient's zeros are counted from the band's beginning; for the others this changes nothing.
      *out++ = (*from & ~(0x3FU << kRunShift)) | (position_of(*from) - last - 1) << kRunShift;
      last = position_of(*from);
    }
    if (last == band_.last) return out;
    constexpr unsigned kEndedMax = 0x7FFF;
    return ++ended_ == kEndedMax ? end_blocks(out) : out;
  }

  Token* end_blocks(Token* out) {
    if (ended_ == 0) return out;
    const unsigned bits = bits_of(ended_) - 1;
    *out++ = make_token(code_, bits << 4, ended_ - (1U << bits));
    ended_ = 0;
    return out;
  }

 private:
  unsigned code_;
  Band band_;
  unsigned ended_ = 0;
};

Tokens band_tokens(const CodedPicture& picture, unsigned component, Band band) {
  const Component& shape = picture.frame.component_array[component];
  BandTokens blocks(component == 0 ? kAcLuma : kAcChroma, band);
  Tokens tokens(picture.store->tokens.size() / 2);
  for (std::uint32_t y = 0; y < shape.blocks_high; ++y) {
    Token* out = tokens.tail((std::size_t{shape.blocks_wide} + 1) * kBlockTokensMax);
    for (std::uint32_t x = 0; x < shape.blocks_wide; ++x) {
      out = blocks.add_block(picture.coefficients_of(component, picture.views[component].at(x, y)), out);
    }
    if (y + 1 == shape.blocks_high) out = blocks.end_blocks(out);
    tokens.commit(out);
  }
  return tokens;
}

Tokens mean_tokens(const CodedPicture& picture) {
  Tokens tokens(0);
  std::array<int, kComponentsMax> mean{};
  for (std::uint32_t y = 0; y < picture.frame.mcus_high; ++y) {
    Token* out = tokens.tail(blocks_in_mcu_row(picture.frame));
    visit_mcu_row(picture, y, [&](unsigned component, std::size_t block) {
      const int next = picture.mean_of(component, block);
      *out++ = mean_token(component == 0 ? kDcLuma : kDcChroma, next - mean[component]);
      mean[component] = next;
    });
    tokens.commit(out);
  }
  return tokens;
}

void put_mean_scan(std::string& out, const CodedPicture& picture) {
  const Tokens tokens = mean_tokens(picture);
  const auto codes = put_codes(out, count_symbols(tokens.elements()));
  put_interleaved_scan(out, picture, {.first = 0, .last = 0});
  TokenCodes(codes, BlockEnds::kSingle).append(tokens.elements(), out);
}

void put_band_scan(std::string& out, const CodedPicture& picture, unsigned component, Band band) {
  const Tokens tokens = band_tokens(picture, component, band);
  const auto codes = put_codes(out, count_symbols(tokens.elements()));
  put_component_scan(out, component, band);
  TokenCodes(codes, BlockEnds::kRuns).append(tokens.elements(), out);
}

}  // namespace

std::string write_progressive(const CodedPicture& picture, const FileHead& head) {
  std::string out;
  out.reserve(1024 + picture.store->tokens.size());
  put_head(out, picture, head, Process::kProgressive);
  put_mean_scan(out, picture);
  for (const Band band : kLumaBands) put_band_scan(out, picture, 0, band);
  for (unsigned component = 1; component < picture.frame.component_count; ++component) {
    for (const Band band : kChromaBands) put_band_scan(out, picture, component, band);
  }
  put_end(out);
  return out;
}

}  // namespace pixmill::image::jpeg
