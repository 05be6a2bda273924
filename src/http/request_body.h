// The body of one request, read from its connection as the handler pulls. Lives on the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "http/chunked.h"
#include "http/input_buffer.h"
#include "http/message.h"
#include "http/request_head.h"
#include "http/timed_socket.h"

namespace pixmill::http {

struct BodyLimits {
  std::uint64_t bytes_max = 0;
  std::uint32_t bytes_per_second_min = 0;
  milliseconds rate_window{10'000};
};

class RequestBody final : public BodyReader {
 public:
  // Socket and buffer outlive it.
  RequestBody(TimedSocket& socket, InputBuffer& buffer, const Framing& framing, BodyLimits limits);

  [[nodiscard]] Task<Result<std::string_view>> next() override;

  // What has not been pulled is read and dropped; false when it is more than `bytes_max`, late, or broken: then the
  // connection cannot be used again.
  [[nodiscard]] Task<bool> drain(std::uint64_t bytes_max);

  // Whether drain(bytes_max) can succeed as far as is known: not when the client still waits for "100 Continue",
  // because then nobody knows whether the body will come.
  [[nodiscard]] bool drainable(std::uint64_t bytes_max) const;
  // Set when the body's framing was wrong: the answer is this, whatever the handler says.
  [[nodiscard]] const std::optional<Refusal>& refusal() const { return refusal_; }

 private:
  [[nodiscard]] Task<Result<void>> read_more();
  [[nodiscard]] Result<std::string_view> take_chunked();
  [[nodiscard]] std::string_view take_counted();
  [[nodiscard]] std::unexpected<Error> fail_with(Error error);
  [[nodiscard]] bool too_slow();

  TimedSocket& socket_;
  InputBuffer& buffer_;
  BodyLimits limits_;
  bool chunked_;
  std::uint64_t remaining_;  // of a counted body
  ChunkedDecoder decoder_;
  std::uint64_t received_ = 0;
  std::size_t given_ = 0;  // of the buffer, to the handler, until its next call
  bool owes_continue_;
  bool finished_;
  std::optional<Error> failure_;
  std::optional<Refusal> refusal_;
  // Only the time spent waiting for the client counts, so that a slow disk of ours is not held against it.
  std::chrono::steady_clock::duration waited_{0};
  std::uint64_t window_bytes_ = 0;
};

}  // namespace pixmill::http
