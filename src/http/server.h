// The HTTP/1.1 server (Beast behind this header, in request_parser.cc alone). Lives on the loop.
//
// Per connection: header ≤ 16 kB within header_timeout, body pulled by the handler with a minimum rate, idle_timeout
// between requests. Requests that could be read in two ways (Content-Length with Transfer-Encoding, two lengths,
// obs-fold, bare LF, odd chunk sizes) get 400 and the connection is closed: RFC 9112 sections 5.2, 6.3, 11.2. HEAD,
// Expect: 100-continue, keep-alive, pipelining and Range on files are handled here.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/task.h"
#include "http/message.h"

namespace pixmill::http {

struct ServerOptions {
  std::string host = "127.0.0.1";  // a literal address
  std::uint16_t port = 8000;       // 0: any free one
  std::chrono::milliseconds header_timeout = std::chrono::seconds(10);
  std::chrono::milliseconds idle_timeout = std::chrono::seconds(60);
  std::uint64_t body_bytes_max = 8ULL << 30;
  std::uint32_t body_bytes_per_second_min = 1024;  // averaged over each body_rate_window of waiting for the client
  std::chrono::milliseconds body_rate_window = std::chrono::seconds(10);
  // Beyond it the longest idle one makes room, or who takes the longest to send a head; with neither, 503.
  std::uint32_t connections_max = 10'000;
};

class Server {
 public:
  // One function answers everything: routing, errors and headers of the product live in api/, above this module.
  // It must not throw; if it does, the answer is a bare 500 and the log has the text.
  using RequestHandler = std::function<Task<Response>(Request&)>;

  // Binds and listens at once. Errors: kConflict when the port is in use, kInvalidArgument for a bad host.
  [[nodiscard]] static Result<std::unique_ptr<Server>> create(Executor executor, ServerOptions options,
                                                              RequestHandler handler);
  virtual ~Server() = default;

  virtual void start() = 0;
  // Accepts no more, lets requests under way end for at most `grace`, then closes everything.
  [[nodiscard]] virtual Task<void> stop(std::chrono::milliseconds grace) = 0;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
  [[nodiscard]] virtual std::uint32_t connections() const = 0;
};

}  // namespace pixmill::http
