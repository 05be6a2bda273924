#include "redis/dialer.h"

#include <fmt/format.h>
#include <openssl/ssl.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <type_traits>
#include <utility>

namespace pixmill::redis {

namespace {

using boost::system::error_code;
using Socket = asio::ip::tcp::socket;
using TlsStream = asio::ssl::stream<Socket>;

// The one funnel from Asio's and OpenSSL's codes to our errors.
Error link_error(const error_code& code) {
  const auto made = [&](ErrorCode ours, std::string message) {
    return Error{.code = ours, .message = std::move(message), .detail = code.message()};
  };
  if (code == asio::error::operation_aborted || code == asio::error::bad_descriptor) {
    return made(ErrorCode::kCancelled, "The connection to Redis was closed");
  }
  if (code == asio::error::eof || code == asio::error::connection_reset || code == asio::ssl::error::stream_truncated) {
    return made(ErrorCode::kConnect, "Redis ended the connection");
  }
  if (code.category() == asio::error::get_ssl_category() ||
      code.category() == asio::ssl::error::get_stream_category()) {
    return made(ErrorCode::kTls, "No TLS connection to Redis could be agreed on");
  }
  return made(ErrorCode::kConnect, "Redis cannot be reached");
}

template <class Stream>
class StreamLink final : public Link {
 public:
  template <class... Arguments>
  explicit StreamLink(Arguments&&... arguments) : stream_(std::forward<Arguments>(arguments)...) {}

  Task<Result<std::size_t>> read_some(std::span<char> into) override {
    error_code code;
    const std::size_t bytes = co_await stream_.async_read_some(asio::buffer(into.data(), into.size()),
                                                               asio::redirect_error(asio::use_awaitable, code));
    if (code) co_return std::unexpected(link_error(code));
    co_return bytes;
  }

  Task<Result<void>> write(std::string_view bytes) override {
    error_code code;
    co_await asio::async_write(stream_, asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, code));
    if (code) co_return std::unexpected(link_error(code));
    co_return Result<void>();
  }

  // Without a TLS goodbye: nothing that was not answered counts anyway.
  void close() override {
    error_code ignored;
    socket().close(ignored);
  }

  Socket& socket() {
    if constexpr (std::is_same_v<Stream, Socket>) {
      return stream_;
    } else {
      return stream_.next_layer();
    }
  }
  Stream& stream() { return stream_; }

 private:
  Stream stream_;
};

// Closes a link when its time is up. Kept alive by the timer's handler, for that may run after its user has gone.
struct Watch {
  explicit Watch(const Executor& executor) : timer(executor) {}
  asio::steady_timer timer;
  bool is_over = false;
  bool is_late = false;
};

std::shared_ptr<Watch> watch_over(const Executor& executor, std::shared_ptr<Link> link, milliseconds within) {
  auto watch = std::make_shared<Watch>(executor);
  watch->timer.expires_after(within);
  watch->timer.async_wait([watch, link = std::move(link)](const error_code& code) {
    if (code || watch->is_over) return;
    watch->is_late = true;
    link->close();
  });
  return watch;
}

class AsioDialer final : public Dialer {
 public:
  AsioDialer(Executor executor, Endpoint endpoint, std::unique_ptr<asio::ssl::context> tls, Resolve resolve)
      : executor_(std::move(executor)),
        endpoint_(std::move(endpoint)),
        tls_(std::move(tls)),
        resolve_(std::move(resolve)) {}

  Task<Result<std::shared_ptr<Link>>> dial(milliseconds within) override {
    PIXMILL_CO_TRY(const auto addresses, co_await addresses_of());
    Result<std::shared_ptr<Link>> link = fail(ErrorCode::kDns, "The name of the Redis server has no address");
    for (const auto& address : addresses) {
      link = co_await dial_one(address, within / static_cast<int>(addresses.size()));
      // Another address of the same name shows the same certificate.
      if (link || link.error().code == ErrorCode::kTls || link.error().code == ErrorCode::kCancelled) break;
    }
    co_return link;
  }

  void cancel() override {
    if (const auto link = opening_.lock()) link->close();
  }

 private:
  Task<Result<std::vector<asio::ip::address>>> addresses_of() {
    error_code code;
    const auto literal = asio::ip::make_address(endpoint_.host, code);
    if (!code) co_return std::vector<asio::ip::address>(1, literal);
    co_return co_await resolve_(endpoint_.host);
  }

  Task<Result<std::shared_ptr<Link>>> dial_one(asio::ip::address address, milliseconds within) {
    const asio::ip::tcp::endpoint at(address, endpoint_.port);
    if (endpoint_.tls) {
      auto link = std::make_shared<StreamLink<TlsStream>>(executor_, *tls_);
      co_return co_await open(std::move(link), at, within);
    }
    auto link = std::make_shared<StreamLink<Socket>>(executor_);
    co_return co_await open(std::move(link), at, within);
  }

  template <class Stream>
  Task<Result<std::shared_ptr<Link>>> open(std::shared_ptr<StreamLink<Stream>> link, asio::ip::tcp::endpoint at,
                                           milliseconds within) {
    const auto watch = watch_over(executor_, link, within);
    opening_ = link;
    error_code code;
    co_await link->socket().async_connect(at, asio::redirect_error(asio::use_awaitable, code));
    if (!code) {
      error_code ignored;
      link->socket().set_option(asio::ip::tcp::no_delay(true), ignored);
      link->socket().set_option(asio::socket_base::keep_alive(true), ignored);
      if constexpr (std::is_same_v<Stream, TlsStream>) code = co_await shake_hands(link->stream());
    }
    watch->is_over = true;
    watch->timer.cancel();
    if (watch->is_late) co_return fail(ErrorCode::kTimeout, "Redis does not answer");
    if (code) co_return std::unexpected(link_error(code));
    co_return link;
  }

  Task<error_code> shake_hands(TlsStream& stream) {
    error_code code;
    asio::ip::make_address(endpoint_.host, code);
    // A literal address is no server name (RFC 6066 section 3).
    if (code) SSL_set_tlsext_host_name(stream.native_handle(), endpoint_.host.c_str());
    stream.set_verify_callback(asio::ssl::host_name_verification(endpoint_.host), code);
    code.clear();
    co_await stream.async_handshake(asio::ssl::stream_base::client, asio::redirect_error(asio::use_awaitable, code));
    co_return code;
  }

  Executor executor_;
  Endpoint endpoint_;
  std::unique_ptr<asio::ssl::context> tls_;
  Resolve resolve_;
  std::weak_ptr<Link> opening_;
};

Result<std::unique_ptr<asio::ssl::context>> tls_context(const std::string& ca_file) {
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_client);
  error_code code;
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  context->set_verify_mode(asio::ssl::verify_peer, code);
  context->set_default_verify_paths(code);
  code.clear();
  if (!ca_file.empty()) context->load_verify_file(ca_file, code);
  if (code) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("{} holds no certificates that can be read", ca_file));
  }
  return context;
}

}  // namespace

Result<std::unique_ptr<Dialer>> Dialer::create(Executor executor, Endpoint endpoint, const std::string& ca_file,
                                               Resolve resolve) {
  std::unique_ptr<asio::ssl::context> tls;
  if (endpoint.tls) {
    PIXMILL_TRY(tls, tls_context(ca_file));
  }
  return std::make_unique<AsioDialer>(std::move(executor), std::move(endpoint), std::move(tls), std::move(resolve));
}

}  // namespace pixmill::redis
