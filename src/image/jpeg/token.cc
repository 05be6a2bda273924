#include "image/jpeg/token.h"

namespace pixmill::image::jpeg {

Frequencies count_symbols(std::span<const Token> tokens) {
  // By symbol, zero runs and code. Two counters take turns, so that a symbol that repeats need not wait for its own
  // count.
  constexpr unsigned kKinds = 1U << kPositionShift;
  std::array<std::array<std::uint32_t, kKinds>, 2> counts{};
  std::size_t i = 0;
  for (; i + 1 < tokens.size(); i += 2) {
    ++counts[0][tokens[i] % kKinds];
    ++counts[1][tokens[i + 1] % kKinds];
  }
  if (i < tokens.size()) ++counts[0][tokens[i] % kKinds];
  Frequencies frequencies{};
  for (Token kind = 0; kind < kKinds; ++kind) {
    const std::uint32_t count = counts[0][kind] + counts[1][kind];
    frequencies[code_of(kind)][symbol_of(kind)] += count;
    frequencies[code_of(kind)][kZeroRunSymbol] += zero_runs_of(kind) * count;
  }
  return frequencies;
}

}  // namespace pixmill::image::jpeg
