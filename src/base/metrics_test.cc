#include "base/metrics.h"

#include <gmock/gmock.h>

namespace pixmill {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, SameNameAndLabelsGiveTheSameHandle) {
  Metrics metrics;
  metrics.counter("pixmill_items_total", "Items.", {{"result", "ok"}}).add();
  metrics.counter("pixmill_items_total", "Items.", {{"result", "ok"}}).add(2);
  metrics.counter("pixmill_items_total", "Items.", {{"result", "bad"}}).add();
  EXPECT_EQ(metrics.counter("pixmill_items_total", "Items.", {{"result", "ok"}}).value(), 3);
  const auto text = metrics.expose();
  EXPECT_THAT(text, HasSubstr("# TYPE pixmill_items_total counter"));
  EXPECT_THAT(text, HasSubstr("pixmill_items_total{result=\"ok\"} 3"));
  EXPECT_THAT(text, HasSubstr("pixmill_items_total{result=\"bad\"} 1"));
}

TEST(Metrics, GaugesMoveBothWaysAndHistogramsCount) {
  Metrics metrics;
  const auto gauge = metrics.gauge("pixmill_jobs_running", "Jobs.");
  gauge.set(5);
  gauge.set(2);
  EXPECT_EQ(gauge.value(), 2);
  const auto histogram = metrics.histogram("pixmill_item_seconds", "Time per item.", {0.1, 1});
  histogram.observe(0.5);
  histogram.observe(5);
  const auto text = metrics.expose();
  EXPECT_THAT(text, HasSubstr("pixmill_jobs_running 2"));
  EXPECT_THAT(text, HasSubstr("pixmill_item_seconds_bucket{le=\"0.1\"} 0"));
  EXPECT_THAT(text, HasSubstr("pixmill_item_seconds_bucket{le=\"1\"} 1"));
  EXPECT_THAT(text, HasSubstr("pixmill_item_seconds_bucket{le=\"+Inf\"} 2"));
}

TEST(Metrics, LabelValuesCannotBreakTheFormat) {
  Metrics metrics;
  metrics.counter("pixmill_x_total", "X.", {{"host", "a\"\nb"}}).add();
  EXPECT_THAT(metrics.expose(), HasSubstr(R"({host="a\"\nb"})"));
}

TEST(Metrics, DefaultHandlesCountNothing) {
  Counter().add();
  Gauge().set(1);
  Histogram().observe(1);
  EXPECT_EQ(Counter().value(), 0);
  EXPECT_EQ(Gauge().value(), 0);
}

TEST(MetricsDeathTest, OneNameForTwoKindsAborts) {
  Metrics metrics;
  static_cast<void>(metrics.counter("pixmill_y_total", "Y."));
  EXPECT_DEATH(static_cast<void>(metrics.gauge("pixmill_y_total", "Y.")), "check failed");
}

}  // namespace
}  // namespace pixmill
