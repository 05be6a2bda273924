#include "db/postgres_listener.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <random>
#include <set>
#include <utility>

#include "base/blocking_thread.h"
#include "base/log.h"
#include "base/wakeup.h"

namespace pixmill::db::pg {

namespace {

constexpr milliseconds kFirstWait{50};
constexpr milliseconds kWaitMax{5'000};
constexpr int kDoublingsMax = 7;

struct Closer {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Handle = std::shared_ptr<PGconn>;

// On a thread, because names are looked up and the handshake waited for.
Result<Handle> connect_and_listen(const ConnectOptions& options, const std::vector<std::string>& channels) {
  PIXMILL_TRY(const auto words, connect_words(options));
  Handle handle(connect_blocking(words), Closer());
  if (handle == nullptr || PQstatus(handle.get()) != CONNECTION_OK) {
    return std::unexpected(connection_error(handle.get(), options));
  }
  for (const auto& channel : channels) {
    PGresult* listening = PQexec(handle.get(), fmt::format("LISTEN {}", channel).c_str());
    const bool done = PQresultStatus(listening) == PGRES_COMMAND_OK;
    PQclear(listening);
    if (!done) return std::unexpected(connection_error(handle.get(), options));
  }
  if (PQsetnonblocking(handle.get(), 1) != 0) return std::unexpected(connection_error(handle.get(), options));
  return handle;
}

}  // namespace

struct Listener::Impl : std::enable_shared_from_this<Impl> {
  Impl(Executor on, ConnectOptions connect, std::vector<std::string> names, OnHeard callback)
      : executor(std::move(on)),
        options(std::move(connect)),
        channels(std::move(names)),
        on_heard(std::move(callback)),
        wakeup(executor) {}

  Task<void> run();
  Task<void> listen_on(Handle connected);
  // False when the connection is lost.
  bool take_input();
  bool send_next();
  void hear(const std::string& channel) const {
    if (!stopped && on_heard) on_heard(channel);
  }

  Executor executor;
  ConnectOptions options;
  std::vector<std::string> channels;
  OnHeard on_heard;
  Wakeup wakeup;
  BlockingThread* thread = nullptr;
  bool stopped = false;
  int failures = 0;
  Handle handle;
  asio::posix::stream_descriptor* socket = nullptr;  // of `handle`, while it is watched
  std::set<std::string> to_send;
  bool sending = false;  // a NOTIFY whose answer is still to come
  std::minstd_rand random{std::random_device{}()};
};

// Full jitter, as every process of a fleet loses the server at the same moment.
Task<void> Listener::Impl::run() {
  while (!stopped) {
    auto connect = [wanted = options, names = channels] { return connect_and_listen(wanted, names); };
    auto connected = co_await thread->run(std::move(connect));
    if (stopped) break;
    if (connected) {
      failures = 0;
      // What was announced meanwhile went unheard.
      for (const auto& channel : channels) hear(channel);
      co_await listen_on(std::move(*connected));
      log::warning("listen_lost");
    } else if (failures == 0) {
      log::warning("listen_failed", {{"message", connected.error().message}, {"detail", connected.error().detail}});
    }
    if (stopped) break;
    const auto ceiling = std::min(kWaitMax, kFirstWait * (1 << std::min(failures++, kDoublingsMax)));
    std::uniform_int_distribution<std::int64_t> wait_ms(1, ceiling.count());
    co_await wakeup.wait(milliseconds(wait_ms(random)));
  }
}

Task<void> Listener::Impl::listen_on(Handle connected) {
  // A descriptor of its own: Asio closes what it watches, and libpq its socket.
  asio::posix::stream_descriptor watched(executor, ::dup(PQsocket(connected.get())));
  handle = std::move(connected);
  socket = &watched;
  sending = false;
  boost::system::error_code error;
  while (!stopped && !error && take_input() && send_next()) {
    co_await watched.async_wait(asio::posix::stream_descriptor::wait_read,
                                asio::redirect_error(asio::use_awaitable, error));
    // notify() cancels the wait to send.
    if (error == asio::error::operation_aborted) error.clear();
  }
  socket = nullptr;
  handle.reset();
  to_send.clear();
}

bool Listener::Impl::take_input() {
  if (PQconsumeInput(handle.get()) == 0) return false;
  while (sending && PQisBusy(handle.get()) == 0) {
    PGresult* result = PQgetResult(handle.get());
    sending = result != nullptr;
    PQclear(result);
  }
  while (PGnotify* heard = PQnotifies(handle.get())) {
    const std::string channel = heard->relname;
    const bool is_own = heard->be_pid == PQbackendPID(handle.get());
    PQfreemem(heard);
    if (!is_own) hear(channel);
  }
  return true;
}

bool Listener::Impl::send_next() {
  if (!sending && !to_send.empty()) {
    const auto statement = fmt::format("NOTIFY {}", to_send.extract(to_send.begin()).value());
    if (PQsendQuery(handle.get(), statement.c_str()) == 0) return false;
    sending = true;
  }
  // A few bytes: what the socket does not take at once goes with the next turn.
  return PQflush(handle.get()) >= 0;
}

Listener::Listener(Executor executor, ConnectOptions options, std::vector<std::string> channels, OnHeard on_heard)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(options), std::move(channels), std::move(on_heard))),
      thread_(std::make_unique<BlockingThread>("pg-listen")) {
  impl_->thread = thread_.get();
}

Listener::~Listener() { stop(); }

void Listener::start() {
  asio::co_spawn(
      impl_->executor, [](std::shared_ptr<Impl> impl) -> Task<void> { co_await impl->run(); }(impl_), asio::detached);
}

void Listener::notify(const std::string& channel) {
  if (impl_->socket == nullptr) return;
  impl_->to_send.insert(channel);
  boost::system::error_code ignored;
  if (!impl_->sending) impl_->socket->cancel(ignored);
}

void Listener::stop() {
  impl_->stopped = true;
  impl_->wakeup.ring();
  boost::system::error_code ignored;
  if (impl_->socket != nullptr) impl_->socket->cancel(ignored);
}

bool Listener::connected() const { return impl_->socket != nullptr; }

}  // namespace pixmill::db::pg
