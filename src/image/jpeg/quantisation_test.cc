#include "image/jpeg/quantisation.h"

#include <gtest/gtest.h>

#include "tests/support/sample_jpegs.h"

namespace pixmill::image::jpeg {
namespace {

QuantTable filled(unsigned step) {
  QuantTable table{};
  table.fill(static_cast<std::uint16_t>(step));
  return table;
}

TEST(NearestRequantiser, RoundsExactlyForEveryStepAndValue) {
  // All of them when there is time; else a coarser sieve over the source's steps.
  const unsigned stride = case_count(10) == 10 ? 1 : 13;
  for (unsigned to = 1; to <= 255; ++to) {
    for (unsigned from = 1; from <= to; from += stride) {
      const Requantiser requantiser = make_requantiser(filled(from), filled(to), Rounding::kNearest);
      for (unsigned value = 0; value <= 1024; ++value) {
        const unsigned exact = (2 * value * from + to - 1) / (2 * to);
        if (requantiser.nearest(5, value) != exact) FAIL() << value << " × " << from << " / " << to;
      }
    }
  }
}

TEST(NearestRequantiser, KeepsValuesWhereStepsStay) {
  const Requantiser requantiser = make_requantiser(filled(65'535), filled(65'535), Rounding::kNearest);
  for (unsigned value = 0; value <= 1024; ++value) ASSERT_EQ(requantiser.nearest(63, value), value);
}

TEST(NearestRequantiser, GivesNothingBehindTheBlock) {
  const Requantiser requantiser = make_requantiser(filled(1), filled(1), Rounding::kNearest);
  for (unsigned position = kBlockSize; position <= kPositionMax; ++position) {
    ASSERT_EQ(requantiser.nearest(position, 1023), 0U);
  }
}

TEST(StandardTable, IsLibjpegs) {
  EXPECT_EQ(standard_table(Channel::kLuma, 50)[1], 11);  // row-major 16 11 10 …
  EXPECT_EQ(standard_table(Channel::kLuma, 50)[2], 12);
  EXPECT_EQ(standard_table(Channel::kChroma, 50)[63], 99);
  EXPECT_EQ(standard_table(Channel::kLuma, 25)[0], 32);
  EXPECT_EQ(standard_table(Channel::kLuma, 90)[0], 3);
  EXPECT_EQ(standard_table(Channel::kLuma, 100), filled(1));
  EXPECT_EQ(standard_table(Channel::kChroma, 1)[0], 255);
}

TEST(CoarserOf, NeverRefines) {
  QuantTable source = filled(10);
  source[3] = 400;
  const QuantTable coarser = coarser_of(source, filled(12));
  EXPECT_EQ(coarser[0], 12);
  EXPECT_EQ(coarser[3], 400);
  EXPECT_EQ(coarser_of(source, filled(2)), source);
}

TEST(Coarseness, IsTheRatioOfTheStepsThatMatter) {
  EXPECT_DOUBLE_EQ(coarseness(filled(12), filled(12)), 1);
  EXPECT_DOUBLE_EQ(coarseness(filled(20), filled(10)), 2);
  QuantTable high = filled(10);
  high[40] = 255;
  EXPECT_DOUBLE_EQ(coarseness(high, filled(10)), 1);
  // Qualities 75 and 50 of libjpeg's scale: half the steps.
  EXPECT_NEAR(coarseness(standard_table(Channel::kLuma, 50), standard_table(Channel::kLuma, 75)), 2, 0.1);
}

}  // namespace
}  // namespace pixmill::image::jpeg
