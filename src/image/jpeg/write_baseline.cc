#include "image/jpeg/append_tokens.h"
#include "image/jpeg/mcu_order.h"
#include "image/jpeg/token.h"
#include "image/jpeg/write_file.h"
#include "image/jpeg/write_segments.h"

namespace pixmill::image::jpeg {

namespace {

// The scan's tokens when the store has them in another order.
Tokens reordered_tokens(const CodedPicture& picture) {
  Tokens tokens(picture.store->tokens.size());
  std::array<int, kComponentsMax> mean{};
  for (std::uint32_t y = 0; y < picture.frame.mcus_high; ++y) {
    Token* out = tokens.tail(blocks_in_mcu_row(picture.frame) * kBlockTokensMax);
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

void put_scan(std::string& out, const CodedPicture& picture, std::span<const Token> tokens) {
  Frequencies frequencies = count_symbols(tokens);
  frequencies[kAcLuma][kNothingSymbol] = frequencies[kAcChroma][kNothingSymbol] = 0;
  const auto codes = put_codes(out, frequencies);
  put_interleaved_scan(out, picture, {.first = 0, .last = kBlockSize - 1});
  TokenCodes(codes, BlockEnds::kSingle).append(tokens, out);
}

}  // namespace

std::string write_baseline(const CodedPicture& picture, const FileHead& head) {
  std::string out;
  out.reserve(1024 + picture.store->tokens.size());
  put_head(out, picture, head, Process::kSequential);
  if (picture.in_order) {
    put_scan(out, picture, picture.store->tokens.elements().subspan(kCodeCount));
  } else {
    put_scan(out, picture, reordered_tokens(picture).elements());
  }
  put_end(out);
  return out;
}

}  // namespace pixmill::image::jpeg
