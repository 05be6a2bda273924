#include "image/jpeg/trellis.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

#include "tests/support/sample_jpegs.h"

namespace pixmill::image::jpeg {
namespace {

// What keep_worthy() minimises, in 16ths of a bit, with libjpeg's own code; every magnitude is 1.
int cost_of(const std::vector<Candidate>& kept, const CodeWords& code) {
  int cost = 0;
  unsigned before = 0;
  const auto length = [&](unsigned symbol) { return static_cast<int>(code[symbol] & 0xFF); };
  for (const Candidate candidate : kept) {
    const unsigned position = candidate % kBlockSize;
    const unsigned run = position - before - 1;
    const auto exact = static_cast<int>(candidate >> kCandidateShift);
    cost += 16 * (static_cast<int>(run / 16) * length(0xF0) + length(run % 16 << 4 | 1) + 1);
    cost -= 223 * (2 * exact - 256) / 256;
    before = position;
  }
  return before == kBlockSize - 1 ? cost : cost + 16 * length(0);
}

TEST(KeepWorthy, FindsTheCheapestOfAllChoices) {
  std::mt19937 random(1);
  for (unsigned round = 0; round < case_count(3000); ++round) {
    const Channel channel = round % 2 == 0 ? Channel::kLuma : Channel::kChroma;
    const CodeWords code = code_words(standard_ac_code(channel == Channel::kChroma));
    std::vector<Candidate> candidates;
    for (unsigned position = 1; position < kBlockSize && candidates.size() < 8; ++position) {
      if (random() % 8 != 0 && position + 8 < kBlockSize) continue;
      const auto exact = static_cast<Candidate>(154 + random() % (383 - 154));
      candidates.push_back(exact << kCandidateShift | (random() % 2 != 0 ? kCandidateNegative : 0) | position);
    }
    int least = std::numeric_limits<int>::max();
    for (unsigned choice = 0; choice < 1U << candidates.size(); ++choice) {
      std::vector<Candidate> chosen;
      for (unsigned i = 0; i < candidates.size(); ++i) {
        if ((choice >> i & 1U) != 0) chosen.push_back(candidates[i]);
      }
      least = std::min(least, cost_of(chosen, code));
    }
    std::vector<Candidate> work = candidates;
    std::vector<Candidate> kept;
    for (const Candidate candidate : keep_worthy(work, channel)) {
      ASSERT_EQ(candidate >> kCandidateShift, 1U);
      for (const Candidate original : candidates) {
        if (original % 128 == candidate % 128) kept.push_back(original);
      }
    }
    ASSERT_EQ(cost_of(kept, code), least);
  }
}

TEST(KeepWorthy, KeepsLargeValuesAndMayTakeOneLess) {
  std::vector<Candidate> candidates;
  for (unsigned position = 1; position < kBlockSize; ++position) {
    candidates.push_back(position * kTrellisOne << kCandidateShift | position);
  }
  const std::vector<Candidate> before = candidates;
  const auto kept = keep_worthy(candidates, Channel::kLuma);
  ASSERT_EQ(kept.size(), before.size());
  for (unsigned i = 2; i < kept.size(); ++i) {
    EXPECT_EQ(kept[i] % 128, before[i] % 128);
    EXPECT_LE(kept[i] >> kCandidateShift, i + 1);
    EXPECT_GE((kept[i] >> kCandidateShift) + 1, i + 1);
  }
  std::vector<Candidate> largest = {1023U * kTrellisOne << kCandidateShift | 1U};
  EXPECT_EQ(keep_worthy(largest, Channel::kChroma)[0], 1023U << kCandidateShift | 1U);
  EXPECT_TRUE(keep_worthy({}, Channel::kLuma).empty());
}

TEST(KeepWorthy, DropsALonelyDoubtfulValue) {
  std::vector<Candidate> lonely = {160U << kCandidateShift | 50U};
  EXPECT_TRUE(keep_worthy(lonely, Channel::kLuma).empty());
  std::vector<Candidate> first = {300U << kCandidateShift | 1U};
  EXPECT_EQ(keep_worthy(first, Channel::kLuma).size(), 1U);
}

}  // namespace
}  // namespace pixmill::image::jpeg
