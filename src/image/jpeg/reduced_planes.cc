#include "image/jpeg/reduced_planes.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <numbers>
#include <vector>

#include "image/jpeg/read_source.h"
#include "image/jpeg/scan_decoder.h"

namespace pixmill::image::jpeg {

namespace {

constexpr std::uint32_t kBlockSide = 8;
constexpr unsigned kSideMax = 4;
constexpr unsigned kCoefficientsMax = kSideMax * kSideMax;
// Takes what is not wanted.
constexpr unsigned kNoSlot = kCoefficientsMax;

using Float4 = float __attribute__((vector_size(16)));
using Int4 = std::int32_t __attribute__((vector_size(16)));

// One component on its way.
struct Target {
  unsigned side = 1;                                        // samples of a block, both ways: 1, 2 or 4
  std::array<std::uint8_t, kPositionMax + 1> slots{};       // from a zigzag position to side × vertical + horizontal
  alignas(16) std::array<float, kCoefficientsMax> steps{};  // by slot; norms of the transform are in them
};

// The step of a coefficient times what makes a transform of `side` orthonormal, and keeps the brightness: the larger
// transform's coefficients are larger by 8 / side.
float scaled_step(unsigned side, unsigned horizontal, unsigned vertical, std::uint16_t step) {
  const auto norm = [side](unsigned frequency) {
    // cos(π/4) of the middle frequency of 4, and of the only one of 2, is in it as well.
    if (frequency == 0) return 1.0;
    return side == kSideMax && frequency != 2 ? std::numbers::sqrt2 : 1.0;
  };
  return static_cast<float>(step * norm(horizontal) * norm(vertical) / kBlockSide);
}

Target make_target(unsigned side, const QuantTable& table) {
  Target target;
  target.side = side;
  target.slots.fill(kNoSlot);
  for (unsigned position = 0; position < kBlockSize; ++position) {
    const unsigned horizontal = horizontal_frequency(position);
    const unsigned vertical = vertical_frequency(position);
    if (horizontal >= side || vertical >= side) continue;
    const unsigned slot = side * vertical + horizontal;
    target.slots[position] = static_cast<std::uint8_t>(slot);
    target.steps[slot] = scaled_step(side, horizontal, vertical, table[position]);
  }
  return target;
}

std::uint8_t sample_of(float value) {
  constexpr float kMiddle = 128.5F;  // and a half to round
  return static_cast<std::uint8_t>(std::clamp(value + kMiddle, 0.0F, 255.0F));
}

// The inverse cosine transform of four values at once, ITU T.81 A.3.3 for a side of 4 without its norms.
inline void transform(std::array<Float4, kSideMax>& rows) {
  constexpr auto kLow = static_cast<float>(0.92387953251128674);   // cos(π/8)
  constexpr auto kHigh = static_cast<float>(0.38268343236508977);  // cos(3π/8)
  const Float4 sum = rows[0] + rows[2];
  const Float4 difference = rows[0] - rows[2];
  const Float4 outer = rows[1] * kLow + rows[3] * kHigh;
  const Float4 inner = rows[1] * kHigh - rows[3] * kLow;
  rows = {sum + outer, difference + inner, difference - inner, sum - outer};
}

inline void transpose(std::array<Float4, kSideMax>& rows) {
  const Float4 a = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
  const Float4 b = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
  const Float4 c = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
  const Float4 d = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
  rows = {__builtin_shufflevector(a, c, 0, 1, 4, 5), __builtin_shufflevector(a, c, 2, 3, 6, 7),
          __builtin_shufflevector(b, d, 0, 1, 4, 5), __builtin_shufflevector(b, d, 2, 3, 6, 7)};
}

void put_block_of_4(const std::int32_t* values, const float* steps, std::uint8_t* out, std::size_t stride) {
  std::array<Float4, kSideMax> rows;
  for (unsigned i = 0; i < kSideMax; ++i) {
    Int4 row;
    Float4 step;
    std::memcpy(&row, values + i * kSideMax, sizeof(row));
    std::memcpy(&step, steps + i * kSideMax, sizeof(step));
    rows[i] = __builtin_convertvector(row, Float4) * step;
  }
  transform(rows);
  transpose(rows);
  transform(rows);
  transpose(rows);
  alignas(16) std::array<std::int32_t, kCoefficientsMax> samples;
  for (unsigned i = 0; i < kSideMax; ++i) {
    constexpr float kMiddle = 128.5F;
    Float4 row = rows[i] + kMiddle;
    row = row < 0.0F ? Float4{} : row;
    row = row > 255.0F ? Float4{} + 255.0F : row;
    const Int4 whole = __builtin_convertvector(row, Int4);
    std::memcpy(&samples[i * kSideMax], &whole, sizeof(whole));
  }
  std::array<std::uint8_t, kCoefficientsMax> bytes;
  for (unsigned i = 0; i < kCoefficientsMax; ++i) bytes[i] = static_cast<std::uint8_t>(samples[i]);
  for (unsigned i = 0; i < kSideMax; ++i) std::memcpy(out + i * stride, &bytes[i * kSideMax], kSideMax);
}

void put_block_of_2(const std::int32_t* values, const float* steps, std::uint8_t* out, std::size_t stride) {
  const float mean = static_cast<float>(values[0]) * steps[0];
  const float across = static_cast<float>(values[1]) * steps[1];
  const float down = static_cast<float>(values[2]) * steps[2];
  const float both = static_cast<float>(values[3]) * steps[3];
  out[0] = sample_of(mean + across + down + both);
  out[1] = sample_of(mean - across + down - both);
  out[stride] = sample_of(mean + across - down - both);
  out[stride + 1] = sample_of(mean - across - down + both);
}

// Blocks wait until there are some of them: what was written as numbers cannot be read as vectors at once.
class PlaneSink {
 public:
  PlaneSink(const std::vector<Target>& targets, Planes& planes) : targets_(targets), planes_(planes) {}

  void begin_row(std::size_t /*blocks*/) {}
  void end_row() { transform_waiting(); }

  template <class Read>
  void take(unsigned component, std::uint32_t x, std::uint32_t y, int mean, const Read& read) {
    const Target& target = targets_[component];
    Plane& plane = planes_[component];
    std::uint8_t* const out = plane.row(y * target.side) + std::size_t{x} * target.side;
    if (target.side == 1) {
      read([](unsigned /*position*/, CodedValue /*value*/) {});
      *out = sample_of(static_cast<float>(mean) * target.steps[0]);
      return;
    }
    Waiting& block = waiting_[count_];
    block.out = out;
    block.component = component;
    block.values.fill(0);
    block.values[0] = mean;
    read([&](unsigned position, CodedValue value) __attribute__((always_inline)) {
      const std::uint32_t sign = 0U - value.negative;
      block.values[target.slots[position]] = static_cast<std::int32_t>((value.magnitude ^ sign) - sign);
    });
    if (++count_ == kWaitingMax) transform_waiting();
  }

 private:
  static constexpr std::size_t kWaitingMax = 16;
  struct Waiting {
    alignas(16) std::array<std::int32_t, kCoefficientsMax + 1> values;
    unsigned component;
    std::uint8_t* out;
  };

  void transform_waiting() {
    for (std::size_t i = 0; i < count_; ++i) {
      const Waiting& block = waiting_[i];
      const Target& target = targets_[block.component];
      const auto put = target.side == 2 ? put_block_of_2 : put_block_of_4;
      put(block.values.data(), target.steps.data(), block.out, planes_[block.component].stride_bytes);
    }
    count_ = 0;
  }

  const std::vector<Target>& targets_;
  Planes& planes_;
  std::array<Waiting, kWaitingMax> waiting_{};
  std::size_t count_ = 0;
};

// Samples of a block that are enough; kBlockSide when all are needed.
unsigned side_wanted(Resolution whole, Resolution wanted) {
  for (const unsigned side : {1U, 2U, 4U}) {
    const double share = static_cast<double>(side) / kBlockSide;
    if (whole.across * share >= kDecodeMargin * wanted.across && whole.down * share >= kDecodeMargin * wanted.down) {
      return side;
    }
  }
  return kBlockSide;
}

Result<Plane> make_target_plane(const Frame& frame, const Component& component, unsigned side) {
  PIXMILL_TRY(Plane plane, make_plane({.width = component.padded_wide * side, .height = component.padded_high * side}));
  const auto samples = [side](std::uint32_t pixels, std::uint32_t factor, std::uint32_t factor_max) {
    const std::uint64_t scale = std::uint64_t{factor_max} * kBlockSide;
    return static_cast<std::uint32_t>((std::uint64_t{pixels} * factor * side + scale - 1) / scale);
  };
  plane.size = {.width = samples(frame.width_px, component.h, frame.h_max),
                .height = samples(frame.height_px, component.v, frame.v_max)};
  plane.across = static_cast<double>(component.h * side) / (frame.h_max * kBlockSide);
  plane.down = static_cast<double>(component.v * side) / (frame.v_max * kBlockSide);
  return plane;
}

Result<Planes> decode(std::string_view bytes, Resolution luma, Resolution chroma) {
  PIXMILL_TRY(const Source source, read_source(bytes));
  if (source.progressive) return std::unexpected(odd_source("several scans of one component"));
  const Frame& frame = source.frame;
  std::vector<Target> targets;
  Planes planes;
  for (unsigned i = 0; i < frame.component_count; ++i) {
    const Component& component = frame.component_array[i];
    const Resolution whole{.across = static_cast<double>(component.h) / frame.h_max,
                           .down = static_cast<double>(component.v) / frame.v_max};
    const unsigned side = side_wanted(whole, i == 0 ? luma : chroma);
    if (side == kBlockSide) return std::unexpected(odd_source("it is wanted at more than half of its size"));
    targets.push_back(make_target(side, source.quant_tables[i]));
    PIXMILL_TRY(Plane plane, make_target_plane(frame, component, side));
    planes.push_back(std::move(plane));
  }
  PlaneSink sink(targets, planes);
  for (const Scan& scan : source.scans) {
    const ScanEnd end = ScanDecoder(scan, frame, sink).decode();
    if (end == ScanEnd::kDataEnded) return std::unexpected(data_ended(bytes));
    if (end == ScanEnd::kBadCode) {
      return fail(ErrorCode::kDecodeFailed, "the jpeg file is damaged: its picture data is corrupt");
    }
    if (end == ScanEnd::kOdd) return std::unexpected(odd_source("values out of range"));
  }
  return planes;
}

}  // namespace

Result<Planes> decode_reduced(std::string_view source, Resolution luma, Resolution chroma) {
  try {
    return decode(source, luma, chroma);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kTooLarge, "the picture needs more memory than an engine may use");
  }
}

}  // namespace pixmill::image::jpeg
