#include "image/jpeg/trellis.h"

#include <algorithm>
#include <array>
#include <limits>

namespace pixmill::image::jpeg {

namespace {

// Code lengths of ITU T.81 tables K.5 and K.6, by run of zeros and number of bits; [0][0] ends a block, [15][0] is
// sixteen zeros.
using CodeLengths = std::array<std::array<std::uint8_t, 11>, 16>;

constexpr CodeLengths kLumaLengths = {{{4, 2, 2, 3, 4, 5, 7, 8, 10, 16, 16},
                                       {0, 4, 5, 7, 9, 11, 16, 16, 16, 16, 16},
                                       {0, 5, 8, 10, 12, 16, 16, 16, 16, 16, 16},
                                       {0, 6, 9, 12, 16, 16, 16, 16, 16, 16, 16},
                                       {0, 6, 10, 16, 16, 16, 16, 16, 16, 16, 16},
                                       {0, 7, 11, 16, 16, 16, 16, 16, 16, 16, 16},
                                       {0, 7, 12, 16, 16, 16, 16, 16, 16, 16, 16},
                                       {0, 8, 12, 16, 16, 16, 16, 16, 16, 16, 16},
                                       {0, 9, 15, 16, 16, 16, 16, 16, 16, 16, 16},
                                       {0, 9, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                       {0, 9, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                       {0, 10, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                       {0, 10, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                       {0, 11, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                       {0, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                       {11, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16}}};
constexpr CodeLengths kChromaLengths = {{{2, 2, 3, 4, 5, 5, 6, 7, 9, 10, 12},
                                         {0, 4, 6, 8, 9, 11, 12, 16, 16, 16, 16},
                                         {0, 5, 8, 10, 12, 15, 16, 16, 16, 16, 16},
                                         {0, 5, 8, 10, 12, 16, 16, 16, 16, 16, 16},
                                         {0, 6, 9, 16, 16, 16, 16, 16, 16, 16, 16},
                                         {0, 6, 10, 16, 16, 16, 16, 16, 16, 16, 16},
                                         {0, 7, 11, 16, 16, 16, 16, 16, 16, 16, 16},
                                         {0, 7, 11, 16, 16, 16, 16, 16, 16, 16, 16},
                                         {0, 8, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                         {0, 9, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                         {0, 9, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                         {0, 9, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                         {0, 9, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                         {0, 11, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                         {0, 14, 16, 16, 16, 16, 16, 16, 16, 16, 16},
                                         {10, 15, 16, 16, 16, 16, 16, 16, 16, 16, 16}}};

// Costs are counted in 16ths of a bit.
constexpr int kBit = 16;
constexpr int kLambda = 223;  // 13.9 bits per squared step of error
constexpr int kOne = static_cast<int>(kTrellisOne);
// Above this magnitude a coefficient is worth its bits whatever they are, and the arithmetic stays within an int.
constexpr int kGainMagnitudeMax = 15;

// A coefficient that may be kept, and the cheapest way to code the block up to it.
struct Step {
  int cost = 0;
  int position = 0;
  int magnitude = 0;
  int before = 0;  // index of the step before on that way
};

// What is gained by coding `exact` (in 256ths) as `magnitude` instead of 0: λ × (exact² − (exact − magnitude)²).
int gain(int exact, int magnitude) {
  const int capped = std::min(magnitude, kGainMagnitudeMax);
  return kLambda * capped * (2 * std::min(exact, kGainMagnitudeMax * kOne) - capped * kOne) / kOne;
}

class Trellis {
 public:
  explicit Trellis(const CodeLengths& lengths) : lengths_(lengths) {}
  std::span<Candidate> run(std::span<Candidate> candidates);

 private:
  [[nodiscard]] int code_cost(int run, int bits) const {
    const int zero_runs = run > 15 ? (run >> 4) * lengths_[15][0] : 0;
    return kBit * (zero_runs + lengths_[static_cast<unsigned>(run) & 15U][static_cast<unsigned>(bits)] + bits);
  }
  void extend(unsigned index, int position, int exact);
  [[nodiscard]] int end_cost(const Step& step) const {
    return step.position == kBlockSize - 1 ? 0 : kBit * lengths_[0][0];
  }

  const CodeLengths& lengths_;
  std::array<Step, kBlockSize> steps_;  // [0] is the block's beginning
};

// Finds the cheapest way to a coefficient, over all that may come before it. Of those, one above 1 is always kept, so
// the search goes back no further. A magnitude that has just reached another bit may be taken one smaller.
void Trellis::extend(unsigned index, int position, int exact) {
  const int nearest = (exact + kOne / 2) / kOne;
  const auto bits = static_cast<int>(bits_of(static_cast<std::uint32_t>(nearest)));
  const bool may_shrink = nearest == 2 || nearest == 4 || nearest == 8;
  const int nearest_gain = gain(exact, nearest);
  const int smaller_gain = may_shrink ? gain(exact, nearest - 1) : 0;
  Step best{.cost = std::numeric_limits<int>::max(), .position = position, .magnitude = nearest, .before = 0};
  for (int before = static_cast<int>(index) - 1; before >= 0; --before) {
    const Step& from = steps_[static_cast<unsigned>(before)];
    const int run = position - from.position - 1;
    const int cost = from.cost + code_cost(run, bits) - nearest_gain;
    if (cost < best.cost) best = {.cost = cost, .position = position, .magnitude = nearest, .before = before};
    if (may_shrink) {
      const int smaller = from.cost + code_cost(run, bits - 1) - smaller_gain;
      if (smaller < best.cost)
        best = {.cost = smaller, .position = position, .magnitude = nearest - 1, .before = before};
    }
    if (from.magnitude > 1) break;
  }
  steps_[index] = best;
}

std::span<Candidate> Trellis::run(std::span<Candidate> candidates) {
  steps_[0] = {};
  unsigned last = 0;
  int best_cost = end_cost(steps_[0]);
  for (unsigned i = 0; i < candidates.size(); ++i) {
    extend(i + 1, static_cast<int>(candidates[i] % kBlockSize), static_cast<int>(candidates[i] >> kCandidateShift));
    const Step& step = steps_[i + 1];
    const int cost = step.cost + end_cost(step);
    if (cost >= best_cost && step.magnitude <= 2) continue;
    best_cost = cost;
    last = i + 1;
  }
  // The way back, from the last kept coefficient to the first; the front of `candidates` is free once it is known how
  // many.
  std::array<Candidate, kCandidatesMax> kept;
  auto first = kept.end();
  for (unsigned i = last; i > 0; i = static_cast<unsigned>(steps_[i].before)) {
    *--first =
        static_cast<Candidate>(steps_[i].magnitude) << kCandidateShift | candidates[i - 1] % (1U << kCandidateShift);
  }
  std::copy(first, kept.end(), candidates.begin());
  return candidates.first(static_cast<std::size_t>(kept.end() - first));
}

}  // namespace

std::span<Candidate> keep_worthy(std::span<Candidate> candidates, Channel channel) {
  return Trellis(channel == Channel::kLuma ? kLumaLengths : kChromaLengths).run(candidates);
}

}  // namespace pixmill::image::jpeg
