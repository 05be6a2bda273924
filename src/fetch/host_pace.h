// How much one host gets from us, learnt from how it answers: how many requests at once, how many a second, and when
// not at all. Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain, 1989; RFC 5681). Pure: time
// comes in as an argument. One per host; lives on the loop.
//
// Requests at once begin with kFirstRound and double with every round of answers, until the host shows for the first
// time that it was too much; from then on each round adds one. It was too much when
//  - the host says so (429, 503): half, at least 1, and nothing at all for the pause that it asks for. A 503 that names
//    no pause and comes among answers may be that picture's alone: three quarters, at least 2, and a short pause, which
//    grows while nothing else comes;
//  - it does not answer (no connection, a timeout, broken off): half, at least kFirstRound, for a dead host's requests
//    must not queue up one by one;
//  - it becomes slow: when even the fastest of a round of answers takes twice as long to begin as the fastest of the
//    last minutes, and kRisingAtLeast longer: three quarters, at least 2. The fastest, because a host may have slow
//    pages of its own; and the time until an answer begins, because pictures differ in size.
// A 429 also teaches a rate, once the host has answered anything: what it answered in the last second, or half of what
// was sent if that is less; growing again while it answers, forgotten at twice what was sent.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace pixmill::fetch {

struct PaceOptions {
  std::uint32_t per_host = 16;                // requests at once, at the most
  std::optional<double> requests_per_second;  // nullopt: no rate until a host asks for one
};

class HostPace {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  using milliseconds = std::chrono::milliseconds;

  static constexpr std::uint32_t kFirstRound = 4;  // 200 at once overflowed a small server's accept queue
  static constexpr std::chrono::seconds kPauseMax{60};
  static constexpr milliseconds kRisingAtLeast{200};
  static constexpr std::uint32_t kFailuresInVain = 16;

  explicit HostPace(PaceOptions options);

  // A request begins; the ticket goes to answered() or failed().
  std::uint64_t started(Instant now);
  // An answer came that is no refusal, `first_byte` after the request was sent.
  void answered(Instant now, std::optional<milliseconds> first_byte);
  // No answer came. Requests that were under way when the limit was last cut cut it no further.
  void failed(std::uint64_t ticket);
  // 429 or 503, with the pause that it asks for, if any. Of several refusals in one pause the first alone cuts and
  // counts. True when all who use the host should know of it.
  bool refused(Instant now, int http_status, std::optional<milliseconds> pause);

  [[nodiscard]] std::uint32_t limit() const { return limit_; }
  // No request may begin before; by the last refusal and by the rate.
  [[nodiscard]] Instant opens_at() const { return closed_until_ > next_start_ ? closed_until_ : next_start_; }
  [[nodiscard]] Instant closed_until() const { return closed_until_; }
  // The whole pause that the latest refusal asked for; closed_until() is kPauseMax away at the most.
  [[nodiscard]] Instant asked_until() const { return asked_until_; }
  [[nodiscard]] int refused_status() const { return refused_status_; }
  // Refusals in a row, those of one pause counted once.
  [[nodiscard]] int rounds_in_vain() const { return rounds_in_vain_; }
  // kFailuresInVain requests in a row without an answer.
  [[nodiscard]] bool is_silent() const { return failures_in_a_row_ >= kFailuresInVain; }
  [[nodiscard]] std::optional<double> rate() const { return rate_; }
  // Until an answer begins: the fastest of the last round, and of the last minutes.
  [[nodiscard]] std::optional<milliseconds> latency() const { return latest_; }
  [[nodiscard]] std::optional<milliseconds> best_latency() const;
  [[nodiscard]] std::uint64_t latency_cuts() const { return latency_cuts_; }

  // Another process met a refusal whose pause is over already: half, as if it had been met here.
  void cut_as_others() { cut(limit_ / 2, 1); }
  // So many processes, at least one, have the chosen rate among them.
  void share_rate(std::uint32_t processes);

 private:
  void cut(std::uint32_t to, std::uint32_t least);
  void learn_latency(Instant now, milliseconds first_byte);
  void judge_latency();
  void learn_rate(Instant now);
  void grow_rate(Instant now);
  void count_seconds(Instant now);

  PaceOptions options_;
  std::uint32_t limit_;
  bool was_too_much_ = false;  // once: from then on the limit grows by one
  std::uint32_t answers_ = 0;  // since the limit last changed
  std::uint64_t last_ticket_ = 0;
  std::uint64_t cut_at_ticket_ = 0;
  std::uint32_t failures_in_a_row_ = 0;

  Instant closed_until_{};
  Instant asked_until_{};
  int refused_status_ = 0;
  int rounds_in_vain_ = 0;

  std::optional<milliseconds> best_;         // of this window
  std::optional<milliseconds> best_before_;  // of the one before
  Instant best_since_{};
  std::optional<milliseconds> round_best_;
  std::uint32_t round_answers_ = 0;
  std::optional<milliseconds> latest_;
  bool is_rising_ = false;
  std::uint64_t latency_cuts_ = 0;

  std::optional<double> rate_most_;  // this process's part of the chosen one
  std::optional<double> rate_;
  double rate_step_ = 0;    // per second
  double rate_enough_ = 0;  // a learnt rate above it is none
  Instant rate_grown_at_{};
  Instant next_start_{};
  // What was sent and what was answered, in this second and in the one before.
  struct Second {
    std::uint32_t sent = 0;
    std::uint32_t answered = 0;
  };
  Instant second_began_{};
  Second this_second_;
  Second last_second_;
};

}  // namespace pixmill::fetch
