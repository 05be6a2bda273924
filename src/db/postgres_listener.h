// LISTEN and NOTIFY without blocking the loop: a connection of its own, whose socket Asio watches, that comes back with
// jittered waits when it is lost. Lives on the loop.
//
// Notifications are hints: those sent while the connection is away are lost, and coming back is itself told as one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/blocking_thread.h"
#include "base/task.h"
#include "db/postgres.h"

namespace pixmill::db::pg {

class Listener {
 public:
  // `on_heard`: a notification of another process on one of the channels, or all of them once the connection is there
  // again. Called on the loop until stop().
  using OnHeard = std::function<void(const std::string& channel)>;

  Listener(Executor executor, ConnectOptions options, std::vector<std::string> channels, OnHeard on_heard);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Connects and listens until stop().
  void start();
  // Sends a notification to other processes, once for all calls until it has been sent; dropped while the connection is
  // away. Never blocks.
  void notify(const std::string& channel);
  void stop();
  // For tests and metrics.
  [[nodiscard]] bool connected() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with the operations under way
  // Connects. Joined before the loop ends, which a connection attempt may hold up by its timeout.
  std::unique_ptr<BlockingThread> thread_;
};

}  // namespace pixmill::db::pg
