#include "image/jpeg/block_coder.h"

#include <algorithm>

#include "image/jpeg/trellis.h"

namespace pixmill::image::jpeg {

void BlockCoder::orient(std::span<Candidate> candidates) const {
  for (Candidate& candidate : candidates) {
    unsigned position = candidate % kBlockSize;
    if (orientation_.transpose) position = transposed_position(position);
    // A cosine of odd frequency is its own negative when mirrored.
    const bool flips_x = orientation_.mirror_x && horizontal_frequency(position) % 2 == 1;
    const bool flips_y = orientation_.mirror_y && vertical_frequency(position) % 2 == 1;
    candidate = (candidate - candidate % kBlockSize + position) ^ (flips_x != flips_y ? kCandidateNegative : 0U);
  }
  if (!orientation_.transpose) return;
  std::sort(candidates.begin(), candidates.end(),
            [](Candidate a, Candidate b) { return a % kBlockSize < b % kBlockSize; });
}

Token* BlockCoder::write(std::span<Candidate> candidates, Channel channel, Token* out) const {
  if (!orientation_.is_upright()) orient(candidates);
  if (quantising_ == Quantising::kTrellis) candidates = keep_worthy(candidates, channel);
  const unsigned code = channel == Channel::kLuma ? kAcLuma : kAcChroma;
  unsigned before = 0;
  for (const Candidate candidate : candidates) {
    const unsigned position = candidate % kBlockSize;
    const std::uint32_t negative = (candidate & kCandidateNegative) != 0 ? 0xFFFFFFFFU : 0U;
    *out++ = coefficient_token(code, before, position, candidate >> kCandidateShift, negative);
    before = position;
  }
  *out = end_token(code, before);
  return out + 1;
}

}  // namespace pixmill::image::jpeg
