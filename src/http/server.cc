#include "http/server.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>

#include "base/ids.h"
#include "base/log.h"
#include "http/connection.h"
#include "http/response_head.h"

namespace pixmill::http {

namespace {

using asio::ip::tcp;

// How long a server out of descriptors waits before it tries to accept again.
constexpr milliseconds kAcceptPause{100};
// After a stop's grace, how long cancelled handlers get to unwind.
constexpr milliseconds kUnwindTime{1'000};

// The acceptor is shared with the coroutine that waits on it, which ends one turn of the loop after the server closed
// it.
struct Listener {
  explicit Listener(Executor executor) : acceptor(std::move(executor)) {}
  tcp::acceptor acceptor;
};

// Best effort and without waiting: a client that does not read it loses an explanation.
void answer_overload(tcp::socket socket) {
  const Refusal refusal{.status = 503, .why = "Too many connections; try again in a moment"};
  const std::string request_id = Uuid::random().text();
  Response response = refusal_response(refusal, request_id);
  response.headers.add("X-Request-Id", request_id);
  response.headers.add("Retry-After", "1");
  const std::string& body = std::get<std::string>(response.body);
  const ResponseFraming framing{.content_bytes = body.size(), .chunked = false, .close = true};
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::string bytes =
      response_head(response, framing, std::chrono::duration_cast<std::chrono::seconds>(now).count()) + body;
  boost::system::error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(bytes), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

void take_connection(const std::shared_ptr<ConnectionHub>& hub, tcp::socket socket) {
  if (hub->all.size() >= hub->options.connections_max) {
    if (!hub->idle.empty()) {
      hub->idle.front()->finish();
    } else if (!hub->beginning.empty()) {
      hub->beginning.front()->abort();
    } else {
      return answer_overload(std::move(socket));
    }
  }
  Connection::start(std::make_shared<Connection>(hub, std::move(socket)));
}

Task<void> accept_all(std::shared_ptr<ConnectionHub> hub, std::shared_ptr<Listener> listener) {
  bool complained = false;
  while (!hub->stopping) {
    boost::system::error_code error;
    tcp::socket socket = co_await listener->acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (!listener->acceptor.is_open() || hub->stopping) co_return;
    if (!error) {
      complained = false;
      take_connection(hub, std::move(socket));
      continue;
    }
    // Out of descriptors or memory, or a client that left at once: none of them ends the server.
    if (!complained) log::warning("http_accept_failed", {{"error", error.message()}});
    complained = true;
    co_await pause_for(kAcceptPause);
  }
}

Result<void> listen(tcp::acceptor& acceptor, const ServerOptions& options) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(options.host, error);
  if (error) return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is not an address to listen on", options.host));
  const tcp::endpoint endpoint(address, options.port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) return {};
  const std::string where = fmt::format("{}:{}", options.host, options.port);
  if (error == asio::error::address_in_use) {
    return fail(ErrorCode::kConflict, fmt::format("Port {} is in use; choose another with --port", options.port));
  }
  if (error == boost::system::errc::address_not_available || error == boost::system::errc::permission_denied) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("Cannot listen on {}: {}", where, error.message()));
  }
  return fail(ErrorCode::kIo, fmt::format("Cannot listen on {}: {}", where, error.message()));
}

class AsioServer final : public Server {
 public:
  AsioServer(std::shared_ptr<ConnectionHub> hub, std::shared_ptr<Listener> listener, std::uint16_t port)
      : hub_(std::move(hub)), listener_(std::move(listener)), port_(port) {}

  ~AsioServer() override {
    close_listener();
    for (auto* connection : std::list(hub_->all)) connection->abort();
  }

  void start() override { asio::co_spawn(hub_->executor, accept_all(hub_, listener_), asio::detached); }

  Task<void> stop(milliseconds grace) override {
    close_listener();
    for (auto* connection : std::list(hub_->all)) connection->finish();
    co_await wait_until_empty(grace);
    for (auto* connection : std::list(hub_->all)) connection->abort();
    co_await wait_until_empty(kUnwindTime);
  }

  [[nodiscard]] std::uint16_t port() const override { return port_; }
  [[nodiscard]] std::uint32_t connections() const override { return static_cast<std::uint32_t>(hub_->all.size()); }

 private:
  void close_listener() {
    hub_->stopping = true;
    boost::system::error_code ignored;
    listener_->acceptor.close(ignored);
  }

  Task<void> wait_until_empty(milliseconds at_most) {
    const auto end = std::chrono::steady_clock::now() + at_most;
    while (!hub_->all.empty()) {
      const auto left = std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now());
      if (left <= milliseconds(0)) break;
      co_await hub_->one_ended.wait(left);
    }
  }

  std::shared_ptr<ConnectionHub> hub_;
  std::shared_ptr<Listener> listener_;
  std::uint16_t port_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::create(Executor executor, ServerOptions options, RequestHandler handler) {
  auto listener = std::make_shared<Listener>(executor);
  PIXMILL_RETURN_IF_ERROR(listen(listener->acceptor, options));
  boost::system::error_code error;
  const auto port = listener->acceptor.local_endpoint(error).port();
  auto hub = std::make_shared<ConnectionHub>(std::move(executor), std::move(options), std::move(handler));
  return std::make_unique<AsioServer>(std::move(hub), std::move(listener), port);
}

}  // namespace pixmill::http
