#include "fetch/host_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/wakeup.h"
#include "fetch/host_pace.h"

namespace pixmill::fetch {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr double kLearningRate = 0.125;
constexpr seconds kSentAwayAtLeast{1};     // and come back …
constexpr seconds kSentAwayAtMost{60};     // … within these
constexpr double kSentAwayBurst = 512;     // at once …
constexpr double kSentAwayPerSecond = 32;  // … and so many more: each costs a claim and a release
constexpr seconds kSilentMinimum{1};       // a host that fails faster holds nobody up
constexpr seconds kSilentRetryAfter{5};
constexpr milliseconds kAgreeEvery{250};
constexpr milliseconds kAgreeSoon{50};  // while requests wait for a larger share
constexpr int kIdleRounds = 4;          // of agreements, before a share is given back

struct Waiter;

struct Host {
  Host(const Executor& executor, const HostLimitOptions& options)
      : pace({.per_host = options.per_host, .requests_per_second = options.requests_per_second}),
        alarm(executor),
        agree_again(executor) {}

  std::string origin;
  HostPace pace;
  std::list<steady_clock::time_point> running;  // when each began, the oldest in front
  std::list<std::shared_ptr<Waiter>> waiters;
  double turn_seconds = 0;                // that one lasts, lately
  steady_clock::time_point away_until{};  // when those who were sent away have had their turns
  asio::steady_timer alarm;               // when the host opens again and requests wait
  std::optional<steady_clock::time_point> alarm_at;
  std::optional<std::list<std::string>::iterator> idle_at;  // in the list of idle hosts

  // Of the fleet.
  std::optional<std::uint32_t> share;  // nullopt: nothing is agreed
  std::uint32_t processes = 1;
  std::optional<std::uint64_t> refusals_seen;
  std::optional<HostNeed::Refused> untold;
  Wakeup agree_again;
  bool is_agreeing = false;

  [[nodiscard]] bool is_idle() const { return running.empty() && waiters.empty(); }
  // What one turn takes, also when none has come to its end yet.
  [[nodiscard]] double expected_turn_seconds(steady_clock::time_point now) const {
    if (running.empty()) return turn_seconds;
    return std::max(turn_seconds, std::chrono::duration<double>(now - running.front()).count());
  }
  // Until the turn of the one with `before` others in front of it, were nothing to change.
  [[nodiscard]] double expected_wait_seconds(std::size_t before, steady_clock::time_point now) const {
    const auto at_once = std::max(share ? std::min(*share, pace.limit()) : pace.limit(), 1U);
    const auto rounds = static_cast<double>(before / at_once + 1);
    const double by_rate = pace.rate() ? static_cast<double>(before) / *pace.rate() : 0;
    return std::max(rounds * expected_turn_seconds(now), by_rate);
  }
  // It holds everyone up who waits for it, and answers nobody.
  [[nodiscard]] bool is_dead(steady_clock::time_point now) const {
    return pace.is_silent() && expected_turn_seconds(now) >= std::chrono::duration<double>(kSilentMinimum).count();
  }
};

}  // namespace

struct HostLimits::Turn::State {
  std::weak_ptr<Impl> limits;
  std::shared_ptr<Host> host;
  std::list<steady_clock::time_point>::iterator began;
  std::uint64_t ticket = 0;
  bool is_settled = false;
};

namespace {

std::chrono::seconds until(steady_clock::time_point at, steady_clock::time_point now) {
  return std::chrono::ceil<std::chrono::seconds>(std::max(at - now, steady_clock::duration::zero()));
}

// Why a request to `host` got no turn.
Error no_turn(const Host& host, steady_clock::time_point now) {
  if (host.pace.rounds_in_vain() >= HostLimits::kRoundsInVain) {
    return Error{
        .code = ErrorCode::kHttpTransient,
        .message = fmt::format("{} answers every request with status {}", host.origin, host.pace.refused_status()),
        .detail = {},
        .http_status = host.pace.refused_status(),
        .retry_after = until(host.pace.asked_until(), now)};
  }
  if (host.is_dead(now)) {
    return Error{.code = ErrorCode::kConnect,
                 .message = fmt::format("{} has stopped answering", host.origin),
                 .detail = {},
                 .http_status = 0,
                 .retry_after = kSilentRetryAfter};
  }
  Error error{.code = ErrorCode::kTimeout, .message = fmt::format("No turn at {} in time", host.origin), .detail = {}};
  if (host.pace.closed_until() > now) error.retry_after = until(host.pace.closed_until(), now);
  return error;
}

struct Waiter {
  explicit Waiter(const Executor& executor) : timer(executor) {}
  asio::steady_timer timer;  // expires when patience ends; cancelled when there is an answer
  steady_clock::time_point gives_up_at{};
  std::optional<HostLimits::Turn> turn;
  std::optional<Error> sent_away;
  bool stopped = false;
};

struct Counters {
  explicit Counters(Metrics* metrics) {
    if (metrics == nullptr) return;
    const auto of = [&](const char* status) {
      return metrics->counter("pixmill_host_refusals_total", "Answers of hosts that asked for fewer requests",
                              {{"status", status}});
    };
    refused_429 = of("429");
    refused_503 = of("503");
    sent_away = metrics->counter("pixmill_host_sent_away_total",
                                 "Requests that were told at once that their host's turn would not come in time");
    silent = metrics->counter("pixmill_host_silent_total", "Requests that failed because their host stopped answering");
  }
  Counter refused_429, refused_503, sent_away, silent;
};

}  // namespace

struct HostLimits::Impl : std::enable_shared_from_this<HostLimits::Impl> {
  Impl(Executor loop, HostLimitOptions chosen)
      : executor(std::move(loop)), options(chosen), counters(options.metrics), review_timer(executor) {
    options.per_host = std::clamp<std::uint32_t>(options.per_host, 1, 256);
  }

  [[nodiscard]] steady_clock::time_point now() const { return options.now ? options.now() : steady_clock::now(); }
  std::shared_ptr<Host> host_of(const std::string& origin);
  [[nodiscard]] std::uint32_t limit_of(const Host& host) const;
  [[nodiscard]] bool has_place(const Host& host) const { return host.running.size() < limit_of(host); }
  [[nodiscard]] bool may_start(const Host& host) const { return has_place(host) && host.pace.opens_at() <= now(); }
  Turn start(const std::shared_ptr<Host>& host);
  void give_back(Turn::State& state);
  void serve_waiters(const std::shared_ptr<Host>& host);
  void arm(const std::shared_ptr<Host>& host);
  void note_use(const std::shared_ptr<Host>& host);
  void review_soon();
  void review(Host& host);
  [[nodiscard]] std::optional<Error> turned_away(Host& host, std::size_t before, steady_clock::time_point gives_up_at);
  bool may_send_away();
  void agree_from_now_on(const std::shared_ptr<Host>& host);
  static Task<void> agree(std::shared_ptr<Impl> self, std::shared_ptr<Host> host);
  [[nodiscard]] HostNeed need_of(Host& host, bool is_done) const;
  void heed(Host& host, const HostShare& share, bool told_refusal);

  Executor executor;
  HostLimitOptions options;
  Counters counters;
  std::shared_ptr<FleetLimits> fleet;  // null: this process is alone
  bool fleet_is_away = false;
  std::uint32_t processes_seen = 1;
  bool stopped = false;
  std::unordered_map<std::string, std::shared_ptr<Host>> hosts;
  std::unordered_set<Host*> with_waiters;
  std::list<std::string> idle;  // the longest idle in front
  asio::steady_timer review_timer;
  bool will_review = false;
  double may_go = kSentAwayBurst;
  steady_clock::time_point may_go_as_of{};
};

std::shared_ptr<Host> HostLimits::Impl::host_of(const std::string& origin) {
  if (const auto found = hosts.find(origin); found != hosts.end()) return found->second;
  auto host = std::make_shared<Host>(executor, options);
  host->origin = origin;
  hosts[origin] = host;
  return host;
}

std::uint32_t HostLimits::Impl::limit_of(const Host& host) const {
  const std::uint32_t limit = host.is_dead(now()) ? 1 : host.pace.limit();
  if (!fleet) return limit;
  if (host.share) return std::min(limit, *host.share);
  // Nothing is agreed: either it will be in a moment, or nobody answers.
  if (!fleet_is_away) return 0;
  return std::min(limit, std::max(options.per_host / std::max(host.processes, processes_seen), 1U));
}

HostLimits::Turn HostLimits::Impl::start(const std::shared_ptr<Host>& host) {
  const auto began = host->running.insert(host->running.end(), now());
  const auto ticket = host->pace.started(*began);
  note_use(host);
  Turn turn;
  turn.state_ = std::make_shared<Turn::State>(
      Turn::State{.limits = weak_from_this(), .host = host, .began = began, .ticket = ticket});
  return turn;
}

void HostLimits::Impl::give_back(Turn::State& state) {
  Host& host = *state.host;
  if (state.is_settled) {
    const double took = std::chrono::duration<double>(now() - *state.began).count();
    host.turn_seconds += (took - host.turn_seconds) * (host.turn_seconds == 0 ? 1 : kLearningRate);
  }
  host.running.erase(state.began);
  serve_waiters(state.host);
}

void HostLimits::Impl::serve_waiters(const std::shared_ptr<Host>& host) {
  while (!stopped && !host->waiters.empty() && may_start(*host)) {
    const auto waiter = std::move(host->waiters.front());
    host->waiters.pop_front();
    waiter->turn = start(host);
    waiter->timer.cancel();
  }
  note_use(host);
  arm(host);
}

bool HostLimits::Impl::may_send_away() {
  const auto at = now();
  const double passed = std::chrono::duration<double>(at - std::exchange(may_go_as_of, at)).count();
  may_go = std::min(kSentAwayBurst, may_go + passed * kSentAwayPerSecond);
  if (may_go < 1) return false;
  may_go -= 1;
  return true;
}

// The answer for the one with `before` others in front of it who gives up then, if it can be told now.
std::optional<Error> HostLimits::Impl::turned_away(Host& host, std::size_t before,
                                                   steady_clock::time_point gives_up_at) {
  const auto now = this->now();
  if (host.is_dead(now)) {
    counters.silent.add();
    return no_turn(host, now);
  }
  if (host.pace.closed_until() > gives_up_at) return no_turn(host, now);
  const std::chrono::duration<double> wait(host.expected_wait_seconds(before, now));
  if (now + wait <= gives_up_at || !may_send_away()) return std::nullopt;
  counters.sent_away.add();
  // They come back behind those who wait now, one after another, as fast as the host takes them.
  const double turns_apart = host.expected_turn_seconds(now) / host.pace.limit();
  const std::chrono::duration<double> apart(std::max(turns_apart, host.pace.rate() ? 1 / *host.pace.rate() : 0));
  host.away_until = std::max(host.away_until, gives_up_at) + std::chrono::duration_cast<steady_clock::duration>(apart);
  host.away_until = std::min<steady_clock::time_point>(host.away_until, now + kSentAwayAtMost);
  Error error = no_turn(host, now);
  error.retry_after = std::clamp(until(host.away_until, now), kSentAwayAtLeast, kSentAwayAtMost);
  return error;
}

void HostLimits::Impl::review_soon() {
  if (stopped || with_waiters.empty() || std::exchange(will_review, true)) return;
  review_timer.expires_after(options.review_every);
  review_timer.async_wait([self = weak_from_this()](const boost::system::error_code& error) {
    const auto impl = self.lock();
    if (error || !impl || impl->stopped) return;
    impl->will_review = false;
    for (Host* host : std::vector<Host*>(impl->with_waiters.begin(), impl->with_waiters.end())) impl->review(*host);
    impl->review_soon();
  });
}

// A host may have become slower since they came: the last ones go first.
void HostLimits::Impl::review(Host& host) {
  while (!host.waiters.empty()) {
    const auto& last = host.waiters.back();
    // The first of a dead host tries whether it is.
    if (host.waiters.size() == 1 && host.running.empty()) break;
    last->sent_away = turned_away(host, host.waiters.size() - 1, last->gives_up_at);
    if (!last->sent_away) break;
    last->timer.cancel();
    host.waiters.pop_back();
  }
  note_use(hosts.at(host.origin));
}

void HostLimits::Impl::agree_from_now_on(const std::shared_ptr<Host>& host) {
  if (!fleet || stopped || std::exchange(host->is_agreeing, true)) return;
  asio::co_spawn(executor, agree(shared_from_this(), host),
                 [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
}

HostNeed HostLimits::Impl::need_of(Host& host, bool is_done) const {
  const auto in_flight = static_cast<std::uint32_t>(host.running.size());
  const auto busy = 2 * in_flight + static_cast<std::uint32_t>(host.waiters.size());
  HostNeed need{.origin = host.origin,
                .in_flight = in_flight,
                .wanted = is_done ? 0 : std::min(host.pace.limit(), std::max(busy, HostPace::kFirstRound)),
                .limit = options.per_host,
                .refused = std::move(host.untold)};
  host.untold.reset();
  return need;
}

void HostLimits::Impl::heed(Host& host, const HostShare& share, bool told_refusal) {
  fleet_is_away = false;
  host.share = share.requests;
  host.processes = processes_seen = std::max(share.processes, 1U);
  host.pace.share_rate(host.processes);
  const bool is_news = !told_refusal && share.refusals > host.refusals_seen.value_or(share.refusals);
  host.refusals_seen = share.refusals;
  // What it has closed for by itself is no news: it knows more about that, the host's whole pause.
  const bool is_open = now() + share.closed_for > host.pace.closed_until() + kAgreeEvery;
  if (share.closed_for > milliseconds(0) && (is_news || is_open)) {
    host.pace.refused(now(), share.refused_status, share.closed_for);
  } else if (is_news) {
    host.pace.cut_as_others();
  }
}

// Runs while the host is used, and a little longer.
Task<void> HostLimits::Impl::agree(std::shared_ptr<Impl> self, std::shared_ptr<Host> host) {
  const auto fleet = self->fleet;
  int idle_rounds = 0;
  while (!self->stopped) {
    idle_rounds = host->is_idle() ? idle_rounds + 1 : 0;
    const bool is_done = idle_rounds > kIdleRounds;
    HostNeed need = self->need_of(*host, is_done);
    const auto refused = need.refused;
    const auto share = co_await fleet->agree(std::move(need));
    if (self->stopped || (is_done && host->is_idle())) break;
    if (share) {
      self->heed(*host, *share, refused.has_value());
    } else {
      self->fleet_is_away = true;
      host->share.reset();
      if (!host->untold) host->untold = refused;
    }
    self->serve_waiters(host);
    const bool wants_more = !host->waiters.empty() && host->share && *host->share < host->pace.limit();
    co_await host->agree_again.wait(wants_more ? kAgreeSoon : kAgreeEvery);
  }
  host->share.reset();
  host->is_agreeing = false;
}

// Only where nothing else will call serve_waiters: with a place free, and time alone in the way.
void HostLimits::Impl::arm(const std::shared_ptr<Host>& host) {
  if (stopped || host->waiters.empty() || !has_place(*host)) return;
  const auto at = host->pace.opens_at();
  if (host->alarm_at && *host->alarm_at <= at) return;
  host->alarm_at = at;
  host->alarm.expires_at(at);
  host->alarm.async_wait([self = weak_from_this(), host](const boost::system::error_code& error) {
    if (error) return;
    host->alarm_at.reset();
    if (const auto impl = self.lock()) impl->serve_waiters(host);
  });
}

// Keeps the lists of hosts with waiters and of idle hosts; called after every change.
void HostLimits::Impl::note_use(const std::shared_ptr<Host>& host) {
  if (host->waiters.empty()) {
    with_waiters.erase(host.get());
    host->alarm.cancel();
    host->alarm_at.reset();
  } else {
    with_waiters.insert(host.get());
    review_soon();
  }
  const bool is_idle = host->waiters.empty() && host->running.empty();
  if (is_idle == host->idle_at.has_value()) return;
  if (!is_idle) {
    idle.erase(*host->idle_at);
    host->idle_at.reset();
    return;
  }
  host->idle_at = idle.insert(idle.end(), host->origin);
  while (hosts.size() > options.hosts_max && !idle.empty()) {
    hosts.erase(idle.front());
    idle.pop_front();
  }
}

HostLimits::Turn::Turn(Turn&&) noexcept = default;

HostLimits::Turn& HostLimits::Turn::operator=(Turn&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

HostLimits::Turn::~Turn() {
  if (!state_) return;
  if (const auto impl = state_->limits.lock()) impl->give_back(*state_);
}

void HostLimits::Turn::answered(std::optional<milliseconds> first_byte) {
  if (!state_ || std::exchange(state_->is_settled, true)) return;
  const auto impl = state_->limits.lock();
  if (impl) state_->host->pace.answered(impl->now(), first_byte);
}

void HostLimits::Turn::failed() {
  if (!state_ || std::exchange(state_->is_settled, true)) return;
  state_->host->pace.failed(state_->ticket);
}

HostLimits::HostLimits(Executor executor, HostLimitOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), options)) {}

HostLimits::~HostLimits() { stop(); }

Task<Result<HostLimits::Turn>> HostLimits::take(std::string origin, milliseconds patience) {
  const auto impl = impl_;
  const auto cancelled = [] { return fail(ErrorCode::kCancelled, "Pixmill is stopping"); };
  if (impl->stopped) co_return cancelled();
  const auto host = impl->host_of(origin);
  impl->agree_from_now_on(host);
  if (host->waiters.empty() && impl->may_start(*host)) co_return impl->start(host);
  if (auto refused = impl->turned_away(*host, host->waiters.size(), impl->now() + patience)) {
    impl->note_use(host);
    co_return std::unexpected(std::move(*refused));
  }
  const auto waiter = std::make_shared<Waiter>(impl->executor);
  waiter->timer.expires_after(patience);
  waiter->gives_up_at = impl->now() + patience;
  host->waiters.push_back(waiter);
  impl->serve_waiters(host);
  boost::system::error_code error;
  if (!waiter->turn) co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  if (waiter->turn) co_return std::move(*waiter->turn);
  if (waiter->sent_away) co_return std::unexpected(std::move(*waiter->sent_away));
  host->waiters.remove(waiter);
  impl->serve_waiters(host);
  if (waiter->stopped || error) co_return cancelled();
  co_return std::unexpected(no_turn(*host, impl->now()));
}

void HostLimits::join(std::shared_ptr<FleetLimits> fleet) { impl_->fleet = std::move(fleet); }

void HostLimits::back_off(const std::string& origin, Refusal refusal) {
  const auto host = impl_->host_of(origin);
  (refusal.http_status == 429 ? impl_->counters.refused_429 : impl_->counters.refused_503).add();
  const auto now = impl_->now();
  const bool is_for_all = host->pace.refused(now, refusal.http_status, refusal.pause);
  if (impl_->fleet && is_for_all) {
    const auto pause = std::chrono::ceil<milliseconds>(host->pace.asked_until() - now);
    host->untold = HostNeed::Refused{.http_status = refusal.http_status, .pause = pause};
    host->agree_again.ring();
  }
  impl_->note_use(host);
}

void HostLimits::stop() {
  impl_->stopped = true;
  impl_->review_timer.cancel();
  for (const auto& [origin, host] : impl_->hosts) {
    host->alarm.cancel();
    host->agree_again.ring();
    for (const auto& waiter : host->waiters) {
      waiter->stopped = true;
      waiter->timer.cancel();
    }
  }
}

std::optional<HostLimits::Busy> HostLimits::busiest() const {
  const auto most =
      std::ranges::max_element(impl_->with_waiters, {}, [](const Host* host) { return host->waiters.size(); });
  if (most == impl_->with_waiters.end()) return std::nullopt;
  const Host& host = **most;
  return Busy{.origin = host.origin,
              .waiting = static_cast<std::uint32_t>(host.waiters.size()),
              .running = static_cast<std::uint32_t>(host.running.size())};
}

std::vector<HostState> HostLimits::table(std::size_t rows) const {
  const auto now = impl_->now();
  std::vector<const Host*> hosts;
  for (const auto& [origin, host] : impl_->hosts) hosts.push_back(host.get());
  const auto has_more = [now](const Host* a, const Host* b) {
    const auto key = [now](const Host* host) {
      return std::tuple(host->waiters.size() + host->running.size(), host->pace.closed_until() > now);
    };
    return key(a) != key(b) ? key(a) > key(b) : a->origin < b->origin;
  };
  const auto end = hosts.begin() + static_cast<std::ptrdiff_t>(std::min(rows, hosts.size()));
  std::partial_sort(hosts.begin(), end, hosts.end(), has_more);
  std::vector<HostState> states;
  for (const Host* host : std::vector<const Host*>(hosts.begin(), end)) {
    HostState state{.origin = host->origin,
                    .limit = impl_->limit_of(*host),
                    .in_flight = static_cast<std::uint32_t>(host->running.size()),
                    .waiting = static_cast<std::uint32_t>(host->waiters.size()),
                    .rate = host->pace.rate(),
                    .latency = host->pace.latency(),
                    .best = host->pace.best_latency(),
                    .closed_for = std::nullopt,
                    .refused_status = host->pace.refused_status(),
                    .processes = host->processes,
                    .is_silent = host->pace.is_silent()};
    const auto closed_for = host->pace.closed_until() - now;
    if (closed_for > closed_for.zero()) state.closed_for = std::chrono::ceil<milliseconds>(closed_for);
    states.push_back(std::move(state));
  }
  return states;
}

HostLimits::Totals HostLimits::totals() const {
  const auto now = impl_->now();
  Totals totals{.hosts = impl_->hosts.size()};
  for (const auto& [origin, host] : impl_->hosts) {
    totals.in_flight += host->running.size();
    totals.waiting += host->waiters.size();
    totals.backing_off += host->pace.closed_until() > now ? 1 : 0;
    totals.silent += host->pace.is_silent() ? 1 : 0;
  }
  return totals;
}

}  // namespace pixmill::fetch
