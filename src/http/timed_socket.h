// A TCP socket whose every operation has a deadline. One coroutine reads and writes at a time. Lives on the loop.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/task.h"

namespace pixmill::http {

// Held by shared_ptr, because a timer that has just gone off may outlive its connection by one turn of the loop.
class TimedSocket : public std::enable_shared_from_this<TimedSocket> {
 public:
  explicit TimedSocket(asio::ip::tcp::socket socket);

  // At least one byte, or 0 when the peer has sent its last. Errors: kTimeout, kTruncated (reset), kCancelled after
  // close().
  [[nodiscard]] Task<Result<std::size_t>> read_some(std::span<char> into, milliseconds within);
  // Both parts whole, in one packet where they fit. Errors: as above.
  [[nodiscard]] Task<Result<void>> write(std::string_view first, std::string_view second, milliseconds within);

  void shutdown_send();
  void close();  // what is under way ends with kCancelled
  void reset();  // closes so that the peer sees a broken connection rather than an end
  [[nodiscard]] bool closed() const { return !socket_.is_open(); }
  [[nodiscard]] std::string peer_address() const;

 private:
  void arm(milliseconds within);
  void watch();
  void on_timer();
  [[nodiscard]] Error error_of(const boost::system::error_code& error) const;

  // One wait of the timer serves many operations: each only moves the deadline, and the timer looks again when it goes
  // off.
  asio::ip::tcp::socket socket_;
  asio::steady_timer timer_;
  std::chrono::steady_clock::time_point deadline_;
  bool armed_ = false;
  bool watching_ = false;
  bool timed_out_ = false;
};

}  // namespace pixmill::http
