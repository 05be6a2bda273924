// Huffman codes as a DHT segment describes them (ITU T.81 annex C), and the best one for given frequencies. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace pixmill::image::jpeg {

inline constexpr unsigned kCodeLengthMax = 16;

struct HuffmanCode {
  std::array<std::uint8_t, kCodeLengthMax + 1> count{};  // how many codes have this many bits; [0] stays 0
  std::array<std::uint8_t, 256> symbols{};               // by code, in rising order
  [[nodiscard]] unsigned size() const;                   // how many symbols have a code
  bool operator==(const HuffmanCode&) const = default;
};

// False when there are more codes than their lengths leave room for, or one consists of ones alone (forbidden, C.2).
[[nodiscard]] bool is_valid(const HuffmanCode& code);

// The code of at most 16 bits that spends the fewest bits on these frequencies, made as K.2 shows: Huffman's lengths,
// those above 16 shortened by its figure K.3, and the code of all ones left free. Symbols of frequency 0 get no code.
[[nodiscard]] HuffmanCode optimal_code(std::span<const std::uint32_t, 256> frequencies);

// Indexed by symbol: the code in bits 8 to 23, its length in bits 0 to 7; 0 for symbols without a code.
using CodeWords = std::array<std::uint32_t, 256>;
[[nodiscard]] CodeWords code_words(const HuffmanCode& code);

}  // namespace pixmill::image::jpeg
