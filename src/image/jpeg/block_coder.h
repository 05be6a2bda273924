// From one block's coefficients to its tokens, when there is more to do than to write them down: mirroring and turning,
// and the trellis. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "image/jpeg/orientation.h"
#include "image/jpeg/token.h"

namespace pixmill::image::jpeg {

// A coefficient before it is final: bits 0 to 5 its zigzag position (1 to 63), bit 6 set when negative, bits 7 and up
// its value: a magnitude of 1 to 1023, or for the trellis the exact magnitude in 256ths.
using Candidate = std::uint32_t;

inline constexpr unsigned kCandidateShift = 7;
inline constexpr Candidate kCandidateNegative = 64;
inline constexpr unsigned kTrellisOne = 256;
inline constexpr std::size_t kCandidatesMax = kBlockSize - 1;

enum class Quantising : std::uint8_t {
  kDone,     // candidates hold magnitudes
  kTrellis,  // which of them are worth their bits is decided here
};

class BlockCoder {
 public:
  BlockCoder(Orientation orientation, Quantising quantising) : orientation_(orientation), quantising_(quantising) {}

  // `candidates` in rising order of position; they are changed. Writes the coefficients' tokens and an end, at most
  // kCandidatesMax + 1, and returns the end of what was written.
  Token* write(std::span<Candidate> candidates, Channel channel, Token* out) const;

 private:
  void orient(std::span<Candidate> candidates) const;

  Orientation orientation_;
  Quantising quantising_;
};

}  // namespace pixmill::image::jpeg
