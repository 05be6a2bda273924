// Huffman-decodes one sequential scan into the store and requantises on the way (ITU T.81 F.2). The hot loop. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "image/jpeg/block_coder.h"
#include "image/jpeg/block_store.h"
#include "image/jpeg/quantisation.h"
#include "image/jpeg/read_source.h"

namespace pixmill::image::jpeg {

enum class ScanEnd : std::uint8_t {
  kComplete,
  kDataEnded,  // fewer blocks than there should be
  kBadCode,    // bits that are no Huffman code, or restart markers out of order
  kOdd,        // what 8-bit baseline does not have: values out of range, blocks of more than 64 coefficients
};

// `requantisers` and the store's planes by component. `coder` turns blocks into tokens; nullptr where that means no
// more than writing them down, which the decoder then does in passing. What is in the store is of use only after
// kComplete. Throws std::bad_alloc.
[[nodiscard]] ScanEnd decode_scan(const Scan& scan, const Frame& frame, std::span<const Requantiser> requantisers,
                                  const BlockCoder* coder, BlockStore& store);

}  // namespace pixmill::image::jpeg
