#include "api/pace_meter.h"

#include <cmath>

namespace pixmill::api {

namespace {

constexpr std::chrono::seconds kWindow{60};
constexpr std::chrono::seconds kApart{1};
constexpr double kLeastSeconds = 1.5;  // of samples, before anything is said
constexpr std::size_t kSpanSamples = 5;
constexpr double kRateMin = 1e-6;

double seconds_between(PaceMeter::Instant from, PaceMeter::Instant to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

void PaceMeter::note(Instant now, std::uint64_t done) {
  if (!samples_.empty() && (done < samples_.back().done || now < samples_.back().at)) samples_.clear();
  // The latest is moved on until it is far enough from the one before it.
  if (samples_.size() >= 2 && now - samples_[samples_.size() - 2].at < kApart) samples_.pop_back();
  samples_.push_back({.at = now, .done = done});
  while (samples_.size() > 2 && now - samples_.front().at > kWindow) samples_.pop_front();
}

// Standard deviation of the rates of spans of some seconds, relative to their mean.
double PaceMeter::spread(double mean) const {
  double sum = 0;
  int spans = 0;
  for (std::size_t i = kSpanSamples; i < samples_.size(); i += kSpanSamples) {
    const auto& from = samples_[i - kSpanSamples];
    const double seconds = seconds_between(from.at, samples_[i].at);
    if (seconds <= 0) continue;
    const double rate = static_cast<double>(samples_[i].done - from.done) / seconds;
    sum += (rate - mean) * (rate - mean);
    ++spans;
  }
  constexpr double kUnknown = 0.5;
  return spans < 2 ? kUnknown : std::sqrt(sum / spans) / mean;
}

std::optional<PaceMeter::Estimate> PaceMeter::estimate(std::uint64_t remaining) const {
  if (samples_.size() < 2) return std::nullopt;
  const double seconds = seconds_between(samples_.front().at, samples_.back().at);
  if (seconds < kLeastSeconds) return std::nullopt;
  Estimate estimate;
  estimate.per_second = static_cast<double>(samples_.back().done - samples_.front().done) / seconds;
  if (estimate.per_second < kRateMin) return estimate;
  const double left = static_cast<double>(remaining) / estimate.per_second;
  const double relative = spread(estimate.per_second);
  estimate.seconds = left;
  estimate.seconds_least = left / (1 + relative);
  if (relative < 1) estimate.seconds_most = left / (1 - relative);
  return estimate;
}

}  // namespace pixmill::api
