#include "engine/pool.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <deque>
#include <optional>

#include "base/log.h"
#include "base/text.h"
#include "base/wakeup.h"
#include "engine/bad_marks.h"
#include "engine/engine.h"
#include "engine/self_test.h"

namespace pixmill::engine {

namespace {

using EnginePtr = std::shared_ptr<Engine>;

constexpr milliseconds kStartAtMost{60'000};  // an engine that dies is noticed at once; this is for one that hangs
constexpr milliseconds kRetryFirst{100};
constexpr milliseconds kRetryMost{10'000};
constexpr std::uint32_t kStartFailuresMax = 3;  // in a row; then those who wait are told
constexpr std::size_t kWaitersMax = 100'000;
constexpr std::size_t kAreaKept = 8U << 20;  // shared memory that an engine keeps between pictures

std::uint32_t count_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;
  return static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&cores)));
}

std::unexpected<Error> stopping() { return fail(ErrorCode::kUnavailable, "the process is stopping"); }

// What the metrics call the ways in which an engine's life ends.
struct Restarts {
  Counter crash;
  Counter timeout;
  Counter mismatch;
  Counter recycled;
  Counter start;
};

Restarts make_restarts(Metrics& metrics) {
  const auto counter = [&](const std::string& reason) {
    return metrics.counter("pixmill_engine_restarts_total", "Engines that were replaced, by reason",
                           {{"reason", reason}});
  };
  return {.crash = counter("crash"),
          .timeout = counter("timeout"),
          .mismatch = counter("mismatch"),
          .recycled = counter("recycled"),
          .start = counter("start")};
}

// What an engine is asked besides the source: nothing in it is an address, and marks are called by their digests.
struct Question {
  RenderRequest request;
  std::vector<std::shared_ptr<const MarkFile>> marks;  // as those of the request
};

std::unexpected<Error> unusable_mark(Error why) {
  why.message = fmt::format("the watermark cannot be used: {}", why.message);
  return std::unexpected(std::move(why));
}

Result<Question> make_question(image::Recipe recipe, const RenderExtras& extras, const PoolOptions& options) {
  Question question;
  auto& request = question.request;
  std::uint64_t bytes = 0;
  for (auto& output : recipe.outputs) {
    if (!output.watermark) continue;
    std::string& image = output.watermark->image;
    const auto found = extras.marks == nullptr ? MarkFiles::const_iterator() : extras.marks->find(image);
    if (extras.marks == nullptr || found == extras.marks->end()) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("the watermark '{}' is not at hand", image));
    }
    const auto& mark = found->second;
    if (mark->bytes.empty()) {
      return unusable_mark({.code = ErrorCode::kNotAnImage, .message = "the file is empty", .detail = {}});
    }
    image = fmt::format("{}:{}", image::kUploadedWatermark, mark->sha256);
    if (std::ranges::find(request.marks, mark->sha256) != request.marks.end()) continue;
    bytes += mark->bytes.size();
    request.marks.push_back(mark->sha256);
    question.marks.push_back(mark);
  }
  if (bytes > options.mark_bytes_max) {
    return fail(ErrorCode::kTooLarge, fmt::format("the watermarks have {}; at most {} are allowed", format_bytes(bytes),
                                                  format_bytes(options.mark_bytes_max)));
  }
  request.recipe = image::canonical_text(recipe);
  request.limits = options.limits;
  request.measure = extras.measure;
  return question;
}

// The pool's state, shared with the coroutines that use it, so that it outlives them.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Executor executor, PoolOptions options, Metrics& metrics)
      : executor_(std::move(executor)),
        options_(std::move(options)),
        limit_(options_.engines == 0 ? count_cores() : options_.engines),
        restarts_(make_restarts(metrics)),
        busy_gauge_(metrics.gauge("pixmill_engine_busy", "Engines that work on a picture")),
        render_seconds_(metrics.histogram("pixmill_engine_render_seconds", "Time a picture spends in its engine",
                                          {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20})),
        retry_(executor_),
        changed_(executor_) {}

  [[nodiscard]] Task<Result<void>> start();
  [[nodiscard]] Task<Result<image::Rendered>> render(std::string_view source, image::Recipe recipe,
                                                     RenderExtras extras);
  void stop();

  [[nodiscard]] const BadMarks& bad_marks() const { return bad_marks_; }
  [[nodiscard]] const SandboxReport& report() const { return report_; }
  [[nodiscard]] std::uint32_t limit() const { return limit_; }
  [[nodiscard]] std::vector<int> pids() const;

 private:
  // An engine while it works for somebody. Gives it back when it may go on, else (also when the coroutine that holds it
  // is destroyed in the middle of a picture) has it replaced.
  class Lease {
   public:
    Lease(std::shared_ptr<Core> core, EnginePtr engine) : core_(std::move(core)), engine_(std::move(engine)) {}
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (core_) core_->give_back(engine_, healthy_);
    }
    void set_healthy() { healthy_ = true; }
    [[nodiscard]] Engine& engine() const { return *engine_; }

   private:
    std::shared_ptr<Core> core_;
    EnginePtr engine_;
    bool healthy_ = false;
  };

  struct Waiter {
    explicit Waiter(const Executor& executor) : timer(executor) {
      timer.expires_at(asio::steady_timer::time_point::max());
    }
    asio::steady_timer timer;
    std::optional<Result<Lease>> outcome;
    bool gone = false;  // its coroutine was destroyed
  };

  void fill();
  [[nodiscard]] static Task<void> bring_up(std::shared_ptr<Core> self);
  void on_started(Result<EnginePtr> engine);
  [[nodiscard]] Task<Result<EnginePtr>> start_one();
  void on_start_failed(const Error& error);
  void fill_later();
  void on_engine_ended(const EnginePtr& engine);
  void retire(const EnginePtr& engine, const Counter& reason);
  [[nodiscard]] bool forget(const EnginePtr& engine);

  [[nodiscard]] Task<Result<Lease>> acquire();
  void serve_waiters();
  void fail_waiters(const Error& error);
  void give_back(const EnginePtr& engine, bool healthy);

  [[nodiscard]] Task<Result<image::Rendered>> render_with(Lease& lease, std::string_view source,
                                                          const image::Recipe& recipe, Question& question);
  [[nodiscard]] Task<Result<Answer>> pose(Lease& lease, std::string_view source, Question& question);
  [[nodiscard]] Task<Result<void>> send_mark(Lease& lease, const Question& question, std::size_t index);
  [[nodiscard]] Result<image::Rendered> collect(Lease& lease, const RenderedAnswer& answer,
                                                const image::Recipe& recipe);
  [[nodiscard]] Task<Result<ProbedAnswer>> probe();
  void count_failure(const Lease& lease, const Error& error);
  [[nodiscard]] std::unexpected<Error> mismatch(const Lease& lease);

  Executor executor_;
  PoolOptions options_;
  std::uint32_t limit_;  // engines that work at once; there is one more
  Restarts restarts_;
  Gauge busy_gauge_;
  Histogram render_seconds_;
  SandboxReport report_;
  BadMarks bad_marks_;

  std::vector<EnginePtr> engines_;  // ready, idle or busy
  std::vector<EnginePtr> idle_;     // the last one in goes out first: the spare stays fresh
  std::deque<std::shared_ptr<Waiter>> waiters_;
  std::vector<EnginePtr> starting_;
  std::uint32_t bring_ups_ = 0;  // coroutines that start an engine right now
  std::uint32_t busy_ = 0;
  std::uint32_t start_failures_ = 0;
  std::optional<Error> start_error_;
  asio::steady_timer retry_;
  bool retry_pending_ = false;
  bool stopped_ = false;
  Wakeup changed_;
};

// ---- engines come and go

// As many as may work at once, and a warm spare.
void Core::fill() {
  // Starting one may fail at once, and then this must not go on.
  while (!stopped_ && !retry_pending_ && engines_.size() + bring_ups_ < limit_ + 1) {
    ++bring_ups_;
    asio::co_spawn(executor_, bring_up(shared_from_this()), asio::detached);
  }
}

Task<void> Core::bring_up(std::shared_ptr<Core> self) {
  auto engine = co_await self->start_one();
  self->on_started(std::move(engine));
}

void Core::on_started(Result<EnginePtr> engine) {
  --bring_ups_;
  if (stopped_) return;
  if (!engine) return on_start_failed(engine.error());
  start_failures_ = 0;
  engines_.push_back(*engine);
  idle_.insert(idle_.begin(), *engine);
  serve_waiters();
  changed_.ring();
}

Task<Result<EnginePtr>> Core::start_one() {
  const ProcessOptions process{.executable = options_.executable,
                               .extra_arguments = options_.extra_arguments,
                               .memory_bytes_max = options_.memory_bytes_max,
                               .input_bytes_max = std::max(options_.source_bytes_max, options_.mark_bytes_max),
                               .output_bytes_max = options_.output_bytes_max};
  PIXMILL_CO_TRY(EnginePtr engine, Engine::start(executor_, process));
  engine->when_ended([weak = weak_from_this()](const EnginePtr& ended) {
    if (const auto core = weak.lock()) core->on_engine_ended(ended);
  });
  starting_.push_back(engine);
  const auto ready = co_await engine->wait_until_ready(kStartAtMost);
  std::erase(starting_, engine);
  if (!ready) {
    engine->kill();
    co_return std::unexpected(ready.error());
  }
  report_.seccomp = ready->seccomp;
  report_.landlock_abi = static_cast<int>(ready->landlock_abi);
  report_.landlock = ready->landlock_abi > 0;
  co_return engine;
}

void Core::on_start_failed(const Error& error) {
  restarts_.start.add();
  log::error("engine_start_failed", {{"problem", error.message}});
  start_error_ = error;
  ++start_failures_;
  changed_.ring();
  if (start_failures_ >= kStartFailuresMax && engines_.empty()) {
    fail_waiters(Error{.code = ErrorCode::kUnavailable, .message = error.message, .detail = error.detail});
  }
  fill_later();
}

// Later and later, so that an engine that cannot start does not keep a core busy.
void Core::fill_later() {
  if (stopped_ || retry_pending_) return;
  retry_pending_ = true;
  const auto doublings = std::min<std::uint32_t>(start_failures_ - 1, 10);
  retry_.expires_after(std::min(kRetryFirst * (1U << doublings), kRetryMost));
  retry_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto core = weak.lock();
    if (error || !core) return;
    core->retry_pending_ = false;
    core->fill();
  });
}

// Takes it out of service; false when it was out already.
bool Core::forget(const EnginePtr& engine) {
  std::erase(idle_, engine);
  return std::erase(engines_, engine) > 0;
}

void Core::on_engine_ended(const EnginePtr& engine) {
  // One that worked for somebody is counted there, and one that never got ready by those who started it.
  const bool was_idle = std::find(idle_.begin(), idle_.end(), engine) != idle_.end();
  if (!was_idle) return;
  log::warning("engine_ended", {{"pid", engine->pid()}, {"how", engine->how_it_ended()}});
  retire(engine, restarts_.crash);
}

void Core::retire(const EnginePtr& engine, const Counter& reason) {
  engine->kill();
  if (!forget(engine)) return;
  reason.add();
  fill();
}

// ---- who gets an engine

Task<Result<Core::Lease>> Core::acquire() {
  if (stopped_) co_return stopping();
  if (waiters_.size() >= kWaitersMax) {
    co_return fail(ErrorCode::kUnavailable, "too many pictures wait for an engine");
  }
  const auto waiter = std::make_shared<Waiter>(executor_);
  // Should this coroutine be destroyed while it waits, nobody is to be served in its name.
  struct Leaving {
    Waiter& waiter;
    ~Leaving() { waiter.gone = true; }
  } const leaving{*waiter};
  waiters_.push_back(waiter);
  serve_waiters();
  if (!waiter->outcome) {
    boost::system::error_code ignored;
    co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (!waiter->outcome) co_return stopping();
  co_return std::move(*waiter->outcome);
}

void Core::serve_waiters() {
  while (!waiters_.empty() && !idle_.empty() && busy_ < limit_) {
    if (waiters_.front()->gone) {
      waiters_.pop_front();
      continue;
    }
    const EnginePtr engine = idle_.back();
    if (!engine->check_alive()) continue;  // on_engine_ended() has taken it out
    idle_.pop_back();
    const auto waiter = std::move(waiters_.front());
    waiters_.pop_front();
    busy_gauge_.set(++busy_);
    waiter->outcome.emplace(Lease(shared_from_this(), engine));
    waiter->timer.cancel();
  }
}

void Core::fail_waiters(const Error& error) {
  for (const auto& waiter : std::exchange(waiters_, {})) {
    if (waiter->gone) continue;
    waiter->outcome.emplace(std::unexpected(error));
    waiter->timer.cancel();
  }
}

void Core::give_back(const EnginePtr& engine, bool healthy) {
  busy_gauge_.set(--busy_);
  if (stopped_) return;
  if (!healthy || engine->ended()) {
    retire(engine, restarts_.crash);
  } else if (++engine->pictures >= options_.pictures_per_engine) {
    retire(engine, restarts_.recycled);
  } else {
    // Whatever it says that it used, and whether it failed or not.
    engine->input().trim(kAreaKept);
    engine->output().trim(kAreaKept);
    idle_.push_back(engine);
  }
  serve_waiters();
}

// ---- one picture

Task<Result<image::Rendered>> Core::render(std::string_view source, image::Recipe recipe, RenderExtras extras) {
  const auto self = shared_from_this();
  if (source.size() > options_.source_bytes_max) {
    co_return fail(ErrorCode::kTooLarge,
                   fmt::format("the file has {}; at most {} are allowed", format_bytes(source.size()),
                               format_bytes(options_.source_bytes_max)));
  }
  PIXMILL_CO_TRY(Question question, make_question(recipe, extras, options_));
  PIXMILL_CO_TRY(Lease lease, co_await acquire());
  const auto begin = std::chrono::steady_clock::now();
  auto rendered = co_await render_with(lease, source, recipe, question);
  render_seconds_.observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  co_return rendered;
}

Task<Result<image::Rendered>> Core::render_with(Lease& lease, std::string_view source, const image::Recipe& recipe,
                                                Question& question) {
  auto answer = co_await pose(lease, source, question);
  if (answer && std::holds_alternative<MarksWantedAnswer>(*answer) && !question.marks.empty()) {
    lease.engine().forget_marks();
    answer = co_await pose(lease, source, question);
  }
  if (stopped_) co_return stopping();
  if (!answer) co_return std::unexpected(answer.error());
  if (const auto* failed = std::get_if<FailedAnswer>(&*answer)) {
    lease.set_healthy();
    co_return std::unexpected(failed->error);
  }
  if (const auto* done = std::get_if<RenderedAnswer>(&*answer)) co_return collect(lease, *done, recipe);
  co_return mismatch(lease);
}

// Marks that the engine does not have go before the picture, each by itself: what goes wrong then is their fault. An
// error is that of a mark, or of an engine that is lost.
Task<Result<Answer>> Core::pose(Lease& lease, std::string_view source, Question& question) {
  for (const auto& mark : question.marks) {
    auto why = bad_marks_.find(mark->sha256);
    if (!why) continue;
    lease.set_healthy();
    co_return unusable_mark(std::move(*why));
  }
  for (std::size_t i = 0; i < question.marks.size(); ++i) {
    PIXMILL_CO_RETURN_IF_ERROR(co_await send_mark(lease, question, i));
  }
  Engine& engine = lease.engine();
  question.request.source_bytes = source.size();
  std::ranges::copy(source, engine.input().bytes().data());
  auto answer = co_await engine.ask(encode(Request(question.request)), options_.picture_deadline);
  if (!answer && !stopped_) count_failure(lease, answer.error());
  co_return answer;
}

Task<Result<void>> Core::send_mark(Lease& lease, const Question& question, std::size_t index) {
  Engine& engine = lease.engine();
  const auto mark = question.marks[index];
  if (engine.has_mark(mark->sha256)) co_return Result<void>();
  std::ranges::copy(mark->bytes, engine.input().bytes().data());
  const MarkRequest request{.sha256 = mark->sha256, .limits = options_.limits, .bytes = mark->bytes.size()};
  auto answer = co_await engine.ask(encode(Request(request)), options_.picture_deadline);
  if (stopped_) co_return stopping();
  if (!answer) {
    Error error = std::move(answer).error();
    error.message =
        error.code == ErrorCode::kEngineTimeout ? "it took too long to decode" : "the decoder crashed on it";
    count_failure(lease, error);
    log::warning("watermark_lost_engine", {{"sha256", mark->sha256}});
    bad_marks_.lose_engine(mark->sha256, error.code);
    if (auto why = bad_marks_.find(mark->sha256)) error = std::move(*why);
    co_return unusable_mark(std::move(error));
  }
  if (auto* failed = std::get_if<FailedAnswer>(&*answer)) {
    lease.set_healthy();
    // Several together may need more memory than each alone.
    const bool is_its_fault = failed->error.code != ErrorCode::kTooLarge || question.marks.size() == 1;
    if (is_its_fault) bad_marks_.refuse(mark->sha256, failed->error);
    co_return unusable_mark(std::move(failed->error));
  }
  if (!std::holds_alternative<MarkKeptAnswer>(*answer)) co_return mismatch(lease);
  bad_marks_.forget(mark->sha256);
  engine.remember_mark(mark->sha256);
  co_return Result<void>();
}

std::unexpected<Error> Core::mismatch(const Lease& lease) {
  retire(lease.engine().shared_from_this(), restarts_.mismatch);
  return fail(ErrorCode::kEngineCrash, "the decoder gave an answer to another question");
}

void Core::count_failure(const Lease& lease, const Error& error) {
  log::warning("engine_lost", {{"pid", lease.engine().pid()}, {"problem", error.message}, {"detail", error.detail}});
  const bool timeout = error.code == ErrorCode::kEngineTimeout;
  retire(lease.engine().shared_from_this(), timeout ? restarts_.timeout : restarts_.crash);
}

// Copies every output out of shared memory first, for the engine could change it while it is looked at, and then
// believes nothing that the bytes do not say themselves.
Result<image::Rendered> Core::collect(Lease& lease, const RenderedAnswer& answer, const image::Recipe& recipe) {
  if (answer.renditions.size() != recipe.outputs.size()) {
    retire(lease.engine().shared_from_this(), restarts_.mismatch);
    return fail(ErrorCode::kEngineCrash, "the decoder gave another number of outputs than the recipe has");
  }
  const auto output = lease.engine().output().bytes();
  image::Rendered rendered{.source = answer.source, .renditions = {}, .times = answer.times};
  std::size_t at = 0;
  for (const auto& head : answer.renditions) {
    image::Rendition rendition{.name = recipe.outputs[rendered.renditions.size()].name,
                               .format = head.format,
                               .width_px = head.width_px,
                               .height_px = head.height_px,
                               .quality = head.quality,
                               .source_kept = head.source_kept,
                               .first_frame = head.first_frame,
                               .fitted = head.fitted,
                               .bytes = std::string(output.data() + at, head.bytes),
                               .scored = head.scored,
                               .score = head.score};
    at += head.bytes;
    const auto header = image::read_header(rendition.bytes);
    if (!header || header->format != head.format || header->width_px != head.width_px ||
        header->height_px != head.height_px) {
      retire(lease.engine().shared_from_this(), restarts_.mismatch);
      return fail(ErrorCode::kEngineCrash, "the decoder's output is not what it says it is",
                  header ? "size or format differ" : header.error().message);
    }
    rendered.renditions.push_back(std::move(rendition));
  }
  lease.set_healthy();
  return rendered;
}

Task<Result<ProbedAnswer>> Core::probe() {
  PIXMILL_CO_TRY(Lease lease, co_await acquire());
  const std::string question = encode(Request(ProbeRequest{}));
  PIXMILL_CO_TRY(Answer answer, co_await lease.engine().ask(question, options_.picture_deadline));
  auto* probed = std::get_if<ProbedAnswer>(&answer);
  if (probed == nullptr) co_return fail(ErrorCode::kEngineCrash, "the engine gave an answer to another question");
  lease.set_healthy();
  co_return std::move(*probed);
}

// ---- the whole pool

Task<Result<void>> Core::start() {
  const auto self = shared_from_this();
  fill();
  while (engines_.size() < limit_ && !start_error_ && !stopped_) co_await changed_.wait(kStartAtMost);
  if (stopped_) co_return stopping();
  if (start_error_) co_return fail(ErrorCode::kInternal, start_error_->message, start_error_->detail);
  const SelfTestSteps steps{
      .render = [this](std::string_view source, const image::Recipe& recipe) { return render(source, recipe, {}); },
      .probe = [this] { return probe(); }};
  co_await run_self_test(steps, report_);
  if (!report_.problem.empty()) co_return fail(ErrorCode::kInternal, report_.problem);
  co_return Result<void>();
}

void Core::stop() {
  if (stopped_) return;
  stopped_ = true;
  retry_.cancel();
  // All are told to end before any is waited for.
  auto all = std::exchange(engines_, {});
  all.insert(all.end(), starting_.begin(), starting_.end());
  idle_.clear();
  for (const auto& engine : all) engine->kill();
  for (const auto& engine : all) engine->stop();
  fail_waiters(stopping().error());
  changed_.ring();
}

std::vector<int> Core::pids() const {
  std::vector<int> pids;
  for (const auto& engine : engines_) pids.push_back(engine->pid());
  return pids;
}

class CorePool final : public Pool {
 public:
  explicit CorePool(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~CorePool() override { core_->stop(); }
  CorePool(const CorePool&) = delete;
  CorePool& operator=(const CorePool&) = delete;

  Task<Result<image::Rendered>> render(std::string_view source, const image::Recipe& recipe,
                                       RenderExtras extras) override {
    return core_->render(source, recipe, extras);
  }
  std::optional<Error> bad_mark(const std::string& sha256) const override { return core_->bad_marks().find(sha256); }
  void stop() override { core_->stop(); }
  const SandboxReport& sandbox() const override { return core_->report(); }
  std::vector<int> pids() const override { return core_->pids(); }
  std::uint32_t engines() const override { return core_->limit(); }

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace

Task<Result<std::unique_ptr<Pool>>> Pool::create(Executor executor, PoolOptions options, Metrics& metrics) {
  auto core = std::make_shared<Core>(std::move(executor), std::move(options), metrics);
  auto pool = std::make_unique<CorePool>(core);
  PIXMILL_CO_RETURN_IF_ERROR(co_await core->start());
  co_return pool;
}

}  // namespace pixmill::engine
