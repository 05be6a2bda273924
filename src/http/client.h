// The HTTP client (libcurl multi behind this header, in one file), on the loop: HTTP/1.1 and HTTP/2, keep-alive.
//
// It does not resolve names, follow redirects, keep cookies, or read proxy variables, netrc or alt-svc: the caller says
// which addresses to try, and `may_connect` is asked once more with the address in hand right before connect(2). A
// pooled connection is used again only for a request that names its address too, so an answer of the DNS that was not
// checked is never reached.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_budget.h"
#include "base/error.h"
#include "base/task.h"
#include "http/message.h"

namespace pixmill::http {

struct ClientRequest {
  std::string method = "GET";
  std::string scheme;  // "http" or "https"
  std::string host;    // ASCII name, or a literal address without brackets
  std::uint16_t port = 0;
  std::string target = "/";  // path and query, ASCII, already percent-encoded; sent as it is
  std::vector<asio::ip::address>
      addresses;    // checked by the caller; tried in this order, the last one that answered first
  Headers headers;  // Content-Length is ours; an Accept of any kind is sent unless there is one
  std::string body;
  // Sent instead of `body` when it is not empty: bytes of somebody else's, which must outlive the task.
  std::string_view body_view = {};

  std::uint64_t body_bytes_max = 50ULL << 20;  // of the answer, counted as received; more is kTooLarge
  // Where the room for a 2xx answer's body comes from, as its length becomes known: from Content-Length, else in steps.
  // While there is none the transfer rests, for kMemoryPatience at the most. Must outlive the task; null: not counted.
  ByteBudget::Grant* memory = nullptr;
  bool truncate_body = false;  // stop reading at body_bytes_max without an error (webhook answers)
  // Of an answer whose status is not 2xx: what is beyond is not read, and is no error.
  std::uint64_t other_body_bytes_max = 256u << 10;
  std::uint32_t header_bytes_max = 64u << 10;  // informational answers and trailers included; more is kProtocol
  std::chrono::milliseconds connect_timeout =
      std::chrono::seconds(10);  // TCP and TLS; a quarter while other addresses are left
  std::chrono::milliseconds total_timeout = std::chrono::seconds(60);
  std::uint32_t low_speed_bytes_per_second = 1'000;  // slower than this for low_speed_time is kTimeout
  std::chrono::seconds low_speed_time = std::chrono::seconds(15);
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
  std::chrono::milliseconds elapsed{0};
  std::chrono::milliseconds first_byte{0};  // from the request's last byte to the answer's first
};

// Shorter than servers' patience with a reader that rests, and than the time after which one that waits behind it on
// the same HTTP/2 connection counts as slow.
inline constexpr std::chrono::seconds kMemoryPatience{10};

struct ClientOptions {
  // Asked for every socket, with the address about to be connected; false is kBlockedAddress. Empty: everything may.
  std::function<bool(const asio::ip::address& address, std::uint16_t port)> may_connect;
  std::uint32_t connections_max = 512;
  std::uint32_t connections_per_host_max = 256;  // to one address and port
  std::string ca_file;                           // extra trusted roots (PEM); empty: the system's alone
};

class Client {
 public:
  // Ignores SIGPIPE for the process if nobody has said anything about it: TLS writes to closed sockets raise it.
  // Errors: kInvalidArgument when ca_file cannot be read, kIo, kUnavailable when libcurl cannot start.
  [[nodiscard]] static Result<std::unique_ptr<Client>> create(Executor executor, ClientOptions options);
  virtual ~Client() = default;

  // Whatever the status, an answer is a value. No Accept-Encoding is sent and no content coding is decoded.
  // Errors: kConnect, kTls, kTimeout, kTooLarge, kTruncated (fewer bytes than Content-Length), kProtocol,
  // kBlockedAddress, kInvalidArgument (a request that cannot be written down as HTTP), kUnavailable when there was no
  // memory for the body in time, kCancelled when the client is destroyed meanwhile. A cancelled coroutine aborts the
  // transfer.
  [[nodiscard]] virtual Task<Result<ClientResponse>> send(ClientRequest request) = 0;
};

}  // namespace pixmill::http
