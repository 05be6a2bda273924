// The coefficients of a progressive JPEG, read through libjpeg, which keeps them all: 2 bytes each. Any thread; the
// input is untrusted.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/error.h"
#include "image/jpeg/block_coder.h"
#include "image/jpeg/block_store.h"
#include "image/jpeg/frame.h"
#include "image/jpeg/quantisation.h"

namespace pixmill::image::jpeg {

class ProgressiveSource {
 public:
  // Reads the whole file; `frame` is what read_source() found in it. Errors: kTruncated, kDecodeFailed, kTooLarge when
  // memory ran out, kUnsupportedFormat when libjpeg sees another frame.
  [[nodiscard]] static Result<ProgressiveSource> read(std::string_view bytes, const Frame& frame);
  ProgressiveSource(ProgressiveSource&&) noexcept;
  ProgressiveSource& operator=(ProgressiveSource&&) noexcept;
  ~ProgressiveSource();

  [[nodiscard]] const std::array<QuantTable, kComponentsMax>& quant_tables() const { return quant_tables_; }

  // Fills the store. Errors: kUnsupportedFormat for values that 8-bit JPEG does not have. Throws std::bad_alloc.
  [[nodiscard]] Result<void> requantise(const Frame& frame, std::span<const Requantiser> requantisers,
                                        const BlockCoder& coder, BlockStore& store);

 private:
  struct Decompressor;
  explicit ProgressiveSource(std::unique_ptr<Decompressor> decompressor);

  std::unique_ptr<Decompressor> decompressor_;
  std::array<QuantTable, kComponentsMax> quant_tables_{};
};

}  // namespace pixmill::image::jpeg
