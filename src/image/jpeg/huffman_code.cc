#include "image/jpeg/huffman_code.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace pixmill::image::jpeg {

namespace {

// 256 symbols and the pseudo-symbol that takes the code of all ones; no leaf of a tree lies deeper than there are
// leaves.
constexpr std::size_t kDepthMax = 257;

using DepthCount = std::array<unsigned, kDepthMax + 1>;

// Huffman's algorithm over weights in rising order, with two queues: leaves, and inner nodes in the order of their
// making, which rises too. Gives how many leaves lie at each depth.
DepthCount count_depths(const std::vector<std::uint64_t>& weights) {
  const std::size_t leaves = weights.size();
  std::vector<std::uint64_t> weight(weights);
  weight.reserve(2 * leaves);
  std::vector<std::size_t> parent(2 * leaves, 0);
  std::size_t leaf = 0;
  std::size_t inner = leaves;
  const auto take_lightest = [&] {
    const bool take_leaf = leaf < leaves && (inner == weight.size() || weight[leaf] <= weight[inner]);
    const std::size_t node = take_leaf ? leaf++ : inner++;
    parent[node] = weight.size();
    return weight[node];
  };
  while (weight.size() < 2 * leaves - 1) {
    const std::uint64_t first = take_lightest();
    const std::uint64_t second = take_lightest();
    weight.push_back(first + second);
  }
  DepthCount count{};
  std::vector<std::size_t> depth(2 * leaves, 0);
  for (std::size_t node = weight.size() - 1; node-- > 0;) {
    depth[node] = depth[parent[node]] + 1;
    if (node < leaves) ++count[depth[node]];
  }
  return count;
}

// Figure K.3: two of the longest codes go; their common prefix serves one of them, and the other moves below a shorter
// code.
void shorten_to_limit(DepthCount& count) {
  for (std::size_t length = kDepthMax; length > kCodeLengthMax; --length) {
    while (count[length] > 0) {
      std::size_t shorter = length - 2;
      while (count[shorter] == 0) --shorter;
      count[length] -= 2;
      ++count[length - 1];
      count[shorter + 1] += 2;
      --count[shorter];
    }
  }
}

}  // namespace

unsigned HuffmanCode::size() const { return std::accumulate(count.begin(), count.end(), 0U); }

bool is_valid(const HuffmanCode& code) {
  if (code.size() > code.symbols.size()) return false;
  unsigned next = 0;
  for (unsigned length = 1; length <= kCodeLengthMax; ++length) {
    next += code.count[length];
    if (next >= 1U << length) return false;
    next <<= 1;
  }
  return true;
}

HuffmanCode optimal_code(std::span<const std::uint32_t, 256> frequencies) {
  std::vector<std::uint8_t> symbols;
  for (unsigned symbol = 0; symbol < frequencies.size(); ++symbol) {
    if (frequencies[symbol] > 0) symbols.push_back(static_cast<std::uint8_t>(symbol));
  }
  HuffmanCode code;
  if (symbols.empty()) return code;
  std::stable_sort(symbols.begin(), symbols.end(),
                   [&](std::uint8_t a, std::uint8_t b) { return frequencies[a] > frequencies[b]; });
  std::vector<std::uint64_t> weights = {1};  // the pseudo-symbol: as rare as can be, so its code is one of the longest
  for (auto symbol = symbols.rbegin(); symbol != symbols.rend(); ++symbol) weights.push_back(frequencies[*symbol]);
  DepthCount count = count_depths(weights);
  shorten_to_limit(count);
  std::size_t longest = kCodeLengthMax;
  while (count[longest] == 0) --longest;
  --count[longest];
  for (unsigned length = 1; length <= kCodeLengthMax; ++length) {
    code.count[length] = static_cast<std::uint8_t>(count[length]);
  }
  std::copy(symbols.begin(), symbols.end(), code.symbols.begin());
  return code;
}

CodeWords code_words(const HuffmanCode& code) {
  CodeWords words{};
  std::uint32_t next = 0;
  std::size_t index = 0;
  for (std::uint32_t length = 1; length <= kCodeLengthMax; ++length) {
    for (unsigned i = 0; i < code.count[length]; ++i) words[code.symbols[index++]] = next++ << 8 | length;
    next <<= 1;
  }
  return words;
}

}  // namespace pixmill::image::jpeg
