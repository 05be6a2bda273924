// Tokens to entropy-coded bytes (ITU T.81 F.1.2). Pure.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "image/jpeg/huffman_code.h"
#include "image/jpeg/token.h"

namespace pixmill::image::jpeg {

// How many extra bits follow a symbol: for means and coefficients the symbol's low half says it, for the ends of blocks
// of a progressive scan, which stand for many, its high half.
enum class BlockEnds : std::uint8_t { kSingle, kRuns };

// Codes by Token's code number, ready to be written. Empty codes are allowed where no token uses them.
class TokenCodes {
 public:
  TokenCodes(std::span<const HuffmanCode, kCodeCount> codes, BlockEnds ends);

  // Appends the tokens' bits, stuffed, and padded with ones to a whole byte. Every symbol must have a code.
  void append(std::span<const Token> tokens, std::string& out) const;

 private:
  // A code moved up by its extra bits, and the length of both.
  struct Entry {
    std::uint32_t bits = 0;
    std::uint32_t length = 0;
  };
  [[nodiscard]] const Entry& entry(Token token) const { return entries_[code_of(token)][symbol_of(token)]; }

  std::array<std::array<Entry, 256>, kCodeCount> entries_{};
};

}  // namespace pixmill::image::jpeg
