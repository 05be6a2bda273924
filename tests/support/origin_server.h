// A picture server that misbehaves on request: HTTP/1.1 on a raw socket, a thread per connection, answers scripted by
// path. It counts what arrives, so that "nothing was connected to" can be shown. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace pixmill::testing {

using OriginHeaders = std::vector<std::pair<std::string, std::string>>;

struct OriginRequest {
  std::string method;
  std::string target;
  std::string path;  // the target without its query
  OriginHeaders headers;
  std::string body;

  [[nodiscard]] std::optional<std::string> header(std::string_view name) const;  // compared without case
};

struct OriginAnswer {
  int status = 200;
  OriginHeaders headers;
  std::string body;

  bool chunked = false;                          // instead of Content-Length
  std::optional<std::uint64_t> announced_bytes;  // a Content-Length that lies; the connection is closed after the body
  bool close_after = false;                      // no Content-Length, the end of the connection ends the body
  bool never = false;                            // reads the request and says nothing
  bool endless = false;                          // repeats the body until the client leaves
  std::optional<std::size_t> reset_after_bytes;  // resets the connection after so much of the body
  std::chrono::milliseconds drip_interval{0};    // one byte of the body at a time, so far apart
  std::size_t header_flood_bytes = 0;            // as many bytes of additional headers
  std::string raw;                               // sent as it is instead of all the above, then closed
};

struct OriginOptions {
  std::string host = "127.0.0.1";  // a literal address of this machine
  std::uint16_t port = 0;          // 0: any free one
  bool tls = false;                // with a certificate of its own making for `tls_names`
  std::vector<std::string> tls_names = {"localhost"};
  bool never_accepts = false;  // listens with a full queue: connecting hangs
  std::optional<std::string> greeting =
      std::nullopt;  // said at once to whoever connects, who is not listened to; then closed
};

class OriginServer {
 public:
  using Script = std::function<OriginAnswer(const OriginRequest&)>;

  explicit OriginServer(OriginOptions options = {});
  ~OriginServer();
  OriginServer(const OriginServer&) = delete;
  OriginServer& operator=(const OriginServer&) = delete;

  // Paths without a route are 404.
  void route(std::string path, OriginAnswer answer);
  void route(std::string path, Script script);

  [[nodiscard]] std::uint16_t port() const { return port_; }
  // `host` is the name to write instead of the address.
  [[nodiscard]] std::string url(std::string_view path, std::string_view host = {}) const;

  [[nodiscard]] std::size_t connections() const { return connections_; }
  [[nodiscard]] std::size_t requests() const;
  [[nodiscard]] std::size_t requests(const std::string& path) const;
  [[nodiscard]] std::optional<OriginRequest> last_request(const std::string& path) const;

  // With `tls`: the certificate as PEM, to be trusted by the test.
  [[nodiscard]] const std::string& certificate_pem() const { return certificate_pem_; }

 private:
  class Stream;
  struct Tls;

  void listen();
  void accept_all();
  void serve(int socket);
  [[nodiscard]] bool answer_one(Stream& stream);
  [[nodiscard]] OriginAnswer look_up(const OriginRequest& request);
  [[nodiscard]] bool send(Stream& stream, const OriginRequest& request, const OriginAnswer& answer);
  [[nodiscard]] bool send_body(Stream& stream, const OriginAnswer& answer);
  // False once the server is stopping.
  bool wait(std::chrono::milliseconds at_most);

  OriginOptions options_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::string certificate_pem_;
  std::unique_ptr<Tls> tls_;
  std::vector<int> queue_fillers_;

  mutable std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  std::map<std::string, Script> routes_;
  std::map<std::string, std::size_t> counts_;
  std::map<std::string, OriginRequest> last_;
  std::list<int> open_;  // sockets being served, to be shut down
  std::vector<std::thread> workers_;
  std::atomic<std::size_t> connections_ = 0;
  std::thread acceptor_;
};

}  // namespace pixmill::testing
