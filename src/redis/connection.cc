#include "redis/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/wakeup.h"

namespace pixmill::redis {

namespace {

using std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 16u << 10;
constexpr milliseconds kUntilRung = std::chrono::hours(1);

// A command that waits for its answer. Answers come in the order of the commands, so one that nobody waits for any more
// keeps its place in the queue.
struct Pending {
  explicit Pending(const Executor& executor) : timer(executor) {}
  asio::steady_timer timer;
  std::optional<Result<Reply>> result;

  void settle(Result<Reply> with) {
    if (result) return;
    result = std::move(with);
    timer.cancel();
  }
};

// One connection from its login to its end.
struct Session {
  Session(const Executor& executor, std::shared_ptr<Link> opened, ReplyLimits limits)
      : link(std::move(opened)), reader(limits), written(executor) {}
  std::shared_ptr<Link> link;
  ReplyReader reader;
  std::string unsent;
  Wakeup written;  // there is something to send, or no more to come
  std::deque<std::shared_ptr<Pending>> pending;
  bool over = false;
  std::optional<Error> end;  // why it was given up
};

class AsioConnection final : public Connection, public std::enable_shared_from_this<AsioConnection> {
 public:
  AsioConnection(Executor executor, ConnectionOptions options, std::unique_ptr<Dialer> dialer, Metrics& metrics)
      : executor_(std::move(executor)),
        options_(std::move(options)),
        dialer_(std::move(dialer)),
        pause_(executor_),
        up_gauge_(metrics.gauge("pixmill_redis_up", "1 while connected to Redis", {{"connection", options_.name}})),
        losses_(metrics.counter("pixmill_redis_losses_total", "Connections to Redis that were lost",
                                {{"connection", options_.name}})),
        answered_(metrics.counter("pixmill_redis_commands_total", "Commands by what came of them",
                                  {{"connection", options_.name}, {"result", "answered"}})),
        not_answered_(metrics.counter("pixmill_redis_commands_total", "Commands by what came of them",
                                      {{"connection", options_.name}, {"result", "not_answered"}})) {}

  void start() override;
  void stop() override;
  Task<Result<Reply>> send(Command command) override { return send(std::move(command), options_.command_timeout); }
  Task<Result<Reply>> send(Command command, milliseconds within) override;
  [[nodiscard]] bool is_up() const override { return session_ != nullptr; }
  Task<bool> wait_until_up(milliseconds at_most) override;
  [[nodiscard]] const std::optional<Error>& trouble() const override { return trouble_; }
  void on_up(std::function<void()> callback) override { callbacks_.push_back(std::move(callback)); }

 private:
  Task<void> keep_connected();
  Task<Result<void>> connect_and_serve();
  Task<Result<void>> log_in(Session& session);
  Task<Result<void>> expect_login_answer(Session& session, const Command& command);
  void come_up(const std::shared_ptr<Session>& session);
  static Task<void> write_all(std::shared_ptr<AsioConnection> self, std::shared_ptr<Session> session);
  Task<Result<void>> read_all(Session& session);
  Result<void> take_replies(Session& session);
  Result<void> take_message(const Reply& reply);
  void give_up(Session& session, Error why);
  void note_away(const Error& error);
  [[nodiscard]] milliseconds next_backoff();

  Executor executor_;
  ConnectionOptions options_;
  std::unique_ptr<Dialer> dialer_;
  std::shared_ptr<Session> session_;  // null while away
  std::shared_ptr<Link> opening_;     // while it logs in, so that stop() can end it
  std::vector<std::function<void()>> callbacks_;
  std::vector<std::shared_ptr<Wakeup>> waiting_for_up_;
  std::optional<Error> trouble_;
  Wakeup pause_;
  int failures_ = 0;  // to connect, in a row
  bool started_ = false;
  bool stopped_ = false;
  std::mt19937 random_{std::random_device{}()};
  Gauge up_gauge_;
  Counter losses_;
  Counter answered_;
  Counter not_answered_;
};

Error away(const std::optional<Error>& trouble) {
  return Error{.code = ErrorCode::kUnavailable,
               .message = "Redis is away",
               .detail = trouble ? trouble->message + ": " + trouble->detail : std::string()};
}

void AsioConnection::start() {
  if (std::exchange(started_, true)) return;
  asio::co_spawn(executor_, keep_connected(),
                 [self = shared_from_this()](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
}

void AsioConnection::stop() {
  if (std::exchange(stopped_, true)) return;
  Error stopping{.code = ErrorCode::kCancelled, .message = "Pixmill is stopping", .detail = {}};
  if (session_) give_up(*session_, std::move(stopping));
  dialer_->cancel();
  if (opening_) opening_->close();
  pause_.ring();
  for (const auto& waiter : waiting_for_up_) waiter->ring();
}

Task<Result<Reply>> AsioConnection::send(Command command, milliseconds within) {
  const auto self = shared_from_this();
  const auto session = session_;
  if (stopped_) co_return fail(ErrorCode::kCancelled, "Pixmill is stopping");
  if (!session) co_return std::unexpected(away(trouble_));
  if (session->pending.size() >= options_.pending_max || session->unsent.size() >= options_.unsent_bytes_max) {
    not_answered_.add();
    co_return fail(ErrorCode::kUnavailable, "Too many commands wait for Redis");
  }
  const auto pending = std::make_shared<Pending>(executor_);
  session->pending.push_back(pending);
  session->unsent += encode(command);
  session->written.ring();
  pending->timer.expires_after(within);
  boost::system::error_code ended;
  co_await pending->timer.async_wait(asio::redirect_error(asio::use_awaitable, ended));
  if (!pending->result) {
    not_answered_.add();
    if (ended) co_return fail(ErrorCode::kCancelled, "The command was cancelled");
    Error late{.code = ErrorCode::kTimeout, .message = "Redis does not answer in time", .detail = {}};
    pending->settle(std::unexpected(late));
    give_up(*session, std::move(late));
  }
  (*pending->result ? answered_ : not_answered_).add();
  co_return std::move(*pending->result);
}

Task<bool> AsioConnection::wait_until_up(milliseconds at_most) {
  const auto self = shared_from_this();
  if (is_up() || stopped_) co_return is_up();
  const auto waiter = std::make_shared<Wakeup>(executor_);
  waiting_for_up_.push_back(waiter);
  co_await waiter->wait(at_most);
  std::erase(waiting_for_up_, waiter);
  co_return is_up();
}

Task<void> AsioConnection::keep_connected() {
  while (!stopped_) {
    const auto served = co_await connect_and_serve();
    if (stopped_) break;
    if (!served) note_away(served.error());
    co_await pause_.wait(next_backoff());
  }
}

milliseconds AsioConnection::next_backoff() {
  const int doublings = std::min(failures_, 16);
  const auto longest = std::min<milliseconds>(options_.backoff_max, options_.backoff_min * (1LL << doublings));
  return milliseconds(
      std::uniform_int_distribution<std::int64_t>(1, std::max<std::int64_t>(longest.count(), 1))(random_));
}

// Said once per absence and kind, not at every attempt.
void AsioConnection::note_away(const Error& error) {
  ++failures_;
  if (!trouble_ || trouble_->code != error.code) {
    log::warning("redis_away", {{"connection", options_.name},
                                {"at", options_.endpoint.shown()},
                                {"code", code_text(error)},
                                {"message", error.message},
                                {"detail", error.detail}});
  }
  trouble_ = error;
}

Task<Result<void>> AsioConnection::connect_and_serve() {
  PIXMILL_CO_TRY(auto link, co_await dialer_->dial(options_.connect_timeout));
  const auto session = std::make_shared<Session>(executor_, std::move(link), options_.replies);
  if (stopped_) co_return fail(ErrorCode::kCancelled, "Pixmill is stopping");
  opening_ = session->link;
  auto logged_in = co_await log_in(*session);
  opening_.reset();
  if (!logged_in) {
    session->link->close();
    // Only the timer of the login closes a link that nobody else knows.
    if (logged_in.error().code == ErrorCode::kCancelled) co_return fail(ErrorCode::kTimeout, "Redis does not answer");
    co_return std::unexpected(std::move(logged_in).error());
  }
  if (stopped_) co_return fail(ErrorCode::kCancelled, "Pixmill is stopping");
  come_up(session);
  auto ended = co_await read_all(*session);
  give_up(*session, ended.error());
  losses_.add();
  co_return std::unexpected(session->end.value_or(ended.error()));
}

Task<Result<void>> AsioConnection::log_in(Session& session) {
  const Endpoint& endpoint = options_.endpoint;
  // A peer that accepts and says nothing must not keep us.
  asio::steady_timer timer(executor_);
  timer.expires_after(options_.connect_timeout);
  timer.async_wait([link = session.link](const boost::system::error_code& error) {
    if (!error) link->close();
  });
  if (!endpoint.password.empty()) {
    Command command(1, "AUTH");
    if (!endpoint.username.empty()) command.push_back(endpoint.username);
    command.push_back(endpoint.password);
    PIXMILL_CO_RETURN_IF_ERROR(co_await expect_login_answer(session, command));
  }
  // Also without a database of its own: the answer shows whether anything may be asked at all.
  const Command select = Command({"SELECT", std::to_string(endpoint.database)});
  PIXMILL_CO_RETURN_IF_ERROR(co_await expect_login_answer(session, select));
  timer.cancel();
  co_return Result<void>();
}

Task<Result<void>> AsioConnection::expect_login_answer(Session& session, const Command& command) {
  const std::string bytes = encode(command);
  PIXMILL_CO_RETURN_IF_ERROR(co_await session.link->write(bytes));
  std::array<char, 4'096> buffer;
  while (true) {
    PIXMILL_CO_TRY(const auto reply, session.reader.next());
    if (reply) {
      if (!reply->is_error()) co_return Result<void>();
      Error refused = error_of(*reply);
      if (refused.code == ErrorCode::kInternal) {
        refused.code = ErrorCode::kInvalidArgument;
        refused.message = fmt::format("Redis refuses {}", command.front());
      }
      co_return std::unexpected(std::move(refused));
    }
    PIXMILL_CO_TRY(const std::size_t count, co_await session.link->read_some(buffer));
    session.reader.feed(std::string_view(buffer.data(), count));
  }
}

void AsioConnection::come_up(const std::shared_ptr<Session>& session) {
  session_ = session;
  up_gauge_.set(1);
  if (trouble_) {
    log::info("redis_back", {{"connection", options_.name}, {"at", options_.endpoint.shown()}});
  }
  trouble_.reset();
  failures_ = 0;
  if (!options_.channel.empty()) session->unsent = encode({"SUBSCRIBE", options_.channel});
  asio::co_spawn(executor_, write_all(shared_from_this(), session),
                 [](const std::exception_ptr& error) { PIXMILL_CHECK(error == nullptr); });
  for (const auto& callback : callbacks_) callback();
  for (const auto& waiter : waiting_for_up_) waiter->ring();
}

Task<void> AsioConnection::write_all(std::shared_ptr<AsioConnection> self, std::shared_ptr<Session> session) {
  std::string sending;
  while (!session->over) {
    if (session->unsent.empty()) {
      co_await session->written.wait(kUntilRung);
      continue;
    }
    sending.clear();
    std::swap(sending, session->unsent);
    const auto written = co_await session->link->write(sending);
    if (!written) self->give_up(*session, written.error());
  }
}

// Ends with an error only: a connection is read from until it breaks.
Task<Result<void>> AsioConnection::read_all(Session& session) {
  std::vector<char> buffer(kReadBytes);
  while (!session.over) {
    PIXMILL_CO_TRY(const std::size_t count, co_await session.link->read_some(buffer));
    session.reader.feed(std::string_view(buffer.data(), count));
    PIXMILL_CO_RETURN_IF_ERROR(take_replies(session));
  }
  co_return fail(ErrorCode::kCancelled, "The connection to Redis was given up");
}

Result<void> AsioConnection::take_replies(Session& session) {
  while (!session.over) {
    PIXMILL_TRY(auto reply, session.reader.next());
    if (!reply) return {};
    if (!options_.channel.empty()) {
      PIXMILL_RETURN_IF_ERROR(take_message(*reply));
      continue;
    }
    if (session.pending.empty()) return fail(ErrorCode::kProtocol, "Redis answers what nobody asked");
    const auto pending = std::move(session.pending.front());
    session.pending.pop_front();
    // The primary is elsewhere now: connecting again asks the name server where.
    const bool has_moved = reply->is_error() && reply->refusal() == Refusal::kReadOnly;
    pending->settle(std::move(*reply));
    if (has_moved) return fail(ErrorCode::kUnavailable, "This Redis has become a replica");
  }
  return {};
}

// ["message", channel, text], and the answer to SUBSCRIBE.
Result<void> AsioConnection::take_message(const Reply& reply) {
  if (reply.is_error()) {
    Error refused = error_of(reply);
    refused.message = fmt::format("Redis refuses to let this user listen to {}", options_.channel);
    return std::unexpected(std::move(refused));
  }
  const auto& words = reply.elements;
  if (words.size() == 3 && words[0].text == "message" && options_.on_message) options_.on_message(words[2].text);
  return {};
}

void AsioConnection::give_up(Session& session, Error why) {
  if (std::exchange(session.over, true)) return;
  session.link->close();
  session.written.ring();
  if (session_.get() == &session) {
    session_.reset();
    up_gauge_.set(0);
  }
  Error lost = why.code == ErrorCode::kCancelled || why.code == ErrorCode::kProtocol ? why : away(why);
  session.end = std::move(why);
  for (const auto& pending : session.pending) pending->settle(std::unexpected(lost));
  session.pending.clear();
}

}  // namespace

Result<std::shared_ptr<Connection>> Connection::create(Executor executor, ConnectionOptions options, Resolve resolve,
                                                       Metrics& metrics) {
  PIXMILL_TRY(auto dialer, Dialer::create(executor, options.endpoint, options.ca_file, std::move(resolve)));
  return std::make_shared<AsioConnection>(std::move(executor), std::move(options), std::move(dialer), metrics);
}

}  // namespace pixmill::redis
