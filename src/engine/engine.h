// One engine on the loop: a question, an answer, a deadline. The pool decides which engine is asked what.
#pragma once

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/task.h"
#include "base/wakeup.h"
#include "engine/process.h"
#include "engine/protocol.h"

namespace pixmill::engine {

class Engine : public std::enable_shared_from_this<Engine> {
 public:
  // Starts the process and watches it; it is of use once wait_until_ready() says so. Errors: kInternal.
  [[nodiscard]] static Result<std::shared_ptr<Engine>> start(const Executor& executor, const ProcessOptions& options);
  Engine(const Executor& executor, EngineProcess process, std::uint64_t output_bytes_max);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Called once, when the process has ended and was reaped, unless stop() came first. Set it before anything is
  // awaited.
  using EndedCallback = std::function<void(const std::shared_ptr<Engine>&)>;
  void when_ended(EndedCallback callback) { when_ended_ = std::move(callback); }

  // Errors: kInternal with what the engine said on stderr.
  [[nodiscard]] Task<Result<ReadyAnswer>> wait_until_ready(milliseconds at_most);

  // One at a time. When the deadline passes the engine is killed. Errors: kEngineTimeout, kEngineCrash (also for an
  // answer that makes no sense); after either the engine must not be asked again.
  [[nodiscard]] Task<Result<Answer>> ask(std::string packet, milliseconds deadline);

  void kill() { process_.kill(); }
  // Kills and reaps at once; blocks for the milliseconds that takes.
  void stop();
  [[nodiscard]] bool ended() const { return ended_; }
  // Asks the kernel, for the news may not have reached the loop yet.
  [[nodiscard]] bool check_alive();
  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  [[nodiscard]] const SharedArea& input() const { return process_.input(); }
  [[nodiscard]] const SharedArea& output() const { return process_.output(); }
  // After it has ended.
  [[nodiscard]] std::string how_it_ended() const { return process_.how_it_ended(); }

  std::uint32_t pictures = 0;  // done so far; the pool counts

  // Which watermarks were sent to it, as far as is remembered; it may have let go of them.
  [[nodiscard]] bool has_mark(const std::string& sha256) const;
  void remember_mark(const std::string& sha256);
  void forget_marks() { marks_.clear(); }

 private:
  void watch_end();
  void on_end();
  void arm(milliseconds deadline);
  [[nodiscard]] Task<Result<Answer>> receive_answer();
  [[nodiscard]] Task<Error> explain_silence();

  EngineProcess process_;
  std::uint64_t output_bytes_max_;
  asio::posix::stream_descriptor socket_;
  asio::posix::stream_descriptor pidfd_;
  asio::steady_timer deadline_;
  asio::steady_timer poll_;  // where the kernel has no pidfd
  Wakeup end_rung_;
  EndedCallback when_ended_;
  std::vector<std::string> marks_;  // the last used one at the end
  std::uint64_t question_ = 0;      // its number; a deadline that fires for an earlier one does nothing
  bool timed_out_ = false;
  bool ended_ = false;
  std::array<char, kPacketBytesMax> packet_;
};

}  // namespace pixmill::engine
