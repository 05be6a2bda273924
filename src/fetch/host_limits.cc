#include "fetch/host_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace pixmill::fetch {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// 200 new connections at once overflowed a small server's accept queue and looked like a hang for 20 s.
constexpr std::uint32_t kFirstRound = 4;

struct Waiter;

struct Host {
  explicit Host(const Executor& executor) : alarm(executor) {}

  std::string origin;
  std::uint32_t limit = kFirstRound;  // requests at once, for now
  std::uint32_t answers = 0;          // good ones since the limit last changed
  std::uint32_t running = 0;
  std::list<std::shared_ptr<Waiter>> waiters;
  steady_clock::time_point closed_until{};
  steady_clock::time_point asked_until{};  // the whole pause that the latest refusal asked for
  int refused_status = 0;
  int rounds_in_vain = 0;                 // refusals in a row, those of one round counted once
  steady_clock::time_point next_start{};  // by the rate limit
  asio::steady_timer alarm;               // when the host opens again and requests wait
  std::optional<steady_clock::time_point> alarm_at;
  std::optional<std::list<std::string>::iterator> idle_at;  // in the list of idle hosts
};

}  // namespace

struct HostLimits::Turn::State {
  std::weak_ptr<Impl> limits;
  std::shared_ptr<Host> host;
  bool is_settled = false;
};

namespace {

std::chrono::seconds until(steady_clock::time_point at) {
  return std::chrono::ceil<std::chrono::seconds>(std::max(at - steady_clock::now(), steady_clock::duration::zero()));
}

// Why a request to `host` got no turn.
Error no_turn(const Host& host) {
  if (host.rounds_in_vain >= HostLimits::kRoundsInVain) {
    return Error{.code = ErrorCode::kHttpTransient,
                 .message = fmt::format("{} answers every request with status {}", host.origin, host.refused_status),
                 .detail = {},
                 .http_status = host.refused_status,
                 .retry_after = until(host.asked_until)};
  }
  Error error{.code = ErrorCode::kTimeout, .message = fmt::format("No turn at {} in time", host.origin), .detail = {}};
  if (host.closed_until > steady_clock::now()) error.retry_after = until(host.closed_until);
  return error;
}

struct Waiter {
  explicit Waiter(const Executor& executor) : timer(executor) {}
  asio::steady_timer timer;  // expires when patience ends; cancelled when there is an answer
  std::optional<HostLimits::Turn> turn;
  bool stopped = false;
};

}  // namespace

struct HostLimits::Impl : std::enable_shared_from_this<HostLimits::Impl> {
  Impl(Executor loop, HostLimitOptions chosen) : executor(std::move(loop)), options(chosen) {
    options.per_host = std::clamp<std::uint32_t>(options.per_host, 1, 256);
  }

  std::shared_ptr<Host> host_of(const std::string& origin);
  [[nodiscard]] steady_clock::time_point opens_at(const Host& host) const {
    return std::max(host.closed_until, host.next_start);
  }
  [[nodiscard]] bool may_start(const Host& host) const {
    return host.running < host.limit && opens_at(host) <= steady_clock::now();
  }
  Turn start(const std::shared_ptr<Host>& host);
  void give_back(const std::shared_ptr<Host>& host);
  void serve_waiters(const std::shared_ptr<Host>& host);
  void arm(const std::shared_ptr<Host>& host);
  void note_use(const std::shared_ptr<Host>& host);
  void halve(Host& host, std::uint32_t least) {
    host.limit = std::max(host.limit / 2, std::min(host.limit, least));
    host.answers = 0;
  }

  Executor executor;
  HostLimitOptions options;
  bool stopped = false;
  std::unordered_map<std::string, std::shared_ptr<Host>> hosts;
  std::unordered_set<Host*> with_waiters;
  std::list<std::string> idle;  // the longest idle in front
};

std::shared_ptr<Host> HostLimits::Impl::host_of(const std::string& origin) {
  if (const auto found = hosts.find(origin); found != hosts.end()) return found->second;
  auto host = std::make_shared<Host>(executor);
  host->origin = origin;
  host->limit = std::min(kFirstRound, options.per_host);
  hosts[origin] = host;
  return host;
}

HostLimits::Turn HostLimits::Impl::start(const std::shared_ptr<Host>& host) {
  ++host->running;
  note_use(host);
  if (options.requests_per_second) {
    const auto spacing = std::chrono::duration<double>(1.0 / std::max(*options.requests_per_second, 0.001));
    host->next_start =
        std::max(host->next_start, steady_clock::now()) + std::chrono::duration_cast<steady_clock::duration>(spacing);
  }
  Turn turn;
  turn.state_ = std::make_shared<Turn::State>(Turn::State{.limits = weak_from_this(), .host = host});
  return turn;
}

void HostLimits::Impl::give_back(const std::shared_ptr<Host>& host) {
  --host->running;
  serve_waiters(host);
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

// Only where nothing else will call serve_waiters: with a place free, and time alone in the way.
void HostLimits::Impl::arm(const std::shared_ptr<Host>& host) {
  if (stopped || host->waiters.empty() || host->running >= host->limit) return;
  const auto at = opens_at(*host);
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
  }
  const bool is_idle = host->waiters.empty() && host->running == 0;
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
  if (const auto impl = state_->limits.lock()) impl->give_back(state_->host);
}

void HostLimits::Turn::answered() {
  if (!state_ || std::exchange(state_->is_settled, true)) return;
  const auto impl = state_->limits.lock();
  Host& host = *state_->host;
  host.rounds_in_vain = 0;
  if (!impl || host.limit >= impl->options.per_host || ++host.answers < host.limit) return;
  host.limit = std::min(host.limit * 2, impl->options.per_host);
  host.answers = 0;
}

void HostLimits::Turn::failed() {
  if (!state_ || std::exchange(state_->is_settled, true)) return;
  if (const auto impl = state_->limits.lock()) impl->halve(*state_->host, kFirstRound);
}

HostLimits::HostLimits(Executor executor, HostLimitOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), options)) {}

HostLimits::~HostLimits() { stop(); }

Task<Result<HostLimits::Turn>> HostLimits::take(std::string origin, milliseconds patience) {
  const auto impl = impl_;
  const auto cancelled = [] { return fail(ErrorCode::kCancelled, "Pixmill is stopping"); };
  if (impl->stopped) co_return cancelled();
  const auto host = impl->host_of(origin);
  if (host->waiters.empty() && impl->may_start(*host)) co_return impl->start(host);
  if (host->closed_until > steady_clock::now() + patience) {
    impl->note_use(host);
    co_return std::unexpected(no_turn(*host));
  }
  const auto waiter = std::make_shared<Waiter>(impl->executor);
  waiter->timer.expires_after(patience);
  host->waiters.push_back(waiter);
  impl->serve_waiters(host);
  boost::system::error_code error;
  if (!waiter->turn) co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  if (waiter->turn) co_return std::move(*waiter->turn);
  host->waiters.remove(waiter);
  impl->serve_waiters(host);
  if (waiter->stopped || error) co_return cancelled();
  co_return std::unexpected(no_turn(*host));
}

void HostLimits::back_off(const std::string& origin, Refusal refusal) {
  const auto host = impl_->host_of(origin);
  const auto now = steady_clock::now();
  const auto pause = std::max(refusal.pause, milliseconds(0));
  // Several answers of one round say the same thing; only the first of them halves and counts.
  if (host->closed_until <= now) {
    impl_->halve(*host, 1);
    ++host->rounds_in_vain;
  }
  host->closed_until = std::max(host->closed_until, now + std::min<milliseconds>(pause, kPauseMax));
  host->asked_until = now + pause;
  host->refused_status = refusal.http_status;
  impl_->note_use(host);
}

void HostLimits::stop() {
  impl_->stopped = true;
  for (const auto& [origin, host] : impl_->hosts) {
    host->alarm.cancel();
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
  return Busy{
      .origin = host.origin, .waiting = static_cast<std::uint32_t>(host.waiters.size()), .running = host.running};
}

}  // namespace pixmill::fetch
