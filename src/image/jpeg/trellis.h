// Rate-distortion optimal choice of a block's coefficients. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "image/jpeg/block_coder.h"
#include "image/jpeg/quantisation.h"

namespace pixmill::image::jpeg {

// From candidates whose values are 256ths (0.6 or more each) to those that are worth their bits, with magnitudes; they
// are put at the front of `candidates`. Minimises bits + 13.9 × squared error (in steps), bits being those of the
// standard Huffman codes: the codes that will be made are not known yet, and one pass with these is as good as two.
[[nodiscard]] std::span<Candidate> keep_worthy(std::span<Candidate> candidates, Channel channel);

}  // namespace pixmill::image::jpeg
