#include "image/ssimulacra2.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "image/quality_metric.h"

namespace pixmill::image {

namespace {

constexpr std::size_t kScalesMax = 6;

// Version 2.1's, tuned by the metric's author on subjective scores (CID22, TID2013, KADID-10k, KonFiG-IQA): a line for
// each channel and scale, in it the means of structure, gained and lost, then their 4-norms. From
// github.com/cloudinary/ssimulacra2, src/ssimulacra2.cc, by Jon Sneyers, Cloudinary, under the BSD 3-clause licence.
constexpr double kWeights[3 * kScalesMax][6] = {
    {0.0, 0.0007376606707406586, 0.0, 0.0, 0.0007793481682867309, 0.0},
    {0.0, 0.0004371155730107379, 0.0, 1.1041726426657346, 0.00066284834129271, 0.00015231632783718752},
    {0.0, 0.0016406437456599754, 0.0, 1.8422455520539298, 11.441172603757666, 0.0},
    {0.0007989109436015163, 0.000176816438078653, 0.0, 1.8787594979546387, 10.94906990605142, 0.0},
    {0.0007289346991508072, 0.9677937080626833, 0.0, 0.00014003424285435884, 0.9981766977854967,
     0.00031949755934435053},
    {0.0004550992113792063, 0.0, 0.0, 0.0013648766163243398, 0.0, 0.0},
    {0.0, 0.0, 0.0, 7.466890328078848, 0.0, 17.445833984131262},
    {0.0006235601634041466, 0.0, 0.0, 6.683678146179332, 0.00037724407979611296, 1.027889937768264},
    {225.20515300849274, 0.0, 0.0, 19.213238186143016, 0.0011401524586618361, 0.001237755635509985},
    {176.39317598450694, 0.0, 0.0, 24.43300999870476, 0.28520802612117757, 0.0004485436923833408},
    {0.0, 0.0, 0.0, 34.77906344483772, 44.835625328877896, 0.0},
    {0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
    {0.0, 0.0008680556573291698, 0.0, 0.0, 0.0, 0.0},
    {0.0, 0.0005313191874358747, 0.0, 0.00016533814161379112, 0.0, 0.0},
    {0.0, 0.0, 0.0, 0.0004179171803251336, 0.0017290828234722833, 0.0},
    {0.0020827005846636437, 0.0, 0.0, 8.826982764996862, 23.19243343998926, 0.0},
    {95.1080498811086, 0.9863978034400682, 0.9834382792465353, 0.0012286405048278493, 171.2667255897307,
     0.9807858872435379},
    {0.0, 0.0, 0.0, 0.0005130064588990679, 0.0, 0.00010854057858411537}};

// Two rows to one of half the width, rounded up, as the mean of 2 × 2; a last odd column counts twice. In the order of
// the reference, since sums round.
PIXMILL_SIMD_CLONES void halve(const float* upper, const float* lower, std::size_t width, float* __restrict out) {
  const std::size_t pairs = width / 2;
#pragma omp simd
  for (std::size_t i = 0; i < pairs; ++i) {
    out[i] = (upper[2 * i] + upper[2 * i + 1] + lower[2 * i] + lower[2 * i + 1]) * 0.25F;
  }
  if (width % 2 == 0) return;
  const float last = upper[width - 1];
  out[pairs] = (last + last + lower[width - 1] + lower[width - 1]) * 0.25F;
}

LinearRow linear_row(const RowStore& rows, std::size_t first) {
  return {rows.row(first), rows.row(first + 1), rows.row(first + 2)};
}

}  // namespace

Ssimulacra2::Level::Level(std::size_t level_width, std::size_t level_height)
    : scale(level_width, level_height),
      width(level_width),
      height(level_height),
      upper(2 * kRgbChannels, level_width),
      halved(2 * kRgbChannels, (level_width + 1) / 2) {}

// The reference asks whether a scale is large enough before it halves, so the smallest has sides of at least 4.
Ssimulacra2::Ssimulacra2(std::size_t width, std::size_t height) {
  levels_.reserve(kScalesMax);
  levels_.emplace_back(width, height);
  while (levels_.size() < kScalesMax && std::min(width, height) >= kSsimulacra2SideMinPx) {
    width = (width + 1) / 2;
    height = (height + 1) / 2;
    levels_.emplace_back(width, height);
  }
}

void Ssimulacra2::push_to(std::size_t index, const LinearRow& original, const LinearRow& distorted) {
  Level& level = levels_[index];
  level.scale.push(original, distorted);
  ++level.rows_pushed;
  if (index + 1 == levels_.size()) return;
  if (level.rows_pushed % 2 == 0) {
    push_half(index, original, distorted);
    return;
  }
  for (std::size_t channel = 0; channel < kRgbChannels; ++channel) {
    std::copy_n(original[channel], level.width, level.upper.row(channel));
    std::copy_n(distorted[channel], level.width, level.upper.row(kRgbChannels + channel));
  }
  // A last odd row counts twice.
  if (level.rows_pushed == level.height) push_half(index, original, distorted);
}

void Ssimulacra2::push_half(std::size_t index, const LinearRow& original, const LinearRow& distorted) {
  Level& level = levels_[index];
  for (std::size_t channel = 0; channel < kRgbChannels; ++channel) {
    halve(level.upper.row(channel), original[channel], level.width, level.halved.row(channel));
    const std::size_t other = kRgbChannels + channel;
    halve(level.upper.row(other), distorted[channel], level.width, level.halved.row(other));
  }
  push_to(index + 1, linear_row(level.halved, 0), linear_row(level.halved, kRgbChannels));
}

double Ssimulacra2::finish() {
  std::vector<ScaleErrors> scales;
  scales.reserve(levels_.size());
  for (Level& level : levels_) scales.push_back(level.scale.finish());
  return ssimulacra2_score(scales);
}

// With fewer than six scales, which is below 128 px, the reference hands out its weights without leaving gaps for the
// scales that are missing; the scores of small pictures are only comparable when everybody does so.
double ssimulacra2_score(std::span<const ScaleErrors> scales) {
  PIXMILL_CHECK(!scales.empty() && scales.size() <= kScalesMax);
  double error = 0;
  std::size_t line = 0;
  for (std::size_t channel = 0; channel < 3; ++channel) {
    for (const ScaleErrors& scale : scales) {
      const ChannelErrors& errors = scale[channel];
      const auto& weight = kWeights[line++];
      error += weight[0] * errors.structure.mean + weight[1] * errors.gained.mean + weight[2] * errors.lost.mean +
               weight[3] * errors.structure.fourth + weight[4] * errors.gained.fourth + weight[5] * errors.lost.fourth;
    }
  }
  error *= 0.9562382616834844;
  error =
      2.326765642916932 * error - 0.020884521182843837 * error * error + 6.248496625763138e-05 * error * error * error;
  return error > 0 ? 100.0 - 10.0 * std::pow(error, 0.6276336467831387) : 100.0;
}

}  // namespace pixmill::image
