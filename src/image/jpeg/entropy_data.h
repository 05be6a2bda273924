// A scan's entropy-coded data made ready for BitReader: byte stuffing removed, restart markers found. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "image/jpeg/bit_reader.h"

namespace pixmill::image::jpeg {

class EntropyData {
 public:
  // `coded` is what follows a SOS segment; it is read to the first marker that is no restart, or to its end. Without
  // `has_restarts` a restart marker ends it too. Throws std::bad_alloc.
  EntropyData(std::string_view coded, bool has_restarts);

  // The pieces between restart markers, at least one.
  [[nodiscard]] std::size_t piece_count() const { return ends_.size(); }
  [[nodiscard]] BitReader piece(std::size_t index) const;
  // Restart markers came in their order, 0 to 7 and again, as far as they go.
  [[nodiscard]] bool restarts_in_order() const { return in_order_; }

 private:
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::vector<std::size_t> ends_;
  bool in_order_ = true;
};

}  // namespace pixmill::image::jpeg
