#include "api/events.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "api/checked_handler.h"
#include "api/pace_meter.h"
#include "base/log.h"
#include "base/wakeup.h"
#include "jobs/progress_news.h"

namespace pixmill::api {

namespace json = boost::json;

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds kReadEvery{250};      // at most
constexpr milliseconds kReadAtLeast{1'000};  // without word that something has changed
constexpr milliseconds kGroupsEvery{2'000};
constexpr milliseconds kReconnectAfter{2'000};
constexpr int kNoContent = 204;

json::value number_or_null(const std::optional<double>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

// What has changed when this has changed; the same on every server.
std::string event_id(const jobs::Job& job) {
  return fmt::format("{}.{}.{}.{}.{}", job.generation, job.rows, job.succeeded, job.failed + job.cancelled,
                     jobs::to_text(job.state));
}

std::string event(std::string_view name, const std::string& id, std::string_view data) {
  return fmt::format("event: {}\nid: {}\ndata: {}\n\n", name, id, data);
}

std::string progress_json(const jobs::Job& job, const PaceMeter& meter) {
  json::object progress{{"state", jobs::to_text(job.state)},
                        {"generation", job.generation},
                        {"rows", job.rows},
                        {"total", job.total},
                        {"remaining", job.remaining},
                        {"succeeded", job.succeeded},
                        {"failed", job.failed},
                        {"cancelled", job.cancelled},
                        {"bytes_in", job.bytes_in},
                        {"bytes_out", job.bytes_out}};
  const auto estimate = jobs::is_terminal(job.state) ? std::nullopt : meter.estimate(job.remaining);
  progress["per_second"] = estimate ? json::value(estimate->per_second) : json::value(nullptr);
  progress["eta_seconds"] = number_or_null(estimate ? estimate->seconds : std::nullopt);
  progress["eta_seconds_least"] = number_or_null(estimate ? estimate->seconds_least : std::nullopt);
  progress["eta_seconds_most"] = number_or_null(estimate ? estimate->seconds_most : std::nullopt);
  return json::serialize(progress);
}

}  // namespace

// What all streams of one job share.
struct Events::Watch {
  Watch(const Executor& executor, JobId job_id) : id(std::move(job_id)), moved(executor) {}
  JobId id;
  Wakeup moved;
  std::set<Stream*> streams;
  std::optional<jobs::Job> job;  // as it was read last
  std::string at;                // its event_id
  std::string groups = "[]";
  std::uint64_t groups_version = 0;
  std::uint64_t groups_of_failed = 0;  // how many had failed when the groups were read
  SteadyClock::time_point groups_read_at{};
  PaceMeter meter;
  bool removed = false;

  [[nodiscard]] bool is_over() const { return removed || (job && jobs::is_terminal(job->state)); }
};

struct Events::Stream {
  Stream(const Executor& executor, std::shared_ptr<Hub> streams_hub, std::shared_ptr<Watch> watched);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] std::string news();

  std::shared_ptr<Hub> hub;
  std::shared_ptr<Watch> watch;
  Wakeup bell;
  std::optional<std::string> seen;  // event_id
  std::optional<jobs::JobState> seen_state;
  std::uint64_t seen_groups = 0;
  bool greeted = false;
  bool over = false;
};

struct Events::Hub : std::enable_shared_from_this<Events::Hub> {
  explicit Hub(Context& of) : context(of) {}

  std::shared_ptr<Watch> watch(const JobId& id);
  static Task<void> keep_watching(std::shared_ptr<Hub> self, std::shared_ptr<Watch> watch);
  static Task<void> look(std::shared_ptr<Hub> self, std::shared_ptr<Watch> watch);
  static Task<void> look_at_failures(std::shared_ptr<Hub> self, std::shared_ptr<Watch> watch);
  static void tell(const Watch& watch);
  void moved(const JobId& id);
  void stop();

  Context& context;
  std::map<JobId, std::shared_ptr<Watch>> watches;
  std::size_t streams = 0;
  bool stopped = false;
};

Events::Stream::Stream(const Executor& executor, std::shared_ptr<Hub> streams_hub, std::shared_ptr<Watch> watched)
    : hub(std::move(streams_hub)), watch(std::move(watched)), bell(executor) {
  watch->streams.insert(this);
  ++hub->streams;
}

Events::Stream::~Stream() {
  watch->streams.erase(this);
  --hub->streams;
  if (watch->streams.empty()) watch->moved.ring();  // nobody to watch it for
}

// Everything that the stream has not told yet.
std::string Events::Stream::news() {
  std::string text;
  if (watch->removed) {
    over = true;
    return event("removed", "removed", "{}");
  }
  const auto& job = *watch->job;
  const auto& links = hub->context.options.links;
  const std::string progress = progress_json(job, watch->meter);
  if (!seen) {
    text = event("snapshot", watch->at,
                 fmt::format(R"({{"job":{},"progress":{},"errors":{}}})", jobs::job_document(job, links), progress,
                             watch->groups));
  } else {
    if (seen_state != job.state) {
      text += event("state", watch->at, fmt::format(R"({{"state":"{}"}})", jobs::to_text(job.state)));
    }
    if (*seen != watch->at) text += event("progress", watch->at, progress);
    if (seen_groups != watch->groups_version) text += event("errors", watch->at, watch->groups);
  }
  seen = watch->at;
  seen_state = job.state;
  seen_groups = watch->groups_version;
  if (!watch->is_over()) return text;
  over = true;
  return text + event("end", watch->at, jobs::job_document(job, links));
}

std::shared_ptr<Events::Watch> Events::Hub::watch(const JobId& id) {
  const auto found = watches.find(id);
  if (found != watches.end()) return found->second;
  const auto made = std::make_shared<Watch>(context.executor, id);
  watches.emplace(id, made);
  asio::co_spawn(context.executor, keep_watching(shared_from_this(), made),
                 [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
  return made;
}

Task<void> Events::Hub::keep_watching(std::shared_ptr<Hub> self, std::shared_ptr<Watch> watch) {
  bool is_first = true;
  while (!self->stopped && (is_first || !watch->streams.empty()) && !watch->is_over()) {
    is_first = false;
    const auto begun = SteadyClock::now();
    co_await look(self, watch);
    if (self->stopped || watch->is_over()) break;
    co_await watch->moved.wait(kReadAtLeast);
    const auto rest = std::chrono::ceil<milliseconds>(begun + kReadEvery - SteadyClock::now());
    if (rest > milliseconds(0) && !self->stopped) co_await pause_for(rest);
  }
  const auto found = self->watches.find(watch->id);
  if (found != self->watches.end() && found->second == watch) self->watches.erase(found);
}

// While the store is away streams show what was known last.
Task<void> Events::Hub::look(std::shared_ptr<Hub> self, std::shared_ptr<Watch> watch) {
  auto job = co_await self->context.parts.store.job(watch->id);
  if (self->stopped) co_return;
  if (!job) {
    if (job.error().code != ErrorCode::kNotFound) co_return;
    watch->removed = true;
    co_return tell(*watch);
  }
  watch->meter.note(SteadyClock::now(), job->succeeded + job->failed + job->cancelled);
  const std::string at = event_id(*job);
  const bool has_moved = !watch->job || at != watch->at;
  watch->job = std::move(*job);
  watch->at = at;
  const auto groups_before = watch->groups_version;
  co_await look_at_failures(self, watch);
  if (!has_moved && groups_before == watch->groups_version) co_return;
  tell(*watch);
}

Task<void> Events::Hub::look_at_failures(std::shared_ptr<Hub> self, std::shared_ptr<Watch> watch) {
  const auto failed = watch->job->failed;
  const bool is_due =
      SteadyClock::now() - watch->groups_read_at >= kGroupsEvery || jobs::is_terminal(watch->job->state);
  if (failed == watch->groups_of_failed || !is_due) co_return;
  const auto groups = co_await self->context.parts.store.failures(watch->id);
  if (!groups) co_return;
  watch->groups_read_at = SteadyClock::now();
  watch->groups_of_failed = failed;
  std::string text = jobs::failures_document(*groups);
  if (text == watch->groups) co_return;
  watch->groups = std::move(text);
  ++watch->groups_version;
}

void Events::Hub::tell(const Watch& watch) {
  for (auto* stream : watch.streams) stream->bell.ring();
}

void Events::Hub::moved(const JobId& id) {
  const auto found = watches.find(id);
  if (found != watches.end()) found->second->moved.ring();
}

void Events::Hub::stop() {
  stopped = true;
  for (const auto& [id, watch] : watches) {
    watch->moved.ring();
    tell(*watch);
  }
}

Events::Events(Context& context) : context_(context), hub_(std::make_shared<Hub>(context)) {
  if (context.parts.progress == nullptr) return;
  context.parts.progress->listen([hub = std::weak_ptr<Hub>(hub_)](const JobId& job) {
    if (const auto alive = hub.lock()) alive->moved(job);
  });
}

Events::~Events() { hub_->stop(); }

void Events::stop() { hub_->stop(); }

void Events::add_routes(http::Router& router) {
  router.add("GET", "/v1/jobs/{id}/events", checked(this, &Events::open), true);
}

Task<Checked<http::Response>> Events::open(http::Request& request) {
  PIXMILL_API_TRY(const JobId id, job_id_of(request));
  auto job = co_await context_.parts.store.job(id);
  if (!job) co_return refuse(problem_of(job.error()));
  const std::string at = event_id(*job);
  const auto last = request.headers.get("Last-Event-ID");
  const bool knows_it = last && *last == at;
  if (knows_it && jobs::is_terminal(job->state)) {
    co_return http::Response{.status = kNoContent, .headers = {}, .body = {}};
  }
  if (hub_->stopped || hub_->streams >= context_.options.event_streams_max) {
    co_return refuse(Problem{.status = 503,
                             .code = "unavailable",
                             .detail = "As many clients as may be are listening already",
                             .hint = "Ask GET /v1/jobs/{id} now and then instead.",
                             .retry_after = std::chrono::seconds(30)});
  }
  auto stream = std::make_shared<Stream>(context_.executor, hub_, hub_->watch(id));
  if (knows_it) {
    stream->seen = at;
    stream->seen_state = job->state;
  }
  http::Response response;
  response.headers.set("Content-Type", "text/event-stream; charset=utf-8");
  response.headers.set("X-Accel-Buffering", "no");  // nginx would keep events back
  response.body = http::StreamBody{[stream = std::move(stream)] { return next(stream); }};
  co_return response;
}

Task<Result<std::string>> Events::next(std::shared_ptr<Stream> stream) {
  const auto hub = stream->hub;
  // At once, so that the client knows that it is connected, and how soon to connect again.
  if (!std::exchange(stream->greeted, true)) co_return fmt::format("retry: {}\n\n", kReconnectAfter.count());
  while (!stream->over && !hub->stopped) {
    const auto& watch = *stream->watch;
    if (watch.removed || watch.job) {
      std::string text = stream->news();
      if (!text.empty()) co_return text;
    }
    const auto before = SteadyClock::now();
    co_await stream->bell.wait(kHeartbeat);
    if (SteadyClock::now() - before >= kHeartbeat) co_return ":\n\n";
  }
  co_return std::string();
}

}  // namespace pixmill::api
