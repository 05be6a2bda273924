#include "fetch/host_pace.h"

#include <algorithm>
#include <array>
#include <limits>

namespace pixmill::fetch {

namespace {

using std::chrono::seconds;

constexpr std::uint32_t kLatencyFloor = 2;   // requests at once that a slow host keeps
constexpr std::uint32_t kJudgedAnswers = 8;  // fewer say too little about latency
constexpr std::chrono::minutes kBestWindow{5};
constexpr double kRateMin = 0.5;       // requests per second
constexpr double kRateStepMin = 0.05;  // per second and second
constexpr double kRateStepShare = 0.05;
constexpr int kTooManyRequests = 429;
// Of refusals that name none, by how many came before without an answer between them.
constexpr std::array<HostPace::milliseconds, 3> kUnnamedPauses{HostPace::milliseconds(100), HostPace::milliseconds(400),
                                                               HostPace::milliseconds(1'000)};

double seconds_between(HostPace::Instant from, HostPace::Instant to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

HostPace::HostPace(PaceOptions options)
    : options_(options),
      limit_(std::min(kFirstRound, options.per_host)),
      rate_most_(options.requests_per_second),
      rate_(rate_most_) {}

void HostPace::share_rate(std::uint32_t processes) {
  if (!options_.requests_per_second) return;
  rate_most_ = *options_.requests_per_second / processes;
  const bool is_learnt = rate_step_ > 0;
  rate_ = is_learnt ? std::min(*rate_, *rate_most_) : *rate_most_;
}

void HostPace::count_seconds(Instant now) {
  if (now - second_began_ < seconds(1)) return;
  last_second_ = now - second_began_ < seconds(2) ? this_second_ : Second{};
  this_second_ = {};
  second_began_ = now;
}

std::uint64_t HostPace::started(Instant now) {
  count_seconds(now);
  ++this_second_.sent;
  if (rate_) {
    const std::chrono::duration<double> spacing(1.0 / std::max(*rate_, 0.001));
    next_start_ = std::max(next_start_, now) + std::chrono::duration_cast<Instant::duration>(spacing);
  }
  return ++last_ticket_;
}

void HostPace::cut(std::uint32_t to, std::uint32_t least) {
  limit_ = std::max(to, std::min(limit_, least));
  answers_ = 0;
  was_too_much_ = true;
  cut_at_ticket_ = last_ticket_;
}

void HostPace::answered(Instant now, std::optional<milliseconds> first_byte) {
  rounds_in_vain_ = 0;
  failures_in_a_row_ = 0;
  count_seconds(now);
  ++this_second_.answered;
  if (first_byte) learn_latency(now, *first_byte);
  grow_rate(now);
  if (is_rising_ || limit_ >= options_.per_host || ++answers_ < limit_) return;
  limit_ = was_too_much_ ? limit_ + 1 : std::min(limit_ * 2, options_.per_host);
  answers_ = 0;
}

void HostPace::failed(std::uint64_t ticket) {
  if (failures_in_a_row_ < std::numeric_limits<std::uint32_t>::max()) ++failures_in_a_row_;
  if (ticket > cut_at_ticket_) cut(limit_ / 2, kFirstRound);
}

bool HostPace::refused(Instant now, int http_status, std::optional<milliseconds> asked) {
  const bool may_be_one_picture = !asked && http_status != kTooManyRequests && rounds_in_vain_ == 0;
  const auto unnamed = kUnnamedPauses[std::min<std::size_t>(rounds_in_vain_, kUnnamedPauses.size() - 1)];
  const auto pause = std::max(asked.value_or(unnamed), milliseconds(0));
  failures_in_a_row_ = 0;  // it does answer
  if (closed_until_ <= now) {
    may_be_one_picture ? cut(limit_ * 3 / 4, kLatencyFloor) : cut(limit_ / 2, 1);
    ++rounds_in_vain_;
    if (http_status == kTooManyRequests) learn_rate(now);
  }
  closed_until_ = std::max(closed_until_, now + std::min<milliseconds>(pause, kPauseMax));
  asked_until_ = now + pause;
  refused_status_ = http_status;
  return !may_be_one_picture;
}

std::optional<HostPace::milliseconds> HostPace::best_latency() const {
  if (!best_ || !best_before_) return best_ ? best_ : best_before_;
  return std::min(*best_, *best_before_);
}

// The best of five to ten minutes, so that a host that has moved farther away is judged anew.
void HostPace::learn_latency(Instant now, milliseconds first_byte) {
  if (now - best_since_ >= kBestWindow) {
    best_before_ = now - best_since_ < 2 * kBestWindow ? best_ : std::nullopt;
    best_.reset();
    best_since_ = now;
  }
  best_ = std::min(best_.value_or(first_byte), first_byte);
  round_best_ = std::min(round_best_.value_or(first_byte), first_byte);
  if (++round_answers_ < std::max(limit_, kJudgedAnswers)) return;
  latest_ = round_best_;
  round_best_.reset();
  round_answers_ = 0;
  judge_latency();
}

void HostPace::judge_latency() {
  const milliseconds best = best_latency().value_or(*latest_);
  const milliseconds above = *latest_ - best;
  is_rising_ = 2 * *latest_ > 3 * best && 2 * above >= kRisingAtLeast;
  if (*latest_ <= 2 * best || above < kRisingAtLeast || limit_ <= kLatencyFloor) return;
  cut(limit_ * 3 / 4, kLatencyFloor);
  ++latency_cuts_;
}

void HostPace::learn_rate(Instant now) {
  count_seconds(now);
  const double answered = std::max(this_second_.answered, last_second_.answered);
  double sent = std::max(this_second_.sent, last_second_.sent);
  if (rate_) sent = std::min(sent, *rate_);
  // Whoever has answered nothing yet refuses us for another reason than our rate.
  if (answered == 0 && !rate_) return;
  rate_ = std::max(std::min(answered, sent / 2), kRateMin);
  rate_step_ = std::max(sent * kRateStepShare, kRateStepMin);
  rate_enough_ = std::max(2 * sent, 2 * kRateMin);
  rate_grown_at_ = now;
}

void HostPace::grow_rate(Instant now) {
  if (rate_step_ <= 0 || now <= rate_grown_at_) return;
  // A host that had nothing to do has shown nothing.
  rate_ = *rate_ + rate_step_ * std::min(seconds_between(rate_grown_at_, now), 1.0);
  rate_grown_at_ = now;
  if (*rate_ < rate_most_.value_or(rate_enough_)) return;
  rate_ = rate_most_;
  rate_step_ = 0;
}

}  // namespace pixmill::fetch
