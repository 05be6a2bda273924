#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>

namespace pixmill::engine {

namespace {

constexpr milliseconds kPollEvery{100};
// Between the end of its socket and the end of the process lies the kernel's clean-up alone.
constexpr milliseconds kEndAtMost{2000};

}  // namespace

Result<std::shared_ptr<Engine>> Engine::start(const Executor& executor, const ProcessOptions& options) {
  PIXMILL_TRY(EngineProcess process, EngineProcess::start(options));
  auto engine = std::make_shared<Engine>(executor, std::move(process), options.output_bytes_max);
  engine->watch_end();
  return engine;
}

Engine::Engine(const Executor& executor, EngineProcess process, std::uint64_t output_bytes_max)
    : process_(std::move(process)),
      output_bytes_max_(output_bytes_max),
      socket_(executor, process_.socket()),
      pidfd_(executor),
      deadline_(executor),
      poll_(executor),
      end_rung_(executor) {
  if (process_.pidfd() >= 0) pidfd_.assign(process_.pidfd());
}

Engine::~Engine() {
  // The process owns the descriptors.
  socket_.release();
  if (pidfd_.is_open()) pidfd_.release();
}

bool Engine::has_mark(const std::string& sha256) const { return std::ranges::find(marks_, sha256) != marks_.end(); }

void Engine::remember_mark(const std::string& sha256) {
  std::erase(marks_, sha256);
  if (marks_.size() >= kMarksMax) marks_.erase(marks_.begin());
  marks_.push_back(sha256);
}

void Engine::watch_end() {
  // Holds the engine until its process is gone, so that nothing is left unreaped.
  const auto self = shared_from_this();
  if (pidfd_.is_open()) {
    pidfd_.async_wait(asio::posix::stream_descriptor::wait_read, [self](const boost::system::error_code& error) {
      if (!error && !self->ended_) self->on_end();
    });
    return;
  }
  poll_.expires_after(kPollEvery);
  poll_.async_wait([self](const boost::system::error_code& error) {
    if (error || self->ended_) return;
    if (self->process_.reap(EngineProcess::Wait::kNo)) {
      self->on_end();
    } else {
      self->watch_end();
    }
  });
}

void Engine::on_end() {
  process_.reap(EngineProcess::Wait::kYes);
  ended_ = true;
  end_rung_.ring();
  if (when_ended_) when_ended_(shared_from_this());
}

bool Engine::check_alive() {
  if (!ended_ && process_.reap(EngineProcess::Wait::kNo)) on_end();
  return !ended_;
}

void Engine::stop() {
  process_.kill();
  process_.reap(EngineProcess::Wait::kYes);
  ended_ = true;
  when_ended_ = nullptr;
  end_rung_.ring();
  boost::system::error_code ignored;
  socket_.cancel(ignored);
  if (pidfd_.is_open()) pidfd_.cancel(ignored);
  poll_.cancel();
  deadline_.cancel();
}

void Engine::arm(milliseconds deadline) {
  timed_out_ = false;
  const std::uint64_t question = ++question_;
  deadline_.expires_after(deadline);
  deadline_.async_wait([weak = weak_from_this(), question](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->question_ != question) return;
    self->timed_out_ = true;
    self->process_.kill();
  });
}

Task<Result<ReadyAnswer>> Engine::wait_until_ready(milliseconds at_most) {
  const auto self = shared_from_this();
  arm(at_most);
  const auto answer = co_await receive_answer();
  ++question_;
  deadline_.cancel();
  if (!answer) {
    const Error& error = answer.error();
    co_return fail(ErrorCode::kInternal,
                   fmt::format("an engine does not start: {}", error.detail.empty() ? error.message : error.detail));
  }
  if (const auto* ready = std::get_if<ReadyAnswer>(&*answer)) co_return *ready;
  co_return fail(ErrorCode::kInternal, "an engine does not start: it does not say that it is ready");
}

Task<Result<Answer>> Engine::ask(std::string packet, milliseconds deadline) {
  const auto self = shared_from_this();
  arm(deadline);
  if (!process_.send(packet)) {
    ++question_;
    Error error = co_await explain_silence();
    co_return std::unexpected(std::move(error));
  }
  auto answer = co_await receive_answer();
  ++question_;
  deadline_.cancel();
  co_return answer;
}

Task<Result<Answer>> Engine::receive_answer() {
  while (true) {
    boost::system::error_code error;
    co_await socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                                asio::redirect_error(asio::use_awaitable, error));
    const auto size = process_.receive(packet_);
    if (size) {
      auto answer = decode_answer({packet_.data(), *size}, output_bytes_max_);
      if (answer) co_return std::move(*answer);
      process_.kill();
      co_return fail(ErrorCode::kEngineCrash, "the decoder gave an answer that makes no sense", answer.error().message);
    }
    const bool closed = size.error().code != ErrorCode::kUnavailable;
    if (closed || error) {
      Error silence = co_await explain_silence();
      co_return std::unexpected(std::move(silence));
    }
  }
}

// Why no answer came: the process has ended, or is about to.
Task<Error> Engine::explain_silence() {
  if (!ended_) {
    process_.kill();
    co_await end_rung_.wait(kEndAtMost);
  }
  if (timed_out_) {
    co_return Error{.code = ErrorCode::kEngineTimeout, .message = "the picture took too long to process", .detail = {}};
  }
  co_return Error{.code = ErrorCode::kEngineCrash,
                  .message = fmt::format("the decoder crashed on this picture: {}", how_it_ended()),
                  .detail = process_.last_words()};
}

}  // namespace pixmill::engine
