// One scale of SSIMULACRA2: rows of two pictures in linear light come in, the errors of the three channels come out.
// Rows are forgotten as soon as the blur has passed them. For one thread.
#pragma once

#include <array>
#include <cstddef>

#include "image/recursive_gaussian.h"
#include "image/row_filter.h"

namespace pixmill::image {

inline constexpr std::size_t kRgbChannels = 3;

// One row of a picture in linear light, 0 to 1: red, green, blue.
using LinearRow = std::array<const float*, kRgbChannels>;

// The mean (or 1-norm) and the 4-norm of a map of errors.
struct Norms {
  double mean = 0;
  double fourth = 0;
};

struct ChannelErrors {
  Norms structure;  // 1 - SSIM'
  Norms gained;     // edges where the original is smooth: ringing, blocks, banding
  Norms lost;       // smooth where the original has edges: blur
};

// X (red against green), Y (luma), B - Y.
using ScaleErrors = std::array<ChannelErrors, 3>;

class Ssimulacra2Scale {
 public:
  // Both sides at least 4.
  Ssimulacra2Scale(std::size_t width, std::size_t height);

  // The next row, width × 3 channels, from the top; `height` of them.
  void push(const LinearRow& original, const LinearRow& distorted);

  // Once, after the last row.
  [[nodiscard]] ScaleErrors finish();

 private:
  // Sums over the pixels of one channel.
  struct Sums {
    double structure = 0, structure4 = 0, gained = 0, gained4 = 0, lost = 0, lost4 = 0;
  };

  // The row of colours_ in which row y of a picture's channel lies.
  [[nodiscard]] static std::size_t colour_row(std::size_t y, std::size_t picture, std::size_t channel);

  // Blurs across at row n, which may lie before the first, and judges that row.
  void step(std::ptrdiff_t n);
  void judge_row(std::size_t y, std::size_t channel);

  std::size_t width_;
  std::size_t height_;
  std::size_t rows_pushed_ = 0;
  RowStore colours_;  // XYB of both pictures, of the rows between the one to be judged and the newest
  RowStore lanes_;    // a row's quantities side by side, as they are to be blurred, then as they have been
  RowStore along_;    // blurred along the row, of the rows that the blur across them still needs; last a row of zeros
  RowStore blurred_;  // a row's quantities one after the other
  BlurAcross across_;
  std::array<Sums, 3> sums_{};
};

}  // namespace pixmill::image
