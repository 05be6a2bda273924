#include "webhook/deliverer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <map>
#include <random>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "base/version.h"
#include "base/wakeup.h"
#include "fetch/fetcher.h"
#include "fetch/source_url.h"
#include "webhook/verdict.h"

namespace pixmill::webhook {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::size_t kAnswerBytesKept = 8u << 10;
// The lease outlasts an attempt by what claiming and recording may take on a slow disk.
constexpr milliseconds kLeaseMargin{15'000};
// However soon the outbox says something is due, an outbox that errs must not make the loop spin.
constexpr milliseconds kPauseMin{10};
const std::vector<double> kSecondsBounds = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15};

SteadyTime steady_now() { return std::chrono::steady_clock::now(); }

milliseconds since(SteadyTime start) { return std::chrono::duration_cast<milliseconds>(steady_now() - start); }

// Scheme and authority as the URL spells them. Not parsed: it also groups addresses that are no URLs.
std::string spelled_origin(std::string_view url) {
  const auto scheme_end = url.find("://");
  const auto authority = scheme_end == std::string_view::npos ? 0 : scheme_end + 3;
  return std::string(url.substr(0, std::min(url.find_first_of("/?#", authority), url.size())));
}

DelivererOptions completed(DelivererOptions options) {
  if (options.schedule.empty()) options.schedule = default_schedule();
  if (options.user_agent.empty()) options.user_agent = fmt::format("Pixmill/{}", kVersion);
  PIXMILL_CHECK(options.parallel > 0 && options.parallel_per_origin > 0);
  PIXMILL_CHECK(options.attempt_timeout > milliseconds(0) && options.idle_poll > milliseconds(0));
  return options;
}

void log_attempt(const jobs::DueDelivery& delivery, const jobs::DeliveryResult& result) {
  if (result.state == jobs::DeliveryState::kDelivered) {
    log::info("webhook_delivered", {{"event_id", delivery.event_id},
                                    {"job", delivery.job.text()},
                                    {"attempt", delivery.attempt},
                                    {"status", result.http_status},
                                    {"elapsed_ms", result.elapsed_ms}});
    return;
  }
  log::warning("webhook_failed", {{"event_id", delivery.event_id},
                                  {"job", delivery.job.text()},
                                  {"attempt", delivery.attempt},
                                  {"state", jobs::to_text(result.state)},
                                  {"next_at", result.next_at ? to_rfc3339(*result.next_at) : "never"},
                                  {"elapsed_ms", result.elapsed_ms},
                                  {"error", result.error}});
}

struct Instruments {
  explicit Instruments(Metrics& metrics)
      : pending(metrics.gauge("pixmill_webhook_pending", "Events that have not reached their webhook yet.")),
        in_flight(metrics.gauge("pixmill_webhook_in_flight", "Webhook attempts under way.")),
        exhausted(metrics.counter("pixmill_webhook_exhausted_total", "Events given up after their last attempt.")),
        attempt_seconds(
            metrics.histogram("pixmill_webhook_attempt_seconds", "Time of one webhook attempt.", kSecondsBounds)) {
    for (int kind = 0; kind < kAttemptKinds; ++kind) {
      attempts[static_cast<std::size_t>(kind)] =
          metrics.counter("pixmill_webhook_attempts_total", "Webhook attempts by how they ended.",
                          {{"result", std::string(to_text(static_cast<AttemptKind>(kind)))}});
    }
  }
  std::array<Counter, kAttemptKinds> attempts;
  Gauge pending;
  Gauge in_flight;
  Counter exhausted;
  Histogram attempt_seconds;
};

}  // namespace

std::vector<milliseconds> default_schedule() {
  using std::chrono::hours;
  using std::chrono::minutes;
  return {milliseconds(0), seconds(5), minutes(5), minutes(30), hours(2),
          hours(5),        hours(10),  hours(14),  hours(20),   hours(24)};
}

// Shared by the deliverer and the coroutines it started, which may be destroyed with the loop, after the deliverer.
struct Deliverer::Impl : std::enable_shared_from_this<Impl> {
  Impl(Executor loop_executor, DelivererParts given, WebhookSecret signing_secret, DelivererOptions given_options)
      : executor(std::move(loop_executor)),
        parts(given),
        secret(std::move(signing_secret)),
        options(completed(std::move(given_options))),
        instruments(parts.metrics),
        random(std::random_device{}()),
        bell(executor),
        stop_bell(executor) {}

  [[nodiscard]] std::optional<jobs::DeliveryClaim> next_claim() const;
  Task<std::optional<TimePoint>> fill();
  Task<std::optional<TimePoint>> fill_and_measure();
  void begin(jobs::DueDelivery delivery);
  void end(std::uint64_t number, const std::string& origin);
  [[nodiscard]] http::ClientRequest request_for(const jobs::DueDelivery& delivery, const fetch::SourceUrl& url) const;
  Task<Result<http::ClientResponse>> send(const jobs::DueDelivery& delivery);
  Task<void> record(const jobs::DueDelivery& delivery, const Result<http::ClientResponse>& answer,
                    milliseconds elapsed);
  void notify();
  void break_off();

  static Task<void> attempt(std::shared_ptr<Impl> self, jobs::DueDelivery delivery);
  static Task<void> loop(std::shared_ptr<Impl> self);
  static Task<void> stop(std::shared_ptr<Impl> self);
  static Task<std::optional<TimePoint>> run_once(std::shared_ptr<Impl> self);

  Executor executor;
  DelivererParts parts;
  WebhookSecret secret;
  DelivererOptions options;
  Instruments instruments;
  std::mt19937_64 random;

  bool looping = false;
  bool stopping = false;      // nothing more is claimed
  bool breaking_off = false;  // what is under way was cancelled
  Wakeup bell;                // for whoever claims: there is room, or work
  Wakeup stop_bell;           // for stop()
  std::uint64_t attempts_ended = 0;
  std::uint64_t next_number = 0;
  std::map<std::uint64_t, std::shared_ptr<asio::cancellation_signal>> under_way;
  std::map<std::string, std::uint32_t, std::less<>> under_way_by_origin;
  std::optional<SteadyTime> measured_at;
};

// A claim cannot know whose deliveries it will get, so it asks for no more than the busiest receiver may still take.
std::optional<jobs::DeliveryClaim> Deliverer::Impl::next_claim() const {
  if (under_way.size() >= options.parallel) return std::nullopt;
  jobs::DeliveryClaim claim;
  claim.lease = options.attempt_timeout + kLeaseMargin;
  claim.limit = std::min(options.parallel - static_cast<std::uint32_t>(under_way.size()), options.parallel_per_origin);
  for (const auto& [origin, count] : under_way_by_origin) {
    if (count >= options.parallel_per_origin) {
      claim.held_origins.push_back(origin);
    } else {
      claim.limit = std::min(claim.limit, options.parallel_per_origin - count);
    }
  }
  return claim;
}

// Starts attempts until every place is taken or nothing is due; then says when something will be.
Task<std::optional<TimePoint>> Deliverer::Impl::fill() {
  while (!stopping) {
    auto claim = next_claim();
    if (!claim) co_return std::nullopt;
    auto due = co_await parts.outbox.claim_deliveries(std::move(*claim));
    if (!due) {
      log::warning("webhook_claim_failed", {{"error", due.error().message}, {"detail", due.error().detail}});
      co_return std::nullopt;
    }
    if (due->deliveries.empty()) co_return due->next_at;
    for (auto& delivery : due->deliveries) begin(std::move(delivery));
  }
  co_return std::nullopt;
}

void Deliverer::Impl::begin(jobs::DueDelivery delivery) {
  auto origin = spelled_origin(delivery.url);
  const auto number = next_number++;
  const auto signal = std::make_shared<asio::cancellation_signal>();
  under_way.emplace(number, signal);
  ++under_way_by_origin[origin];
  auto done = [self = shared_from_this(), number, origin = std::move(origin)](std::exception_ptr) {
    self->end(number, origin);
  };
  asio::co_spawn(executor, attempt(shared_from_this(), std::move(delivery)),
                 asio::bind_cancellation_slot(signal->slot(), std::move(done)));
}

void Deliverer::Impl::end(std::uint64_t number, const std::string& origin) {
  under_way.erase(number);
  const auto found = under_way_by_origin.find(origin);
  if (--found->second == 0) under_way_by_origin.erase(found);
  ++attempts_ended;
  notify();
}

http::ClientRequest Deliverer::Impl::request_for(const jobs::DueDelivery& delivery, const fetch::SourceUrl& url) const {
  const Clock& calendar = parts.calendar != nullptr ? *parts.calendar : parts.clock;
  const auto sent_at = std::chrono::floor<seconds>(calendar.now()).time_since_epoch().count();
  http::ClientRequest request;
  request.method = "POST";
  request.scheme = url.scheme;
  request.host = url.host;
  request.port = url.port;
  request.target = url.target;
  request.headers.add("Content-Type", "application/json");
  request.headers.add("User-Agent", options.user_agent);
  request.headers.add("webhook-id", delivery.event_id);
  request.headers.add("webhook-timestamp", fmt::format("{}", sent_at));
  request.headers.add("webhook-signature", secret.sign(delivery.event_id, sent_at, delivery.body));
  request.body = delivery.body;
  request.body_bytes_max = options.answer_bytes_max;
  request.other_body_bytes_max = options.answer_bytes_max;
  request.truncate_body = true;
  return request;
}

Task<Result<http::ClientResponse>> Deliverer::Impl::send(const jobs::DueDelivery& delivery) {
  const auto started = steady_now();
  PIXMILL_CO_TRY(const auto url, fetch::parse_source_url(delivery.url));
  // Asked at every attempt: a name that was public yesterday may point inside today.
  PIXMILL_CO_TRY(auto addresses, co_await fetch::resolve_checked(parts.resolver, parts.policy, url));
  if (breaking_off) co_return fail(ErrorCode::kCancelled, "the process is stopping");
  auto request = request_for(delivery, url);
  request.addresses = std::move(addresses);
  request.total_timeout = std::max(options.attempt_timeout - since(started), milliseconds(1));
  request.connect_timeout = std::min(request.connect_timeout, request.total_timeout);
  co_return co_await parts.client.send(std::move(request));
}

Task<void> Deliverer::Impl::attempt(std::shared_ptr<Impl> self, jobs::DueDelivery delivery) {
  // Being broken off ends the transfer, not this coroutine: an answer that came in time is still recorded.
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto started = steady_now();
  const auto answer = co_await self->send(delivery);
  if (!answer && self->breaking_off) co_return;
  co_await self->record(delivery, answer, since(started));
}

Task<void> Deliverer::Impl::record(const jobs::DueDelivery& delivery, const Result<http::ClientResponse>& answer,
                                   milliseconds elapsed) {
  AttemptContext context;
  context.attempt = delivery.attempt;
  context.schedule = options.schedule;
  context.now = parts.clock.now();
  context.jitter = std::uniform_real_distribution<double>(0, 1)(random);
  const auto verdict = judge(answer, context);

  jobs::DeliveryResult result;
  result.event_id = delivery.event_id;
  result.token = delivery.token;
  result.state = verdict.state;
  result.next_at = verdict.next_at;
  result.http_status = answer ? answer->status : 0;
  result.error = verdict.error;
  // As text that JSON and HTML can carry, whatever the receiver sent.
  if (answer) {
    const auto text = replace_invalid_utf8(std::string_view(answer->body).substr(0, kAnswerBytesKept));
    result.answer = utf8_prefix(text, kAnswerBytesKept);
  }
  result.elapsed_ms = elapsed.count();

  instruments.attempts[static_cast<std::size_t>(verdict.kind)].add();
  instruments.attempt_seconds.observe(std::chrono::duration<double>(elapsed).count());
  log_attempt(delivery, result);
  const auto recorded = co_await parts.outbox.record_delivery(std::move(result));
  if (!recorded) {
    // The lease ends and the event is sent again under the same id: at least once.
    log::error("webhook_record_failed", {{"event_id", delivery.event_id}, {"error", recorded.error().message}});
  } else if (verdict.state == jobs::DeliveryState::kExhausted) {
    instruments.exhausted.add();
  }
}

Task<std::optional<TimePoint>> Deliverer::Impl::fill_and_measure() {
  const auto next_at = co_await fill();
  // A count of the whole outbox is not worth a query per attempt.
  if (measured_at && since(*measured_at) < options.idle_poll) co_return next_at;
  measured_at = steady_now();
  instruments.in_flight.set(static_cast<double>(under_way.size()));
  const auto open = co_await parts.outbox.open_deliveries();
  if (open) instruments.pending.set(static_cast<double>(*open));
  co_return next_at;
}

void Deliverer::Impl::notify() {
  bell.ring();
  stop_bell.ring();
}

Task<void> Deliverer::Impl::loop(std::shared_ptr<Impl> self) {
  while (!self->stopping) {
    const auto next_at = co_await self->fill_and_measure();
    auto pause = self->options.idle_poll;
    if (next_at) pause = std::clamp(*next_at - self->parts.clock.now(), std::min(kPauseMin, pause), pause);
    co_await self->bell.wait(pause);
  }
}

Task<void> Deliverer::Impl::stop(std::shared_ptr<Impl> self) {
  self->stopping = true;
  self->notify();
  const auto started = steady_now();
  const auto grace = std::min(self->options.stop_grace, self->options.attempt_timeout);
  while (self->looping || !self->under_way.empty()) {
    const auto left = grace - since(started);
    if (left > milliseconds(0)) {
      co_await self->stop_bell.wait(left);
      continue;
    }
    if (!self->breaking_off) self->break_off();
    // What is left ends by its own deadlines: the resolver's, the client's, the store's.
    co_await self->stop_bell.wait(self->options.attempt_timeout);
  }
}

void Deliverer::Impl::break_off() {
  breaking_off = true;
  const auto signals = under_way;  // a transfer may end, and leave the map, while it is being cancelled
  for (const auto& [number, signal] : signals) signal->emit(asio::cancellation_type::terminal);
}

Task<std::optional<TimePoint>> Deliverer::Impl::run_once(std::shared_ptr<Impl> self) {
  while (true) {
    const auto ended_before = self->attempts_ended;
    const auto next_at = co_await self->fill_and_measure();
    if (!self->under_way.empty()) {
      co_await self->bell.wait(self->options.attempt_timeout);
    } else if (self->stopping || self->attempts_ended == ended_before) {
      // No attempt ended while the outbox was asked, so its answer holds.
      co_return next_at;
    }
  }
}

Deliverer::Deliverer(Executor executor, DelivererParts parts, WebhookSecret secret, DelivererOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), parts, std::move(secret), std::move(options))) {}

Deliverer::~Deliverer() { impl_->stopping = true; }

void Deliverer::start() {
  PIXMILL_CHECK(!impl_->looping && !impl_->stopping);
  impl_->looping = true;
  asio::co_spawn(impl_->executor, Impl::loop(impl_), [impl = impl_](std::exception_ptr) {
    impl->looping = false;
    impl->notify();
  });
}

void Deliverer::wake() { impl_->notify(); }

Task<void> Deliverer::stop() { return Impl::stop(impl_); }

Task<std::optional<TimePoint>> Deliverer::run_once() { return Impl::run_once(impl_); }

}  // namespace pixmill::webhook
