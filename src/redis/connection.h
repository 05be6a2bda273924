// A connection to a Redis that keeps itself: logs in, sends commands as they come without waiting for the answers of
// earlier ones, and connects again when it breaks. While Redis is away every command fails at once, so that nobody
// waits for what is only a help. Lives on the loop. A connection that blocks (XREADGROUP … BLOCK) needs to be one of
// its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/metrics.h"
#include "base/task.h"
#include "redis/dialer.h"
#include "redis/endpoint.h"
#include "redis/reply.h"

namespace pixmill::redis {

struct ConnectionOptions {
  Endpoint endpoint;
  std::string ca_file;           // more trusted roots for rediss://, PEM
  std::string name = "pixmill";  // in CLIENT LIST and in the label of the metrics
  milliseconds connect_timeout{5'000};
  milliseconds command_timeout{2'000};
  milliseconds backoff_min{50};     // before connecting again: full jitter over backoff_min · 2ⁿ …
  milliseconds backoff_max{5'000};  // … at most this
  std::size_t pending_max = 4'096;  // commands sent and not yet answered
  std::size_t unsent_bytes_max = 4u << 20;
  ReplyLimits replies;
  // A channel to listen to, for which the connection is then alone: what is published there goes to on_message. "":
  // none.
  std::string channel = {};
  std::function<void(const std::string& message)> on_message = nullptr;
};

class Connection {
 public:
  // Errors: kInvalidArgument for a CA file that cannot be read. `resolve` and `metrics` must outlive it.
  [[nodiscard]] static Result<std::shared_ptr<Connection>> create(Executor executor, ConnectionOptions options,
                                                                  Resolve resolve, Metrics& metrics);
  virtual ~Connection() = default;

  // Connects, and keeps connected until stop().
  virtual void start() = 0;
  // Ends for good: commands under way end with kCancelled.
  virtual void stop() = 0;

  // The server's answer, which may be a refusal (Reply::is_error). Errors: kUnavailable when Redis is away or was lost
  // meanwhile (whether it did the command is not known then), or when too many commands wait; kTimeout after `within`,
  // and then the connection is given up, for everything behind the command waits too; kProtocol, kCancelled.
  [[nodiscard]] virtual Task<Result<Reply>> send(Command command, milliseconds within) = 0;
  [[nodiscard]] virtual Task<Result<Reply>> send(Command command) = 0;  // within command_timeout

  [[nodiscard]] virtual bool is_up() const = 0;
  // True as soon as Redis is there; false after `at_most`, or once stopped.
  [[nodiscard]] virtual Task<bool> wait_until_up(milliseconds at_most) = 0;
  // Why it is not up; nullopt while it is.
  [[nodiscard]] virtual const std::optional<Error>& trouble() const = 0;
  // Called every time it has come up, before any command can be sent by others.
  virtual void on_up(std::function<void()> callback) = 0;
};

}  // namespace pixmill::redis
