// SSIMULACRA2 from rows in linear light: the chain of scales and the weights. What the metric is stands in
// image/quality_metric.h. For one thread.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "image/row_filter.h"
#include "image/ssimulacra2_scale.h"

namespace pixmill::image {

class Ssimulacra2 {
 public:
  // Both sides at least 8.
  Ssimulacra2(std::size_t width, std::size_t height);

  // The next row, from the top; `height` of them.
  void push(const LinearRow& original, const LinearRow& distorted) { push_to(0, original, distorted); }

  // Once, after the last row.
  [[nodiscard]] double finish();

 private:
  // A scale, and what it takes to halve its rows for the next one.
  struct Level {
    Level(std::size_t level_width, std::size_t level_height);

    Ssimulacra2Scale scale;
    std::size_t width;
    std::size_t height;
    std::size_t rows_pushed = 0;
    RowStore upper;   // an even row of both pictures, until the odd one comes: original's channels, distorted's
    RowStore halved;  // likewise
  };

  void push_to(std::size_t index, const LinearRow& original, const LinearRow& distorted);
  // Gives the next level the mean of the kept row and this one.
  void push_half(std::size_t index, const LinearRow& original, const LinearRow& distorted);

  std::vector<Level> levels_;
};

// The score of 1 to 6 scales' errors, the largest scale first: at most 100.
[[nodiscard]] double ssimulacra2_score(std::span<const ScaleErrors> scales);

}  // namespace pixmill::image
